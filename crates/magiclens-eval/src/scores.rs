//! Values become scores: means over queries and tasks, confidence intervals, breakdowns, differences of two systems.

use std::collections::{BTreeMap, HashMap};

use magiclens_metrics::{Confidence, Paired, Sample, bootstrap_interval, compare_paired, mean};
use serde::{Deserialize, Serialize};

use crate::benchmark::{Mean, Query, Task, Variant};
use crate::outcome::{QueryOutcome, TaskOutcome};

/// The seed of intervals and tests; every result is a function of it.
const SEED: u64 = 20_240_319;

/// A mean with its confidence interval, in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The label of the measure.
    pub label: String,
    /// The mean; `null` where nothing could be measured.
    pub value: Option<f64>,
    /// Its 95 % bootstrap interval.
    #[serde(flatten)]
    pub confidence: Confidence,
}

/// The scores of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// The name of the task.
    pub task: String,
    /// Queries measured.
    pub queries: usize,
    /// Items of the gallery; for candidate lists the largest.
    pub gallery: usize,
    /// A score a measure.
    #[serde(rename = "figures")]
    pub scores: Vec<Score>,
    /// The scores of each group of queries.
    pub groups: BTreeMap<String, GroupScores>,
}

/// The scores of a group of queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// Queries of the group.
    pub queries: usize,
    /// A score a measure.
    #[serde(rename = "figures")]
    pub scores: Vec<Score>,
}

/// The scores of one variant of a protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantScores {
    /// As people read it.
    pub variant: String,
    /// As the command line names it.
    pub flag: String,
    /// By task.
    pub tasks: Vec<TaskScores>,
    /// The means over tasks of the measures that all tasks have.
    pub means: Vec<Score>,
}

/// The difference of two systems in one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The flag of the variant.
    pub variant: String,
    /// The task; `None` is the mean over tasks.
    pub task: Option<String>,
    /// The label of the measure.
    pub label: String,
    /// Second minus first.
    #[serde(flatten)]
    pub paired: Paired,
}

impl VariantScores {
    /// The scores of a variant from the outcomes of its tasks.
    pub fn of(variant: &Variant, outcomes: &[TaskOutcome]) -> Self {
        let tasks = variant.tasks.iter().zip(outcomes);
        let mean = |label: &str| Score::of(label, &samples(variant, outcomes, label));
        Self {
            variant: variant.name.clone(),
            flag: variant.flag.clone(),
            tasks: tasks.map(|(task, outcome)| TaskScores::of(task, outcome)).collect(),
            means: shared_measures(variant).into_iter().map(mean).collect(),
        }
    }

    /// The score of a task, or of the mean over tasks; `None` if this variant has none of this label.
    pub fn score(&self, task: Option<&str>, label: &str) -> Option<&Score> {
        let scores = match task {
            Some(task) => &self.tasks.iter().find(|scores| scores.task == task)?.scores,
            None => &self.means,
        };
        scores.iter().find(|score| score.label == label)
    }
}

impl TaskScores {
    fn of(task: &Task, outcome: &[QueryOutcome]) -> Self {
        let asked = task.queries.iter().zip(outcome);
        let answered: Vec<Answered<'_>> = asked.filter(|(_, outcome)| outcome.is_answered()).collect();
        let mut groups: BTreeMap<&str, Vec<Answered<'_>>> = BTreeMap::new();
        for one in &answered {
            for group in &one.0.groups {
                groups.entry(group).or_default().push(*one);
            }
        }
        let largest = task.queries.iter().map(|query| query.subset.len()).max().unwrap_or(0);
        let group_scores = |(group, answered): (&str, Vec<Answered<'_>>)| {
            let queries = answered.len();
            let scores = scores(task, &answered);
            (group.to_owned(), GroupScores { queries, scores })
        };
        Self {
            task: task.name.clone(),
            queries: answered.len(),
            gallery: match task.gallery.len() {
                0 => largest,
                items => items,
            },
            scores: scores(task, &answered),
            groups: groups.into_iter().map(group_scores).collect(),
        }
    }
}

impl Score {
    fn of(label: &str, samples: &[Values]) -> Self {
        let means: Vec<f64> = samples
            .iter()
            .map(|sample| mean(sample.values.iter().copied()))
            .collect();
        // A mean over tasks needs all of them.
        let is_known = !means.is_empty() && means.iter().all(|mean| !mean.is_nan());
        Self {
            label: label.to_owned(),
            value: is_known.then(|| mean(means)),
            confidence: match is_known {
                true => bootstrap_interval(&borrowed(samples), SEED),
                false => Confidence::default(),
            },
        }
    }
}

/// The differences of the second system from the first in every measure of a variant: each task, and the mean over tasks.
pub fn differences(variant: &Variant, first: &[TaskOutcome], second: &[TaskOutcome]) -> Vec<Difference> {
    let difference = |task: Option<&Task>, label: &str, first: &[Values], second: &[Values]| {
        let paired = compare_paired(&borrowed(first), &borrowed(second), SEED)?;
        Some(Difference {
            variant: variant.flag.clone(),
            task: task.map(|task| task.name.clone()),
            label: label.to_owned(),
            paired,
        })
    };
    let mut found = Vec::new();
    for (task, (a, b)) in variant.tasks.iter().zip(first.iter().zip(second)) {
        for (at, measure) in task.measures.iter().enumerate() {
            let [a, b] = [a, b].map(|outcome| Values::of_task(task, outcome, at));
            found.extend(difference(Some(task), &measure.label, &[a], &[b]));
        }
    }
    if variant.tasks.len() > 1 {
        for label in shared_measures(variant) {
            let [a, b] = [first, second].map(|outcomes| samples(variant, outcomes, label));
            found.extend(difference(None, label, &a, &b));
        }
    }
    found
}

/// A query with its outcome.
type Answered<'a> = (&'a Query, &'a QueryOutcome);

/// The values of a measure over queries, and their clusters, numbered from 0 without gaps.
#[derive(Default)]
struct Values {
    values: Vec<f64>,
    clusters: Vec<usize>,
}

impl Values {
    fn of<'a>(answered: impl Iterator<Item = Answered<'a>>, measure: usize) -> Self {
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let (values, clusters) = answered
            .map(|(query, outcome)| {
                let next = numbers.len();
                (outcome.values[measure], *numbers.entry(query.cluster).or_insert(next))
            })
            .unzip();
        Self { values, clusters }
    }

    /// Both as one sample; no cluster of one is a cluster of the other.
    fn joined(mut self, other: Self) -> Self {
        let next = self.clusters.iter().max().map_or(0, |last| last + 1);
        self.values.extend(other.values);
        self.clusters
            .extend(other.clusters.into_iter().map(|cluster| next + cluster));
        self
    }

    fn of_task(task: &Task, outcome: &[QueryOutcome], measure: usize) -> Self {
        Self::of(task.queries.iter().zip(outcome), measure)
    }
}

fn borrowed(samples: &[Values]) -> Vec<Sample<'_>> {
    let samples = samples.iter();
    samples
        .map(|Values { values, clusters }| Sample { values, clusters })
        .collect()
}

fn scores(task: &Task, answered: &[Answered<'_>]) -> Vec<Score> {
    let measures = task.measures.iter().enumerate();
    measures
        .map(|(at, measure)| Score::of(&measure.label, &[Values::of(answered.iter().copied(), at)]))
        .collect()
}

fn samples(variant: &Variant, outcomes: &[TaskOutcome], label: &str) -> Vec<Values> {
    let tasks = variant.tasks.iter().zip(outcomes);
    let samples = tasks.filter_map(|(task, outcome)| Some(Values::of_task(task, outcome, task.measure(label)?)));
    match variant.mean {
        Mean::Tasks => samples.collect(),
        Mean::Queries => vec![samples.fold(Values::default(), Values::joined)],
    }
}

/// The labels that every task of a variant has, in the order of the first.
fn shared_measures(variant: &Variant) -> Vec<&str> {
    let Some((first, others)) = variant.tasks.split_first() else {
        return Vec::new();
    };
    let labels = first.measures.iter().map(|measure| measure.label.as_str());
    labels
        .filter(|label| others.iter().all(|task| task.measure(label).is_some()))
        .collect()
}
