//! The errors of building a collection.

use std::path::PathBuf;

use magiclens_data::TableError;

use crate::packages::LABELS;

/// An error of building a collection.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A Parquet file could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A package file is not the JSON it should be.
    #[error(
        "`{path}` is not as expected: {source}\nhint: delete the packages folder and run `scripts/fetch-packages` again"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: serde_json::Error,
    },
    /// Without labels no drawing has a name.
    #[error("`{packages_dir}` has no package `{}`: {reason}\nhint: run `scripts/fetch-packages {packages_dir}`", LABELS.0)]
    NoLabels {
        /// The packages folder.
        packages_dir: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Not one package of drawings is there.
    #[error("`{packages_dir}` has no package of drawings\nhint: run `scripts/fetch-packages {packages_dir}`")]
    NoDrawings {
        /// The packages folder.
        packages_dir: PathBuf,
    },
    /// The size of the drawings makes no sense.
    #[error("drawings of {0} pixels cannot be rendered\nhint: choose 16 to 2048; 256 is usual")]
    ImageSize(u32),
}
