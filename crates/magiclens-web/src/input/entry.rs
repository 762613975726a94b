//! Entries: the units of work that inputs are cut into, one line of the manifest each.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The kind of the files of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Responses as they were crawled.
    Warc,
    /// Titles and links of crawled pages, extracted by the crawler.
    Wat,
    /// Pages saved as files, with their images beside them.
    Folder,
    /// A Parquet table of page, image address and alt text.
    Links,
}

/// A unit of work, one line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 0.
    pub shard: usize,
    /// The kind of its files.
    pub kind: InputKind,
    /// Paths or object store addresses as they were given; for a folder relative to `root`, with `/` between names.
    pub files: Vec<String>,
    /// The rows of a table that this entry covers; all if not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Range<u64>>,
    /// The folder that pages and their images lie in; nothing outside it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

impl Entry {
    /// The paths of its files, if they are local.
    pub fn paths(&self) -> Vec<PathBuf> {
        let root = Path::new(self.root.as_deref().unwrap_or_default());
        self.files.iter().map(|file| root.join(file)).collect()
    }
}
