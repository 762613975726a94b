//! Small WARC files of pages that show shapes, with the images.

use std::io::{Cursor, Write};
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

/// Writes so many archives into a new folder, each a task of the first step.
pub(crate) fn write_archives(folder: &Path, count: usize) {
    fs_err::create_dir(folder).unwrap();
    for n in 0..count as u32 {
        let mut archive = Vec::new();
        for page in 0..3 {
            let site = format!("http://site{n}.example/{page}");
            write_record(
                &mut archive,
                &format!("{site}/"),
                "text/html",
                page_html(n, page).as_bytes(),
            );
            for image in 0..SHAPES.len() as u32 {
                write_record(
                    &mut archive,
                    &format!("{site}/{image}.png"),
                    "image/png",
                    &drawing(n, page, image),
                );
            }
        }
        fs_err::write(folder.join(format!("{n:02}.warc")), archive).unwrap();
    }
}

fn write_record(archive: &mut Vec<u8>, url: &str, content_type: &str, body: &[u8]) {
    let mut http = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    http.extend_from_slice(body);
    write!(
        archive,
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n\
         WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{:012}>\r\n\
         Content-Type: application/http; msgtype=response\r\nContent-Length: {}\r\n\r\n",
        archive.len(),
        http.len()
    )
    .unwrap();
    archive.extend_from_slice(&http);
    archive.extend_from_slice(b"\r\n\r\n");
}

const SHAPES: [&str; 4] = ["disc", "square", "cross", "ring"];
const COLORS: [(&str, [u8; 3]); 6] = [
    ("red", [200, 30, 40]),
    ("green", [30, 150, 60]),
    ("blue", [40, 60, 200]),
    ("yellow", [230, 200, 40]),
    ("violet", [140, 50, 180]),
    ("brown", [120, 80, 40]),
];

fn color(n: u32, page: u32, image: u32) -> (&'static str, [u8; 3]) {
    COLORS[(n + page * 2 + image) as usize % COLORS.len()]
}

/// A page that shows the shapes, each with its words.
fn page_html(n: u32, page: u32) -> String {
    let figure = |image: u32| {
        let (color, _) = color(n, page, image);
        let shape = SHAPES[image as usize];
        format!(
            "<figure><img src=\"{image}.png\" alt=\"a {color} {shape} on striped paper\">\
             <figcaption>The {shape} painted {color}, sheet {n}</figcaption></figure>"
        )
    };
    let figures: String = (0..SHAPES.len() as u32).map(figure).collect();
    format!(
        "<!doctype html><html lang=en><title>Shapes of sheet {n}, page {page}</title><main><h1>Shapes of sheet {n}</h1>\
         <p>The same paper with other shapes: each was painted once, and once more in another colour on the next sheet.</p>\
         {figures}</main></html>"
    )
}

/// A shape on striped paper; no two are the same.
fn drawing(n: u32, page: u32, image: u32) -> Vec<u8> {
    let (_, paint) = color(n, page, image);
    let (x0, y0, radius) = (
        140.0 + f64::from(n * 5 % 60),
        120.0 + f64::from(page * 17),
        70.0 + f64::from(n % 7) * 4.0,
    );
    let image = RgbImage::from_fn(360, 300, |x, y| {
        let (dx, dy) = ((f64::from(x) - x0).abs(), (f64::from(y) - y0).abs());
        let distance = dx.hypot(dy);
        let is_inside = match image {
            0 => distance < radius,
            1 => dx.max(dy) < radius,
            2 => dx.min(dy) < radius / 4.0 && dx.max(dy) < radius,
            _ => (radius * 0.6..radius).contains(&distance),
        };
        let stripe = if ((x + y * (page + 1) + n * 3) / 12).is_multiple_of(2) {
            235
        } else {
            200
        };
        if is_inside {
            Rgb(paint)
        } else {
            Rgb([stripe, stripe, 215])
        }
    });
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}
