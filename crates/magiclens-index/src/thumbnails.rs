//! Small JPEG copies of the images, beside the index.
//!
//! For people, not for the model: turned upright, and transparent parts shown on white.

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, RgbaImage};
use magiclens_data::ImageId;

/// Longest side of a thumbnail; smaller images keep their size.
pub const THUMBNAIL_PX: u32 = 256;

const JPEG_QUALITY: u8 = 85;

/// Tells apart the files that threads write aside.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A small copy of an image, with the size of the image as it is shown.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    /// A JPEG file, at most [`THUMBNAIL_PX`] on its longest side.
    pub jpeg: Vec<u8>,
    /// Width of the upright image, in pixels.
    pub width: u32,
    /// Height of the upright image, in pixels.
    pub height: u32,
}

/// Makes the thumbnail of an image from its file's bytes and the same file decoded for the model.
pub fn make_thumbnail(bytes: &[u8], rgb: &RgbImage) -> Thumbnail {
    // The bytes were decoded before, but by other means: whatever happens here must not cost the image.
    let looks = catch_unwind(AssertUnwindSafe(|| looks(bytes).ok()))
        .ok()
        .flatten()
        .unwrap_or_default();
    let mut small = DynamicImage::ImageRgb8(match &looks.on_white {
        Some(on_white) => shrink(on_white),
        None => shrink(rgb),
    });
    small.apply_orientation(looks.orientation);
    let (width, height) = match looks.orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (rgb.height(), rgb.width())
        }
        _ => rgb.dimensions(),
    };
    let mut jpeg = Vec::new();
    small
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY))
        .expect("an RGB picture of at most 256 x 256 pixels can be written to memory as JPEG");
    Thumbnail { jpeg, width, height }
}

/// Where an image's thumbnail lies. A folder for each first byte keeps folders small.
pub(crate) fn path_of(folder: &Path, id: ImageId) -> PathBuf {
    let name = id.to_string();
    folder.join(&name[..2]).join(format!("{name}.jpg"))
}

/// Writes a thumbnail aside and renames it: a reader sees all of it or nothing.
pub(crate) fn write(folder: &Path, id: ImageId, jpeg: &[u8]) -> io::Result<PathBuf> {
    let path = path_of(folder, id);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::write(&aside, jpeg)?;
    fs_err::rename(&aside, &path)?;
    Ok(path)
}

/// What the model does not see of an image.
struct Looks {
    orientation: Orientation,
    on_white: Option<RgbImage>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            orientation: Orientation::NoTransforms,
            on_white: None,
        }
    }
}

fn looks(bytes: &[u8]) -> image::ImageResult<Looks> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    // A TIFF is already turned when it is decoded for the model.
    let orientation = match format {
        Some(ImageFormat::Tiff) => Orientation::NoTransforms,
        _ => decoder.orientation()?,
    };
    let on_white = match decoder.color_type().has_alpha() {
        true => Some(on_white(&DynamicImage::from_decoder(decoder)?.into_rgba8())),
        false => None,
    };
    Ok(Looks { orientation, on_white })
}

fn on_white(rgba: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, alpha] = rgba.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        // A weighted mean of two bytes is a byte.
        Rgb([r, g, b].map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

fn shrink(rgb: &RgbImage) -> RgbImage {
    let (width, height) = rgb.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL_PX {
        return rgb.clone();
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(THUMBNAIL_PX)).div_ceil(u64::from(longest)) as u32;
    // The quick box filter does most of the work on a large photo, the better filter the rest.
    let quick_px = 2 * THUMBNAIL_PX;
    match quick_px < longest {
        true => {
            let halfway = imageops::thumbnail(rgb, scaled(width) * 2, scaled(height) * 2);
            imageops::resize(&halfway, scaled(width), scaled(height), FilterType::Triangle)
        }
        false => imageops::resize(rgb, scaled(width), scaled(height), FilterType::Triangle),
    }
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, Rgba};

    use super::*;

    fn check_size(width: u32, height: u32, expected: (u32, u32)) {
        let rgb = RgbImage::from_pixel(width, height, Rgb([200, 40, 40]));
        let made = make_thumbnail(b"not read", &rgb);
        let small = image::load_from_memory(&made.jpeg).unwrap();
        assert_eq!((small.width(), small.height()), expected, "{width} x {height}");
        assert_eq!((made.width, made.height), (width, height));
    }

    #[test]
    fn shrinks_and_never_enlarges() {
        check_size(256, 256, (256, 256));
        check_size(10, 3, (10, 3));
        check_size(512, 256, (256, 128));
        check_size(300, 1200, (64, 256));
        check_size(5000, 1, (256, 1));
    }

    #[test]
    fn transparent_parts_are_white() {
        let rgba = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
        let mut png = Cursor::new(Vec::new());
        DynamicImage::ImageRgba8(rgba)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        let made = make_thumbnail(&png.into_inner(), &RgbImage::new(8, 8));
        let small = image::load_from_memory(&made.jpeg).unwrap().into_rgb8();
        assert!(small.get_pixel(4, 4).0.iter().all(|&value| 250 < value));
    }

    #[test]
    fn a_turned_photo_is_upright() {
        // Orientation 6: to be turned by 90 degrees.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let rgb = RgbImage::new(40, 20);
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new(&mut jpeg);
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder
            .write_image(rgb.as_raw(), 40, 20, ExtendedColorType::Rgb8)
            .unwrap();
        let made = make_thumbnail(&jpeg, &rgb);
        let small = image::load_from_memory(&made.jpeg).unwrap();
        assert_eq!(
            (small.width(), small.height(), made.width, made.height),
            (20, 40, 20, 40)
        );
    }
}
