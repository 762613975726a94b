//! Everything that can go wrong in an evaluation.

use std::path::PathBuf;

use magiclens_data::files::ReadCappedError;
use magiclens_model::ModelError;

/// The reason why an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The model could not be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An annotation file is in none of the places where it may be.
    #[error("`{data}` has no {what}: none of {} is there\nhint: {hint}", .tried.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "))]
    NoAnnotations {
        /// The data folder.
        data: PathBuf,
        /// The missing thing.
        what: String,
        /// The places, relative to the data folder.
        tried: Vec<String>,
        /// The way out.
        hint: String,
    },
    /// An annotation file is not the JSON it should be.
    #[error("`{path}` is not as expected: {reason}\nhint: take the file as its authors publish it")]
    Json {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: serde_json::Error,
    },
    /// An annotation file contradicts itself or another one.
    #[error("`{path}`: {reason}\nhint: take the annotation files as their authors publish them, all of one version")]
    Annotation {
        /// The file.
        path: PathBuf,
        /// The fault, with the entry.
        reason: String,
    },
    /// Images are missing or cannot be read.
    #[error(
        "{} of {total} images cannot be used, such as {}\nhint: `magiclens eval {benchmark} --check {data}` lists them all; `--partial` goes on \
         without them and says so in the report",
        .broken.len(), examples(.broken)
    )]
    Images {
        /// The benchmark.
        benchmark: String,
        /// The data folder.
        data: PathBuf,
        /// Images needed.
        total: usize,
        /// Each with its reason.
        broken: Vec<BrokenImage>,
    },
    /// A file of rankings cannot be scored.
    #[error("`{path}`: {reason}\nhint: {hint}")]
    Predictions {
        /// The file.
        path: PathBuf,
        /// The fault, with the query.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A server file breaks a rule of its server.
    #[error("the server of {benchmark} would refuse this: {reason}")]
    ServerFile {
        /// The benchmark.
        benchmark: &'static str,
        /// The rule.
        reason: String,
    },
    /// The cache of embeddings cannot be used.
    #[error("the cache `{path}` cannot be used: {reason}\nhint: delete it, or name another folder with `--cache`")]
    Cache {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: rusqlite::Error,
    },
    /// A value of an option that this benchmark does not know.
    #[error("{benchmark} has no {option} `{found}`\nhint: it has {}", .known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    Option {
        /// The benchmark.
        benchmark: String,
        /// The option.
        option: &'static str,
        /// The value given.
        found: String,
        /// The known values.
        known: Vec<String>,
    },
    /// A method that these weights cannot be asked by.
    #[error("{method} cannot be done with these weights: {reason}")]
    Method {
        /// The method.
        method: String,
        /// The reason.
        reason: String,
    },
    /// A model that does not give a vector for each input.
    #[error(
        "the model should have given {wanted} vectors of {dim} numbers, but gave {found}, perhaps of other lengths"
    )]
    Vectors {
        /// Inputs.
        wanted: usize,
        /// Vectors.
        found: usize,
        /// Length of a vector.
        dim: usize,
    },
    /// A collection's tables cannot be read.
    #[error(transparent)]
    Table(#[from] magiclens_data::TableError),
    /// A part of a collection cannot be read.
    #[error(transparent)]
    Collection(#[from] magiclens_collection::PartError),
    /// An image of a collection cannot be used.
    #[error("`{}` {}\nhint: run `magiclens collection build` again", .0.path.display(), .0.reason)]
    CollectionImage(BrokenImage),
    /// A folder of training images has none.
    #[error("`{folder}` holds no training images")]
    NoTrainingImages {
        /// The folder.
        folder: PathBuf,
    },
}

/// An image that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BrokenImage {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub reason: ImageProblem,
}

/// The reason why an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    /// There is no such file.
    #[error("is missing")]
    Missing,
    /// It cannot be read or decoded.
    #[error("{0}")]
    Unusable(String),
}

impl From<ReadCappedError> for ImageProblem {
    fn from(error: ReadCappedError) -> Self {
        match error {
            ReadCappedError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Missing,
            error => Self::Unusable(error.to_string()),
        }
    }
}

impl serde::Serialize for ImageProblem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn examples(broken: &[BrokenImage]) -> String {
    let shown = broken
        .iter()
        .take(3)
        .map(|image| format!("`{}` ({})", image.path.display(), first_line(&image.reason.to_string())));
    shown.collect::<Vec<_>>().join(", ")
}

pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
