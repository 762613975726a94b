//! A benchmark without images that cannot be used: its scores cannot be compared with any others.

use std::collections::BTreeSet;

use crate::benchmark::{Benchmark, Query, Task, TaskKind, Truth};

/// The number of things that [`Benchmark::without`] dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Images.
    pub images: usize,
    /// Queries of the first variant.
    pub queries: usize,
}

impl Benchmark {
    /// The benchmark without the images of these rows, and the number of things dropped with them: gallery items, right
    /// answers, queries whose image or every right answer is gone.
    pub fn without(mut self, broken: &BTreeSet<usize>) -> (Self, Dropped) {
        let queries = |benchmark: &Self| -> usize {
            // Variants ask the same queries.
            let first = benchmark.variants.first();
            first.map_or(0, |variant| variant.queries().count())
        };
        let before = queries(&self);
        for task in self.variants.iter_mut().flat_map(|variant| &mut variant.tasks) {
            drop_from(task, broken);
        }
        let dropped = Dropped {
            images: broken.len(),
            queries: before - queries(&self),
        };
        for variant in &mut self.variants {
            variant.tasks.retain(|task| !task.queries.is_empty());
        }
        self.variants.retain(|variant| !variant.tasks.is_empty());
        self.remarks.push(format!(
            "PARTIAL: {} images cannot be used and {} queries are dropped; these scores cannot be compared with any others.",
            dropped.images, dropped.queries
        ));
        (self, dropped)
    }
}

fn drop_from(task: &mut Task, broken: &BTreeSet<usize>) {
    if task.kind != TaskKind::ImageToText {
        if task.classes.is_empty() {
            task.gallery.retain(|row| !broken.contains(row));
        } else {
            let items = task.gallery.iter().copied().zip(task.classes.iter().copied());
            (task.gallery, task.classes) = items.filter(|(row, _)| !broken.contains(row)).unzip();
        }
    }
    let (kind, classes) = (task.kind, &task.classes);
    task.queries.retain_mut(|query| retain(query, broken, kind, classes));
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
