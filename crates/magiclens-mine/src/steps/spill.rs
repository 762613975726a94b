//! Pictures of an archive, on disk until their page asks for them: an archive may hold the picture before or after the page.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use crate::page::RawPicture;

/// A temporary file of pictures and where each lies in it. Memory: a few numbers a picture.
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

    /// Keeps a picture, the first of an address; false if there is no room for more.
    pub(crate) fn put(&mut self, picture: &RawPicture) -> anyhow::Result<bool> {
        let key = key(&picture.url);
        if self.places.contains_key(&key) {
            return Ok(true);
        }
        if self.places.len() >= self.capacity {
            return Ok(false);
        }
        let head = serde_json::to_vec(&Head {
            url: picture.url.clone(),
            content_type: picture.content_type.clone(),
            robots_tags: picture.robots_tags.clone(),
        })?;
        self.file.write_all(&head)?;
        self.file.write_all(&picture.bytes)?;
        let (head, body) = (u32::try_from(head.len())?, u32::try_from(picture.bytes.len())?);
        self.places.insert(key, (self.end, head, body));
        self.end += u64::from(head) + u64::from(body);
        Ok(true)
    }

    /// The picture of an address.
    pub(crate) fn get(&mut self, url: &str) -> anyhow::Result<Option<RawPicture>> {
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
        Ok(Some(RawPicture {
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
    fn pictures_come_back_by_address() {
        let mut spill = Spill::new(2).unwrap();
        let picture = |url: &str, byte: u8| RawPicture {
            url: url.into(),
            bytes: vec![byte; 3],
            ..RawPicture::default()
        };
        assert!(spill.put(&picture("a", 1)).unwrap());
        assert_eq!(spill.get("a#top").unwrap().unwrap().bytes, [1; 3]);
        assert!(spill.put(&picture("b", 2)).unwrap());
        assert!(spill.put(&picture("a", 9)).unwrap());
        assert!(!spill.put(&picture("c", 3)).unwrap());
        assert_eq!(spill.get("a").unwrap().unwrap().bytes, [1; 3]);
        assert_eq!(spill.get("b").unwrap().unwrap(), picture("b", 2));
        assert_eq!(spill.get("c").unwrap(), None);
        assert_eq!(spill.len(), 2);
    }
}
