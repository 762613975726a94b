//! Rankings become figures: what each measure gives for each query, their means, intervals and breakdowns.

use std::collections::{BTreeMap, HashMap, HashSet};

use magiclens_metrics::{Confidence, Judged, Paired, Sample, bootstrap_interval, compare_paired, mean};
use serde::{Deserialize, Serialize};

use crate::benchmark::{Benchmark, Query, Scope, Task, Truth, Variant};

/// What intervals and tests draw from; every result is a function of it.
const SEED: u64 = 20_240_319;

/// The answer to one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// Rows of the gallery's items, best first; without the excluded ones.
    pub items: Vec<usize>,
    /// The query's candidates, best first.
    pub subset: Vec<usize>,
}

/// The values of every measure for every query of a task, and the head of each ranking.
#[derive(Clone, Debug)]
pub struct TaskOutcome {
    /// `[measure][query]`; NaN where undefined.
    pub values: Vec<Vec<f64>>,
    /// `[query]`: the first rows of the ranking (or of the candidates).
    pub heads: Vec<Vec<usize>>,
    /// `[query]`: the candidates, best first; empty where no measure looks at them.
    pub subsets: Vec<Vec<usize>>,
}

impl TaskOutcome {
    /// No query yet.
    pub fn of(task: &Task) -> Self {
        Self {
            values: vec![Vec::with_capacity(task.queries.len()); task.measures.len()],
            heads: Vec::with_capacity(task.queries.len()),
            subsets: Vec::with_capacity(task.queries.len()),
        }
    }

    /// Adds the values of the next query, a value a measure, and its answer, of which the first `head` items are kept.
    pub fn push(&mut self, task: &Task, values: Vec<f64>, ranked: Ranked, head: usize) {
        values
            .into_iter()
            .zip(&mut self.values)
            .for_each(|(value, all)| all.push(value));
        let list = if task.gallery.is_empty() {
            &ranked.subset
        } else {
            &ranked.items
        };
        self.heads.push(list[..list.len().min(head)].to_vec());
        self.subsets.push(ranked.subset);
    }
}

/// A mean with its interval, in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The label of the measure.
    pub label: String,
    /// The mean; `null` where nothing could be measured.
    pub value: Option<f64>,
    /// Its 95 % bootstrap interval.
    #[serde(flatten)]
    pub confidence: Confidence,
}

/// The figures of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFigures {
    /// The name of the task.
    pub task: String,
    /// Queries measured.
    pub queries: usize,
    /// Items of the gallery; for candidate lists the largest.
    pub gallery: usize,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The figures of each group of queries.
    pub groups: BTreeMap<String, GroupFigures>,
}

/// The figures of a group of queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFigures {
    /// Queries of the group.
    pub queries: usize,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// The figures of one variant of a protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantFigures {
    /// As people read it.
    pub variant: String,
    /// As the command line names it.
    pub flag: String,
    /// By task.
    pub tasks: Vec<TaskFigures>,
    /// The means over tasks of the measures that all tasks have.
    pub means: Vec<Figure>,
}

/// How two systems differ in one measure.
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

/// Applies every measure of a task to one answer.
pub fn judge(task: &Task, classes: &Classes, query: &Query, ranked: &Ranked) -> Vec<f64> {
    let ranking = Judgment::of(task, classes, query);
    let of_scope = |scope| match scope {
        Scope::Ranking => ranking.judged(&ranked.items).of_gallery(gallery_size(task, query)),
        Scope::Subset => ranking.judged(&ranked.subset).of_gallery(query.subset.len()),
        Scope::Target => {
            let target: HashSet<usize> = query.target.into_iter().collect();
            Judged::of(&ranked.items, &target).of_gallery(gallery_size(task, query))
        }
    };
    let mut scopes: Vec<(Scope, Judged)> = Vec::with_capacity(2);
    task.measures
        .iter()
        .map(|measure| {
            let at = scopes
                .iter()
                .position(|(scope, _)| *scope == measure.scope)
                .unwrap_or_else(|| {
                    scopes.push((measure.scope, of_scope(measure.scope)));
                    scopes.len() - 1
                });
            measure.metric.value(&scopes[at].1)
        })
        .collect()
}

/// Items of the gallery that a query ranks.
pub(crate) fn gallery_size(task: &Task, query: &Query) -> usize {
    task.gallery.len().saturating_sub(query.exclude.len())
}

/// The class of every row of a task's gallery; empty where truth is no class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes(Vec<Option<u32>>);

impl Classes {
    /// The classes of a task.
    pub fn of(task: &Task) -> Self {
        let rows = if task.classes.is_empty() {
            None
        } else {
            task.gallery.iter().max()
        };
        let mut classes = vec![None; rows.map_or(0, |last| last + 1)];
        for (row, class) in task.gallery.iter().zip(&task.classes) {
            classes[*row] = Some(*class);
        }
        Self(classes)
    }

    /// Whether a row is of a class.
    pub fn is(&self, row: usize, class: u32) -> bool {
        self.0.get(row) == Some(&Some(class))
    }
}

enum Judgment<'a> {
    Items(HashSet<usize>),
    Class {
        classes: &'a Classes,
        wanted: u32,
        relevant: usize,
    },
}

impl<'a> Judgment<'a> {
    fn of(task: &Task, classes: &'a Classes, query: &Query) -> Self {
        match &query.truth {
            Truth::Hidden => Self::Items(HashSet::new()),
            Truth::Items(rows) => Self::Items(rows.iter().copied().collect()),
            Truth::Class(wanted) => {
                let all = task.classes.iter().filter(|class| *class == wanted).count();
                let excluded = query.exclude.iter().filter(|row| classes.is(**row, *wanted)).count();
                Self::Class {
                    classes,
                    wanted: *wanted,
                    relevant: all - excluded,
                }
            }
        }
    }

    fn judged(&self, rows: &[usize]) -> Judged {
        match self {
            Self::Items(relevant) => Judged::of(rows, relevant),
            Self::Class {
                classes,
                wanted,
                relevant,
            } => Judged::by(rows.iter().map(|row| classes.is(*row, *wanted)), *relevant),
        }
    }
}

/// The figures of a variant from the outcomes of its tasks.
pub fn figures(variant: &Variant, outcomes: &[TaskOutcome]) -> VariantFigures {
    let tasks = variant
        .tasks
        .iter()
        .zip(outcomes)
        .map(|(task, outcome)| task_figures(task, outcome))
        .collect();
    let means = shared_measures(variant)
        .into_iter()
        .map(|label| figure(label, &samples(variant, outcomes, label)))
        .collect();
    VariantFigures {
        variant: variant.name.clone(),
        flag: variant.flag.clone(),
        tasks,
        means,
    }
}

/// How the second system differs from the first in every measure of a variant: each task, and the mean over tasks.
pub fn differences(variant: &Variant, first: &[TaskOutcome], second: &[TaskOutcome]) -> Vec<Difference> {
    let difference = |task: Option<&Task>, label: &str, first: &[OwnedSample], second: &[OwnedSample]| {
        let paired = compare_paired(&as_samples(first), &as_samples(second), SEED)?;
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
            let (a, b) = (sample(task, a, at), sample(task, b, at));
            found.extend(difference(Some(task), &measure.label, &[a], &[b]));
        }
    }
    if variant.tasks.len() > 1 {
        for label in shared_measures(variant) {
            let (a, b) = (samples(variant, first, label), samples(variant, second, label));
            found.extend(difference(None, label, &a, &b));
        }
    }
    found
}

/// Values and clusters of the queries of a task.
type OwnedSample = (Vec<f64>, Vec<usize>);

fn as_samples(owned: &[OwnedSample]) -> Vec<Sample<'_>> {
    owned
        .iter()
        .map(|(values, clusters)| Sample { values, clusters })
        .collect()
}

fn sample(task: &Task, outcome: &TaskOutcome, measure: usize) -> OwnedSample {
    (outcome.values[measure].clone(), dense(task.queries.iter()))
}

fn samples(variant: &Variant, outcomes: &[TaskOutcome], label: &str) -> Vec<OwnedSample> {
    variant
        .tasks
        .iter()
        .zip(outcomes)
        .filter_map(|(task, outcome)| Some(sample(task, outcome, task.measure(label)?)))
        .collect()
}

/// The clusters of queries, numbered from 0 without gaps.
fn dense<'a>(queries: impl Iterator<Item = &'a Query>) -> Vec<usize> {
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    queries
        .map(|query| {
            let next = numbers.len();
            *numbers.entry(query.cluster).or_insert(next)
        })
        .collect()
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

fn task_figures(task: &Task, outcome: &TaskOutcome) -> TaskFigures {
    let of_rows = |rows: &[usize]| -> Vec<Figure> {
        task.measures
            .iter()
            .enumerate()
            .map(|(at, measure)| {
                let values = rows.iter().map(|row| outcome.values[at][*row]).collect();
                let clusters = dense(rows.iter().map(|row| &task.queries[*row]));
                figure(&measure.label, &[(values, clusters)])
            })
            .collect()
    };
    // A query that was not answered has no value of any measure.
    let answered: Vec<usize> = (0..task.queries.len())
        .filter(|row| outcome.values.iter().any(|values| !values[*row].is_nan()))
        .collect();
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, query) in answered.iter().map(|row| (*row, &task.queries[*row])) {
        for group in &query.groups {
            groups.entry(group).or_default().push(row);
        }
    }
    let largest = task.queries.iter().map(|query| query.subset.len()).max().unwrap_or(0);
    TaskFigures {
        task: task.name.clone(),
        queries: answered.len(),
        gallery: if task.gallery.is_empty() {
            largest
        } else {
            task.gallery.len()
        },
        figures: of_rows(&answered),
        groups: groups
            .into_iter()
            .map(|(group, rows)| {
                let queries = rows.len();
                let figures = of_rows(&rows);
                (group.to_owned(), GroupFigures { queries, figures })
            })
            .collect(),
    }
}

fn figure(label: &str, samples: &[OwnedSample]) -> Figure {
    let means: Vec<f64> = samples.iter().map(|(values, _)| mean(values.iter().copied())).collect();
    // A mean over tasks needs all of them.
    let is_known = !means.is_empty() && means.iter().all(|mean| !mean.is_nan());
    Figure {
        label: label.to_owned(),
        value: is_known.then(|| mean(means)),
        confidence: match is_known {
            true => bootstrap_interval(&as_samples(samples), SEED),
            false => Confidence::default(),
        },
    }
}

impl VariantFigures {
    /// The figure of a column; `None` if this variant has none.
    pub fn figure(&self, task: Option<&str>, label: &str) -> Option<&Figure> {
        let figures = match task {
            Some(task) => &self.tasks.iter().find(|figures| figures.task == task)?.figures,
            None => &self.means,
        };
        figures.iter().find(|figure| figure.label == label)
    }
}

impl Benchmark {
    /// Whether no variant has a query whose truth is published: then only server files can be made.
    pub fn is_hidden(&self) -> bool {
        let mut queries = self
            .variants
            .iter()
            .flat_map(|variant| &variant.tasks)
            .flat_map(|task| &task.queries);
        queries.all(|query| query.truth == Truth::Hidden)
    }
}
