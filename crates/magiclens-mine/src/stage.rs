//! A stage decides about one item; the runner counts, times and uses the threads (CONVENTIONS 18).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use magiclens_web::DropReason;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What a stage decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// Goes on, perhaps changed.
    Keep(T),
    /// Ends here.
    Drop(DropReason),
}

/// Decides about one item at a time, from the item and the stage's settings alone.
pub trait Stage: Sync {
    /// What comes in.
    type Item: Send;
    /// What goes on.
    type Output: Send;

    /// The name in counts and reports.
    fn name(&self) -> &'static str;

    /// Keeps, changes or drops one item. An error is the item's own: it is dropped, counted and logged.
    ///
    /// # Errors
    /// What the stage could not cope with.
    fn process(&self, item: Self::Item) -> anyhow::Result<Outcome<Self::Output>>;
}

/// What became of the items of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// Items that came in.
    pub items: u64,
    /// Items that went on.
    pub kept: u64,
    /// Items that ended here, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// Counts and seconds of a task, by stage.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    stages: Vec<(String, StageCounts)>,
    seconds: BTreeMap<String, f64>,
}

/// An item that a stage could not cope with.
const FAILED: DropReason = DropReason("failed");
/// An item that made a stage panic.
const PANICKED: DropReason = DropReason("panicked");

impl Tally {
    /// Runs a stage over items, on all threads of the current pool; what is kept stays in order.
    pub fn run<S: Stage>(&mut self, stage: &S, items: Vec<S::Item>) -> Vec<S::Output> {
        let start = Instant::now();
        let decide = |item| {
            // Other people's pages go through other people's parsers: a panic costs the item only.
            match catch_unwind(AssertUnwindSafe(|| stage.process(item))) {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => {
                    tracing::warn!(stage = stage.name(), "{error:#}");
                    Outcome::Drop(FAILED)
                }
                Err(_) => Outcome::Drop(PANICKED),
            }
        };
        let outcomes: Vec<Outcome<S::Output>> = items.into_par_iter().map(decide).collect();
        let mut kept = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Keep(item) => {
                    self.keep(stage.name(), 1);
                    kept.push(item);
                }
                Outcome::Drop(reason) => self.drop(stage.name(), reason),
            }
        }
        self.spend(stage.name(), start.elapsed().as_secs_f64());
        kept
    }

    /// Counts items that went on.
    pub fn keep(&mut self, stage: &str, items: u64) {
        let counts = self.stage(stage);
        counts.items += items;
        counts.kept += items;
    }

    /// Counts an item that ended here.
    pub fn drop(&mut self, stage: &str, reason: DropReason) {
        self.drop_named(stage, reason.0);
    }

    /// Counts an item that ended here, for a reason that was written down before.
    pub fn drop_named(&mut self, stage: &str, reason: &str) {
        let counts = self.stage(stage);
        counts.items += 1;
        *counts.dropped.entry(reason.to_owned()).or_default() += 1;
    }

    /// Adds to the seconds of a stage.
    pub fn spend(&mut self, stage: &str, seconds: f64) {
        *self.seconds.entry(stage.to_owned()).or_default() += seconds;
    }

    /// The counts, stage by stage in the order of their first use.
    pub fn stages(&self) -> &[(String, StageCounts)] {
        &self.stages
    }

    /// Wall seconds by stage.
    pub fn seconds(&self) -> &BTreeMap<String, f64> {
        &self.seconds
    }

    fn stage(&mut self, name: &str) -> &mut StageCounts {
        let at = self
            .stages
            .iter()
            .position(|(known, _)| known == name)
            .unwrap_or_else(|| {
                self.stages.push((name.to_owned(), StageCounts::default()));
                self.stages.len() - 1
            });
        &mut self.stages[at].1
    }
}
