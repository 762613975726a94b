//! Rankings become values: every measure of a task for every query.

use std::collections::HashSet;

use magiclens_metrics::Judged;

use crate::benchmark::{Query, Scope, Task, Truth};

/// The answer to one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// Rows of the gallery's items, best first; without the excluded ones.
    pub items: Vec<usize>,
    /// The query's candidates, best first.
    pub subset: Vec<usize>,
}

/// The values of one query and the head of its ranking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryOutcome {
    /// A value a measure; NaN where undefined.
    pub values: Vec<f64>,
    /// The first rows of the ranking (or of the candidates).
    pub head: Vec<usize>,
    /// The candidates, best first; empty where no measure looks at them.
    pub subset: Vec<usize>,
}

/// The outcomes of the queries of a task, in their order.
pub type TaskOutcome = Vec<QueryOutcome>;

impl QueryOutcome {
    /// The values of a query and its answer, of which the first `head` items are kept.
    pub fn new(task: &Task, values: Vec<f64>, ranked: Ranked, head: usize) -> Self {
        let list = match task.gallery.is_empty() {
            true => &ranked.subset,
            false => &ranked.items,
        };
        Self {
            values,
            head: list[..list.len().min(head)].to_vec(),
            subset: ranked.subset,
        }
    }

    /// A query without an answer.
    pub fn unanswered(task: &Task) -> Self {
        Self {
            values: vec![f64::NAN; task.measures.len()],
            ..Self::default()
        }
    }

    /// Whether any measure has a value.
    pub fn is_answered(&self) -> bool {
        self.values.iter().any(|value| !value.is_nan())
    }
}

/// Applies every measure of a task to one answer.
pub fn judge(task: &Task, classes: &Classes, query: &Query, ranked: &Ranked) -> Vec<f64> {
    let judgment = Judgment::of(task, classes, query);
    let mut scopes: Vec<(Scope, Judged)> = Vec::with_capacity(2);
    task.measures
        .iter()
        .map(|measure| {
            let known = scopes.iter().position(|(scope, _)| *scope == measure.scope);
            let at = known.unwrap_or_else(|| {
                scopes.push((measure.scope, judgment.of_scope(measure.scope, task, query, ranked)));
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

    /// Whether a row is a right answer to a query.
    pub(crate) fn is_right(&self, query: &Query, row: usize) -> bool {
        match &query.truth {
            Truth::Hidden => false,
            Truth::Items(rows) => rows.contains(&row),
            Truth::Class(class) => self.is(row, *class),
        }
    }
}

/// The right answers of a query in a form that is fast to look up.
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

    fn of_scope(&self, scope: Scope, task: &Task, query: &Query, ranked: &Ranked) -> Judged {
        match scope {
            Scope::Ranking => self.judged(&ranked.items).of_gallery(gallery_size(task, query)),
            Scope::Subset => self.judged(&ranked.subset).of_gallery(query.subset.len()),
            Scope::Target => {
                let target: HashSet<usize> = query.target.into_iter().collect();
                Judged::of(&ranked.items, &target).of_gallery(gallery_size(task, query))
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
