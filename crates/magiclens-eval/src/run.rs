//! Runs a system over the variants of a benchmark: vectors, rankings, values.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use magiclens_metrics::{Matrix, rank};

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, Scope, Task, Variant};
use crate::images::Step;
use crate::outcome::{Classes, QueryOutcome, Ranked, TaskOutcome, judge};
use crate::probes::Probes;
use crate::system::EvalSystem;

/// Queries whose vectors and rankings lie in memory at once.
pub(crate) const QUERIES: usize = 2048;

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

/// Runs every task of every variant. `head` is the number of first answers that are kept.
///
/// # Errors
/// The model or the cache.
pub fn run(
    benchmark: &Benchmark,
    system: &mut EvalSystem<'_>,
    head: usize,
    progress: &dyn Fn(Step<'_>),
) -> Result<Run, EvalError> {
    let start = Instant::now();
    let queries = benchmark.variants.iter().flat_map(Variant::queries).count();
    progress(Step::Start("queries", queries));
    let mut outcomes = Vec::with_capacity(benchmark.variants.len());
    for variant in &benchmark.variants {
        let tasks = variant.tasks.iter();
        let of_tasks = tasks.map(|task| run_task(task, system, head, progress));
        outcomes.push(of_tasks.collect::<Result<Vec<TaskOutcome>, EvalError>>()?);
    }
    progress(Step::Done);
    Ok(Run {
        outcomes,
        queries,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Ranks and judges the queries of a task by vectors from elsewhere: a row of `vectors` for each query, and one of `gallery` for
/// each of `rows`, which are the items of the task in any order.
pub fn run_vectors(task: &Task, vectors: Matrix, rows: Vec<usize>, gallery: &Matrix) -> TaskOutcome {
    TaskRanker::new(task, rows, 0).rank_all(&task.queries, &Probes::Vectors(vectors), gallery)
}

/// The items that a task ranks: its gallery, or the candidates of all its queries.
fn items_of(task: &Task) -> Vec<usize> {
    if !task.gallery.is_empty() {
        return task.gallery.clone();
    }
    let candidates = task.queries.iter().flat_map(|query| query.subset.iter().copied());
    candidates.collect::<BTreeSet<usize>>().into_iter().collect()
}

fn run_task(
    task: &Task,
    system: &mut EvalSystem<'_>,
    head: usize,
    progress: &dyn Fn(Step<'_>),
) -> Result<TaskOutcome, EvalError> {
    let rows = items_of(task);
    let gallery = system.gallery(system.space(task.kind), &rows)?;
    let ranker = TaskRanker::new(task, rows, head);
    let mut outcome = Vec::with_capacity(task.queries.len());
    for queries in task.queries.chunks(QUERIES) {
        let probes = system.probes(task.kind, queries, &gallery)?;
        outcome.extend(ranker.rank_all(queries, &probes, &gallery));
        progress(Step::Advance(queries.len()));
    }
    Ok(outcome)
}

/// Ranks and judges the queries of one task.
struct TaskRanker<'a> {
    task: &'a Task,
    rows: Vec<usize>,
    positions: HashMap<usize, usize>,
    classes: Classes,
    depth: Option<usize>,
    has_subset: bool,
    head: usize,
}

impl<'a> TaskRanker<'a> {
    fn new(task: &'a Task, rows: Vec<usize>, head: usize) -> Self {
        Self {
            task,
            positions: positions(&rows),
            classes: Classes::of(task),
            depth: task.depth().map(|depth| depth.max(head)),
            has_subset: task.measures.iter().any(|measure| measure.scope == Scope::Subset),
            rows,
            head,
        }
    }

    /// The outcomes of queries; whole rankings of many queries would not fit into memory.
    fn rank_all(&self, queries: &[Query], probes: &Probes, gallery: &Matrix) -> Vec<QueryOutcome> {
        probes.score_all(gallery, |at, scores| {
            let ranked = self.ranked(&queries[at], scores);
            let values = judge(self.task, &self.classes, &queries[at], &ranked);
            QueryOutcome::new(self.task, values, ranked, self.head)
        })
    }

    fn ranked(&self, query: &Query, scores: &[f32]) -> Ranked {
        let items = match self.task.gallery.is_empty() {
            true => Vec::new(),
            false => {
                let exclude = excluded(&query.exclude, &self.positions);
                let ranked = rank(scores, self.depth, &exclude).into_iter();
                ranked.map(|position| self.rows[position as usize]).collect()
            }
        };
        let subset = match self.has_subset {
            true => self.subset(query, scores),
            false => Vec::new(),
        };
        Ranked { items, subset }
    }

    /// The query's candidates by score, ties by descending place in the list.
    fn subset(&self, query: &Query, scores: &[f32]) -> Vec<usize> {
        let own: Vec<f32> = query.subset.iter().map(|row| scores[self.positions[row]]).collect();
        let ranked = rank(&own, None, &[]).into_iter();
        ranked.map(|at| query.subset[at as usize]).collect()
    }
}

/// The position of each row.
pub(crate) fn positions(rows: &[usize]) -> HashMap<usize, usize> {
    rows.iter()
        .enumerate()
        .map(|(position, row)| (*row, position))
        .collect()
}

/// The positions of excluded rows, as far as they are ranked.
pub(crate) fn excluded(rows: &[usize], positions: &HashMap<usize, usize>) -> Vec<usize> {
    rows.iter().filter_map(|row| positions.get(row).copied()).collect()
}
