//! Small JPEG copies of the images, beside the index.
//!
//! For people, not for the model: turned upright, and transparent parts shown on white.

use std::io;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, Rgb, RgbImage};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use magiclens_data::ImageId;
use magiclens_data::decode::{self, DecodeError, Decoded, Limits};
use magiclens_data::files::{read_capped, write_atomic_bytes};

/// The folder of thumbnails in that of the index.
pub(crate) const THUMBNAILS_FOLDER: &str = "thumbnails";

/// Longest side of a thumbnail; smaller images keep their size.
pub const THUMBNAIL_PX: u32 = 256;

const JPEG_QUALITY: u8 = 85;

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

impl Thumbnail {
    /// The thumbnail of a decoded image, which is not copied.
    pub fn new(decoded: &Decoded) -> Self {
        let image = decoded.image();
        let mut small = DynamicImage::ImageRgb8(match image {
            DynamicImage::ImageRgb8(rgb) => shrink(rgb),
            other => shrink(&OnWhite(other)),
        });
        small.apply_orientation(decoded.orientation());
        let (width, height) = decoded.size();
        let (width, height) = match decoded.orientation() {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        };
        let [small_width, small_height] = [small.width(), small.height()].map(|side| side as usize);
        // Colors as fine as brightness: drawings have sharp colored edges.
        let jpeg = compress(
            small.as_bytes(),
            small_width,
            small_height,
            PixelFormat::Rgb,
            JPEG_QUALITY,
            Subsampling::S444,
        )
        .expect("an RGB image of at most 256 x 256 pixels can be written to memory as JPEG");
        Self { jpeg, width, height }
    }
}

/// The thumbnail of an image file held in memory.
pub fn make_thumbnail(bytes: &[u8], limits: &Limits) -> Result<Thumbnail, DecodeError> {
    Ok(Thumbnail::new(&decode::decode(bytes, limits)?))
}

/// The place of a thumbnail, and the files it can be made of again. Needs no index, so that nothing else waits while an image
/// is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThumbnailFile {
    pub(crate) id: ImageId,
    pub(crate) path: PathBuf,
    /// Empty if the thumbnail is there.
    pub(crate) originals: Vec<PathBuf>,
}

impl ThumbnailFile {
    /// The file of the thumbnail, a JPEG. A missing one is made again from the image; `None` if all files of that are gone.
    pub fn find_or_make(&self, limits: &Limits) -> io::Result<Option<PathBuf>> {
        if is_whole(&self.path) {
            return Ok(Some(self.path.clone()));
        }
        let read = |path: &PathBuf| {
            let bytes = read_capped(path, limits.max_bytes).ok()?;
            let bytes = Some(bytes).filter(|bytes| ImageId::of_bytes(bytes) == self.id)?;
            make_thumbnail(&bytes, limits).ok()
        };
        let Some(thumbnail) = self.originals.iter().find_map(read) else {
            return Ok(None);
        };
        write(&self.path, &thumbnail.jpeg)?;
        Ok(Some(self.path.clone()))
    }
}

/// True if the file is there and not empty, as a power cut could leave one of an earlier version.
pub(crate) fn is_whole(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| 0 < metadata.len())
}

/// The place of an image's thumbnail in the folder of the index. A folder for each first byte keeps folders small.
pub(crate) fn path_of(index: &Path, id: ImageId) -> PathBuf {
    let name = id.to_string();
    index
        .join(THUMBNAILS_FOLDER)
        .join(&name[..2])
        .join(format!("{name}.jpg"))
}

/// Writes a thumbnail whole or not at all.
pub(crate) fn write(path: &Path, jpeg: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    write_atomic_bytes(path, jpeg)
}

/// An image with its transparent parts on white, a pixel at a time.
struct OnWhite<'a>(&'a DynamicImage);

impl GenericImageView for OnWhite<'_> {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        let [r, g, b, alpha] = self.0.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        // A weighted mean of two bytes is a byte.
        Rgb([r, g, b].map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    }
}

fn shrink(image: &impl GenericImageView<Pixel = Rgb<u8>>) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL_PX {
        return RgbImage::from_fn(width, height, |x, y| image.get_pixel(x, y));
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(THUMBNAIL_PX)).div_ceil(u64::from(longest)) as u32;
    // The quick box filter does most of the work on a large photo, the better filter the rest.
    let quick_px = 2 * THUMBNAIL_PX;
    if longest <= quick_px {
        return imageops::resize(image, scaled(width), scaled(height), FilterType::Triangle);
    }
    let halfway = imageops::thumbnail(image, scaled(width) * 2, scaled(height) * 2);
    imageops::resize(&halfway, scaled(width), scaled(height), FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ExtendedColorType, ImageEncoder, ImageFormat, Rgba, RgbaImage};

    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn encoded(image: &DynamicImage) -> Vec<u8> {
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).unwrap();
        png.into_inner()
    }

    fn made(bytes: &[u8]) -> Thumbnail {
        make_thumbnail(bytes, &Limits::default()).unwrap()
    }

    fn check_size(width: u32, height: u32, expected: (u32, u32)) {
        let made = made(&encoded(
            &RgbImage::from_pixel(width, height, Rgb([200, 40, 40])).into(),
        ));
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
        let made = made(&encoded(&rgba.into()));
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
        let made = made(&jpeg);
        let small = image::load_from_memory(&made.jpeg).unwrap();
        assert_eq!(
            (small.width(), small.height(), made.width, made.height),
            (20, 40, 20, 40)
        );
    }
}
