//! The work of an indexing run: contents to embed, files that moved or went, and the counts.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use magiclens_data::ImageId;
use serde::Serialize;

use crate::image::{FileStamp, Payload};
use crate::skipped::Skipped;

/// The work of a run, as [`crate::Index::scan`] found it.
#[derive(Debug, Default)]
pub struct Plan {
    /// Contents to embed, in the order of their first path.
    pub pending: Vec<Pending>,
    /// Files that cannot be used, in the order of their paths.
    pub skipped: Vec<Skipped>,
    /// The counts that are known before anything is embedded.
    pub counts: Counts,
    /// Files whose content is in the index already.
    pub(crate) known: Vec<(FileStamp, ImageId)>,
    /// Paths in the index whose file is gone.
    pub(crate) gone: Vec<PathBuf>,
    /// The descriptions in collections.
    pub(crate) payloads: BTreeMap<ImageId, Payload>,
    /// The folders and files that were walked, absolute.
    pub(crate) roots: Vec<PathBuf>,
}

/// One content to embed.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Id of the content.
    pub id: ImageId,
    /// All files with this content, at least one, in the order of their paths.
    pub files: Vec<FileStamp>,
    /// The state of the first of the files: new or changed.
    pub change: Change,
    /// Its description in its collection.
    pub payload: Payload,
    /// Width times height, by the header of the file; 0 if that cannot be read.
    pub pixels: u64,
}

/// The reason for embedding a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The path was not in the index.
    Added,
    /// The path was in the index with another content.
    Changed,
}

/// Files by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New paths with a new content.
    pub added: usize,
    /// Known paths with another content than before.
    pub changed: usize,
    /// New paths with the content of a path that is gone.
    pub moved: usize,
    /// New paths with the content of another path that is still there.
    pub duplicates: usize,
    /// Paths that are gone and did not move.
    pub removed: usize,
    /// Paths with the same content as before.
    pub unchanged: usize,
    /// Files in the folders that are no images and do not look like any; they are not listed.
    pub other_files: usize,
}

/// The files that the index knew before the scan.
pub(crate) struct Before {
    /// Path to stamp and content.
    pub(crate) files: HashMap<PathBuf, (FileStamp, ImageId)>,
    /// Skipped paths; those with a stamp need no second try.
    pub(crate) skipped: HashMap<PathBuf, Skipped>,
}
