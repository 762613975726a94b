//! The errors of training.

use std::path::PathBuf;

/// An error of the training crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file could not be read or written; the message of the inner error names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The model could not be loaded, run or written.
    #[error(transparent)]
    Model(#[from] magiclens_model::ModelError),
    /// The configuration does not parse, or its numbers make no sense.
    #[error("`{path}` is not a valid training configuration: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The run directory belongs to another configuration.
    #[error(
        "`{path}` holds a run with another configuration or other data\nhint: continue it with its own `{path}/config.toml`, or choose a new directory"
    )]
    OtherRun {
        /// The run directory.
        path: PathBuf,
    },
    /// A layer that is to be trained alone, and is not there.
    #[error("`{}` has no layer of second images that `trained_head = \"second\"` could train\nhint: train the whole head", start.display())]
    NoSecond {
        /// The start model.
        start: PathBuf,
    },
    /// A weight for a relation that no triplet has.
    #[error("`relation_weights` names `{relation}`, which no triplet has\nhint: there are {known}")]
    UnknownRelation {
        /// The relation.
        relation: String,
        /// Those of the triplets.
        known: String,
    },
    /// Several devices for a head on frozen towers.
    #[error(
        "only trained towers run on several devices\nhint: name one with `--device`, or set `trained_towers` in the configuration"
    )]
    NothingToShare,
    /// An image of the collection cannot be read.
    #[error(
        "image `{path}` cannot be read: {reason}\nhint: build the collection again with `magiclens collection build`"
    )]
    Image {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A triplet names an image that the collection lacks.
    #[error(
        "a triplet of `{file}` names image `{id}`, which `pictures.parquet` lacks\nhint: build the collection again with `magiclens collection build`"
    )]
    UnknownImage {
        /// The triplet file.
        file: PathBuf,
        /// The image.
        id: String,
    },
    /// A table of a collection cannot be read.
    #[error(transparent)]
    Table(#[from] magiclens_data::TableError),
    /// A part of a collection cannot be read.
    #[error(transparent)]
    Collection(#[from] magiclens_collection::PartError),
    /// The trained weights would not lie beside the tower files that they need.
    #[error(
        "`{weights}` would not lie beside the tower files of `{start}`\nhint: give `--weights` in the folder of `--start`"
    )]
    NotBeside {
        /// The trained weights.
        weights: PathBuf,
        /// The weights to start from.
        start: PathBuf,
    },
    /// A caption loss for a model whose texts stay as they are.
    #[error(
        "`caption_weight` has no use with `{start}`, which compares images with texts in the space of sentences\nhint: set it to 0"
    )]
    NoCaptionLoss {
        /// The weights to start from.
        start: PathBuf,
    },
    /// A caption loss for frozen towers whose outputs are taken as they are.
    #[error(
        "`caption_weight` would change nothing but the temperature: the towers of `{start}` are frozen and have no projections\nhint: set it to 0, or set `trained_towers`"
    )]
    NothingCaptioned {
        /// The weights to start from.
        start: PathBuf,
    },
    /// A sum for a model that has a fusion, or for towers whose outputs cannot be added up.
    #[error("`fusion` is \"sum\", but `{start}` {reason}\nhint: leave `fusion` out, or start from a CLIP")]
    NoSum {
        /// The weights to start from.
        start: PathBuf,
        /// The fault.
        reason: &'static str,
    },
    /// No triplets to train on.
    #[error(
        "`{file}` holds no triplets to train on\nhint: let `relation_weights` and `trained_head` leave some; if none are in the file, build the collection again with `magiclens collection build`"
    )]
    NoTriplets {
        /// The triplet file.
        file: PathBuf,
    },
    /// A saved state cannot be read back.
    #[error(
        "the saved state `{path}` cannot be read: {reason}\nhint: delete that folder; the run goes on from the one before"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A state cannot be written, e.g. because the disk is full.
    #[error(
        "the state after step {step} cannot be written to `{path}`: {reason}\nhint: make room and give the same command again; the run goes on from the state before"
    )]
    NotSaved {
        /// The step.
        step: usize,
        /// The folder.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} at step {step}; the states saved before stay in `{states}`\nhint: train into a new `--out` with a lower `learning_rate` or more `warmup_steps`; the same settings end the same way"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f32,
        /// The folder of the saved states.
        states: PathBuf,
    },
    /// A weight is no number any more.
    #[error(
        "`{name}` is no number after step {step}; the states saved before stay in `{states}`\nhint: train into a new `--out` with a lower `learning_rate` or more `warmup_steps`; the same settings end the same way"
    )]
    NotFinite {
        /// The step.
        step: usize,
        /// The tensor.
        name: String,
        /// The folder of the saved states.
        states: PathBuf,
    },
    /// A rate for the projections of towers that have none, while no tower is trained.
    #[error(
        "`pretrained_rate` is {rate}, but the towers of the start model have no projection to train\nhint: leave `pretrained_rate` out, or let `trained_towers` say which towers are trained"
    )]
    NothingPretrained {
        /// The rate.
        rate: f64,
    },
    /// A folder to report on is not that of a run.
    #[error("`{path}` holds no run: {reason}\nhint: give the folder that `magiclens train` was given with `--out`")]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The fault.
        reason: &'static str,
    },
    /// A run to report on has not done a step.
    #[error(
        "`{path}` holds no step: the run is at its beginning, or was cut off there\nhint: give the same command again after the first step"
    )]
    NoSteps {
        /// The file of metrics.
        path: PathBuf,
    },
    /// A run is to be reported on twice.
    #[error("`{path}` is given twice\nhint: name each run once")]
    RunTwice {
        /// The folder.
        path: PathBuf,
    },
    /// More runs than one page tells apart.
    #[error("{given} runs are given, but lines of more than {most} cannot be told apart\nhint: write several pages")]
    TooManyRuns {
        /// Runs that were given.
        given: usize,
        /// Runs of a page, at most.
        most: usize,
    },
}
