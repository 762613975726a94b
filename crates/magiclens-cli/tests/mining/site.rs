//! A small site, drawn and written by the test.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

/// An image with structure that depends on its number, so that no two are copies.
pub(crate) fn scene(number: u32) -> RgbImage {
    let mix =
        |k: u32| (number.wrapping_mul(2_654_435_761).wrapping_add(k.wrapping_mul(40_503)) >> 7) as f32 / 33_554_432.0;
    RgbImage::from_fn(120, 90, |x, y| {
        let (x, y) = (x as f32 / 120.0, y as f32 / 90.0);
        let wave = |k: u32| {
            let (a, b, c) = (2.0 + 9.0 * mix(k), 2.0 + 9.0 * mix(k + 1), 6.3 * mix(k + 2));
            127.0 + 120.0 * (x * a + y * b + c).sin() * (y * a - x * b + c).cos()
        };
        Rgb([wave(1) as u8, wave(11) as u8, wave(21) as u8])
    })
}

/// The image as a PNG file.
pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A figure with a caption.
pub(crate) fn figure(image: &str, caption: &str) -> String {
    format!("<figure><img src=\"{image}\"><figcaption>{caption}</figcaption></figure>\n")
}

pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><title>{title}</title><body><main><h1>{title}</h1>\n{body}</main></body></html>"
    )
}

/// `pages` pages with three images each: an original and what two filters make of it.
pub(crate) fn write_site(folder: &Path, pages: u32) {
    const FILTERS: [&str; 7] = ["Bloom", "Whirl", "Emboss", "Mosaic", "Ripple", "Sepia", "Neon"];
    for number in 0..pages {
        let filter = |n: u32| FILTERS[((number * 2 + n) % 7) as usize];
        let mut body = String::new();
        for (n, caption) in [
            "Original image".to_owned(),
            format!("Filter “{}” applied", filter(0)),
            format!("Filter “{}” applied", filter(1)),
        ]
        .iter()
        .enumerate()
        {
            let name = format!("p{number}-{n}.png");
            fs_err::write(folder.join(&name), png(&scene(number * 3 + n as u32))).unwrap();
            body += &figure(&name, caption);
        }
        fs_err::write(
            folder.join(format!("p{number:03}.html")),
            page(&format!("Chapter {number} of filters"), &body),
        )
        .unwrap();
    }
}
