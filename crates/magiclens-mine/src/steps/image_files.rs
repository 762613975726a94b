//! Image files of a shard by address, on disk until their page asks for them: an archive may hold an image before or after its page.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use magiclens_data::Digest;
use magiclens_web::DropReason;
use magiclens_web::input::Folder;
use magiclens_web::page::{PageImage, RawImage};

use crate::config::MineConfig;
use crate::stage::StageInfo;

pub(super) const FIND: StageInfo = StageInfo::new("find", "images on pages");

/// The publisher wants the page or image left alone.
pub(super) const OPTED_OUT: DropReason = DropReason("publisher opted out");

/// The image files that a shard can give: out of its archive, out of its folder of saved pages, and fetched ones.
pub(super) struct ImageFiles<'a> {
    config: &'a MineConfig,
    folder: Option<Folder>,
    spill: Spill,
}

impl<'a> ImageFiles<'a> {
    /// The files in the folder `root`, if there is one.
    pub(super) fn new(config: &'a MineConfig, root: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self {
            config,
            folder: root.map(|root| Folder::open(Path::new(root))).transpose()?,
            spill: Spill::new()?,
        })
    }

    /// Keeps a file, the first of an address.
    ///
    /// # Errors
    /// Without room for more; the outer error is the disk's.
    pub(super) fn add(&mut self, image: &RawImage) -> anyhow::Result<Result<(), DropReason>> {
        if !self.spill.holds(&image.url) {
            if self.spill.len() >= self.config.group.max_images_per_shard {
                return Ok(Err(DropReason("shard has more images")));
            }
            self.spill.put(image)?;
        }
        Ok(Ok(()))
    }

    /// The number of kept files.
    pub(super) fn len(&self) -> usize {
        self.spill.len()
    }

    /// The file of an image, under the first of its addresses that is there; else the reason why there is none.
    pub(super) fn find(&mut self, image: &PageImage) -> anyhow::Result<Result<RawImage, DropReason>> {
        let mut reason = DropReason("file is not in the input");
        for url in addresses(image) {
            match self.folder_of(url).map(|folder| folder.image(url, &self.config.input)) {
                Some(Ok(found)) => return Ok(self.heeded(found)),
                Some(Err(refused)) => reason = refused,
                None => {}
            }
            if let Some(found) = self.spill.get(url)? {
                return Ok(self.heeded(found));
            }
        }
        Ok(Err(reason))
    }

    /// Whether the shard lacks an image, so that it is to be fetched. Those with an opt-out are there and not asked for again.
    pub(super) fn lacks(&self, image: &PageImage) -> bool {
        let is_there = |url: &String| {
            let folder = self.folder_of(url);
            folder.is_some_and(|folder| folder.has_image(url, &self.config.input)) || self.spill.holds(url)
        };
        !addresses(image).any(is_there)
    }

    /// The folder of saved pages, for addresses that can be in it.
    fn folder_of(&self, url: &str) -> Option<&Folder> {
        self.folder.as_ref().filter(|_| url.starts_with("file:"))
    }

    /// The file, unless its publisher wants it left alone.
    fn heeded(&self, found: RawImage) -> Result<RawImage, DropReason> {
        let wishes = self.config.fetch.opt_outs(&found.robots_tags);
        let is_heeded = |wish: &str| {
            let wish = if wish == "none" { "noindex" } else { wish };
            self.config.group.opt_outs.iter().any(|heeded| heeded == wish)
        };
        match wishes.into_iter().any(is_heeded) {
            true => Err(OPTED_OUT),
            false => Ok(found),
        }
    }
}

fn addresses(image: &PageImage) -> impl Iterator<Item = &String> {
    std::iter::once(&image.url).chain(&image.alternatives)
}

/// A temporary file of images. Memory: a few numbers an image.
struct Spill {
    file: BufWriter<File>,
    places: HashMap<u64, Place>,
    end: u64,
}

#[derive(Clone, Copy)]
struct Place {
    start: u64,
    head_bytes: usize,
    image_bytes: usize,
}

impl Spill {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, tempfile::tempfile()?),
            places: HashMap::new(),
            end: 0,
        })
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn holds(&self, url: &str) -> bool {
        self.places.contains_key(&key(url))
    }

    fn put(&mut self, image: &RawImage) -> anyhow::Result<()> {
        let head = serde_json::to_vec(&(&image.url, &image.content_type, &image.robots_tags))?;
        self.file.write_all(&head)?;
        self.file.write_all(&image.bytes)?;
        let place = Place {
            start: self.end,
            head_bytes: head.len(),
            image_bytes: image.bytes.len(),
        };
        self.places.insert(key(&image.url), place);
        self.end += (place.head_bytes + place.image_bytes) as u64;
        Ok(())
    }

    fn get(&mut self, url: &str) -> anyhow::Result<Option<RawImage>> {
        let Some(&place) = self.places.get(&key(url)) else {
            return Ok(None);
        };
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(place.start))?;
        let mut head = vec![0; place.head_bytes];
        file.read_exact(&mut head)?;
        let mut bytes = vec![0; place.image_bytes];
        file.read_exact(&mut bytes)?;
        file.seek(SeekFrom::Start(self.end))?;
        let (url, content_type, robots_tags) = serde_json::from_slice(&head)?;
        Ok(Some(RawImage {
            url,
            content_type,
            bytes,
            robots_tags,
        }))
    }
}

/// Archives and pages write the same address with and without its fragment.
fn key(url: &str) -> u64 {
    Digest::of(url.split('#').next().unwrap_or_default()).seed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(url: &str, byte: u8) -> RawImage {
        RawImage {
            url: url.into(),
            bytes: vec![byte; 3],
            ..RawImage::default()
        }
    }

    fn shown(url: &str, alternatives: &[&str]) -> PageImage {
        PageImage {
            url: url.into(),
            alternatives: alternatives.iter().map(|url| (*url).to_owned()).collect(),
            ..PageImage::default()
        }
    }

    #[test]
    fn images_come_back_by_address() {
        let mut config = MineConfig::default();
        config.group.max_images_per_shard = 2;
        let mut files = ImageFiles::new(&config, None).unwrap();
        assert_eq!(files.add(&raw("a", 1)).unwrap(), Ok(()));
        assert_eq!(files.find(&shown("a#top", &[])).unwrap().unwrap().bytes, [1; 3]);
        assert_eq!(files.add(&raw("b", 2)).unwrap(), Ok(()));
        assert_eq!(files.add(&raw("a", 9)).unwrap(), Ok(()));
        assert!(files.add(&raw("c", 3)).unwrap().is_err());
        assert_eq!(
            files.find(&shown("a", &["b"])).unwrap().unwrap().bytes,
            [1; 3],
            "the first stays"
        );
        assert_eq!(files.find(&shown("x", &["b"])).unwrap(), Ok(raw("b", 2)));
        assert!(files.find(&shown("c", &[])).unwrap().is_err());
        assert!(files.lacks(&shown("c", &["d"])) && !files.lacks(&shown("c", &["b#1"])));
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn opt_outs_speak_to_the_operators_crawler() {
        let tagged = |tag: &str| RawImage {
            robots_tags: vec![tag.to_owned()],
            ..raw("a", 1)
        };
        let found = |user_agent: &str, tag: &str| {
            let mut config = MineConfig::default();
            config.fetch.user_agent = user_agent.to_owned();
            let mut files = ImageFiles::new(&config, None).unwrap();
            files.add(&tagged(tag)).unwrap().unwrap();
            files.find(&shown("a", &[])).unwrap().map(drop)
        };
        assert_eq!(
            found("ourbot/1 (+https://example.org/bot)", "ourbot: noai"),
            Err(OPTED_OUT)
        );
        assert_eq!(found("ourbot/1 (+https://example.org/bot)", "magiclens: noai"), Ok(()));
        assert_eq!(found("", "magiclens: noai"), Err(OPTED_OUT));
        assert_eq!(found("", "ourbot: noai"), Ok(()));
        assert_eq!(found("ourbot/1", "none"), Err(OPTED_OUT));
    }
}
