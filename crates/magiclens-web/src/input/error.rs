//! Errors of inputs.

use std::io;

/// Errors of cutting inputs into entries and of reading them. What is wrong inside an archive is a rejected record, no error.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder that cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file that stops being readable in the middle.
    #[error("`{name}` cannot be read")]
    Unreadable {
        /// The file.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// A file that is nothing we read.
    #[error(
        "`{0}` is no input that we know\nhint: give .warc, .warc.gz, .wat, .wat.gz or .parquet files, saved pages (.html), or folders of these"
    )]
    UnknownKind(String),
    /// A folder with nothing to read.
    #[error(
        "`{0}` holds neither pages nor archives\nhint: give a folder with .html, .warc, .warc.gz, .wat, .wat.gz or .parquet files in it"
    )]
    EmptyFolder(String),
    /// Nothing was given, or only empty tables.
    #[error("there is nothing to read\nhint: give at least one file or folder with pages in it")]
    Nothing,
    /// A name that the manifest cannot hold.
    #[error("the name of `{0}` is not UTF-8\nhint: rename it")]
    NotUtf8(String),
    /// A Parquet file without the columns that we need, or none at all.
    #[error("`{name}` is not a table of links: {problem}\nhint: {hint}")]
    BadTable {
        /// The file.
        name: String,
        /// The problem.
        problem: String,
        /// The way out.
        hint: &'static str,
    },
    /// A setting of zero.
    #[error("`{0}` is zero\nhint: set it to at least 1")]
    Zero(&'static str),
}
