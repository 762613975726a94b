//! Turns drawings and photographs into the files of a collection: on white, without alpha, of bounded size.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::FilterType as Scaling;
use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, RgbaImage,
};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The longest side of a raster image in a collection, in pixels.
const MAX_SIDE_PX: u32 = 512;
/// The largest side that is decoded at all, in pixels.
const MAX_DECODED_SIDE_PX: u32 = 8192;
/// Changes whenever the same input gives other bytes, so that rendered images are not kept.
pub(crate) const RENDERER: u32 = 1;

/// A finished image file.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) bytes: Vec<u8>,
    pub(crate) extension: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// An error of rendering.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("it is no valid SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    #[error("it is not a readable image: {0}")]
    Raster(#[from] image::ImageError),
    #[error("it has no size")]
    NoSize,
    #[error("nothing is drawn in it")]
    Blank,
}

/// Draws an SVG document on a white square of `size_px`, as large as fits, in the middle.
pub(crate) fn render_svg(svg: &[u8], size_px: u32) -> Result<Rendered, RenderError> {
    let tree = Tree::from_data(svg, &Options::default())?;
    let mut pixmap = Pixmap::new(size_px, size_px).ok_or(RenderError::NoSize)?;
    pixmap.fill(Color::WHITE);
    let side = size_px as f32;
    let scale = (side / tree.size().width()).min(side / tree.size().height());
    let (x, y) = (side - scale * tree.size().width(), side - scale * tree.size().height());
    let transform = Transform::from_scale(scale, scale).post_translate(x / 2.0, y / 2.0);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    // On an opaque ground nothing is premultiplied.
    let pixels = pixmap.data().chunks_exact(4);
    let pixels = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let image = RgbImage::from_raw(size_px, size_px, pixels).ok_or(RenderError::NoSize)?;
    if image.pixels().all(|pixel| *pixel == Rgb([255; 3])) {
        return Err(RenderError::Blank);
    }
    encode_png(&image)
}

/// A raster image as it is if it has no alpha and is small enough; else cut to what is drawn, on white, as PNG.
pub(crate) fn render_raster(bytes: &[u8]) -> Result<Rendered, RenderError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(image::ImageError::from)?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_DECODED_SIDE_PX), Some(MAX_DECODED_SIDE_PX));
    reader.limits(limits);
    let format = reader.format();
    let image = reader.decode()?;
    let (width, height) = (image.width(), image.height());
    if let Some(extension) = kept_extension(format)
        && is_opaque(&image)
        && width.max(height) <= MAX_SIDE_PX
    {
        return Ok(Rendered {
            bytes: bytes.to_vec(),
            extension,
            width,
            height,
        });
    }
    let cut = cut_to_content(&image.to_rgba8()).ok_or(RenderError::Blank)?;
    let mut white = on_white(&cut);
    if white.width().max(white.height()) > MAX_SIDE_PX {
        let resized = DynamicImage::from(white).resize(MAX_SIDE_PX, MAX_SIDE_PX, Scaling::Lanczos3);
        white = resized.into_rgb8();
    }
    encode_png(&white)
}

fn kept_extension(format: Option<ImageFormat>) -> Option<&'static str> {
    match format? {
        ImageFormat::Png => Some("png"),
        ImageFormat::WebP => Some("webp"),
        ImageFormat::Jpeg => Some("jpg"),
        _ => None,
    }
}

fn is_opaque(image: &DynamicImage) -> bool {
    !image.color().has_alpha() || image.to_rgba8().pixels().all(|pixel| pixel.0[3] == 255)
}

/// The part of an image that is not fully transparent, with a margin of 4 %; nothing if all of it is.
fn cut_to_content(image: &RgbaImage) -> Option<RgbaImage> {
    let drawn = image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] > 8);
    let bounds = drawn.fold(None, |bounds: Option<[u32; 4]>, (x, y, _)| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    });
    let [left, top, right, bottom] = bounds?;
    let margin = (right - left).max(bottom - top) / 25 + 1;
    let (left, top) = (left.saturating_sub(margin), top.saturating_sub(margin));
    let right = (right + margin).min(image.width() - 1);
    let bottom = (bottom + margin).min(image.height() - 1);
    Some(image::imageops::crop_imm(image, left, top, right - left + 1, bottom - top + 1).to_image())
}

fn on_white(image: &RgbaImage) -> RgbImage {
    let blend = |pixel: &image::Rgba<u8>, channel: usize| {
        let alpha = u32::from(pixel.0[3]);
        ((u32::from(pixel.0[channel]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let pixel = image.get_pixel(x, y);
        Rgb([blend(pixel, 0), blend(pixel, 1), blend(pixel, 2)])
    })
}

fn encode_png(image: &RgbImage) -> Result<Rendered, RenderError> {
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    encoder.write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)?;
    Ok(Rendered {
        bytes,
        extension: "png",
        width,
        height,
    })
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;

    fn decode(rendered: &Rendered) -> RgbImage {
        image::load_from_memory(&rendered.bytes).unwrap().to_rgb8()
    }

    #[test]
    fn a_drawing_stands_in_the_middle_of_white() {
        let svg = br##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><rect width="20" height="10" fill="#f00"/></svg>"##;
        let rendered = render_svg(svg, 40).unwrap();
        let image = decode(&rendered);
        assert_eq!(
            (rendered.width, rendered.height, image.dimensions()),
            (40, 40, (40, 40))
        );
        assert_eq!(image.get_pixel(20, 5).0, [255, 255, 255]);
        assert_eq!(image.get_pixel(1, 11).0, [255, 0, 0]);
        assert_eq!(image.get_pixel(38, 28).0, [255, 0, 0]);
        assert_eq!(image.get_pixel(20, 35).0, [255, 255, 255]);
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        assert!(matches!(render_svg(b"<svg", 8), Err(RenderError::Svg(_))));
        let blank = br#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"/>"#;
        assert!(matches!(render_svg(blank, 8), Err(RenderError::Blank)));
        assert!(matches!(render_raster(b"no image"), Err(RenderError::Raster(_))));
    }

    #[test]
    fn alpha_goes_onto_white_and_the_empty_border_goes() {
        let mut stamp = RgbaImage::from_pixel(100, 60, Rgba([9, 9, 9, 0]));
        (40..60).for_each(|x| stamp.put_pixel(x, 30, Rgba([0, 0, 0, 128])));
        let mut png = Cursor::new(Vec::new());
        stamp.write_to(&mut png, ImageFormat::Png).unwrap();
        let image = decode(&render_raster(png.get_ref()).unwrap());
        assert_eq!(image.dimensions(), (22, 3));
        assert_eq!(image.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(image.get_pixel(1, 1).0, [127; 3]);
    }

    #[test]
    fn an_opaque_image_keeps_its_bytes_and_a_large_one_shrinks() {
        let encode = |width: u32| {
            let mut jpeg = Cursor::new(Vec::new());
            RgbImage::from_pixel(width, 8, Rgb([7; 3]))
                .write_to(&mut jpeg, ImageFormat::Jpeg)
                .unwrap();
            jpeg.into_inner()
        };
        let small = encode(20);
        let rendered = render_raster(&small).unwrap();
        assert_eq!((rendered.bytes, rendered.extension), (small, "jpg"));
        let rendered = render_raster(&encode(1024)).unwrap();
        assert_eq!((rendered.extension, rendered.width, rendered.height), ("png", 512, 4));
    }
}
