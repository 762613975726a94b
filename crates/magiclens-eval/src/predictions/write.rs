//! Rankings are written, and queries for other systems.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use magiclens_data::files::write_atomic;
use serde::Serialize;

use super::Line;
use crate::EvalError;
use crate::benchmark::{Benchmark, Crop, Task, TaskKind};
use crate::id::Id;
use crate::outcome::TaskOutcome;

/// Writes the rankings of every variant as JSON lines. Of tasks that several variants have, the first counts.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, benchmark: &Benchmark, outcomes: &[Vec<TaskOutcome>]) -> Result<(), EvalError> {
    let mut lines = Vec::new();
    let tasks = benchmark.variants.iter().zip(outcomes);
    let mut written = HashSet::new();
    for (task, outcome) in tasks.flat_map(|(variant, outcomes)| variant.tasks.iter().zip(outcomes)) {
        if written.insert(&task.name) {
            lines.extend(task.queries.iter().zip(outcome).map(|both| (task, both)));
        }
    }
    write_lines(
        path,
        lines.into_iter().map(|(task, (query, outcome))| {
            let ids = |rows: &[usize]| {
                rows.iter()
                    .map(|row| item_of(benchmark, task, *row).id.clone())
                    .collect()
            };
            Line {
                task: Some(task.name.clone()),
                query: Id::text(&query.id),
                ranked: (!task.gallery.is_empty()).then(|| ids(&outcome.head)),
                subset: (!outcome.subset.is_empty()).then(|| ids(&outcome.subset)),
            }
        }),
    )
}

/// A query as other systems need it.
#[derive(Debug, Serialize)]
struct QueryLine<'a> {
    task: &'a str,
    query: &'a str,
    images: Vec<&'a Path>,
    text: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Item<'a>>,
}

/// An item to be ranked as other systems need it.
#[derive(Debug, Serialize)]
struct Item<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<&'a str>,
    id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<Crop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Writes the input of another system as JSON lines: first the items of each gallery with their ids, then the queries: task, id,
/// image files, text, and candidates where a query has its own.
///
/// # Errors
/// The file cannot be written.
pub fn write_queries(path: &Path, benchmark: &Benchmark) -> Result<(), EvalError> {
    let mut written = HashSet::new();
    let tasks = benchmark.variants.iter().flat_map(|variant| &variant.tasks);
    let tasks = tasks.filter(|task| written.insert(&task.name));
    write_lines(
        path,
        tasks.flat_map(|task| {
            let items = task.gallery.iter().map(|row| {
                QueryOrItem::Item(Item {
                    gallery: Some(&task.name),
                    ..item_of(benchmark, task, *row)
                })
            });
            let queries = task.queries.iter().map(|query| {
                QueryOrItem::Query(QueryLine {
                    task: &task.name,
                    query: &query.id,
                    images: query
                        .images
                        .iter()
                        .map(|row| benchmark.images[*row].path.as_path())
                        .collect(),
                    text: &query.text,
                    candidates: query.subset.iter().map(|row| item_of(benchmark, task, *row)).collect(),
                })
            });
            items.chain(queries)
        }),
    )
}

/// A line of the queries file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum QueryOrItem<'a> {
    Item(Item<'a>),
    Query(QueryLine<'a>),
}

fn item_of<'a>(benchmark: &'a Benchmark, task: &Task, row: usize) -> Item<'a> {
    let nothing = |id| Item {
        gallery: None,
        id,
        image: None,
        crop: None,
        text: None,
    };
    match task.kind {
        TaskKind::ImageToText => {
            let entry = &benchmark.texts[row];
            Item {
                text: Some(&entry.text),
                ..nothing(&entry.id)
            }
        }
        TaskKind::Composed | TaskKind::TextToImage => {
            let entry = &benchmark.images[row];
            Item {
                image: Some(&entry.path),
                crop: entry.crop,
                ..nothing(&entry.id)
            }
        }
    }
}

fn write_lines<T: Serialize>(path: &Path, lines: impl Iterator<Item = T>) -> Result<(), EvalError> {
    write_atomic(path, |file| {
        for line in lines {
            serde_json::to_writer(&mut *file, &line).map_err(std::io::Error::from)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}
