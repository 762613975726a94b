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
    let mut written = HashSet::new();
    let variants = benchmark.variants.iter().zip(outcomes);
    let tasks = variants.flat_map(|(variant, outcomes)| variant.tasks.iter().zip(outcomes));
    write_atomic(path, |file| {
        for (task, outcome) in tasks.filter(|(task, _)| written.insert(&task.name)) {
            let ids = |rows: &[usize]| {
                let items = rows.iter().map(|row| item_of(benchmark, task, *row));
                items.map(|item| item.id.clone()).collect()
            };
            for (query, outcome) in task.queries.iter().zip(outcome) {
                let line = Line {
                    task: Some(task.name.clone()),
                    query: Id::text(&query.id),
                    ranked: (!task.gallery.is_empty()).then(|| ids(&outcome.head)),
                    subset: (!outcome.subset.is_empty()).then(|| ids(&outcome.subset)),
                };
                write_line(file, &line)?;
            }
        }
        Ok(())
    })
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
    write_atomic(path, |file| {
        for task in tasks.filter(|task| written.insert(&task.name)) {
            for row in &task.gallery {
                let gallery = Some(task.name.as_str());
                let item = item_of(benchmark, task, *row);
                write_line(file, &Item { gallery, ..item })?;
            }
            for query in &task.queries {
                let images = query.images.iter().map(|row| benchmark.images[*row].path.as_path());
                let line = QueryLine {
                    task: &task.name,
                    query: &query.id,
                    images: images.collect(),
                    text: &query.text,
                    candidates: query.subset.iter().map(|row| item_of(benchmark, task, *row)).collect(),
                };
                write_line(file, &line)?;
            }
        }
        Ok(())
    })
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

fn write_line(file: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}
