//! What came into each stage, what went on, what was dropped and why, how long it took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rounded;
use crate::stage::StageCounts;

/// The counts of one step of a run: sums over its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepReport {
    /// Its name: "pages", "duplicates", "pairs", ...
    pub step: String,
    /// Tasks that are done: shards, as a rule.
    pub tasks: u64,
    /// Its stages in the order of the pipeline, with what each decides about. Stages that met nothing are shown from here;
    /// counted stages that are missing here come last, in "items".
    pub pipeline: Vec<StageUnit>,
    /// What became of the items of each stage.
    pub stages: Vec<(String, StageCounts)>,
    /// Other numbers, by name: "tokens", "cached replies", ... Those whose name ends in "bytes" are shown as such.
    pub numbers: BTreeMap<String, u64>,
    /// Other amounts, by name: "cost".
    pub amounts: BTreeMap<String, f64>,
    /// Wall seconds by stage, and by other work that has a name ("read", "write").
    pub seconds: BTreeMap<String, f64>,
    /// Wall seconds, summed over tasks.
    pub wall_seconds: f64,
    /// CPU seconds of all threads, summed over tasks.
    pub cpu_seconds: f64,
    /// Peak memory of the largest task.
    pub peak_memory_mib: f64,
}

/// A stage and what it decides about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageUnit {
    /// The name of the stage.
    pub stage: String,
    /// What one item is, in the plural: "pages", "images", "pairs", "instructions".
    pub unit: String,
}

/// One step of the funnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunnelStep {
    /// Its name.
    pub step: String,
    /// Tasks that are done.
    pub tasks: u64,
    /// Its stages, in the order of the pipeline.
    pub stages: Vec<FunnelStage>,
    /// Other numbers by name.
    pub numbers: BTreeMap<String, u64>,
    /// Other amounts by name.
    pub amounts: BTreeMap<String, f64>,
    /// Wall seconds of work that is no stage, by name.
    pub other_seconds: BTreeMap<String, f64>,
    /// Wall seconds, summed over tasks.
    pub wall_seconds: f64,
    /// CPU seconds of all threads, summed over tasks.
    pub cpu_seconds: f64,
    /// Peak memory of the largest task, in MiB.
    pub peak_memory_mib: f64,
    /// How fast it was, for each unit.
    pub rates: Vec<Rate>,
}

/// One stage of the funnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FunnelStage {
    /// Its name.
    pub stage: String,
    /// What one item is, in the plural.
    pub unit: String,
    /// Items that came in: `kept` and all of `dropped`.
    pub items: u64,
    /// Items that went on.
    pub kept: u64,
    /// Items that ended here by reason, the most frequent first.
    pub dropped: Vec<Dropped>,
    /// `kept` / `items`; none if nothing came in.
    pub kept_share: Option<f64>,
    /// Wall seconds; none if they were not measured.
    pub seconds: Option<f64>,
    /// What the stage before let go, where it is another number or another unit than what came in here.
    pub before: Option<Before>,
}

/// Items that ended at a stage for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Why.
    pub reason: String,
    /// How many.
    pub items: u64,
    /// Of what came in; none if nothing did.
    pub share: Option<f64>,
}

/// What the stage before let go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The stage before.
    pub stage: String,
    /// Its unit.
    pub unit: String,
    /// Items that went on from it.
    pub kept: u64,
}

/// How fast a step was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// What is counted, in the plural.
    pub unit: String,
    /// How many: what came into the first stage of this unit, or the step's number of this name.
    pub items: u64,
    /// For each wall second of a task; none if no time was measured.
    pub per_second: Option<f64>,
    /// For each CPU second: what one core does in a second.
    pub per_core_second: Option<f64>,
}

/// The unit of stages that the pipeline does not name.
const UNKNOWN_UNIT: &str = "items";
/// Numbers that are rated though no stage may count them.
const RATED_NUMBERS: [&str; 3] = ["pages", "pictures", "triplets"];

impl StepReport {
    /// Adds the report of other tasks of the same step: counts and seconds add up, of memory the larger counts.
    pub fn merge(&mut self, other: Self) {
        add(&mut self.tasks, other.tasks);
        if self.pipeline.is_empty() {
            self.pipeline = other.pipeline;
        }
        for (stage, counts) in other.stages {
            let own = match self.stages.iter().position(|(name, _)| *name == stage) {
                Some(at) => &mut self.stages[at].1,
                None => {
                    self.stages.push((stage, counts));
                    continue;
                }
            };
            add(&mut own.items, counts.items);
            add(&mut own.kept, counts.kept);
            for (reason, items) in counts.dropped {
                add(own.dropped.entry(reason).or_default(), items);
            }
        }
        for (name, number) in other.numbers {
            add(self.numbers.entry(name).or_default(), number);
        }
        for (name, amount) in other.amounts {
            *self.amounts.entry(name).or_default() += amount;
        }
        for (name, seconds) in other.seconds {
            *self.seconds.entry(name).or_default() += seconds;
        }
        self.wall_seconds += other.wall_seconds;
        self.cpu_seconds += other.cpu_seconds;
        self.peak_memory_mib = self.peak_memory_mib.max(other.peak_memory_mib);
    }

    /// The step as the report shows it.
    pub fn funnel(&self) -> FunnelStep {
        let mut stages: Vec<FunnelStage> = self
            .ordered()
            .into_iter()
            .map(|(stage, unit, counts)| self.stage(stage, unit, counts))
            .collect();
        for at in 1..stages.len() {
            let before = &stages[at - 1];
            if before.kept != stages[at].items || before.unit != stages[at].unit {
                stages[at].before = Some(Before {
                    stage: before.stage.clone(),
                    unit: before.unit.clone(),
                    kept: before.kept,
                });
            }
        }
        let is_stage = |name: &String| stages.iter().any(|stage| stage.stage == *name);
        let other_seconds = self.seconds.iter().filter(|(name, _)| !is_stage(name));
        FunnelStep {
            step: self.step.clone(),
            tasks: self.tasks,
            rates: self.rates(&stages),
            numbers: self.numbers.clone(),
            amounts: self
                .amounts
                .iter()
                .map(|(name, &amount)| (name.clone(), finite(amount)))
                .collect(),
            other_seconds: other_seconds
                .map(|(name, &value)| (name.clone(), finite(value)))
                .collect(),
            wall_seconds: finite(self.wall_seconds),
            cpu_seconds: finite(self.cpu_seconds),
            peak_memory_mib: finite(self.peak_memory_mib),
            stages,
        }
    }

    /// Name, unit and counts of the stages: those of the pipeline, then those that it does not name.
    fn ordered(&self) -> Vec<(&str, &str, StageCounts)> {
        let counts = |stage: &str| {
            let counted = self.stages.iter().find(|(name, _)| name == stage);
            counted.map(|(_, counts)| counts.clone()).unwrap_or_default()
        };
        let named = self
            .pipeline
            .iter()
            .map(|StageUnit { stage, unit }| (stage.as_str(), unit.as_str(), counts(stage)));
        let is_named = |name: &str| self.pipeline.iter().any(|known| known.stage == name);
        let others = self
            .stages
            .iter()
            .filter(|(name, _)| !is_named(name))
            .map(|(name, counts)| (name.as_str(), UNKNOWN_UNIT, counts.clone()));
        named.chain(others).collect()
    }

    fn stage(&self, stage: &str, unit: &str, counts: StageCounts) -> FunnelStage {
        let share = |items: u64| (counts.items > 0).then(|| rounded(items as f64 / counts.items as f64));
        let mut dropped: Vec<Dropped> = counts
            .dropped
            .iter()
            .map(|(reason, &items)| Dropped {
                reason: reason.clone(),
                items,
                share: share(items),
            })
            .collect();
        dropped.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.reason.cmp(&b.reason)));
        FunnelStage {
            stage: stage.to_owned(),
            unit: unit.to_owned(),
            items: counts.items,
            kept: counts.kept,
            dropped,
            kept_share: share(counts.kept),
            seconds: self
                .seconds
                .get(stage)
                .filter(|seconds| seconds.is_finite())
                .map(|&seconds| rounded(seconds)),
            before: None,
        }
    }

    fn rates(&self, stages: &[FunnelStage]) -> Vec<Rate> {
        let mut items: Vec<(&str, u64)> = Vec::new();
        for stage in stages.iter().filter(|stage| stage.unit != UNKNOWN_UNIT) {
            if !items.iter().any(|(unit, _)| *unit == stage.unit) {
                items.push((&stage.unit, stage.items));
            }
        }
        for name in RATED_NUMBERS {
            let Some(&number) = self.numbers.get(name) else {
                continue;
            };
            match items.iter_mut().find(|(unit, _)| *unit == name) {
                Some((_, items)) => *items = number,
                None => items.push((name, number)),
            }
        }
        let rate = |items: u64, seconds: f64| {
            let rate = items as f64 / seconds;
            (seconds > 0.0 && rate.is_finite()).then(|| rounded(rate))
        };
        items
            .into_iter()
            .map(|(unit, items)| Rate {
                unit: unit.to_owned(),
                items,
                per_second: rate(items, self.wall_seconds),
                per_core_second: rate(items, self.cpu_seconds),
            })
            .collect()
    }
}

impl FunnelStage {
    /// All items that ended here.
    pub fn dropped_items(&self) -> u64 {
        let items = self.dropped.iter().map(|dropped| dropped.items);
        items.fold(0, u64::saturating_add)
    }

    /// What does not add up, in a sentence.
    pub fn problem(&self) -> Option<String> {
        let known = self.kept.saturating_add(self.dropped_items());
        (known != self.items).then(|| {
            format!(
                "{} {} came into `{}`, but {known} are accounted for: {} went on and {} were dropped",
                self.items,
                self.unit,
                self.stage,
                self.kept,
                self.dropped_items()
            )
        })
    }
}

/// Counts are read from files: a damaged one must not end the report.
fn add(sum: &mut u64, items: u64) {
    *sum = sum.saturating_add(items);
}

/// JSON has no other numbers.
fn finite(value: f64) -> f64 {
    if value.is_finite() { rounded(value) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(items: u64, kept: u64, dropped: &[(&str, u64)]) -> StageCounts {
        StageCounts {
            items,
            kept,
            dropped: dropped
                .iter()
                .map(|(reason, items)| (reason.to_string(), *items))
                .collect(),
        }
    }

    fn unit(stage: &str, unit: &str) -> StageUnit {
        StageUnit {
            stage: stage.to_owned(),
            unit: unit.to_owned(),
        }
    }

    /// 10 pages, of which 8 hold 30 images.
    fn step() -> StepReport {
        StepReport {
            step: "pages".to_owned(),
            tasks: 2,
            pipeline: vec![
                unit("parse", "pages"),
                unit("language", "pages"),
                unit("size", "pictures"),
            ],
            stages: vec![
                ("size".to_owned(), counts(30, 20, &[("too small", 4), ("aspect", 6)])),
                ("parse".to_owned(), counts(10, 8, &[("not HTML", 2)])),
                ("odd".to_owned(), counts(5, 3, &[("why", 1)])),
            ],
            numbers: [("pages".to_owned(), 12), ("bytes".to_owned(), 2048)].into(),
            amounts: [("cost".to_owned(), 0.125)].into(),
            seconds: [("parse".to_owned(), 1.5), ("write".to_owned(), 0.5)].into(),
            wall_seconds: 4.0,
            cpu_seconds: 6.0,
            peak_memory_mib: 100.0,
        }
    }

    #[test]
    fn stages_stand_in_the_order_of_the_pipeline() {
        let funnel = step().funnel();
        let rows: Vec<(&str, &str, u64, u64, Option<f64>)> = funnel
            .stages
            .iter()
            .map(|s| (s.stage.as_str(), s.unit.as_str(), s.items, s.kept, s.kept_share))
            .collect();
        assert_eq!(
            rows,
            [
                ("parse", "pages", 10, 8, Some(0.8)),
                ("language", "pages", 0, 0, None),
                ("size", "pictures", 30, 20, Some(0.666667)),
                ("odd", "items", 5, 3, Some(0.6)),
            ]
        );
        let reasons: Vec<(&str, u64, Option<f64>)> = funnel.stages[2]
            .dropped
            .iter()
            .map(|d| (d.reason.as_str(), d.items, d.share))
            .collect();
        assert_eq!(reasons, [("aspect", 6, Some(0.2)), ("too small", 4, Some(0.133333))]);
        assert_eq!(funnel.stages[0].seconds, Some(1.5));
        assert_eq!(funnel.other_seconds, [("write".to_owned(), 0.5)].into());
    }

    #[test]
    fn a_change_of_unit_or_number_is_said() {
        let funnel = step().funnel();
        let before = |at: usize| {
            funnel.stages[at]
                .before
                .as_ref()
                .map(|b| (b.stage.as_str(), b.unit.as_str(), b.kept))
        };
        assert_eq!(before(0), None);
        // 8 went on from `parse`, none came into `language`.
        assert_eq!(before(1), Some(("parse", "pages", 8)));
        assert_eq!(before(2), Some(("language", "pages", 0)));
        let mut whole = step();
        whole.stages.push(("language".to_owned(), counts(8, 8, &[])));
        assert_eq!(whole.funnel().stages[1].before, None);
    }

    #[test]
    fn sums_that_do_not_add_up_are_a_problem() {
        let funnel = step().funnel();
        assert_eq!(funnel.stages[0].problem(), None);
        assert_eq!(
            funnel.stages[3].problem().unwrap(),
            "5 items came into `odd`, but 4 are accounted for: 3 went on and 1 were dropped"
        );
    }

    #[test]
    fn rates_are_for_wall_and_for_core_seconds() {
        let rates = step().funnel().rates;
        let rows: Vec<(&str, u64, Option<f64>, Option<f64>)> = rates
            .iter()
            .map(|r| (r.unit.as_str(), r.items, r.per_second, r.per_core_second))
            .collect();
        // The step's own number of pages (12) is more than what came into its first stage.
        assert_eq!(
            rows,
            [
                ("pages", 12, Some(3.0), Some(2.0)),
                ("pictures", 30, Some(7.5), Some(5.0))
            ]
        );
        let timeless = StepReport {
            wall_seconds: 0.0,
            cpu_seconds: f64::NAN,
            ..step()
        };
        let rate = &timeless.funnel().rates[0];
        assert_eq!((rate.per_second, rate.per_core_second), (None, None));
        assert_eq!(timeless.funnel().cpu_seconds, 0.0);
    }

    #[test]
    fn tasks_add_up() {
        let mut sum = StepReport::default();
        sum.merge(step());
        sum.merge(StepReport {
            peak_memory_mib: 300.0,
            ..step()
        });
        assert_eq!((sum.tasks, sum.wall_seconds, sum.peak_memory_mib), (4, 8.0, 300.0));
        assert_eq!(
            (sum.numbers["pages"], sum.amounts["cost"], sum.seconds["parse"]),
            (24, 0.25, 3.0)
        );
        let stages = sum.funnel().stages;
        assert_eq!((stages[2].items, stages[2].dropped[0].items), (60, 12));
        assert_eq!(StepReport::default().funnel(), FunnelStep::default());
    }
}
