//! Images of an archive, on disk until their page asks for them: an archive may hold the image before or after the page.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use magiclens_web::page::RawImage;

/// A temporary file of images and where each lies in it. Memory: a few numbers an image.
#[derive(Debug)]
pub(crate) struct Spill {
    file: BufWriter<File>,
    places: HashMap<u64, (u64, u32, u32)>,
    end: u64,
    capacity: usize,
}

#[derive(Serialize, Deserialize)]
struct Head {
    url: String,
    content_type: String,
    robots_tags: Vec<String>,
}

impl Spill {
    pub(crate) fn new(capacity: usize) -> anyhow::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, tempfile::tempfile()?),
            places: HashMap::new(),
            end: 0,
            capacity,
        })
    }

    /// Keeps an image, the first of an address; false if there is no room for more.
    pub(crate) fn put(&mut self, image: &RawImage) -> anyhow::Result<bool> {
        let key = key(&image.url);
        if self.places.contains_key(&key) {
            return Ok(true);
        }
        if self.places.len() >= self.capacity {
            return Ok(false);
        }
        let head = serde_json::to_vec(&Head {
            url: image.url.clone(),
            content_type: image.content_type.clone(),
            robots_tags: image.robots_tags.clone(),
        })?;
        self.file.write_all(&head)?;
        self.file.write_all(&image.bytes)?;
        let (head, body) = (u32::try_from(head.len())?, u32::try_from(image.bytes.len())?);
        self.places.insert(key, (self.end, head, body));
        self.end += u64::from(head) + u64::from(body);
        Ok(true)
    }

    /// The image of an address.
    pub(crate) fn get(&mut self, url: &str) -> anyhow::Result<Option<RawImage>> {
        let Some(&(start, head, body)) = self.places.get(&key(url)) else {
            return Ok(None);
        };
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0; head as usize + body as usize];
        file.read_exact(&mut bytes)?;
        let end = self.end;
        file.seek(SeekFrom::Start(end))?;
        let body = bytes.split_off(head as usize);
        let head: Head = serde_json::from_slice(&bytes)?;
        Ok(Some(RawImage {
            url: head.url,
            content_type: head.content_type,
            bytes: body,
            robots_tags: head.robots_tags,
        }))
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

/// Archives and pages write the same address with and without its fragment.
fn key(url: &str) -> u64 {
    crate::duplicate::hash(url.split('#').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_by_address() {
        let mut spill = Spill::new(2).unwrap();
        let image = |url: &str, byte: u8| RawImage {
            url: url.into(),
            bytes: vec![byte; 3],
            ..RawImage::default()
        };
        assert!(spill.put(&image("a", 1)).unwrap());
        assert_eq!(spill.get("a#top").unwrap().unwrap().bytes, [1; 3]);
        assert!(spill.put(&image("b", 2)).unwrap());
        assert!(spill.put(&image("a", 9)).unwrap());
        assert!(!spill.put(&image("c", 3)).unwrap());
        assert_eq!(spill.get("a").unwrap().unwrap().bytes, [1; 3]);
        assert_eq!(spill.get("b").unwrap().unwrap(), image("b", 2));
        assert_eq!(spill.get("c").unwrap(), None);
        assert_eq!(spill.len(), 2);
    }
}
