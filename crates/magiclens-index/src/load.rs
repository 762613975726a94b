//! Reads and decodes pending contents, several at a time.

use std::io::Read;
use std::ops::ControlFlow;

use image::RgbImage;
use magiclens_data::decode::{self, DecodeError, Limits};
use magiclens_data::{Embedding, ImageId};
use rayon::prelude::*;

use crate::image::{FileStamp, NewImage, Payload};
use crate::scan::{Change, Pending, SkipReason, Skipped};
use crate::thumbnails::{Thumbnail, make_thumbnail};

/// What came of a pending content: the image, or nothing; and the files that could not be used.
#[derive(Debug)]
pub struct Loading {
    /// The image, if one of the files could be read and decoded.
    pub loaded: Option<Loaded>,
    /// Files to be listed as skipped.
    pub skipped: Vec<Skipped>,
}

/// A decoded image, ready to be embedded.
#[derive(Debug)]
pub struct Loaded {
    /// Id of the content.
    pub id: ImageId,
    /// Its files, at least one.
    pub files: Vec<FileStamp>,
    /// Whether the first file is new or has changed.
    pub change: Change,
    /// What its collection says about it.
    pub payload: Payload,
    /// The pixels for the model.
    pub rgb: RgbImage,
    /// The small copy for people.
    pub thumbnail: Thumbnail,
}

/// Consecutive pending contents, read and decoded.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many pending contents this covers.
    pub contents: usize,
    /// Those that are images, in their order.
    pub loaded: Vec<Loaded>,
    /// Files to be listed as skipped.
    pub skipped: Vec<Skipped>,
}

/// Decoded pixels that may wait in one batch: 256 MiB, so that large photos make small batches.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// Loads `pending` in its order on all cores, and delivers it in batches of up to `size` images until told to stop.
pub fn load_in_batches(
    pending: &[Pending],
    limits: &Limits,
    size: usize,
    mut deliver: impl FnMut(Batch) -> ControlFlow<()>,
) {
    let mut batch = Batch::default();
    let mut bytes = 0;
    for group in pending.chunks(2 * rayon::current_num_threads()) {
        let loadings: Vec<Loading> = group.par_iter().map(|pending| pending.load(limits)).collect();
        for Loading { loaded, skipped } in loadings {
            batch.contents += 1;
            batch.skipped.extend(skipped);
            if let Some(loaded) = loaded {
                bytes += loaded.rgb.as_raw().len();
                batch.loaded.push(loaded);
            }
            if size <= batch.loaded.len().max(batch.skipped.len()) || MAX_BATCH_BYTES <= bytes {
                bytes = 0;
                if deliver(std::mem::take(&mut batch)).is_break() {
                    return;
                }
            }
        }
    }
    if 0 < batch.contents {
        // It was the last one, whatever the answer.
        let _ = deliver(batch);
    }
}

impl Pending {
    /// Reads the content from the first of its files that still holds it, and decodes it.
    pub fn load(&self, limits: &Limits) -> Loading {
        let mut skipped = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let bytes = match read(file, limits) {
                Ok(bytes) => bytes,
                Err(error) => {
                    skipped.push(Skipped::from_decode(&file.path, Some(file), &error));
                    continue;
                }
            };
            if ImageId::of_bytes(&bytes) != self.id {
                skipped.push(Skipped::now(
                    &file.path,
                    SkipReason::Changing,
                    "the file changed while it was indexed",
                ));
                continue;
            }
            let files = &self.files[index..];
            let loaded = match decode::decode_rgb(&bytes, limits) {
                Ok(rgb) => Some(self.loaded(files, &bytes, rgb)),
                Err(error) => {
                    skipped.extend(
                        files
                            .iter()
                            .map(|file| Skipped::from_decode(&file.path, Some(file), &error)),
                    );
                    None
                }
            };
            return Loading { loaded, skipped };
        }
        Loading { loaded: None, skipped }
    }

    fn loaded(&self, files: &[FileStamp], bytes: &[u8], rgb: RgbImage) -> Loaded {
        let thumbnail = make_thumbnail(bytes, &rgb);
        Loaded {
            id: self.id,
            files: files.to_vec(),
            change: self.change,
            payload: self.payload.clone(),
            rgb,
            thumbnail,
        }
    }
}

impl Loaded {
    /// The row to add, once the vectors are known.
    pub fn into_new_image(self, target: Embedding, image: Embedding) -> NewImage {
        NewImage {
            id: self.id,
            files: self.files,
            width: self.thumbnail.width,
            height: self.thumbnail.height,
            payload: self.payload,
            thumbnail: self.thumbnail.jpeg,
            target,
            image,
        }
    }

    /// What to list if the model has no vector for the image.
    pub fn into_skipped(self, detail: &str) -> Vec<Skipped> {
        let skipped = |file: FileStamp| Skipped {
            stamp: Some(file.clone()),
            ..Skipped::now(&file.path, SkipReason::NotEmbeddable, detail)
        };
        self.files.into_iter().map(skipped).collect()
    }
}

/// Reads a whole file of at most `limits.max_bytes`; one that was too large before is not even opened.
pub(crate) fn read(stamp: &FileStamp, limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    check_size(stamp.size, limits)?;
    let file = fs_err::File::open(&stamp.path).map_err(DecodeError::Io)?;
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows meanwhile is noticed.
    file.take(limits.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(DecodeError::Io)?;
    check_size(bytes.len() as u64, limits)?;
    Ok(bytes)
}

fn check_size(bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
    let max_bytes = limits.max_bytes;
    if max_bytes < bytes {
        Err(DecodeError::TooManyBytes { bytes, max_bytes })
    } else {
        Ok(())
    }
}
