//! The images of a benchmark on their way into vectors: content ids, decoding in bounded memory, the image tower.

use std::path::Path;
use std::time::Instant;

use image::RgbImage;
use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use magiclens_model::Embedder;
use rayon::prelude::*;

use crate::benchmark::ImageEntry;
use crate::cache::{Cache, Key, Stamp};
use crate::{BrokenImage, EvalError};

/// Images that go through the image tower together.
const BATCH: usize = 64;
/// Decoded pixels that lie in memory at once, apart from the last images read: 144 MB.
const BATCH_PIXELS: u64 = 48_000_000;

/// A step of long work, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// So many things are to be done.
    Start(&'a str, usize),
    /// So many more are done.
    Advance(usize),
    /// All are done.
    Done,
}

/// What the images of a benchmark are, and which cannot be used.
#[derive(Debug)]
pub struct Embedded {
    /// The key of each image; `None` for one that cannot be used.
    pub(crate) keys: Vec<Option<Key>>,
    /// The images that cannot be used, by row.
    pub broken: Vec<(usize, BrokenImage)>,
    /// Images that went through the image tower.
    pub computed: usize,
    /// Images that were in the cache.
    pub cached: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Makes sure that the image tower's output of every image is in the cache. What is done is kept, so that a run that was cut off
/// goes on where it was.
///
/// # Errors
/// The cache or the model. An image that cannot be used is no error here.
pub fn embed_images(
    images: &[ImageEntry],
    embedder: &Embedder,
    cache: &Cache,
    progress: &dyn Fn(Step<'_>),
) -> Result<Embedded, EvalError> {
    let start = Instant::now();
    let mut embedded = Embedded {
        keys: vec![None; images.len()],
        broken: Vec::new(),
        computed: 0,
        cached: 0,
        seconds: 0.0,
    };
    progress(Step::Start("pictures", images.len()));
    let mut at = 0;
    while at < images.len() {
        // Those that are known cost one look; a longer stretch is looked at together.
        let stretch = at..(at + 16 * BATCH).min(images.len());
        let mut unknown = Vec::new();
        for row in stretch.clone() {
            match known(&images[row], cache)? {
                Some(key) => {
                    embedded.keys[row] = Some(key);
                    embedded.cached += 1;
                }
                None => unknown.push(row),
            }
        }
        progress(Step::Advance(stretch.len() - unknown.len()));
        embed_rows(images, &unknown, embedder, cache, &mut embedded, progress)?;
        at = stretch.end;
    }
    progress(Step::Done);
    embedded.broken.sort_by_key(|(row, _)| *row);
    embedded.seconds = start.elapsed().as_secs_f64();
    Ok(embedded)
}

/// The cache key of an image's tower output.
pub(crate) fn tower_key(image: &Key) -> Key {
    Key::of(&[b"image tower", image.bytes()])
}

/// The key of an image whose tower output is in the cache, if its file has not changed.
fn known(image: &ImageEntry, cache: &Cache) -> Result<Option<Key>, EvalError> {
    let Ok(metadata) = std::fs::metadata(&image.path) else {
        return Ok(None);
    };
    let Some(content) = cache.content(&image.path, Stamp::of(&metadata))? else {
        return Ok(None);
    };
    let key = Key::of_image(content, image.crop);
    let there = cache.has(&[tower_key(&key)])?[0];
    Ok(there.then_some(key))
}

struct Read {
    row: usize,
    stamp: Stamp,
    content: ImageId,
    image: RgbImage,
}

fn embed_rows(
    images: &[ImageEntry],
    rows: &[usize],
    embedder: &Embedder,
    cache: &Cache,
    embedded: &mut Embedded,
    progress: &dyn Fn(Step<'_>),
) -> Result<(), EvalError> {
    let mut batch: Vec<Read> = Vec::with_capacity(BATCH);
    let mut pixels = 0;
    for some in rows.chunks(rayon::current_num_threads().max(1)) {
        let read: Vec<Result<Read, (usize, BrokenImage)>> = some.par_iter().map(|row| read(images, *row)).collect();
        for one in read {
            match one {
                Ok(one) => {
                    pixels += u64::from(one.image.width()) * u64::from(one.image.height());
                    batch.push(one);
                }
                Err(broken) => embedded.broken.push(broken),
            }
        }
        if BATCH <= batch.len() || BATCH_PIXELS <= pixels {
            embed_batch(images, std::mem::take(&mut batch), embedder, cache, embedded)?;
            pixels = 0;
        }
        progress(Step::Advance(some.len()));
    }
    embed_batch(images, batch, embedder, cache, embedded)
}

fn embed_batch(
    images: &[ImageEntry],
    batch: Vec<Read>,
    embedder: &Embedder,
    cache: &Cache,
    embedded: &mut Embedded,
) -> Result<(), EvalError> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut decoded = Vec::with_capacity(batch.len());
    let mut known = Vec::with_capacity(batch.len());
    for read in batch {
        decoded.push(read.image);
        known.push((read.row, read.stamp, read.content));
    }
    let towers = embedder.encode_images(&decoded)?;
    let mut vectors = Vec::with_capacity(known.len());
    let mut files = Vec::with_capacity(known.len());
    for ((row, stamp, content), tower) in known.iter().zip(&towers) {
        let key = Key::of_image(*content, images[*row].crop);
        embedded.keys[*row] = Some(key);
        vectors.push((tower_key(&key), tower.as_slice()));
        files.push((images[*row].path.as_path(), *stamp, *content));
    }
    embedded.computed += known.len();
    cache.put(&vectors, &files)
}

fn read(images: &[ImageEntry], row: usize) -> Result<Read, (usize, BrokenImage)> {
    let entry = &images[row];
    let broken = |reason: String| {
        (
            row,
            BrokenImage {
                path: entry.path.clone(),
                reason,
            },
        )
    };
    let (stamp, bytes) = read_file(&entry.path).map_err(broken)?;
    let image = decode_rgb(&bytes, &Limits::default()).map_err(|error| broken(error.to_string()))?;
    let image = match &entry.crop {
        Some(crop) => crop.apply(&image),
        None => image,
    };
    Ok(Read {
        row,
        stamp,
        content: ImageId::of_bytes(&bytes),
        image,
    })
}

/// The bytes of a file and how it was when they were read, or why it cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<(Stamp, Vec<u8>), String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => error.to_string(),
    })?;
    if !metadata.is_file() {
        return Err("not an ordinary file".to_owned());
    }
    let (bytes, max) = (metadata.len(), Limits::default().max_bytes);
    if max < bytes {
        return Err(format!("the file has {bytes} bytes, more than the limit of {max}"));
    }
    let content = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok((Stamp::of(&metadata), content))
}

/// Whether a file is named like an image.
pub(crate) fn is_image_name(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let ends = ["png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff"];
    ends.contains(&end.to_ascii_lowercase().as_str())
}

/// Why a file that is not there cannot be used.
pub(crate) const MISSING: &str = "is missing";
