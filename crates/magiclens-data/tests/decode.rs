//! Images that are damaged, hostile or no images. That good ones decode as Pillow does it, `magiclens-model` tests.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use image::{GenericImageView, Rgb};
use magiclens_data::decode::{self, DecodeError, Limits, decode_rgb, read_rgb};

const FORMATS: [&str; 7] = [
    "palette_transparent_80.png",
    "gray16_w64_h40.png",
    "jpeg_progressive_420_w203_h151.jpg",
    "jpeg_cmyk_w140_h100.jpg",
    "gif_2frames_w60_h40.gif",
    "bmp_w55_h33.bmp",
    "webp_lossless_w96_h64.webp",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/preprocess")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs_err::read(fixture(name)).unwrap()
}

fn decode(bytes: &[u8]) -> Result<image::RgbImage, DecodeError> {
    decode_rgb(bytes, &Limits::default())
}

#[test]
fn no_images_are_named() {
    assert!(matches!(decode(b""), Err(DecodeError::Empty)));
    for bytes in [
        &b"hello"[..],
        b"<html></html>",
        b"PK\x03\x04",
        b"%PDF-1.7",
        b"\0\0\0\0",
        b"P",
        b"<svg xmlns='..'/>",
    ] {
        let error = decode(bytes).unwrap_err();
        assert!(
            matches!(error, DecodeError::UnknownFormat),
            "{}: {error}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_image_cut_off_is_an_error() {
    for name in FORMATS {
        let whole = read(name);
        assert!(decode(&whole).is_ok(), "{name}");
        // A GIF and a PNG may lack what follows the first frame.
        let needed = if name.ends_with("gif") {
            whole.len() / 3
        } else {
            whole.len() - 20
        };
        for length in (0..needed).step_by(1 + needed / 200) {
            assert!(
                decode(&whole[..length]).is_err(),
                "{name} cut at {length} of {}",
                whole.len()
            );
        }
    }
    assert!(matches!(
        decode(&read("jpeg_gray_w140_h100.jpg")[..1500]),
        Err(DecodeError::Truncated)
    ));
}

#[test]
fn damaged_images_never_break_a_decoder() {
    // A small generator with a fixed seed (xorshift).
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = move |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    let limits = Limits {
        max_pixels: 1_000_000,
        ..Limits::default()
    };
    let mut refused = 0;
    for name in FORMATS {
        let whole = read(name);
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..=below(4) {
                // The headers are the interesting part.
                let end = if below(2) == 0 {
                    bytes.len().min(200)
                } else {
                    bytes.len()
                };
                let position = below(end);
                bytes[position] = below(256) as u8;
            }
            match decode_rgb(&bytes, &limits) {
                Ok(image) => assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.max_pixels),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused} refused");
}

#[test]
fn limits_hold_before_memory_is_spent() {
    let bytes = read("exact_224.png");
    let check = |limits: Limits| decode_rgb(&bytes, &limits).unwrap_err().to_string();
    let max_bytes = bytes.len() as u64 - 1;
    let error = check(Limits {
        max_bytes,
        ..Limits::default()
    });
    assert_eq!(
        error,
        format!("the file has {} bytes, more than the limit of {max_bytes}", bytes.len())
    );
    let error = check(Limits {
        max_pixels: 224 * 224 - 1,
        ..Limits::default()
    });
    assert_eq!(error, "the image has 224 x 224 pixels, more than the limit of 50175");
    assert!(
        decode_rgb(
            &bytes,
            &Limits {
                max_pixels: 224 * 224,
                max_bytes: bytes.len() as u64,
                ..Limits::default()
            }
        )
        .is_ok()
    );
}

/// Small files whose header promises billions of pixels.
#[test]
fn bombs_are_refused_by_their_header() {
    let with = |name: &str, offset: usize, size: &[u8]| {
        let mut bytes = read(name);
        bytes[offset..offset + size.len()].copy_from_slice(size);
        bytes
    };
    let jpeg = read("jpeg_q90_444_w200_h150.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let mut png = with("palette_transparent_80.png", 16, &[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let checksum = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&checksum);
    for (name, bytes) in [
        ("png", png),
        ("gif canvas", with("gif_2frames_w60_h40.gif", 6, &[0xFF; 4])),
        (
            "bmp",
            with("bmp_w55_h33.bmp", 18, &[0x60, 0xEA, 0, 0, 0x60, 0xEA, 0, 0]),
        ),
        ("jpeg", with("jpeg_q90_444_w200_h150.jpg", frame + 5, &[0xFF; 4])),
    ] {
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::TooManyPixels { .. }), "{name}: {error}");
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The first frame does not fill the canvas: the rest has the transparent color, or else the palette's first.
#[test]
fn a_small_first_frame_of_a_gif_lies_on_its_background() {
    let gif = |transparent: Option<u8>| {
        let mut bytes = b"GIF89a\x03\x00\x02\x00\x80\x00\x00\x0A\x14\x1E\xC8\x64\x32".to_vec();
        if let Some(index) = transparent {
            bytes.extend([0x21, 0xF9, 4, 1, 0, 0, index, 0]);
        }
        // One pixel of the palette's second color, at (1, 1): codes 100, 001, 101 of three bits.
        bytes.extend(b"\x2C\x01\x00\x01\x00\x01\x00\x01\x00\x00\x02\x02\x4C\x01\x00\x3B");
        decode(&bytes).unwrap()
    };
    let (first, second) = (Rgb([10, 20, 30]), Rgb([200, 100, 50]));
    let plain = gif(None);
    assert_eq!(
        (plain.dimensions(), *plain.get_pixel(1, 1), *plain.get_pixel(0, 0)),
        ((3, 2), second, first)
    );
    assert!(gif(Some(1)).pixels().all(|&pixel| pixel == second));
}

#[test]
fn files_are_checked_before_they_are_read() {
    let limits = Limits {
        max_bytes: 100,
        ..Limits::default()
    };
    let error = read_rgb(&fixture("exact_224.png"), &limits).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::TooManyBytes {
                bytes: 52471,
                max_bytes: 100
            }
        ),
        "{error}"
    );
    let error = read_rgb(&fixture("missing.png"), &Limits::default()).unwrap_err();
    // The caller names the path.
    assert_eq!(error.to_string(), "the file cannot be read: entity not found");
    let error = read_rgb(&fixture("."), &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::NotAFile), "{error}");
}

#[test]
fn a_large_jpeg_may_be_decoded_at_a_part_of_its_size() {
    let jpegs = FORMATS.into_iter().filter(|name| name.ends_with(".jpg"));
    for name in jpegs.chain([
        "jpeg_large_w900_h700.jpg",
        "jpeg_exif_orientation6_w200_h150.jpg",
        "jpeg_gray_w140_h100.jpg",
    ]) {
        let bytes = read(name);
        let whole = decode::decode(&bytes, &Limits::default()).unwrap();
        let (width, height) = whole.size();
        assert_eq!(whole.image().dimensions(), (width, height));
        for divisor in [1, 2, 4, 8] {
            let limits = Limits {
                enough_px: Some(width.min(height) / divisor),
                ..Limits::default()
            };
            let part = decode::decode(&bytes, &limits).unwrap();
            let (small_width, small_height) = (width.div_ceil(divisor), height.div_ceil(divisor));
            assert_eq!(
                part.image().dimensions(),
                (small_width, small_height),
                "{name} / {divisor}"
            );
            assert_eq!(
                (part.size(), part.orientation()),
                ((width, height), whole.orientation())
            );
            let (found, expected) = (mean(part.image()), mean(whole.image()));
            assert!(
                (found - expected).abs() < 2.0,
                "{name} / {divisor}: {found} for {expected}"
            );
            let pixels = decode::pixels(&bytes, &limits);
            let expected = match name.contains("progressive") {
                true => u64::from(width) * u64::from(height),
                false => u64::from(width / divisor) * u64::from(height / divisor),
            };
            assert_eq!(pixels, expected, "{name} / {divisor}");
        }
        let enough = Limits {
            enough_px: Some(width.min(height) / 2 + 1),
            ..Limits::default()
        };
        let exact = decode::decode(&bytes, &enough).unwrap();
        assert_eq!(exact.image(), whole.image());
    }
    // Other formats have no such way.
    let bytes = read("exact_224.png");
    let limits = Limits {
        enough_px: Some(1),
        ..Limits::default()
    };
    assert_eq!(
        decode::decode(&bytes, &limits).unwrap().image().dimensions(),
        (224, 224)
    );
}

fn mean(image: &image::DynamicImage) -> f64 {
    let samples = image.to_rgb8().into_raw();
    samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / samples.len() as f64
}
