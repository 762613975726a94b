//! The images of a benchmark on their way into vectors: content ids, decoding in bounded memory, the image tower.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use magiclens_data::files::{ReadCappedError, read_capped};
use magiclens_model::Embedder;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::benchmark::ImageEntry;
use crate::cache::{Cache, FileState, Key};
use crate::{BrokenImage, EvalError, ImageProblem};

/// Images that go through the image tower together.
const BATCH: usize = 64;
/// Decoded pixels that lie in memory at once, apart from the last images read: 144 MB.
const BATCH_PIXELS: u64 = 48_000_000;
/// Images whose files are looked up in the cache together.
const STRETCH: usize = 16 * BATCH;

/// A step of long work, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The number of things to be done.
    Start(&'a str, usize),
    /// The number of things done since the last step.
    Advance(usize),
    /// All are done.
    Done,
}

/// The images of a benchmark, embedded.
#[derive(Debug)]
pub struct Embedded {
    /// The key of each image, or the reason why it cannot be used.
    pub(crate) images: Vec<Result<Key, BrokenImage>>,
    /// Images that went through the image tower.
    pub computed: usize,
    /// Images that were in the cache.
    pub cached: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Embedded {
    /// The images that cannot be used, by row.
    pub fn broken(&self) -> impl Iterator<Item = (usize, &BrokenImage)> {
        let images = self.images.iter().enumerate();
        images.filter_map(|(row, image)| Some((row, image.as_ref().err()?)))
    }
}

/// Makes sure that the image tower's output of every image is in the cache. Finished parts are kept, so that a run that was cut
/// off goes on from there.
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
    let mut work = Embedding {
        images,
        embedder,
        cache,
        progress,
        found: HashMap::with_capacity(images.len()),
        computed: 0,
    };
    progress(Step::Start("images", images.len()));
    let rows: Vec<usize> = (0..images.len()).collect();
    let mut cached = 0;
    for stretch in rows.chunks(STRETCH) {
        let unknown = work.look_up(stretch)?;
        cached += stretch.len() - unknown.len();
        progress(Step::Advance(stretch.len() - unknown.len()));
        work.embed_rows(&unknown)?;
    }
    progress(Step::Done);
    let found = |row| work.found.remove(&row).expect("every row was looked up or read");
    Ok(Embedded {
        images: rows.into_iter().map(found).collect(),
        computed: work.computed,
        cached,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The cache key of an image's tower output.
pub(crate) fn tower_key(image: &Key) -> Key {
    Key::of(&[b"image tower", image.bytes()])
}

/// Embedding in progress.
struct Embedding<'a> {
    images: &'a [ImageEntry],
    embedder: &'a Embedder,
    cache: &'a Cache,
    progress: &'a dyn Fn(Step<'_>),
    found: HashMap<usize, Result<Key, BrokenImage>>,
    computed: usize,
}

impl Embedding<'_> {
    /// Finds the rows whose tower output is in the cache; gives the others.
    fn look_up(&mut self, rows: &[usize]) -> Result<Vec<usize>, EvalError> {
        let mut unknown = Vec::new();
        for &row in rows {
            match known(&self.images[row], self.cache)? {
                Some(key) => drop(self.found.insert(row, Ok(key))),
                None => unknown.push(row),
            }
        }
        Ok(unknown)
    }

    fn embed_rows(&mut self, rows: &[usize]) -> Result<(), EvalError> {
        let mut batch: Vec<Loaded> = Vec::with_capacity(BATCH);
        let mut pixels = 0;
        for some in rows.chunks(rayon::current_num_threads().max(1)) {
            let images = self.images;
            let loaded: Vec<_> = some.par_iter().map(|row| (*row, load(*row, &images[*row]))).collect();
            for (row, loaded) in loaded {
                match loaded {
                    Ok(loaded) => {
                        pixels += u64::from(loaded.image.width()) * u64::from(loaded.image.height());
                        batch.push(loaded);
                    }
                    Err(reason) => {
                        let path = images[row].path.clone();
                        self.found.insert(row, Err(BrokenImage { path, reason }));
                    }
                }
            }
            if BATCH <= batch.len() || BATCH_PIXELS <= pixels {
                self.embed_batch(&std::mem::take(&mut batch))?;
                pixels = 0;
            }
            (self.progress)(Step::Advance(some.len()));
        }
        self.embed_batch(&batch)
    }

    fn embed_batch(&mut self, batch: &[Loaded]) -> Result<(), EvalError> {
        if batch.is_empty() {
            return Ok(());
        }
        let decoded: Vec<&RgbImage> = batch.iter().map(|loaded| &loaded.image).collect();
        let towers = self.embedder.encode_images(&decoded)?;
        let mut vectors = Vec::with_capacity(batch.len());
        let mut files = Vec::with_capacity(batch.len());
        for (loaded, tower) in batch.iter().zip(&towers) {
            let entry = &self.images[loaded.row];
            let key = Key::of_image(loaded.content, entry.crop);
            self.found.insert(loaded.row, Ok(key));
            vectors.push((tower_key(&key), tower.as_slice()));
            files.push((entry.path.as_path(), loaded.state, loaded.content));
        }
        self.computed += batch.len();
        self.cache.put(&vectors, &files)
    }
}

/// The key of an image whose tower output is in the cache, if its file has not changed.
fn known(image: &ImageEntry, cache: &Cache) -> Result<Option<Key>, EvalError> {
    let Ok(metadata) = std::fs::metadata(&image.path) else {
        return Ok(None);
    };
    let Some(content) = cache.content(&image.path, FileState::of(&metadata))? else {
        return Ok(None);
    };
    let key = Key::of_image(content, image.crop);
    Ok(cache.has(tower_key(&key))?.then_some(key))
}

/// An image in memory.
struct Loaded {
    row: usize,
    state: FileState,
    content: ImageId,
    image: RgbImage,
}

fn load(row: usize, entry: &ImageEntry) -> Result<Loaded, ImageProblem> {
    // The state is older than the bytes: a file that changes meanwhile is read again next time.
    let state = std::fs::metadata(&entry.path).map(|metadata| FileState::of(&metadata));
    let (content, image) = read_image(&entry.path)?;
    Ok(Loaded {
        row,
        state: state.map_err(ReadCappedError::Io)?,
        content,
        image: match &entry.crop {
            Some(crop) => crop.apply(&image),
            None => image,
        },
    })
}

/// The content id and the pixels of an image file.
pub(crate) fn read_image(path: &Path) -> Result<(ImageId, RgbImage), ImageProblem> {
    let limits = Limits::default();
    let bytes = read_capped(path, limits.max_bytes)?;
    let image = decode_rgb(&bytes, &limits).map_err(|error| ImageProblem::Unusable(error.to_string()))?;
    Ok((ImageId::of_bytes(&bytes), image))
}

/// Every file under a folder that is named like an image, in order; `depth` is that of the folders that are looked at.
pub(crate) fn image_files(folder: &Path, depth: usize) -> impl Iterator<Item = PathBuf> {
    let walk = WalkDir::new(folder).max_depth(depth).sort_by_file_name();
    let files = walk.into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files
        .map(walkdir::DirEntry::into_path)
        .filter(|path| is_image_name(path))
}

fn is_image_name(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let ends = ["png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff"];
    ends.contains(&end.to_ascii_lowercase().as_str())
}
