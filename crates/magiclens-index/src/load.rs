//! Reads and decodes pending contents, several at a time.

use std::ops::ControlFlow;

use image::RgbImage;
use magiclens_data::decode::{self, DecodeError, Limits};
use magiclens_data::files::read_capped;
use magiclens_data::{Embedding, ImageId};
use rayon::prelude::*;

use crate::image::{FileStamp, NewImage, Payload};
use crate::plan::{Change, Counts, Pending};
use crate::skipped::{SkipReason, Skipped};
use crate::thumbnails::Thumbnail;

/// The outcome of loading a pending content: the image, or nothing; and the files that could not be used.
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
    /// The state of the first file: new or changed.
    pub change: Change,
    /// Its description in its collection.
    pub payload: Payload,
    /// The pixels for the model.
    pub rgb: RgbImage,
    /// The small copy for people.
    pub thumbnail: Thumbnail,
}

/// Consecutive pending contents, read and decoded.
#[derive(Debug, Default)]
pub struct Batch {
    /// Number of pending contents that this covers.
    pub contents: usize,
    /// Those that are images, in their order.
    pub loaded: Vec<Loaded>,
    /// Files to be listed as skipped.
    pub skipped: Vec<Skipped>,
}

/// Bytes of decoded images in one batch, at four for a pixel: 256 MiB, so that large photos make small batches.
const MAX_BATCH_BYTES: u64 = 256 << 20;

/// Loads `pending` in its order on all cores, and delivers it in batches of up to `size` images until told to stop.
///
/// No more pixels are decoded ahead than a batch may hold, but for a single larger image, which is a batch of its own.
pub fn load_in_batches(
    pending: &[Pending],
    limits: &Limits,
    size: usize,
    mut deliver: impl FnMut(Batch) -> ControlFlow<()>,
) {
    let mut rest = pending;
    let mut batch = Batch::default();
    let mut bytes = 0;
    while !rest.is_empty() || 0 < batch.contents {
        let room = size.saturating_sub(batch.loaded.len().max(batch.skipped.len()));
        let fitting = rest
            .iter()
            .take(room.min(2 * rayon::current_num_threads()))
            .take_while(|pending| {
                bytes += 4 * pending.pixels;
                bytes <= MAX_BATCH_BYTES
            });
        let fitting = fitting.count();
        let alone = usize::from(batch.contents == 0);
        let (group, after) = rest.split_at(fitting.max(alone).min(rest.len()));
        if group.is_empty() {
            bytes = 0;
            if deliver(std::mem::take(&mut batch)).is_break() {
                return;
            }
        }
        let loadings: Vec<Loading> = group.par_iter().map(|pending| pending.load(limits)).collect();
        for loading in loadings {
            batch.contents += 1;
            batch.skipped.extend(loading.skipped);
            batch.loaded.extend(loading.loaded);
        }
        rest = after;
    }
}

impl Pending {
    /// Reads the content from the first of its files that still holds it, and decodes it.
    pub fn load(&self, limits: &Limits) -> Loading {
        let mut skipped = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            match read_capped(&file.path, limits.max_bytes) {
                Ok(bytes) if ImageId::of_bytes(&bytes) == self.id => {
                    let loaded = self.decode(&self.files[index..], &bytes, limits, &mut skipped);
                    return Loading { loaded, skipped };
                }
                Ok(_) => {
                    let detail = "the file changed while it was indexed";
                    skipped.push(Skipped::now(&file.path, SkipReason::Changing, detail));
                }
                Err(error) => skipped.push(Skipped::content(file, &DecodeError::from(error))),
            }
        }
        Loading { loaded: None, skipped }
    }

    /// The image of `bytes`, or else all of its `files` listed as skipped.
    fn decode(&self, files: &[FileStamp], bytes: &[u8], limits: &Limits, skipped: &mut Vec<Skipped>) -> Option<Loaded> {
        match decode::decode(bytes, limits) {
            Ok(decoded) => Some(Loaded {
                id: self.id,
                files: files.to_vec(),
                change: self.change,
                payload: self.payload.clone(),
                thumbnail: Thumbnail::new(&decoded),
                rgb: decoded.into_rgb(),
            }),
            Err(error) => {
                skipped.extend(files.iter().map(|file| Skipped::content(file, &error)));
                None
            }
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

    /// The files to list if the model has no vector for the image.
    pub fn into_skipped(self, detail: &str) -> Vec<Skipped> {
        let skipped = |file: FileStamp| Skipped {
            stamp: Some(file.clone()),
            ..Skipped::now(&file.path, SkipReason::NotEmbeddable, detail)
        };
        self.files.into_iter().map(skipped).collect()
    }
}

impl Counts {
    /// Counts a pending content that could be loaded.
    pub fn record(&mut self, loaded: &Loaded) {
        match loaded.change {
            Change::Added => self.added += 1,
            Change::Changed => self.changed += 1,
        }
        self.duplicates += loaded.files.len() - 1;
    }
}
