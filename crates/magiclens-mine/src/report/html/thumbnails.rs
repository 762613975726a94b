//! Small images inside the page.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use rayon::prelude::*;

/// The longer side in pixels; smaller images stay as they are.
const SIDE_PX: u32 = 240;
const JPEG_QUALITY: u8 = 80;

/// The images of a page, made small, or why they cannot be shown.
#[derive(Debug, Default)]
pub struct Thumbnails {
    made: BTreeMap<ImageId, Result<Thumbnail, String>>,
}

/// An image that was made small.
#[derive(Debug)]
pub(super) struct Thumbnail {
    pub(super) width: u32,
    pub(super) height: u32,
    /// A data URI of our own JPEG: nothing of the file's bytes gets into the page.
    pub(super) uri: String,
}

impl Thumbnails {
    /// Makes them from the files that `read` gives, on all threads of the current pool. Each thread holds one file at a time. A
    /// image that cannot be read or decoded is shown as the reason why.
    pub fn make<R>(images: &[ImageId], limits: &Limits, read: R) -> Self
    where
        R: Fn(ImageId) -> Result<Vec<u8>, String> + Sync,
    {
        let make = |&image: &ImageId| (image, read(image).and_then(|bytes| thumbnail(&bytes, limits)));
        Self {
            made: images.par_iter().map(make).collect(),
        }
    }

    /// The small image, or why there is none.
    pub(super) fn get(&self, image: ImageId) -> Result<&Thumbnail, &str> {
        match self.made.get(&image) {
            Some(made) => made.as_ref().map_err(String::as_str),
            None => Err("its file was not looked up"),
        }
    }
}

fn thumbnail(bytes: &[u8], limits: &Limits) -> Result<Thumbnail, String> {
    let small = shrink(decode_rgb(bytes, limits).map_err(|error| error.to_string())?);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode_image(&small)
        .map_err(|error| error.to_string())?;
    Ok(Thumbnail {
        width: small.width(),
        height: small.height(),
        uri: format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)),
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
            ((480, 240), (240, 120)),
            ((100, 1000), (24, 240)),
            ((90_000, 1), (240, 1)),
            ((240, 20), (240, 20)),
            ((1, 1), (1, 1)),
        ] {
            assert_eq!(shrink(RgbImage::new(size.0, size.1)).dimensions(), expected, "{size:?}");
        }
    }

    #[test]
    fn what_cannot_be_shown_says_why() {
        let id = |text: &str| ImageId::of_bytes(text.as_bytes());
        let ids = ["odd", "empty", "missing"].map(id);
        let made = Thumbnails::make(&ids, &Limits::default(), |image| {
            match ids.iter().position(|id| *id == image) {
                Some(0) => Ok(b"<svg onload=alert(1)>".to_vec()),
                Some(1) => Ok(Vec::new()),
                _ => Err("shard 7 is gone".to_owned()),
            }
        });
        let reason = |id: ImageId| made.get(id).unwrap_err().to_owned();
        assert!(reason(ids[0]).starts_with("not a picture in a known format"));
        assert_eq!(
            (reason(ids[1]), reason(ids[2])),
            ("the file is empty".into(), "shard 7 is gone".into())
        );
        assert_eq!(reason(id("other")), "its file was not looked up");
    }
}
