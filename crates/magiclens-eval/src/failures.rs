//! The queries that a system got wrong, to look at.

use crate::benchmark::{Benchmark, Query, Task, TaskKind, Truth, Variant};
use crate::outcome::{Classes, QueryOutcome};
use crate::report::{Answer, Failure, Shown};

/// Right answers of a failure that are shown.
const TRUTH_SHOWN: usize = 3;
/// Answers of a failure that are shown.
const ANSWERS_SHOWN: usize = 10;

/// At most `count` of the worst queries of a task by its first reported measure, those of equal value spread over the whole
/// list.
pub(crate) fn failures(
    benchmark: &Benchmark,
    variant: &Variant,
    task: &Task,
    outcome: &[QueryOutcome],
    count: usize,
) -> Vec<Failure> {
    let column = benchmark.columns.iter().find(|column| column.variant == variant.flag);
    let measure = column.and_then(|column| task.measure(&column.measure)).unwrap_or(0);
    let mut worst: Vec<(usize, &Query, &QueryOutcome)> = (0..)
        .zip(task.queries.iter().zip(outcome))
        .map(|(at, (query, outcome))| (at, query, outcome))
        .filter(|(.., outcome)| outcome.values.get(measure).is_some_and(|value| *value < 1.0))
        .collect();
    // Neighbors in the list are often of one kind, so equal values are taken in a scattered order that never changes.
    let scattered = |at: usize| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    worst.sort_by(|(a, _, one), (b, _, other)| {
        let values = one.values[measure].total_cmp(&other.values[measure]);
        values.then(scattered(*a).cmp(&scattered(*b)))
    });
    let shown = Shower {
        benchmark,
        task,
        classes: Classes::of(task),
    };
    let failure = |(_, query, outcome)| shown.failure(&variant.flag, query, outcome);
    worst.into_iter().take(count).map(failure).collect()
}

/// Names of a task's images and texts.
struct Shower<'a> {
    benchmark: &'a Benchmark,
    task: &'a Task,
    classes: Classes,
}

impl Shower<'_> {
    fn failure(&self, flag: &str, query: &Query, outcome: &QueryOutcome) -> Failure {
        let measures = self.task.measures.iter().zip(&outcome.values);
        let answers = outcome.head.iter().take(ANSWERS_SHOWN).map(|row| Answer {
            shown: self.item(*row),
            right: self.classes.is_right(query, *row),
        });
        Failure {
            variant: flag.to_owned(),
            task: self.task.name.clone(),
            query: query.id.clone(),
            text: query.text.clone(),
            images: query.images.iter().map(|row| self.image(*row)).collect(),
            truth: self.truth(query).iter().map(|row| self.item(*row)).collect(),
            answers: answers.collect(),
            values: measures
                .map(|(measure, value)| (measure.label.clone(), *value))
                .filter(|(_, value)| !value.is_nan())
                .collect(),
        }
    }

    fn truth(&self, query: &Query) -> Vec<usize> {
        match &query.truth {
            Truth::Hidden => Vec::new(),
            Truth::Items(rows) => rows.iter().copied().take(TRUTH_SHOWN).collect(),
            Truth::Class(class) => {
                let members = self.task.members(*class);
                members.take(TRUTH_SHOWN).collect()
            }
        }
    }

    fn item(&self, row: usize) -> Shown {
        match self.task.kind {
            TaskKind::ImageToText => Shown::Text(self.benchmark.texts[row].text.clone()),
            TaskKind::Composed | TaskKind::TextToImage => self.image(row),
        }
    }

    fn image(&self, row: usize) -> Shown {
        let image = &self.benchmark.images[row];
        Shown::Image {
            id: image.id.to_string(),
            path: image.path.clone(),
            crop: image.crop,
        }
    }
}
