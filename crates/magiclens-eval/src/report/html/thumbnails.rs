//! Small images inside the page.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use magiclens_data::decode::{Limits, read_rgb};
use rayon::prelude::*;

use crate::benchmark::Crop;
use crate::report::Shown;

/// The longer side in pixels; smaller images stay as they are.
const SIDE_PX: u32 = 128;
const JPEG_QUALITY: u8 = 82;

/// An image that was made small.
#[derive(Debug)]
pub(super) struct Thumbnail {
    pub(super) width: u32,
    pub(super) height: u32,
    /// A data URI.
    pub(super) uri: String,
}

/// Thumbnails that were made, or why not.
#[derive(Default)]
pub(super) struct Thumbnails {
    made: HashMap<Key, Result<Thumbnail, String>>,
}

type Key = (PathBuf, Option<[u64; 4]>);

impl Thumbnails {
    /// Makes those that are new, side by side.
    pub(super) fn make<'a>(&mut self, shown: impl Iterator<Item = &'a Shown>) {
        let mut seen = HashSet::new();
        let new: Vec<(Key, Option<&Crop>)> = shown
            .filter_map(image)
            .map(|(path, crop)| (key(path, crop), crop))
            .filter(|(key, _)| !self.made.contains_key(key) && seen.insert(key.clone()))
            .collect();
        let made: Vec<_> = new
            .into_par_iter()
            .map(|(key, crop)| {
                let thumbnail = thumbnail(&key.0, crop);
                (key, thumbnail)
            })
            .collect();
        self.made.extend(made);
    }

    /// A thumbnail that was made, or the reason why there is none; `None` for a text.
    pub(super) fn get(&self, shown: &Shown) -> Option<&Result<Thumbnail, String>> {
        let (path, crop) = image(shown)?;
        self.made.get(&key(path, crop))
    }
}

fn image(shown: &Shown) -> Option<(&Path, Option<&Crop>)> {
    match shown {
        Shown::Image { path, crop, .. } => Some((path, crop.as_ref())),
        Shown::Text(_) => None,
    }
}

fn key(path: &Path, crop: Option<&Crop>) -> Key {
    let bits = crop.map(|crop| [crop.left, crop.top, crop.width, crop.height].map(f64::to_bits));
    (path.to_owned(), bits)
}

fn thumbnail(path: &Path, crop: Option<&Crop>) -> Result<Thumbnail, String> {
    let image = read_rgb(path, &Limits::default()).map_err(|error| error.to_string())?;
    let image = match crop {
        Some(crop) => crop.apply(&image),
        None => image,
    };
    let small = shrink(image);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&small)
        .map_err(|error| error.to_string())?;
    Ok(Thumbnail {
        width: small.width(),
        height: small.height(),
        uri: format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)),
    })
}

fn shrink(image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= SIDE_PX {
        return image;
    }
    let side = |length: u32| ((f64::from(length) * f64::from(SIDE_PX) / f64::from(longer)).round() as u32).max(1);
    image::imageops::thumbnail(&image, side(width), side(height))
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
            let small = shrink(RgbImage::new(size.0, size.1));
            assert_eq!(small.dimensions(), expected, "{size:?}");
        }
    }
}
