//! What an experiment is run with, and who is told of its progress.

use std::path::PathBuf;

use magiclens_train::run::StepMetrics;

use crate::settings::Settings;

/// Files and settings of an experiment.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What all runs share.
    pub settings: Settings,
    /// The collection.
    pub data: PathBuf,
    /// The model whose towers are frozen; its head is not used.
    pub start: PathBuf,
    /// Holds the runs; experiments with one folder share those that they have in common.
    pub out: PathBuf,
    /// The folder for frozen features; `None` is `features` in the collection, as for `magiclens train`.
    pub cache: Option<PathBuf>,
}

/// Is told the progress of an experiment.
pub trait Listener {
    /// Work on so many things begins.
    fn begin(&mut self, what: &str, count: usize);
    /// So many more things are done.
    fn advance(&mut self, count: usize);
    /// A training step is done.
    fn step(&mut self, metrics: &StepMetrics);
}
