//! A stage decides about one item; the runner counts, times and uses the threads (CONVENTIONS 18).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use magiclens_web::DropReason;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The versions of the stages; one is raised when its decisions change, and stands with every triplet.
pub(crate) const VERSIONS: [(&str, u32); 9] = [
    ("html", 1),
    ("filter", 1),
    ("clean", 1),
    ("metadata", 1),
    ("duplicate", 1),
    ("pair", 1),
    ("neighbour", 1),
    ("template", 2),
    ("gate", 1),
];

/// The name of a stage in counts and reports, and its items in the plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageInfo {
    /// The name.
    pub name: &'static str,
    /// One item is one of these: "pages", "pairs", ...
    pub unit: &'static str,
}

impl StageInfo {
    /// A stage of this name and unit.
    pub const fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit }
    }
}

/// Decides about one item at a time, from the item and the stage's settings alone.
pub trait Stage: Sync {
    /// Its name and unit.
    const INFO: StageInfo;
    /// The items that come in.
    type Item: Send;
    /// The items that go on.
    type Output: Send;

    /// Keeps one item, perhaps changed.
    ///
    /// # Errors
    /// The reason to drop it.
    fn process(&self, item: Self::Item) -> Result<Self::Output, DropReason>;
}

/// Items of one stage, and the reasons of those that ended there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// Items that came in.
    pub items: u64,
    /// Items that went on.
    pub kept: u64,
    /// Items that ended here, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl StageCounts {
    /// Adds those of another task. Counts are read from files: a damaged one must not end a report.
    pub(crate) fn add(&mut self, other: &Self) {
        self.items = self.items.saturating_add(other.items);
        self.kept = self.kept.saturating_add(other.kept);
        for (reason, items) in &other.dropped {
            let dropped = self.dropped.entry(reason.clone()).or_default();
            *dropped = dropped.saturating_add(*items);
        }
    }
}

/// Counts of a task; the same for the same input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Items by stage, in the order of the stages.
    pub stages: Vec<(String, StageCounts)>,
    /// Other numbers: bytes, pages, images, ...
    pub numbers: BTreeMap<String, u64>,
}

/// Counts and seconds of a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counts: TaskCounts,
    pub(crate) seconds: BTreeMap<String, f64>,
}

/// An item that made a stage panic.
const PANICKED: DropReason = DropReason("panicked");

impl Tally {
    /// Nothing counted yet of these stages.
    pub(crate) fn of(stages: &[StageInfo]) -> Self {
        let mut tally = Self::default();
        stages.iter().for_each(|stage| _ = tally.stage(stage.name));
        tally
    }

    /// Runs a stage over items, on all threads of the current pool; kept items stay in order.
    pub(crate) fn run<S: Stage>(&mut self, stage: &S, items: Vec<S::Item>) -> Vec<S::Output> {
        // Other people's pages go through other people's parsers: a panic costs the item only.
        let decide = |item| catch_unwind(AssertUnwindSafe(|| stage.process(item))).unwrap_or(Err(PANICKED));
        let decisions: Vec<_> = self.time(S::INFO.name, || items.into_par_iter().map(decide).collect());
        self.sift(S::INFO, decisions)
    }

    /// The items that go on, in order; counts all decisions.
    pub(crate) fn sift<T>(
        &mut self,
        stage: StageInfo,
        decisions: impl IntoIterator<Item = Result<T, DropReason>>,
    ) -> Vec<T> {
        let decide = |decision| self.decide(stage, decision);
        decisions.into_iter().filter_map(decide).collect()
    }

    /// The item if it goes on; counts the decision.
    pub(crate) fn decide<T>(&mut self, stage: StageInfo, decision: Result<T, DropReason>) -> Option<T> {
        self.note(stage, decision.as_ref().map(drop).map_err(|reason| reason.0));
        decision.ok()
    }

    /// Counts a decision that was made before.
    pub(crate) fn note(&mut self, stage: StageInfo, decision: Result<(), &str>) {
        let counts = self.stage(stage.name);
        counts.items += 1;
        match decision {
            Ok(()) => counts.kept += 1,
            Err(reason) => *counts.dropped.entry(reason.to_owned()).or_default() += 1,
        }
    }

    /// Adds to a number.
    pub(crate) fn count(&mut self, name: &str, more: usize) {
        *self.counts.numbers.entry(name.to_owned()).or_default() += more as u64;
    }

    /// Does some work and adds its seconds to those of `name`.
    pub(crate) fn time<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.spend(name, start);
        done
    }

    /// Adds the seconds since `start` to those of `name`.
    pub(crate) fn spend(&mut self, name: &str, start: Instant) {
        *self.seconds.entry(name.to_owned()).or_default() += start.elapsed().as_secs_f64();
    }

    /// The counts of a stage.
    pub(crate) fn stage(&mut self, name: &str) -> &mut StageCounts {
        let stages = &mut self.counts.stages;
        let known = stages.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or_else(|| {
            stages.push((name.to_owned(), StageCounts::default()));
            stages.len() - 1
        });
        &mut stages[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: StageInfo = StageInfo::new("halve", "numbers");

    struct Halve;

    impl Stage for Halve {
        const INFO: StageInfo = STAGE;
        type Item = u32;
        type Output = u32;

        fn process(&self, item: u32) -> Result<u32, DropReason> {
            assert!(item != 50, "this one panics");
            match item % 2 {
                0 => Ok(item / 2),
                _ => Err(DropReason("odd")),
            }
        }
    }

    #[test]
    fn the_runner_counts_every_item_once() {
        let mut tally = Tally::of(&[STAGE]);
        assert_eq!(tally.run(&Halve, vec![2, 3, 4, 50]), [1, 2]);
        assert_eq!(tally.decide(STAGE, Ok("kept")), Some("kept"));
        assert_eq!(tally.sift(STAGE, [Err::<(), _>(DropReason("odd"))]), []);
        let dropped = [("odd", 2), ("panicked", 1)].map(|(reason, items)| (reason.to_owned(), items));
        let counts = StageCounts {
            items: 6,
            kept: 3,
            dropped: dropped.into(),
        };
        assert_eq!(tally.counts.stages, [("halve".to_owned(), counts)]);
    }
}
