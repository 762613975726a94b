//! Items of each stage of a step: those that came in, went on, and were dropped for a reason; time and speed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{rounded, share};
use crate::language_model::Usage;
use crate::stage::{StageCounts, StageInfo, Tally, TaskCounts};
use crate::tasks::TaskCost;

/// One step of the funnel: sums over its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FunnelStep {
    pub(super) step: String,
    /// Tasks that are done.
    pub(super) tasks: u64,
    /// Its stages, in the order of the pipeline.
    pub(super) stages: Vec<FunnelStage>,
    /// Other numbers by name. Those whose name ends in "bytes" are shown as such.
    pub(super) numbers: BTreeMap<String, u64>,
    pub(super) amounts: BTreeMap<String, f64>,
    /// Wall seconds of work that is no stage, by name.
    pub(super) other_seconds: BTreeMap<String, f64>,
    /// Wall seconds, summed over tasks.
    pub(super) wall_seconds: f64,
    /// CPU seconds of all threads, summed over tasks.
    pub(super) cpu_seconds: f64,
    /// Peak memory of the largest task, in MiB.
    pub(super) peak_memory_mib: f64,
    pub(super) rates: Vec<Rate>,
}

/// One stage of the funnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FunnelStage {
    pub(super) stage: String,
    /// One item, in the plural.
    pub(super) unit: String,
    /// Items that came in: `kept` and all of `dropped`.
    pub(super) items: u64,
    /// Items that went on.
    pub(super) kept: u64,
    /// Items that ended here by reason, the most frequent first.
    pub(super) dropped: Vec<Dropped>,
    /// `kept` / `items`; none if nothing came in.
    pub(super) kept_share: Option<f64>,
    /// Wall seconds; none if they were not measured.
    pub(super) seconds: Option<f64>,
}

/// Items that ended at a stage for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) reason: String,
    pub(super) items: u64,
    /// Share of the items that came in.
    pub(super) share: Option<f64>,
}

/// Speed of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    /// The things counted, in the plural.
    pub(super) unit: String,
    /// Those that came into the first stage of this unit, or the step's number of this name.
    pub(super) items: u64,
    /// For each wall second of a task; none if no time was measured.
    pub(super) per_second: Option<f64>,
    /// For each CPU second: the work of one core in a second.
    pub(super) per_core_second: Option<f64>,
}

/// Unit of stages that the pipeline does not name.
const UNKNOWN_UNIT: &str = "items";
/// Numbers that are rated though no stage may count them, and their units.
const RATED_NUMBERS: [(&str, &str); 3] = [
    ("pages", "pages"),
    ("pictures", "images kept"),
    ("triplets", "triplets"),
];

impl FunnelStep {
    /// The sums of a step's tasks. `pipeline` holds its stages in their order; counted stages that are
    /// missing there come last.
    pub(super) fn new(step: &str, pipeline: &[StageInfo], results: &[(TaskCounts, TaskCost)]) -> Self {
        let mut sums = Tally::of(pipeline);
        let mut sum = Self {
            step: step.to_owned(),
            tasks: results.len() as u64,
            ..Self::default()
        };
        for (counts, cost) in results {
            for (stage, counts) in &counts.stages {
                sums.stage(stage).add(counts);
            }
            for (name, number) in &counts.numbers {
                *sum.numbers.entry(name.clone()).or_default() += number;
            }
            sum.add_cost(cost);
        }
        for (stage, counts) in sums.counts.stages {
            let info = pipeline.iter().find(|info| info.name == stage);
            let seconds = sum.other_seconds.remove(&stage);
            let unit = info.map_or(UNKNOWN_UNIT, |info| info.unit);
            sum.stages.push(FunnelStage::new(stage, unit, counts, seconds));
        }
        sum.rates = sum.rates();
        sum
    }

    fn add_cost(&mut self, cost: &TaskCost) {
        for (name, seconds) in &cost.seconds {
            *self.other_seconds.entry(name.clone()).or_default() += seconds;
        }
        for (model, usage) in &cost.usage {
            self.add_usage(model, usage);
        }
        self.wall_seconds += cost.wall_seconds;
        self.cpu_seconds += cost.cpu_seconds;
        self.peak_memory_mib = self.peak_memory_mib.max(cost.peak_memory_mib);
    }

    fn add_usage(&mut self, model: &str, usage: &Usage) {
        for (name, number) in [
            ("requests", usage.requests),
            ("cached replies", usage.cached),
            ("failed", usage.failed),
            ("retries", usage.retries),
            ("prompt tokens", usage.prompt_tokens),
            ("completion tokens", usage.completion_tokens),
            ("saved prompt tokens", usage.saved_prompt_tokens),
            ("saved completion tokens", usage.saved_completion_tokens),
        ] {
            *self.numbers.entry(format!("{model}: {name}")).or_default() += number;
        }
        for (name, amount) in [("cost", usage.cost), ("saved cost", usage.saved_cost)] {
            *self.amounts.entry(format!("{model}: {name}")).or_default() += amount;
        }
    }

    fn rates(&self) -> Vec<Rate> {
        let mut units: Vec<(&str, u64)> = Vec::new();
        for stage in self.stages.iter().filter(|stage| stage.unit != UNKNOWN_UNIT) {
            if !units.iter().any(|(unit, _)| *unit == stage.unit) {
                units.push((&stage.unit, stage.items));
            }
        }
        for (name, unit) in RATED_NUMBERS {
            if let Some(&number) = self.numbers.get(name) {
                units.retain(|(found, _)| *found != unit);
                units.push((unit, number));
            }
        }
        let rate = |items: u64, seconds: f64| (seconds > 0.0).then(|| rounded(items as f64 / seconds));
        let rate = |(unit, items): (&str, u64)| Rate {
            unit: unit.to_owned(),
            items,
            per_second: rate(items, self.wall_seconds),
            per_core_second: rate(items, self.cpu_seconds),
        };
        units.into_iter().map(rate).collect()
    }

    /// Sums of its stages that do not add up, in sentences.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let step = |problem| format!("step `{}`: {problem}", self.step);
        self.stages.iter().filter_map(FunnelStage::problem).map(step)
    }
}

impl FunnelStage {
    fn new(stage: String, unit: &str, counts: StageCounts, seconds: Option<f64>) -> Self {
        let share = |part: u64| (counts.items > 0).then(|| share(part, counts.items));
        let dropped = |(reason, items): (String, u64)| Dropped {
            reason,
            items,
            share: share(items),
        };
        let mut dropped: Vec<Dropped> = counts.dropped.into_iter().map(dropped).collect();
        // A stable sort: equals stay in the order of their names.
        dropped.sort_by_key(|dropped| Reverse(dropped.items));
        Self {
            stage,
            unit: unit.to_owned(),
            items: counts.items,
            kept: counts.kept,
            kept_share: share(counts.kept),
            seconds,
            dropped,
        }
    }

    /// All items that ended here.
    pub(super) fn dropped_items(&self) -> u64 {
        let items = self.dropped.iter().map(|dropped| dropped.items);
        items.fold(0, u64::saturating_add)
    }

    fn problem(&self) -> Option<String> {
        let (stage, unit, items, kept) = (&self.stage, &self.unit, self.items, self.kept);
        let dropped = self.dropped_items();
        let known = kept.saturating_add(dropped);
        (known != items).then(|| {
            format!(
                "{items} {unit} came into `{stage}`, but {known} are accounted for: {kept} went on and {dropped} were dropped"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::counts;
    use super::*;

    const PIPELINE: [StageInfo; 3] = [
        StageInfo::new("parse", "pages"),
        StageInfo::new("language", "pages"),
        StageInfo::new("size", "pictures"),
    ];

    /// 10 pages, of which 8 hold 30 images.
    fn result() -> (TaskCounts, TaskCost) {
        let counts = TaskCounts {
            stages: vec![
                ("size".to_owned(), counts(30, 20, &[("too small", 4), ("aspect", 6)])),
                ("parse".to_owned(), counts(10, 8, &[("not HTML", 2)])),
                ("odd".to_owned(), counts(5, 3, &[("why", 1)])),
            ],
            numbers: [("pages".to_owned(), 12), ("bytes".to_owned(), 2048)].into(),
        };
        let cost = TaskCost {
            seconds: [("parse".to_owned(), 1.5), ("write".to_owned(), 0.5)].into(),
            wall_seconds: 4.0,
            cpu_seconds: 6.0,
            peak_memory_mib: 100.0,
            ..TaskCost::default()
        };
        (counts, cost)
    }

    #[test]
    fn stages_stand_in_the_order_of_the_pipeline() {
        let funnel = FunnelStep::new("pages", &PIPELINE, &[result()]);
        let row = |s: &FunnelStage| (s.stage.clone(), s.unit.clone(), s.items, s.kept, s.kept_share);
        let rows: Vec<_> = funnel.stages.iter().map(row).collect();
        let expected = [
            ("parse", "pages", 10, 8, Some(0.8)),
            ("language", "pages", 0, 0, None),
            ("size", "pictures", 30, 20, Some(0.666667)),
            ("odd", "items", 5, 3, Some(0.6)),
        ];
        let expected =
            expected.map(|(stage, unit, items, kept, share)| (stage.to_owned(), unit.to_owned(), items, kept, share));
        assert_eq!(rows, expected);
        let reason = |d: &Dropped| (d.reason.clone(), d.items, d.share);
        let reasons: Vec<_> = funnel.stages[2].dropped.iter().map(reason).collect();
        assert_eq!(
            reasons,
            [
                ("aspect".to_owned(), 6, Some(0.2)),
                ("too small".to_owned(), 4, Some(0.133333))
            ]
        );
        assert_eq!(funnel.stages[0].seconds, Some(1.5));
        assert_eq!(funnel.other_seconds, [("write".to_owned(), 0.5)].into());
        assert_eq!(
            funnel.problems().collect::<Vec<_>>(),
            ["step `pages`: 5 items came into `odd`, but 4 are accounted for: 3 went on and 1 were dropped"]
        );
    }

    #[test]
    fn rates_are_for_wall_and_for_core_seconds() {
        let rates = FunnelStep::new("pages", &PIPELINE, &[result()]).rates;
        let rows: Vec<_> = rates
            .iter()
            .map(|r| (r.unit.as_str(), r.items, r.per_second, r.per_core_second))
            .collect();
        // The step's own number of pages (12) is more than what came into its first stage.
        assert_eq!(
            rows,
            [
                ("pictures", 30, Some(7.5), Some(5.0)),
                ("pages", 12, Some(3.0), Some(2.0)),
            ]
        );
        let (counts, _) = result();
        let timeless = FunnelStep::new("pages", &PIPELINE, &[(counts, TaskCost::default())]);
        assert_eq!(
            (timeless.rates[0].per_second, timeless.rates[0].per_core_second),
            (None, None)
        );
    }

    #[test]
    fn tasks_add_up() {
        let mut larger = result();
        larger.1.peak_memory_mib = 300.0;
        larger.1.usage = [(
            "writer".to_owned(),
            Usage {
                requests: 3,
                cost: 0.125,
                ..Usage::default()
            },
        )]
        .into();
        let sum = FunnelStep::new("pages", &PIPELINE, &[result(), larger]);
        assert_eq!((sum.tasks, sum.wall_seconds, sum.peak_memory_mib), (2, 8.0, 300.0));
        assert_eq!((sum.numbers["pages"], sum.stages[0].seconds), (24, Some(3.0)));
        assert_eq!(
            (sum.numbers["writer: requests"], sum.amounts["writer: cost"]),
            (3, 0.125)
        );
        assert_eq!((sum.stages[2].items, sum.stages[2].dropped[0].items), (60, 12));
    }
}
