//! Small images inside a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;

const JPEG_QUALITY: u8 = 82;

/// An image made small, as the data URL of a new JPEG: nothing of the file's bytes gets into the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width and height in pixels, where known.
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) url: String,
}

/// A thumbnail, or the reason why there is none, for people.
pub type ThumbnailResult = Result<Arc<Thumbnail>, Arc<str>>;

impl Thumbnail {
    /// Shrinks an image until its longer side has `side_px` pixels; smaller ones keep their size.
    pub fn new(image: &RgbImage, side_px: u32) -> Result<Self, image::ImageError> {
        let small = shrink(image, side_px);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(small.as_ref().unwrap_or(image))?;
        let size = small.as_ref().unwrap_or(image).dimensions();
        Ok(Self {
            size: Some(size),
            ..Self::from_jpeg(&jpeg)
        })
    }

    /// An image that is small already, as this program has written it.
    pub fn from_jpeg(jpeg: &[u8]) -> Self {
        let url = format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg));
        Self { size: None, url }
    }
}

/// The thumbnails of a page by key, each made once.
#[derive(Clone, Debug)]
pub struct Thumbnails<K> {
    side_px: u32,
    made: BTreeMap<K, ThumbnailResult>,
}

impl<K: Ord + Clone + Send + Sync> Thumbnails<K> {
    /// No thumbnails yet; later ones have at most `side_px` pixels on their longer side.
    pub fn new(side_px: u32) -> Self {
        let made = BTreeMap::new();
        Self { side_px, made }
    }

    /// Makes those that are new, on all threads of the current pool. Each thread holds one decoded image at a time.
    pub fn add<E: Display>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        load: impl Fn(&K) -> Result<RgbImage, E> + Sync,
    ) {
        let new: BTreeSet<K> = keys.into_iter().filter(|key| !self.made.contains_key(key)).collect();
        let make = |key: K| {
            let image = load(&key).map_err(|error| error.to_string());
            let made = image.and_then(|image| Thumbnail::new(&image, self.side_px).map_err(|error| error.to_string()));
            (key, made.map(Arc::new).map_err(Arc::from))
        };
        let made: Vec<(K, ThumbnailResult)> = new.into_par_iter().map(make).collect();
        self.made.extend(made);
    }

    /// The thumbnail of a key.
    pub fn get(&self, key: &K) -> ThumbnailResult {
        let made = self.made.get(key).cloned();
        made.unwrap_or_else(|| Err("its file was not looked up".into()))
    }
}

fn shrink(image: &RgbImage, side_px: u32) -> Option<RgbImage> {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    let side = |length: u32| ((f64::from(length) * f64::from(side_px) / f64::from(longer)).round() as u32).max(1);
    (side_px < longer).then(|| image::imageops::thumbnail(image, side(width), side(height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_kept_and_small_images_stay() {
        for (size, expected) in [
            ((300, 150), (128, 64)),
            ((100, 1000), (13, 128)),
            ((90_000, 1), (128, 1)),
            ((128, 20), (128, 20)),
            ((1, 1), (1, 1)),
        ] {
            let made = Thumbnail::new(&RgbImage::new(size.0, size.1), 128).unwrap();
            assert_eq!(made.size, Some(expected), "{size:?}");
            assert!(made.url.starts_with("data:image/jpeg;base64,/9j/"));
        }
    }

    #[test]
    fn images_are_made_once_and_missing_ones_have_a_reason() {
        let mut made = Thumbnails::new(8);
        made.add([1, 2, 1], |key| match key {
            1 => Ok(RgbImage::new(16, 8)),
            _ => Err("shard 7 is gone"),
        });
        made.add([1], |_| Err("made already"));
        assert_eq!(made.get(&1).unwrap().size, Some((8, 4)));
        let reason = |key| made.get(&key).unwrap_err().to_string();
        assert_eq!(
            (reason(2), reason(3)),
            ("shard 7 is gone".into(), "its file was not looked up".into())
        );
    }
}
