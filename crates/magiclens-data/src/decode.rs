//! Decodes image files. [`decode_rgb`] gives the pixels of Pillow's `Image.open(..).convert("RGB")`.
//!
//! The format follows from the content, never from a file name. Alpha is dropped, not blended; of an animation the
//! first frame counts; the EXIF orientation of a JPEG is not applied. Sizes are checked before anything is allocated.

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{
    DynamicImage, GenericImageView, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Pixel, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use libjpeg_turbo_rs::{DecodeLimits, Decoder as JpegDecoder, JpegError, PixelFormat, ScalingFactor};

use crate::files::{ReadCappedError, read_capped};

/// The cost that an image may have. Both are checked before memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest encoded file, in bytes.
    pub max_bytes: u64,
    /// Largest decoded image, width times height.
    pub max_pixels: u64,
    /// Where set, a large JPEG is decoded at a half, a quarter or an eighth of its size, as long as its shorter side keeps so many
    /// pixels: faster, and not quite the pixels that Pillow gives.
    pub enough_px: Option<u32>,
}

impl Default for Limits {
    /// 64 MiB and 100 million pixels, all of them decoded.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_pixels: 100_000_000,
            enough_px: None,
        }
    }
}

/// The reason for which bytes are not an image. The messages name no path: the caller knows it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// The encoded file is too large.
    #[error("the file has {bytes} bytes, more than the limit of {max_bytes}")]
    TooManyBytes {
        /// Size of the file, at least.
        bytes: u64,
        /// The limit in force.
        max_bytes: u64,
    },
    /// The decoded image would be too large.
    #[error("the image has {width} x {height} pixels, more than the limit of {max_pixels}")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in force.
        max_pixels: u64,
    },
    /// The first bytes belong to no format that we read.
    #[error("not an image in a known format\nhint: PNG, JPEG, GIF, BMP, WebP and TIFF are read")]
    UnknownFormat,
    /// A known format with a feature that we do not read.
    #[error("the image cannot be read: {0}\nhint: save it as an ordinary PNG or JPEG")]
    Unsupported(String),
    /// The file ends too early.
    #[error("the image is cut off")]
    Truncated,
    /// The content contradicts its format.
    #[error("the image is damaged: {0}")]
    Corrupt(String),
    /// A folder, a pipe or a device.
    #[error("not an ordinary file")]
    NotAFile,
    /// The file could not be read.
    #[error("the file cannot be read: {}", .0.kind())]
    Io(io::Error),
}

/// An image as its file gives it: the model takes its RGB, people see it upright and with its transparent parts.
#[derive(Debug)]
pub struct Decoded {
    image: DynamicImage,
    orientation: Orientation,
    is_gray_png: bool,
    size: (u32, u32),
}

impl Decoded {
    /// The pixels with their alpha. A TIFF is turned upright already.
    pub fn image(&self) -> &DynamicImage {
        &self.image
    }

    /// Width and height of the image in its file; more than those of [`Decoded::image`] where [`Limits::enough_px`] took effect.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The way to turn the image to see it upright.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The pixels for the model, in the memory of the decoded ones where they have 8 bits.
    ///
    /// 16-bit gray is cut off at 255 and other 16-bit samples keep their high byte, as Pillow does.
    pub fn into_rgb(self) -> RgbImage {
        let high_byte = |sample: u16| (sample >> 8) as u8;
        let cut_off = |sample: u16| sample.min(255) as u8;
        match self.image {
            DynamicImage::ImageRgba8(image) => without_alpha(image),
            DynamicImage::ImageLuma16(image) => narrow(&image, cut_off),
            // A gray PNG with one transparent value arrives with an alpha channel that Pillow does not make.
            DynamicImage::ImageLumaA16(image) if self.is_gray_png => narrow(&image, cut_off),
            DynamicImage::ImageLumaA16(image) => narrow(&image, high_byte),
            DynamicImage::ImageRgb16(image) => narrow(&image, high_byte),
            DynamicImage::ImageRgba16(image) => narrow(&image, high_byte),
            image => image.into_rgb8(),
        }
    }
}

/// Decodes a whole file held in memory.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    check_bytes(bytes.len() as u64, limits)?;
    let format = image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)?;
    // The decoders are other people's code over hostile input: a panic in one of them must cost one image only.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Gif => decode_gif(bytes, limits),
        ImageFormat::Jpeg => decode_jpeg(bytes, limits),
        ImageFormat::Bmp | ImageFormat::Png | ImageFormat::Tiff | ImageFormat::WebP => {
            decode_other(bytes, format, limits)
        }
        _ => Err(DecodeError::UnknownFormat),
    }))
    .unwrap_or_else(|_| Err(DecodeError::Corrupt("its decoder failed".to_owned())))
}

/// Decodes a whole file held in memory, into 8-bit RGB: see [`Decoded::into_rgb`].
pub fn decode_rgb(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    decode(bytes, limits).map(Decoded::into_rgb)
}

/// Reads and decodes a file; its size is checked before it is read.
pub fn read_rgb(path: &Path, limits: &Limits) -> Result<RgbImage, DecodeError> {
    decode_rgb(&read_capped(path, limits.max_bytes)?, limits)
}

/// The pixels that [`decode`] needs memory for, by the header of an image file held in memory; 0 if it cannot be read. A
/// progressive JPEG is held whole, however small it is decoded.
pub fn pixels(bytes: &[u8], limits: &Limits) -> u64 {
    let dimensions = || {
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
        let (width, height) = reader.into_dimensions().ok()?;
        let divisor = match is_jpeg && limits.enough_px.is_some() && !jpeg_is_progressive(bytes) {
            true => jpeg_divisor(width, height, limits),
            false => 1,
        };
        Some((width / divisor, height / divisor))
    };
    let found = catch_unwind(AssertUnwindSafe(dimensions)).ok().flatten();
    found.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

fn jpeg_is_progressive(bytes: &[u8]) -> bool {
    JpegDecoder::new(bytes).is_ok_and(|decoder| decoder.header().is_progressive)
}

impl From<ReadCappedError> for DecodeError {
    fn from(error: ReadCappedError) -> Self {
        match error {
            ReadCappedError::Io(error) => Self::Io(error),
            ReadCappedError::NotAFile { .. } => Self::NotAFile,
            ReadCappedError::TooLarge { bytes, max, .. } => Self::TooManyBytes { bytes, max_bytes: max },
        }
    }
}

fn check_bytes(bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
    let max_bytes = limits.max_bytes;
    if max_bytes < bytes {
        Err(DecodeError::TooManyBytes { bytes, max_bytes })
    } else {
        Ok(())
    }
}

fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), DecodeError> {
    let max_pixels = limits.max_pixels;
    if width == 0 || height == 0 {
        return Err(DecodeError::Corrupt(format!("it has {width} x {height} pixels")));
    }
    if max_pixels < u64::from(width) * u64::from(height) {
        return Err(DecodeError::TooManyPixels {
            width,
            height,
            max_pixels,
        });
    }
    Ok(())
}

/// The pixels of libjpeg-turbo, which Pillow has inside.
fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    if !jpeg_is_complete(bytes) {
        return Err(DecodeError::Truncated);
    }
    let memory = DecodeLimits {
        max_memory: Some(decoder_memory(limits)),
        ..DecodeLimits::default()
    };
    let mut decoder = JpegDecoder::new_with_limits(bytes, memory).map_err(from_jpeg_error)?;
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    check_pixels(width, height, limits)?;
    decoder.set_output_format(PixelFormat::Rgb);
    let scale = ScalingFactor::try_new(1, jpeg_divisor(width, height, limits));
    decoder.set_scale(scale.map_err(from_jpeg_error)?);
    let image = decoder.decode_image().map_err(from_jpeg_error)?;
    let orientation = image.exif_data.as_deref().and_then(Orientation::from_exif_chunk);
    let pixels = RgbImage::from_raw(image.width as u32, image.height as u32, image.data);
    let pixels = pixels.ok_or_else(|| DecodeError::Corrupt("it has too few pixels".to_owned()))?;
    Ok(Decoded {
        image: pixels.into(),
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        is_gray_png: false,
        size: (width, height),
    })
}

/// The part of its sides that a JPEG is decoded at: 1, 2, 4 or 8.
fn jpeg_divisor(width: u32, height: u32, limits: &Limits) -> u32 {
    let is_enough = |divisor: &u32| {
        limits
            .enough_px
            .is_some_and(|enough| enough <= width.min(height) / divisor)
    };
    [8, 4, 2].into_iter().find(is_enough).unwrap_or(1)
}

/// Most that a decoder may allocate. The largest pixel has four 16-bit samples; the rest is for its own tables.
fn decoder_memory(limits: &Limits) -> u64 {
    limits.max_pixels.saturating_mul(8).saturating_add(64 << 20)
}

fn decode_other(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_alloc = Some(decoder_memory(limits));
    reader.limits(decoder_limits);
    let mut decoder = reader.into_decoder().map_err(from_image_error)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let orientation = decoder.orientation();
    let mut image = DynamicImage::from_decoder(decoder).map_err(from_image_error)?;
    // Pillow turns a TIFF by its orientation tag while loading it, and no other format.
    let orientation = match format {
        ImageFormat::Tiff => {
            image.apply_orientation(orientation.map_err(from_image_error)?);
            Orientation::NoTransforms
        }
        _ => orientation.unwrap_or(Orientation::NoTransforms),
    };
    if matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)) {
        let reason = "its samples are floating-point numbers";
        return Err(DecodeError::Unsupported(reason.to_owned()));
    }
    Ok(Decoded {
        size: image.dimensions(),
        image,
        orientation,
        is_gray_png: format == ImageFormat::Png && png_is_gray(bytes),
    })
}

fn narrow<P: Pixel<Subpixel = u16>>(image: &ImageBuffer<P, Vec<u16>>, sample: fn(u16) -> u8) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        Rgb(image.get_pixel(x, y).to_rgb().0.map(sample))
    })
}

/// The colors without their alpha, moved together in place: a copy of a large image would be hundreds of megabytes.
fn without_alpha(image: RgbaImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let mut samples = image.into_raw();
    let pixels = samples.len() / 4;
    for pixel in 0..pixels {
        samples.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
    }
    samples.truncate(3 * pixels);
    samples.shrink_to_fit();
    RgbImage::from_raw(width, height, samples).expect("three samples a pixel are left")
}

/// The color type in the PNG header is 0: gray without an alpha channel of its own.
fn png_is_gray(bytes: &[u8]) -> bool {
    const COLOR_TYPE_OFFSET: usize = 25;
    bytes.get(COLOR_TYPE_OFFSET) == Some(&0)
}

/// True if the end marker of the first image is there. The decoder fills missing rows with gray; Pillow refuses them.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_IMAGE: u8 = 0xD8;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut rest = bytes;
    while let Some(start) = rest
        .windows(2)
        .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))
    {
        let marker = rest[start + 1];
        rest = &rest[start + 2..];
        match marker {
            END_OF_IMAGE => return true,
            // These have no length: start, restart and temporary markers.
            START_OF_IMAGE | 0xD0..=0xD7 | 0x01 => {}
            _ => {
                let &[high, low, ..] = rest else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(after) = rest.get(length.max(2)..) else {
                    return false;
                };
                rest = after;
            }
        }
    }
    false
}

/// The first frame on a transparent canvas of the transparent color, or else of the palette's first.
fn decode_gif(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    // The frame is allocated below, after its size is checked.
    options.set_memory_limit(gif::MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(from_gif_error)?;
    let canvas = (u32::from(decoder.width()), u32::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(from_gif_error)?;
    let frame = frame.ok_or_else(|| DecodeError::Corrupt("it has no frame".to_owned()))?;
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    let (frame_width, frame_height) = (u32::from(frame.width), u32::from(frame.height));
    let transparent = frame.transparent;
    // A frame that reaches over the canvas enlarges it.
    let (width, height) = (canvas.0.max(left + frame_width), canvas.1.max(top + frame_height));
    check_pixels(width, height, limits)?;
    check_pixels(frame_width, frame_height, limits)?;

    let mut indices = vec![0; frame_width as usize * frame_height as usize];
    decoder.read_into_buffer(&mut indices).map_err(from_gif_error)?;
    let palette = decoder.palette().map_err(from_gif_error)?;
    let color = |index: u8, alpha: u8| match palette.get(usize::from(index) * 3..usize::from(index) * 3 + 3) {
        Some(rgb) => Rgba([rgb[0], rgb[1], rgb[2], alpha]),
        None => Rgba([index, index, index, alpha]),
    };
    let mut image = RgbaImage::from_pixel(width, height, color(transparent.unwrap_or(0), 0));
    for (y, row) in (top..).zip(indices.chunks_exact(frame_width as usize)) {
        for (x, &index) in (left..).zip(row) {
            let alpha = if transparent == Some(index) { 0 } else { 255 };
            image.put_pixel(x, y, color(index, alpha));
        }
    }
    Ok(Decoded {
        size: image.dimensions(),
        image: image.into(),
        orientation: Orientation::NoTransforms,
        is_gray_png: false,
    })
}

fn from_jpeg_error(error: JpegError) -> DecodeError {
    match error {
        JpegError::UnexpectedEof => DecodeError::Truncated,
        JpegError::Unsupported(_) | JpegError::LimitExceeded { .. } | JpegError::AllocationFailed { .. } => {
            DecodeError::Unsupported(error.to_string())
        }
        error => DecodeError::Corrupt(error.to_string()),
    }
}

fn from_gif_error(error: gif::DecodingError) -> DecodeError {
    match error {
        gif::DecodingError::Io(error) => from_io_error(error),
        error => DecodeError::Corrupt(error.to_string()),
    }
}

fn from_image_error(error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) => from_io_error(error),
        ImageError::Unsupported(error) => DecodeError::Unsupported(error.to_string()),
        ImageError::Limits(error) => DecodeError::Unsupported(error.to_string()),
        error => DecodeError::Corrupt(error.to_string()),
    }
}

/// The bytes are in memory, so an input error is the content's fault.
fn from_io_error(error: io::Error) -> DecodeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        _ => DecodeError::Corrupt(error.to_string()),
    }
}
