//! A task at work: its run, its tools and its counts; and the description of a step, of which it is one task.

use crate::config::MineConfig;
use crate::run::Run;
use crate::stage::{StageInfo, Tally};
use crate::store::Store;
use crate::tools::Tools;

/// A step: its stages, its tasks, and the work of one of them. Each step declares one, and `steps` lists them.
pub(crate) struct StepInfo {
    /// The name in files, commands and reports.
    pub(crate) name: &'static str,
    /// The stages that a configuration uses, in order.
    pub(crate) stages: fn(&MineConfig) -> Vec<StageInfo>,
    /// Its number of tasks; none if the run does without the step.
    pub(crate) tasks: fn(&Run) -> anyhow::Result<Option<usize>>,
    /// Does one task and publishes its results.
    pub(crate) run: fn(&mut Work<'_>) -> anyhow::Result<()>,
}

/// A task at work.
pub(crate) struct Work<'a> {
    pub(crate) run: &'a Run,
    pub(crate) task: usize,
    pub(crate) tools: &'a Tools,
    pub(crate) tally: Tally,
}

impl<'a> Work<'a> {
    pub(crate) fn config(&self) -> &'a MineConfig {
        self.run.config()
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.run.store()
    }

    /// Shards of the input.
    pub(crate) fn shards(&self) -> usize {
        self.run.entries().len()
    }
}
