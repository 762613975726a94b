//! Values of runs become means, intervals and differences.
//!
//! Two intervals, both of 95 %: over seeds (Student's t over the runs of a condition; of a difference, over the differences of
//! runs with one seed), which says what training by chance does; and over root concepts (bootstrap over clusters of queries,
//! values averaged over the runs), which says what the choice of test queries does. Relations with fewer than
//! [`MIN_CLUSTERS`] concepts have no interval of the second kind, and are no part of it in a mean.

use magiclens_eval::robustness::RobustnessReport;
use magiclens_metrics::{Interval, MIN_CLUSTERS, Sample, bootstrap_interval, compare_paired, mean};
use serde::Serialize;

use crate::agreement::Agreement;
use crate::condition::Condition;
use crate::experiment::Experiment;
use crate::measure::{RunValues, TEXT_TO_IMAGE, TaskValues};
use crate::metric::{Metric, RELATIONS, Tasks};
use crate::settings::Settings;
use crate::statistics::t_interval;

/// Decides the bootstrap.
const SEED: u64 = 20_240_319;

/// Everything that was measured.
#[derive(Debug)]
pub struct Results {
    pub(crate) experiment: &'static Experiment,
    pub(crate) settings: Settings,
    /// In the order of the experiment.
    pub(crate) conditions: Vec<ConditionResults>,
}

/// The runs of a condition.
#[derive(Debug)]
pub(crate) struct ConditionResults {
    pub(crate) condition: &'static Condition,
    /// In the order of the seeds.
    pub(crate) runs: Vec<RunResults>,
    pub(crate) agreement: Option<Agreement>,
}

/// What was measured of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunResults {
    pub(crate) seed: u64,
    pub(crate) values: RunValues,
    pub(crate) robustness: Option<RobustnessReport>,
}

/// A metric of a condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Mean over runs.
    pub(crate) mean: f64,
    /// The value of each run.
    pub(crate) runs: Vec<f64>,
    /// Over seeds.
    pub(crate) seeds: Option<Interval>,
    /// Over root concepts; of metrics of one task only.
    pub(crate) concepts: Option<Interval>,
}

/// A difference of two conditions in a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// Second minus first, mean over seeds.
    pub(crate) difference: f64,
    /// Over seeds.
    pub(crate) seeds: Option<Interval>,
    /// Over root concepts, of the tasks that have enough of them.
    pub(crate) concepts: Option<Interval>,
}

/// The direction of a difference that no interval holds for chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Up,
    Down,
    Unclear,
}

impl ConditionResults {
    /// The value of each run.
    pub(crate) fn runs_of(&self, metric: Metric) -> Vec<f64> {
        self.runs.iter().map(|run| metric.of_run(&run.values)).collect()
    }

    pub(crate) fn mean_of(&self, metric: Metric) -> f64 {
        mean(self.runs_of(metric))
    }

    /// The metric with its intervals; `None` where the collection does not ask for it.
    pub(crate) fn summary(&self, metric: Metric) -> Option<Summary> {
        let runs = self.runs_of(metric);
        let mean = mean(runs.iter().copied());
        let owned = self.samples(metric);
        let confidence = match metric.tasks {
            Tasks::One(_) => bootstrap_interval(&borrowed(&owned), SEED).interval,
            _ => None,
        };
        mean.is_finite().then(|| Summary {
            mean,
            seeds: t_interval(&runs),
            runs,
            concepts: confidence,
        })
    }

    /// Trained numbers.
    pub(crate) fn parameters(&self) -> usize {
        self.runs.first().map_or(0, |run| run.values.parameters)
    }

    /// The values of each task with enough concepts, averaged over runs.
    fn samples(&self, metric: Metric) -> Vec<(Vec<f64>, Vec<usize>)> {
        let Some(first) = self.runs.first() else {
            return Vec::new();
        };
        let tasks = first.values.tasks.iter().enumerate();
        let enough = |task: &TaskValues| task.clusters.iter().max().is_some_and(|last| *last + 1 >= MIN_CLUSTERS);
        let tasks = tasks.filter(|(_, task)| metric.is_of(task) && enough(task));
        let averaged = tasks.map(|(place, task)| {
            let of_query = |query: usize| {
                let of_run = |run: &RunResults| run.values.tasks[place].values[metric.measure][query];
                mean(self.runs.iter().map(of_run))
            };
            ((0..task.clusters.len()).map(of_query).collect(), task.clusters.clone())
        });
        averaged.collect()
    }
}

fn borrowed(samples: &[(Vec<f64>, Vec<usize>)]) -> Vec<Sample<'_>> {
    let samples = samples.iter();
    samples.map(|(values, clusters)| Sample { values, clusters }).collect()
}

impl Results {
    /// The second condition minus the first.
    pub(crate) fn compare(&self, first: usize, second: usize, metric: Metric) -> Comparison {
        let [first, second] = [first, second].map(|place| &self.conditions[place]);
        let pairs = first.runs_of(metric).into_iter().zip(second.runs_of(metric));
        let differences: Vec<f64> = pairs.map(|(first, second)| second - first).collect();
        let (a, b) = (first.samples(metric), second.samples(metric));
        let paired = compare_paired(&borrowed(&a), &borrowed(&b), SEED);
        Comparison {
            difference: mean(differences.iter().copied()),
            seeds: t_interval(&differences),
            concepts: paired.and_then(|paired| paired.confidence.interval),
        }
    }

    /// The names of all tasks, in the order of the benchmark.
    pub(crate) fn tasks(&self) -> Vec<&'static str> {
        let known = RELATIONS
            .into_iter()
            .chain(["focus_style", "focus_thing", TEXT_TO_IMAGE]);
        let runs = self.conditions.first().and_then(|condition| condition.runs.first());
        let has = |name: &&str| runs.is_some_and(|run| run.values.tasks.iter().any(|task| task.task == *name));
        known.filter(has).collect()
    }

    /// The relations among them.
    pub(crate) fn relations(&self) -> Vec<&'static str> {
        let mut tasks = self.tasks();
        tasks.retain(|task| RELATIONS.contains(task));
        tasks
    }

    pub(crate) fn seeds(&self) -> usize {
        self.conditions.first().map_or(0, |condition| condition.runs.len())
    }
}

impl Comparison {
    /// An effect needs an interval over seeds without 0, and one over concepts without 0 on the same side where there is one.
    pub(crate) fn effect(&self) -> Effect {
        let side = |interval: &Interval| match interval {
            Interval { low, .. } if *low > 0.0 => Effect::Up,
            Interval { high, .. } if *high < 0.0 => Effect::Down,
            _ => Effect::Unclear,
        };
        let Some(seeds) = self.seeds.as_ref().map(side) else {
            return Effect::Unclear;
        };
        match self.concepts.as_ref().map(side) {
            Some(concepts) if concepts != seeds => Effect::Unclear,
            _ => seeds,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use magiclens_collection::{COLOR, GROUP, SKIN_TONE, STYLE};

    use super::*;
    use crate::metric::{MEAN_R1, MEAN_R10};
    use crate::table::ALL;

    /// Results of an experiment in which every query of a run has one value: that of its condition, seed and task.
    pub(crate) fn made_up(name: &str, value: impl Fn(usize, u64, &str) -> f64) -> Results {
        let experiment = ALL.iter().find(|one| one.name == name).unwrap();
        let tasks = [STYLE, SKIN_TONE, GROUP, TEXT_TO_IMAGE];
        let task = |name: &str, value: f64| TaskValues {
            task: name.to_owned(),
            // Skin tone has too few concepts.
            clusters: (0..40)
                .map(|query| if name == SKIN_TONE { query % 5 } else { query % 25 })
                .collect(),
            values: BTreeMap::from(["R@1", "R@10"].map(|label| (label.to_owned(), vec![value; 40]))),
        };
        let run = |place: usize, seed: u64| RunResults {
            seed,
            values: RunValues {
                parameters: 1000 * (place + 1),
                tasks: tasks.map(|name| task(name, value(place, seed, name))).into(),
            },
            robustness: None,
        };
        let condition = |(place, condition): (usize, &'static Condition)| ConditionResults {
            condition,
            runs: (1..=3).map(|seed| run(place, seed)).collect(),
            agreement: None,
        };
        Results {
            experiment,
            settings: Settings::read(None).unwrap(),
            conditions: experiment.conditions.iter().enumerate().map(condition).collect(),
        }
    }

    #[test]
    fn means_are_over_queries_tasks_and_seeds() {
        let results = made_up("query-negatives", |place, seed, task| match task {
            STYLE => 0.1 * seed as f64,
            GROUP => 0.4 + 0.1 * place as f64,
            _ => 0.6,
        });
        let first = &results.conditions[0];
        // (0.2 + 0.6 + 0.4) / 3, text -> image left out.
        let summary = first.summary(MEAN_R10).unwrap();
        assert!(
            (summary.mean - 0.4).abs() < 1e-12 && summary.concepts.is_none(),
            "{summary:?}"
        );
        let expected = [1.1, 1.2, 1.3].map(|sum| sum / 3.0);
        assert!(summary.runs.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        let style = first.summary(Metric::of("style", STYLE, "R@1")).unwrap();
        assert!(style.concepts.is_some() && (style.mean - 0.2).abs() < 1e-12);
        let tone = first.summary(Metric::of("tone", SKIN_TONE, "R@1")).unwrap();
        assert_eq!(tone.concepts, None);
        assert_eq!(first.summary(Metric::of("color", COLOR, "R@1")), None);
        assert_eq!(results.tasks(), [STYLE, SKIN_TONE, GROUP, "text_to_image"]);
    }

    #[test]
    fn differences_are_of_runs_with_one_seed() {
        // Seeds differ by far more than conditions, but each seed by the same.
        let results = made_up("query-negatives", |place, seed, _| {
            0.1 * seed as f64 + 0.02 * place as f64
        });
        let found = results.compare(0, 1, MEAN_R1);
        assert!((found.difference - 0.02).abs() < 1e-12, "{found:?}");
        assert_eq!(found.effect(), Effect::Up);
        assert_eq!(results.compare(1, 0, MEAN_R1).effect(), Effect::Down);
        assert_eq!(results.compare(0, 0, MEAN_R1).effect(), Effect::Unclear);
    }

    #[test]
    fn an_effect_needs_both_intervals_on_one_side() {
        let check = |seeds: Option<[f64; 2]>, concepts: Option<[f64; 2]>, expected: Effect| {
            let interval = |ends: [f64; 2]| Interval {
                low: ends[0],
                high: ends[1],
            };
            let comparison = Comparison {
                difference: 0.1,
                seeds: seeds.map(interval),
                concepts: concepts.map(interval),
            };
            assert_eq!(comparison.effect(), expected, "{comparison:?}");
        };
        check(Some([0.1, 0.2]), Some([0.05, 0.3]), Effect::Up);
        check(Some([0.1, 0.2]), None, Effect::Up);
        check(Some([-0.2, -0.1]), None, Effect::Down);
        check(Some([0.1, 0.2]), Some([-0.05, 0.3]), Effect::Unclear);
        check(Some([0.1, 0.2]), Some([-0.3, -0.1]), Effect::Unclear);
        check(Some([-0.1, 0.2]), Some([0.1, 0.3]), Effect::Unclear);
        check(None, Some([0.1, 0.3]), Effect::Unclear);
    }
}
