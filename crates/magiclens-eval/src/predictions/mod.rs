//! Files of ranked ids, so that any system can be scored by its rankings alone.
//!
//! Three forms are read:
//! - JSON lines, `{"task": "dress", "query": "12", "ranked": [ids]}`, `subset` optional; the form that is written, and the one for
//!   long rankings, since it is read a line at a time;
//! - one JSON object, `{"QUERY": [ids]}` or `{"TASK/QUERY": [ids]}`, as CIRCO's, CIRR's and MagicLens' own files are
//!   (`version` and `metric` are allowed; a `recall_subset` file ranks the subset alone);
//! - one JSON object by task, `{"TASK": {"QUERY": [ids]}}`.
//!
//! Refused are unknown queries and ids, an id twice in one list, an id outside a query's candidates, an empty list, and (unless partial
//! scoring is asked for) queries that are not answered.
//!
//! A list that is shorter than a metric looks is taken as it is: an item that is not listed was not found. Three scores do not
//! follow from the head of a ranking and stay empty: an average precision over the whole ranking, a subset that is not wholly
//! listed, and a variant that takes images out of lists which then are too short.

mod read;
mod write;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use write::{write, write_queries};

use crate::EvalError;
use crate::benchmark::{Benchmark, Measure, Query, Scope, Task, TaskKind, Variant};
use crate::id::Id;
use crate::outcome::{Classes, QueryOutcome, Ranked, TaskOutcome, gallery_size, judge};

/// The answers of one system to the queries of a benchmark.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    paths: Vec<PathBuf>,
    /// `(task, query)` -> answer.
    answers: HashMap<(String, String), Answer>,
    /// Rows from here on are ids that the annotation files do not name.
    images: usize,
    open_gallery: bool,
}

/// Rows of gallery items, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    ranked: Option<Vec<u32>>,
    subset: Option<Vec<u32>>,
}

/// A line of the form that is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    query: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranked: Option<Vec<Id>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subset: Option<Vec<Id>>,
}

/// A variant scored.
#[derive(Clone, Debug)]
pub struct Scored {
    /// By task.
    pub outcomes: Vec<TaskOutcome>,
    /// Remarks for readers.
    pub remarks: Vec<String>,
    /// True if queries were dropped because they are not answered.
    pub partial: bool,
}

impl Predictions {
    /// Reads the rankings of one system for a benchmark; several files complete each other, as CIRR's two do.
    ///
    /// # Errors
    /// See the head of this module; the message names the query and the way out.
    pub fn read(paths: &[PathBuf], benchmark: &Benchmark) -> Result<Self, EvalError> {
        let mut answers = HashMap::new();
        for path in paths {
            read::read(path, benchmark, &mut answers)?;
        }
        Ok(Self {
            paths: paths.to_vec(),
            answers,
            images: benchmark.images.len(),
            open_gallery: benchmark.open_gallery,
        })
    }

    /// Whether any query of a variant is answered.
    pub fn answers_any(&self, variant: &Variant) -> bool {
        variant
            .queries()
            .any(|(task, query)| self.answer(task, query).is_some())
    }

    /// Scores a variant of the benchmark and keeps the first `head` ids of each ranking. With `partial`, means skip queries that
    /// are not answered.
    ///
    /// # Errors
    /// Queries that are not answered.
    pub fn score(&self, variant: &Variant, head: usize, partial: bool) -> Result<Scored, EvalError> {
        let is_missing = |(task, query): &(&Task, &Query)| self.answer(task, query).is_none();
        let missing: Vec<String> = variant
            .queries()
            .filter(is_missing)
            .map(|(task, query)| format!("`{}/{}`", task.name, query.id))
            .collect();
        let all = variant.queries().count();
        if missing.len() == all || (!partial && !missing.is_empty()) {
            let examples = missing[..missing.len().min(3)].join(", ");
            return Err(EvalError::Predictions {
                path: self.paths.first().cloned().unwrap_or_default(),
                reason: format!(
                    "{} of {all} queries are not answered, such as {examples}",
                    missing.len()
                ),
                hint: "`--write-queries FILE` lists all queries; `--partial` scores those that are there".to_owned(),
            });
        }
        let mut remarks = BTreeSet::new();
        if !missing.is_empty() {
            let answered = all - missing.len();
            remarks.insert(format!(
                "PARTIAL: {answered} of {all} queries are answered; scores are over those alone."
            ));
        }
        let tasks = variant.tasks.iter();
        Ok(Scored {
            outcomes: tasks.map(|task| self.outcome(task, head, &mut remarks)).collect(),
            remarks: remarks.into_iter().collect(),
            partial: !missing.is_empty(),
        })
    }

    /// A variant without any answer.
    pub fn nothing(variant: &Variant) -> Vec<TaskOutcome> {
        let unanswered = |task: &Task| vec![QueryOutcome::unanswered(task); task.queries.len()];
        variant.tasks.iter().map(unanswered).collect()
    }

    fn answer(&self, task: &Task, query: &Query) -> Option<&Answer> {
        self.answers.get(&(task.name.clone(), query.id.clone()))
    }

    fn outcome(&self, task: &Task, head: usize, remarks: &mut BTreeSet<String>) -> TaskOutcome {
        let classes = Classes::of(task);
        let members: HashSet<usize> = match self.open_gallery {
            true => HashSet::new(),
            false => task.gallery.iter().copied().collect(),
        };
        let mut unknown = BTreeSet::new();
        let mut of_query = |query: &Query| {
            let Some(answer) = self.answer(task, query) else {
                return QueryOutcome::unanswered(task);
            };
            let ranked = ranked(answer, query, &members);
            for (at, measure) in task.measures.iter().enumerate() {
                if let Some(reason) = cannot_be_had(measure, task, query, answer, &ranked) {
                    unknown.insert(at);
                    remarks.insert(format!("{}, {}: {reason}.", task.name, measure.label));
                }
            }
            let values = judge(task, &classes, query, &ranked);
            QueryOutcome::new(task, values, ranked, head)
        };
        let mut outcome: TaskOutcome = task.queries.iter().map(&mut of_query).collect();
        for query in &mut outcome {
            // A mean over some queries only would be another metric.
            unknown.iter().for_each(|at| query.values[*at] = f64::NAN);
            let is_listed = |row: &usize| *row < self.images || task.kind == TaskKind::ImageToText;
            query.head.retain(is_listed);
        }
        outcome
    }
}

fn ranked(answer: &Answer, query: &Query, members: &HashSet<usize>) -> Ranked {
    let rows = |list: &Option<Vec<u32>>| -> Vec<usize> {
        let rows = list.iter().flatten().map(|row| *row as usize);
        rows.filter(|row| !query.exclude.contains(row)).collect()
    };
    let mut items = rows(&answer.ranked);
    let mut subset = match &answer.subset {
        Some(_) => rows(&answer.subset),
        None => items.clone(),
    };
    subset.retain(|row| query.subset.contains(row));
    // A variant with a smaller gallery ranks the rest.
    if !members.is_empty() {
        items.retain(|row| members.contains(row));
    }
    Ranked { items, subset }
}

/// The reason why a measure does not follow from this answer; `None` if it does.
fn cannot_be_had(
    measure: &Measure,
    task: &Task,
    query: &Query,
    answer: &Answer,
    ranked: &Ranked,
) -> Option<&'static str> {
    let depth = measure.metric.depth();
    if measure.scope == Scope::Subset {
        let found = ranked.subset.len();
        let deep_enough = answer.subset.is_some() && depth.is_some_and(|depth| depth <= found);
        return (found < query.subset.len() && !deep_enough).then_some("its candidates are not all ranked");
    }
    let listed = answer.ranked.as_ref().map_or(0, Vec::len);
    if listed == 0 {
        return Some("the gallery is not ranked");
    }
    let gallery = gallery_size(task, query);
    match depth {
        None => (ranked.items.len() < gallery).then_some("it needs whole rankings"),
        Some(depth) => {
            let wanted = depth.min(gallery);
            let is_cut = ranked.items.len() < wanted && wanted <= listed;
            is_cut.then_some("the lists are too short once this variant has taken images out of them")
        }
    }
}
