//! A caption alone, and the images that have it: what the space that texts and images share is worth.

use std::collections::BTreeMap;

use magiclens_collection::{Collection, ImageKind};

use crate::benchmark::{Measure, Metric, Query, Task, TaskKind, Truth};

/// The flag of the variant.
pub(super) const CAPTIONS: &str = "captions";

/// The tasks: a photograph by its caption among the photographs of the part, a drawing among its drawings.
pub(super) fn tasks(collection: &Collection) -> Vec<Task> {
    let kinds = [
        ("text_to_photo", ImageKind::Photo),
        ("text_to_drawing", ImageKind::Drawing),
    ];
    let tasks = kinds.into_iter().map(|(name, kind)| task(collection, name, kind));
    tasks.filter(|task| !task.queries.is_empty()).collect()
}

fn task(collection: &Collection, name: &str, kind: ImageKind) -> Task {
    let images = &collection.images;
    let gallery: Vec<usize> = (0..images.len()).filter(|row| images[*row].kind == kind).collect();
    let mut captions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in &gallery {
        captions.entry(&images[*row].caption).or_default().push(*row);
    }
    captions.remove("");
    let query = |(number, (caption, rows)): (usize, (&str, Vec<usize>))| Query {
        id: number.to_string(),
        text: caption.to_owned(),
        cluster: rows.first().map_or(0, |row| collection.roots[*row]),
        truth: Truth::Items(rows),
        ..Query::default()
    };
    Task {
        name: name.to_owned(),
        kind: TaskKind::TextToImage,
        queries: captions.into_iter().enumerate().map(query).collect(),
        gallery,
        measures: Measure::at("R", [1, 5, 10], Metric::Hit).into(),
        ..Task::default()
    }
}
