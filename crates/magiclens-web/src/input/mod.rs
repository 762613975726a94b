//! What a run is made of: archives, folders of saved pages and tables of links, cut into entries and read as records.
//!
//! [`plan()`] cuts the inputs into entries, one line of the manifest each; [`read`] streams the records of one entry. Nothing that
//! an input says can stop a run: what cannot be used is given as [`Record::Rejected`], with its reason.

mod archive;
mod encodings;
mod feed;
mod fields;
mod folder;
mod http_message;
mod links_table;
mod plan;
mod records;
mod sniff;
mod wat;

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::DropReason;
use crate::page::{Page, RawImage, RawPage};

pub use folder::Folder;
pub use links_table::Columns;
pub use plan::{InputError, plan};

/// One thing that an input gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A page that is still to be parsed.
    Html(RawPage),
    /// A page of which only the links are known: from a WAT file or a table.
    Page(Page),
    /// An image, from an archive that holds images too.
    Image(RawImage),
    /// Something that cannot be used.
    Rejected {
        /// Its address, or the place in its file.
        item: String,
        /// Why.
        reason: DropReason,
    },
}

/// Which records are wanted. Two passes, first for pages and then for images, give what one pass for all gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Pages, and everything that is rejected and not clearly an image.
    Pages,
    /// Images, and images that are rejected.
    Images,
    /// All.
    All,
}

impl Wanted {
    fn has_pages(self) -> bool {
        self != Self::Images
    }

    fn has_images(self) -> bool {
        self != Self::Pages
    }
}

/// What the files of an entry are.
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
    /// What its files are.
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
    /// Where its files lie, if they are local.
    pub fn paths(&self) -> Vec<PathBuf> {
        let root = Path::new(self.root.as_deref().unwrap_or_default());
        self.files.iter().map(|file| root.join(file)).collect()
    }
}

/// Limits and sizes of reading. Memory follows from them, never from the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// Largest WARC record that is held in memory; larger ones are passed over. 64 MiB, as for the largest image.
    pub max_record_bytes: usize,
    /// Largest header of a WARC record or an HTTP response. 64 KiB: servers allow 8 to 16 KiB, few browsers more than 256 KiB.
    pub max_header_bytes: usize,
    /// Largest page, decompressed. 8 MiB: Common Crawl cuts pages at 1 MiB, since 2025 at 5 MiB.
    pub max_page_bytes: usize,
    /// Largest image file. 64 MiB, the limit of the decoder.
    #[serde(rename = "max_picture_bytes")]
    pub max_image_bytes: usize,
    /// A gzip member that is larger than a record and expands by more than this factor is a bomb. Deflate can reach 1032, pages
    /// reach 5 to 20.
    pub max_expansion: u64,
    /// What is read from a file at once. 256 KiB fits into the second-level cache.
    pub buffer_bytes: usize,
    /// Saved pages in one entry.
    pub pages_per_shard: usize,
    /// Rows of a table in one entry. The pages of an entry are held in memory.
    pub rows_per_shard: u64,
    /// Images of one page of a WAT file or a table; further ones are left out. No page in Common Crawl that people read has more.
    #[serde(rename = "max_pictures_per_page")]
    pub max_images_per_page: usize,
    /// Longest address of a page or image in a WAT file or a table. 8 KiB, as servers allow.
    pub max_address_bytes: usize,
    /// Longest alt text or title in a WAT file or a table; the rest is cut off. 4 KiB are some 700 words.
    pub max_text_bytes: usize,
    /// The columns of tables of links.
    pub columns: Columns,
}

impl Default for InputConfig {
    fn default() -> Self {
        Self {
            max_record_bytes: 64 << 20,
            max_header_bytes: 64 << 10,
            max_page_bytes: 8 << 20,
            max_image_bytes: 64 << 20,
            max_expansion: 100,
            buffer_bytes: 256 << 10,
            pages_per_shard: 200,
            rows_per_shard: 100_000,
            max_images_per_page: 1000,
            max_address_bytes: 8 << 10,
            max_text_bytes: 4 << 10,
            columns: Columns::default(),
        }
    }
}

/// Reads an entry in its order and gives each record to `each`. `files` are the local copies of the entry's files.
///
/// # Errors
/// That a file cannot be read, and what `each` returns. What is wrong inside a file is a [`Record::Rejected`].
pub fn read(
    entry: &Entry,
    files: &[PathBuf],
    wanted: Wanted,
    config: &InputConfig,
    each: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (named, local) = (entry.files.len(), files.len());
    ensure!(
        named == local,
        "shard {} has {named} files, but {local} local files were given",
        entry.shard
    );
    for (name, path) in entry.files.iter().zip(files) {
        match entry.kind {
            InputKind::Warc => archive::read(name, path, wanted, config, each)?,
            InputKind::Wat if wanted.has_pages() => wat::read(name, path, config, each)?,
            InputKind::Folder if wanted.has_pages() => each(folder::read_page(name, path, config))?,
            InputKind::Links if wanted.has_pages() => {
                links_table::read(name, path, entry.rows.clone(), config, each)?;
            }
            InputKind::Wat | InputKind::Folder | InputKind::Links => {}
        }
    }
    Ok(())
}

const NO_ADDRESS: DropReason = DropReason("without an address");
const NOT_WEB: DropReason = DropReason("not a web address");
const PAGE_TOO_LARGE: DropReason = DropReason("page too large");
const IMAGE_TOO_LARGE: DropReason = DropReason("picture too large");
const EMPTY: DropReason = DropReason("empty");

/// An address as the URL standard writes it, without a fragment. Only `http` and `https` lead to the web.
fn web_address(address: &str) -> Result<Url, DropReason> {
    if address.trim().is_empty() {
        return Err(NO_ADDRESS);
    }
    let mut url = Url::parse(address).map_err(|_| NOT_WEB)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NOT_WEB);
    }
    url.set_fragment(None);
    Ok(url)
}

/// The first `max_bytes` of a text, or a little less, so that no character is cut.
fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}
