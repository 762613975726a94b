//! Runs a system over the variants of a benchmark: vectors, rankings, figures.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use magiclens_metrics::{Matrix, rank, score_all};

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, Scope, Task, TaskKind, Truth, Variant};
use crate::images::Step;
use crate::outcome::{Classes, Ranked, TaskOutcome, judge};
use crate::robustness::{Answered, Ranker as Asked, RobustQuery};
use crate::system::System;

/// Queries whose vectors and rankings lie in memory at once.
const QUERIES: usize = 2048;

/// The outcomes of the tasks of each variant.
#[derive(Clone, Debug)]
pub struct Run {
    /// `[variant][task]`
    pub outcomes: Vec<Vec<TaskOutcome>>,
    /// Queries ranked.
    pub queries: usize,
    /// Seconds that it took, vectors of galleries and queries included.
    pub seconds: f64,
}

/// Runs every task of every variant. `head` is how many of the first answers are kept.
///
/// # Errors
/// The model or the cache.
pub fn run(
    benchmark: &Benchmark,
    system: &mut System<'_>,
    head: usize,
    progress: &dyn Fn(Step<'_>),
) -> Result<Run, EvalError> {
    let start = Instant::now();
    let tasks = || benchmark.variants.iter().flat_map(|variant| &variant.tasks);
    let queries = tasks().map(|task| task.queries.len()).sum();
    progress(Step::Start("queries", queries));
    let run_variant = |variant: &Variant, system: &mut System<'_>| {
        let tasks = variant.tasks.iter();
        tasks
            .map(|task| run_task(task, system, head, progress))
            .collect::<Result<Vec<_>, _>>()
    };
    let outcomes = benchmark
        .variants
        .iter()
        .map(|variant| run_variant(variant, system))
        .collect::<Result<Vec<_>, _>>()?;
    progress(Step::Done);
    Ok(Run {
        outcomes,
        queries,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// The items that a task ranks: its gallery, or the candidates of all its queries.
pub(crate) fn items_of(task: &Task) -> Vec<usize> {
    if !task.gallery.is_empty() {
        return task.gallery.clone();
    }
    let all: BTreeSet<usize> = task
        .queries
        .iter()
        .flat_map(|query| query.subset.iter().copied())
        .collect();
    all.into_iter().collect()
}

fn run_task(
    task: &Task,
    system: &mut System<'_>,
    head: usize,
    progress: &dyn Fn(Step<'_>),
) -> Result<TaskOutcome, EvalError> {
    let rows = items_of(task);
    let gallery = system.gallery(system.space(task.kind), &rows)?;
    let ranker = Ranker::new(task, rows, head);
    let mut outcome = TaskOutcome::of(task);
    for queries in task.queries.chunks(QUERIES) {
        let vectors = system.queries(task.kind, queries)?;
        for (values, ranked) in ranker.rank_all(queries, &vectors, &gallery) {
            outcome.push(task, values, ranked, head);
        }
        progress(Step::Advance(queries.len()));
    }
    Ok(outcome)
}

/// Ranks and judges the queries of one task.
struct Ranker<'a> {
    task: &'a Task,
    rows: Vec<usize>,
    positions: HashMap<usize, usize>,
    classes: Classes,
    depth: Option<usize>,
    has_subset: bool,
    head: usize,
}

impl<'a> Ranker<'a> {
    fn new(task: &'a Task, rows: Vec<usize>, head: usize) -> Self {
        Self {
            task,
            positions: rows
                .iter()
                .enumerate()
                .map(|(position, row)| (*row, position))
                .collect(),
            classes: Classes::of(task),
            depth: task.depth().map(|depth| depth.max(head)),
            has_subset: task.measures.iter().any(|measure| measure.scope == Scope::Subset),
            rows,
            head,
        }
    }

    fn rank_all(&self, queries: &[Query], vectors: &Matrix, gallery: &Matrix) -> Vec<(Vec<f64>, Ranked)> {
        score_all(vectors, gallery, |at, scores| {
            let query = &queries[at];
            let mut ranked = self.ranked(query, scores);
            let values = judge(self.task, &self.classes, query, &ranked);
            // Whole rankings of many queries would not fit into memory.
            ranked.items.truncate(self.head);
            ranked.items.shrink_to_fit();
            (values, ranked)
        })
    }

    fn ranked(&self, query: &Query, scores: &[f32]) -> Ranked {
        let exclude: Vec<usize> = query
            .exclude
            .iter()
            .filter_map(|row| self.positions.get(row).copied())
            .collect();
        let rows = |positions: Vec<u32>| {
            positions
                .into_iter()
                .map(|position| self.rows[position as usize])
                .collect()
        };
        let items = if self.task.gallery.is_empty() {
            Vec::new()
        } else {
            rows(rank(scores, self.depth, &exclude))
        };
        Ranked {
            items,
            subset: if self.has_subset {
                self.subset(query, scores)
            } else {
                Vec::new()
            },
        }
    }

    /// The query's candidates by score, ties by descending place in the list.
    fn subset(&self, query: &Query, scores: &[f32]) -> Vec<usize> {
        let own: Vec<f32> = query.subset.iter().map(|row| scores[self.positions[row]]).collect();
        rank(&own, None, &[])
            .into_iter()
            .map(|at| query.subset[at as usize])
            .collect()
    }
}

impl Asked for RefCell<System<'_>> {
    fn rank(&self, queries: &[RobustQuery], gallery: &[usize], depth: usize) -> Result<Vec<Answered>, EvalError> {
        let mut system = self.borrow_mut();
        let space = system.space(TaskKind::Composed);
        let vectors = system.gallery(space, gallery)?;
        let positions: HashMap<usize, usize> = gallery.iter().enumerate().map(|(at, row)| (*row, at)).collect();
        let mut answers = Vec::with_capacity(queries.len());
        for chunk in queries.chunks(QUERIES) {
            let asked: Vec<Query> = chunk.iter().map(as_query).collect();
            let asked = system.queries(TaskKind::Composed, &asked)?;
            answers.extend(score_all(&asked, &vectors, |at, scores| {
                let exclude: Vec<usize> = chunk[at]
                    .exclude
                    .iter()
                    .filter_map(|row| positions.get(row).copied())
                    .collect();
                let ranked = rank(scores, Some(depth), &exclude);
                Answered {
                    scores: ranked.iter().map(|position| scores[*position as usize]).collect(),
                    items: ranked.iter().map(|position| gallery[*position as usize]).collect(),
                }
            }));
        }
        Ok(answers)
    }
}

fn as_query(query: &RobustQuery) -> Query {
    Query {
        images: query.images.clone(),
        text: query.text.clone(),
        ..Query::default()
    }
}

impl Benchmark {
    /// The benchmark without images that cannot be used, and what that left out: gallery items, right answers, queries whose
    /// image or every right answer is gone. Figures of it cannot be compared with any others.
    pub fn without(mut self, broken: &BTreeSet<usize>) -> (Self, Left) {
        let mut left = Left {
            images: broken.len(),
            queries: 0,
        };
        for (at, task) in self
            .variants
            .iter_mut()
            .enumerate()
            .flat_map(|(at, variant)| variant.tasks.iter_mut().map(move |task| (at, task)))
        {
            if task.kind != TaskKind::ImageToText {
                let keep: Vec<bool> = task.gallery.iter().map(|row| !broken.contains(row)).collect();
                let mut flags = keep.iter();
                task.gallery.retain(|_| *flags.next().unwrap_or(&true));
                let mut flags = keep.iter();
                task.classes.retain(|_| *flags.next().unwrap_or(&true));
            }
            let before = task.queries.len();
            let (kind, classes) = (task.kind, task.classes.clone());
            task.queries.retain_mut(|query| retain(query, broken, kind, &classes));
            // Variants ask the same queries.
            left.queries += if at == 0 { before - task.queries.len() } else { 0 };
        }
        for variant in &mut self.variants {
            variant.tasks.retain(|task| !task.queries.is_empty());
        }
        self.variants.retain(|variant| !variant.tasks.is_empty());
        self.remarks.push(format!(
            "PARTIAL: {} pictures cannot be used and {} queries are left out; these figures cannot be compared with any others.",
            left.images, left.queries
        ));
        (self, left)
    }
}

/// What [`Benchmark::without`] left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Images.
    pub images: usize,
    /// Queries of the first variant.
    pub queries: usize,
}

/// Takes broken images out of a query; `false` if nothing can be asked any more.
fn retain(query: &mut Query, broken: &BTreeSet<usize>, kind: TaskKind, classes: &[u32]) -> bool {
    let is_there = |row: &usize| !broken.contains(row);
    if !query.images.iter().all(is_there) {
        return false;
    }
    query.subset.retain(is_there);
    query.target = query.target.filter(is_there);
    if kind == TaskKind::ImageToText {
        return true;
    }
    match &mut query.truth {
        Truth::Hidden => true,
        Truth::Items(rows) => {
            rows.retain(is_there);
            !rows.is_empty()
        }
        Truth::Class(class) => classes.contains(class),
    }
}
