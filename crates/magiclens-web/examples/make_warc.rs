//! Makes a WARC.gz to measure with, of a folder of saved pages or of made-up ones: one gzip member a record, as crawlers write it.
//! The same input gives the same bytes.
//!
//! usage: cargo run --release -p magiclens-web --example make_warc -- OUT.warc.gz FOLDER
//!        cargo run --release -p magiclens-web --example make_warc -- OUT.warc.gz --made-up PAGES
#![expect(clippy::print_stdout, reason = "a program")]

use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use magiclens_data::Digest;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use walkdir::WalkDir;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (out, counts) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [out, "--made-up", pages] => {
            let pages = pages
                .parse()
                .with_context(|| format!("`{pages}` is no number of pages"))?;
            (out, write_made_up(Archive::create(out)?, pages)?)
        }
        [out, folder] => (out, write_folder(Archive::create(out)?, Path::new(folder))?),
        _ => bail!("usage: make_warc OUT.warc.gz FOLDER, or make_warc OUT.warc.gz --made-up PAGES"),
    };
    let bytes = fs_err::metadata(out)?.len();
    println!(
        "{out}: {} pages, {} pictures, {bytes} bytes",
        counts.pages, counts.images
    );
    Ok(())
}

#[derive(Default)]
struct Counts {
    pages: u32,
    images: u32,
}

/// An archive that is being written.
struct Archive {
    file: BufWriter<fs_err::File>,
    counts: Counts,
}

impl Archive {
    fn create(path: &str) -> anyhow::Result<Self> {
        let mut archive = Self {
            file: BufWriter::new(fs_err::File::create(path)?),
            counts: Counts::default(),
        };
        archive.write_member(
            "warcinfo",
            "",
            "application/warc-fields",
            b"software: make_warc\r\nformat: WARC File Format 1.0\r\n",
        )?;
        Ok(archive)
    }

    /// A page or image as its server would have sent it.
    fn write_response(&mut self, url: &str, content_type: &str, body: &[u8]) -> anyhow::Result<()> {
        match content_type {
            "text/html" => self.counts.pages += 1,
            _ => self.counts.images += 1,
        }
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
        let block = [head.as_bytes(), body].concat();
        self.write_member("response", url, "application/http; msgtype=response", &block)
    }

    fn write_member(&mut self, kind: &str, url: &str, content_type: &str, block: &[u8]) -> anyhow::Result<()> {
        // A record's name must differ from all others; this one follows from its content.
        let hash = Digest::of([kind.as_bytes(), b"\n", url.as_bytes(), b"\n", block].concat()).to_string();
        let (a, b, c, d) = (&hash[..8], &hash[8..12], &hash[12..15], &hash[15..18]);
        let target = match url {
            "" => String::new(),
            url => format!("WARC-Target-URI: {url}\r\n"),
        };
        let mut member = GzEncoder::new(&mut self.file, Compression::default());
        write!(
            member,
            "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{a}-{b}-4{c}-8{d}-{}>\r\n\
             WARC-Date: 2024-01-01T00:00:00Z\r\n{target}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            &hash[18..30],
            block.len()
        )?;
        member.write_all(block)?;
        member.write_all(b"\r\n\r\n")?;
        member.finish()?;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Counts> {
        self.file.flush()?;
        Ok(self.counts)
    }
}

/// All pages and images below a folder, in the order of their names.
fn write_folder(mut archive: Archive, folder: &Path) -> anyhow::Result<Counts> {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        let name = entry.path().strip_prefix(folder)?.to_string_lossy().into_owned();
        let (true, Some(content_type)) = (entry.file_type().is_file(), content_type(&name)) else {
            continue;
        };
        let mut url = url::Url::parse("http://saved.example/")?;
        url.set_path(&name);
        archive.write_response(url.as_str(), content_type, &fs_err::read(entry.path())?)?;
    }
    archive.finish()
}

fn content_type(name: &str) -> Option<&'static str> {
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match extension.as_str() {
        "html" | "htm" => "text/html",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        _ => return None,
    })
}

const IMAGES_PER_PAGE: u32 = 4;
const WORDS: &[&str] = &[
    "river", "stone", "house", "light", "morning", "street", "green", "window", "market", "tower", "garden", "water",
    "old", "bridge", "station", "field", "summer", "paper", "north", "small",
];

/// Articles with figures, half of them photographs (JPEG) and half drawings (PNG), each with its own noise.
fn write_made_up(mut archive: Archive, pages: u32) -> anyhow::Result<Counts> {
    for page in 0..pages {
        let mut random = StdRng::seed_from_u64(page.into());
        let site = format!("http://made-up.example/{page}");
        let html = made_up_page(&mut random, page);
        archive.write_response(&format!("{site}/"), "text/html", html.as_bytes())?;
        for number in 0..IMAGES_PER_PAGE {
            let image = made_up_image(&mut random, number.is_multiple_of(2));
            let mut bytes = Cursor::new(Vec::new());
            let (extension, content_type) = image_kind(number);
            match content_type {
                "image/jpeg" => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 85))?,
                _ => image.write_to(&mut bytes, ImageFormat::Png)?,
            }
            archive.write_response(&format!("{site}/{number}.{extension}"), content_type, bytes.get_ref())?;
        }
    }
    archive.finish()
}

fn image_kind(image: u32) -> (&'static str, &'static str) {
    match image % 2 {
        0 => ("jpg", "image/jpeg"),
        _ => ("png", "image/png"),
    }
}

fn sentence(random: &mut StdRng, words: usize) -> String {
    let words: Vec<&str> = (0..words).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

fn made_up_page(random: &mut StdRng, page: u32) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} | Made up</title></head><body>\
         <header><nav><ul>{}</ul></nav></header><main><h1>{}</h1>",
        sentence(random, 4),
        (0..20)
            .map(|n| format!("<li><a href=\"/{n}/\" class=\"menu item-{n}\">page {n}</a></li>"))
            .collect::<String>(),
        sentence(random, 5),
    );
    for image in 0..IMAGES_PER_PAGE {
        let (extension, _) = image_kind(image);
        for _ in 0..6 {
            html.push_str(&format!(
                "<p class=\"text\">{}, <em>{}</em>.</p>\n",
                sentence(random, 40),
                sentence(random, 3)
            ));
        }
        html.push_str(&format!(
            "<figure id=\"f{image}\"><a href=\"{image}.{extension}\"><img src=\"{image}.{extension}\" \
             srcset=\"{image}.{extension} 640w\" alt=\"{}\" title=\"{}\" width=\"640\" height=\"480\"></a>\
             <figcaption>{}</figcaption></figure>\n",
            sentence(random, 5),
            sentence(random, 3),
            sentence(random, 9),
        ));
    }
    html.push_str(&format!("</main><footer>{page} &copy; nobody</footer></body></html>\n"));
    html
}

/// Smooth colors with fine noise, like a photograph, or flat rectangles, like a drawing.
fn made_up_image(random: &mut StdRng, is_photograph: bool) -> RgbImage {
    let (width, height) = (640, 480);
    let base: [f32; 3] = std::array::from_fn(|_| random.random_range(40.0..200.0));
    let slope: [f32; 3] = std::array::from_fn(|_| random.random_range(-0.1..0.1));
    let mut image = RgbImage::from_fn(width, height, |x, y| {
        Rgb(std::array::from_fn(|c| {
            (base[c] + slope[c] * (x as f32 + 0.5 * y as f32)) as u8
        }))
    });
    if is_photograph {
        for pixel in image.pixels_mut() {
            let noise = random.random_range(-12..12_i16);
            *pixel = Rgb(pixel.0.map(|sample| (i16::from(sample) + noise).clamp(0, 255) as u8));
        }
    } else {
        for _ in 0..40 {
            let color = Rgb(std::array::from_fn(|_| random.random_range(0..=255)));
            let (left, top) = (random.random_range(0..width - 80), random.random_range(0..height - 60));
            for (x, y) in (top..top + 60).flat_map(|y| (left..left + 80).map(move |x| (x, y))) {
                image.put_pixel(x, y, color);
            }
        }
    }
    image
}
