//! Everything that can go wrong in an evaluation.

use std::path::PathBuf;

use magiclens_model::ModelError;

/// Why an evaluation could not be done.
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
        /// What is missing.
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
        /// What is wrong.
        reason: serde_json::Error,
    },
    /// An annotation file contradicts itself or another one.
    #[error("`{path}`: {reason}\nhint: take the annotation files as their authors publish them, all of one version")]
    Annotation {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the entry.
        reason: String,
    },
    /// Images are missing or cannot be read.
    #[error(
        "{} of {total} pictures cannot be used, such as {}\nhint: `magiclens eval {benchmark} --check {data}` lists them all; `--partial` goes on \
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
        /// What is wrong, with the query.
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
        /// What is wrong.
        reason: rusqlite::Error,
    },
    /// An option that this benchmark does not know.
    #[error("{benchmark} has no {option} `{found}`\nhint: it has {}", .known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    Option {
        /// The benchmark.
        benchmark: String,
        /// Which option.
        option: &'static str,
        /// What was given.
        found: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A rival that these weights cannot be.
    #[error("{method} cannot be done with these weights: {reason}")]
    Method {
        /// The rival.
        method: String,
        /// Why.
        reason: String,
    },
    /// A collection's tables cannot be read.
    #[error(transparent)]
    Table(#[from] magiclens_data::TableError),
    /// A collection cannot be read.
    #[error(transparent)]
    Collection(#[from] magiclens_collection::PartError),
}

/// An image that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BrokenImage {
    /// The file.
    pub path: PathBuf,
    /// Why; "is missing", or what the decoder says.
    pub reason: String,
}

fn examples(broken: &[BrokenImage]) -> String {
    let shown = broken.iter().take(3).map(|image| {
        format!(
            "`{}` ({})",
            image.path.display(),
            image.reason.lines().next().unwrap_or_default()
        )
    });
    shown.collect::<Vec<_>>().join(", ")
}
