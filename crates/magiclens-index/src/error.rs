//! Errors of an index, each with the way out.

use std::path::PathBuf;

use magiclens_data::EmbeddingError;

use crate::image::ModelStamp;

/// An error of opening, reading or writing an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The folder holds no index.
    #[error("`{}` holds no index\nhint: make one with `magiclens index IMAGES --index {}`", dir.display(), dir.display())]
    Missing {
        /// Folder of the index.
        dir: PathBuf,
    },
    /// The index holds the vectors of another model.
    #[error(
        "`{}` was made with the model {found}, but the model in use is {wanted}\n\
         hint: leave `--model` out, choose another folder with `--index`, or run `magiclens index` with the other model: it builds beside and swaps",
        dir.display()
    )]
    OtherModel {
        /// Folder of the index.
        dir: PathBuf,
        /// The model that made the index.
        found: Box<ModelStamp>,
        /// The model in use.
        wanted: Box<ModelStamp>,
    },
    /// Another model has taken the index over since it was opened.
    #[error(
        "`{}` belongs to the model {now} by now\n\
         hint: start the program again, so that it asks with that model", dir.display()
    )]
    ModelChanged {
        /// Folder of the index.
        dir: PathBuf,
        /// The model that it belongs to.
        now: Box<ModelStamp>,
    },
    /// Another process is writing.
    #[error("another `magiclens index` is writing to `{}`\nhint: wait until it has finished, or stop it", dir.display())]
    Busy {
        /// Folder of the index.
        dir: PathBuf,
    },
    /// The database cannot be trusted.
    #[error(
        "the index in `{}` is damaged: {detail}\n\
         hint: make it anew from the images with `magiclens index IMAGES --index {} --rebuild`",
        dir.display(), dir.display()
    )]
    Damaged {
        /// Folder of the index.
        dir: PathBuf,
        /// The finding.
        detail: String,
    },
    /// Another version of the program made the index.
    #[error(
        "the index in `{}` has format {found}, but this program reads format {wanted}\n\
         hint: make it anew from the images with `magiclens index IMAGES --index {} --rebuild`",
        dir.display(), dir.display()
    )]
    OtherFormat {
        /// Folder of the index.
        dir: PathBuf,
        /// Its format.
        found: i64,
        /// The format of this program.
        wanted: i64,
    },
    /// A write was asked of an index that was opened for searching.
    #[error("the index in `{}` was opened for searching only", dir.display())]
    ReadOnly {
        /// Folder of the index.
        dir: PathBuf,
    },
    /// A path to index does not exist.
    #[error(
        "`{}` does not exist\n\
         hint: check the path; if it is gone for good, take its images out of the index with `magiclens index --forget`",
        path.display()
    )]
    NoSuchPath {
        /// The path given.
        path: PathBuf,
    },
    /// A path to index is a device, a pipe or the like.
    #[error("`{}` is neither a file nor a folder", path.display())]
    NotAFile {
        /// The path given.
        path: PathBuf,
    },
    /// A vector has the wrong length.
    #[error("a vector has {found} numbers, but the index holds vectors of {expected}")]
    WrongDim {
        /// Length of the vector.
        found: usize,
        /// Length of the vectors in the index.
        expected: usize,
    },
    /// A stored vector is not a unit vector any more.
    #[error("a stored vector is damaged")]
    Embedding(#[from] EmbeddingError),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The database refused for another reason, for example a full disk.
    #[error("the index in `{}` cannot be used: {source}", dir.display())]
    Database {
        /// Folder of the index.
        dir: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
}

impl IndexError {
    /// Sorts an error of SQLite: a damaged database has its own way out.
    pub(crate) fn from_sqlite(dir: &std::path::Path, source: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};
        let dir = dir.to_owned();
        match &source {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged {
                    dir,
                    detail: source.to_string(),
                },
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy { dir },
                _ => Self::Database { dir, source },
            },
            Error::FromSqlConversionFailure(.., what) => Self::Damaged {
                dir,
                detail: what.to_string(),
            },
            Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..) | Error::QueryReturnedNoRows => {
                Self::Damaged {
                    dir,
                    detail: source.to_string(),
                }
            }
            _ => Self::Database { dir, source },
        }
    }
}
