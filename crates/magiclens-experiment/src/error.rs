//! The errors of experiments.

use std::path::PathBuf;

/// An error of the experiment crate.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// A file could not be read or written; the message of the inner error names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] magiclens_train::TrainError),
    /// Measuring failed.
    #[error(transparent)]
    Eval(#[from] magiclens_eval::EvalError),
    /// The start model could not be loaded, or cannot have a head of the condition's shape.
    #[error(transparent)]
    Model(#[from] magiclens_model::ModelError),
    /// A table of the collection cannot be read.
    #[error(transparent)]
    Table(#[from] magiclens_data::TableError),
    /// A part of the collection cannot be read.
    #[error(transparent)]
    Collection(#[from] magiclens_collection::PartError),
    /// There is no such experiment.
    #[error("there is no experiment `{name}`\nhint: it is one of {}; `magiclens experiment list` says what they measure", known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// The settings do not parse, or make no sense.
    #[error("`{path}` is not valid for an experiment: {reason}")]
    Settings {
        /// The file, or the condition.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A condition leaves no triplets to train on.
    #[error(
        "the condition `{condition}` leaves no triplets of `{file}` to train on\nhint: build the collection with all packages of `scripts/fetch-packages`"
    )]
    NothingLeft {
        /// The condition.
        condition: &'static str,
        /// The file of the triplets.
        file: PathBuf,
    },
    /// The test part asks nothing of the relations.
    #[error(
        "the test part of `{folder}` has no queries\nhint: build the collection with all packages of `scripts/fetch-packages`"
    )]
    NoQueries {
        /// The collection.
        folder: PathBuf,
    },
    /// The values of a run cannot be read back.
    #[error("`{path}` cannot be read: {reason}\nhint: delete that file; the run is measured again")]
    Values {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
}
