//! Inputs of a run: archives, folders of saved pages and tables of links, cut into entries and read as records.
//!
//! [`plan()`] cuts the inputs into entries, one line of the manifest each; [`records`] iterates over the records of one entry.
//! Nothing inside an input stops a run: what cannot be used is a rejected [`Record`], with its reason.

mod address;
mod archive;
mod config;
mod encodings;
mod entry;
mod error;
mod feed;
mod fields;
mod folder;
mod http_message;
mod links_table;
mod plan;
mod record;
mod sniff;
mod warc;
mod wat;

use std::iter;
use std::path::{Path, PathBuf};

pub use config::{Columns, InputConfig};
pub use entry::{Entry, InputKind};
pub use error::InputError;
pub use folder::Folder;
pub use plan::plan;
pub use record::{Record, Rejected};

/// The records of one file.
type Records<'a> = Box<dyn Iterator<Item = Result<Record, InputError>> + 'a>;

/// The records of an entry, in their order, in one pass. `files` are the local copies of the entry's files, one each.
///
/// # Errors
/// A file that cannot be read, after which nothing follows.
pub fn records<'a>(
    entry: &'a Entry,
    files: &'a [PathBuf],
    config: &'a InputConfig,
) -> impl Iterator<Item = Result<Record, InputError>> + 'a {
    assert_eq!(entry.files.len(), files.len(), "local files of shard {}", entry.shard);
    let mut has_failed = false;
    let files = entry.files.iter().zip(files);
    let records = files.flat_map(|(name, path)| {
        of_file(entry, name, path, config).unwrap_or_else(|error| Box::new(iter::once(Err(error))))
    });
    // An error is the last thing that comes.
    records.take_while(move |record| !std::mem::replace(&mut has_failed, record.is_err()))
}

fn of_file<'a>(entry: &Entry, name: &'a str, path: &Path, config: &'a InputConfig) -> Result<Records<'a>, InputError> {
    Ok(match entry.kind {
        InputKind::Warc => Box::new(archive::Archive::open(name, path, config, warc::record)?),
        InputKind::Wat => Box::new(archive::Archive::open(name, path, config, wat::record)?),
        InputKind::Folder => Box::new(iter::once(Ok(folder::read_page(name, path, config)))),
        InputKind::Links => Box::new(links_table::Rows::open(name, path, entry.rows.clone(), config)?.map(Ok)),
    })
}
