//! A trained head on the test part: the value of every metric for every query, as `magiclens eval own` has them.
//!
//! - Tasks: the relations and both kinds of focus of [`own`](magiclens_eval::benchmarks), without foods, which need images of
//!   their own; the relations once more with the query image in its own ranking; and text -> image, where each different caption
//!   of the part asks for the images that it is the caption of.
//! - Vectors: from frozen features by the head, in burn; `magiclens eval own` runs the whole model by the CPU engine.

use std::collections::BTreeMap;
use std::path::Path;

use magiclens_collection::{Collection, FOOD};
use magiclens_eval::benchmark::{Measure, Metric, Query, Task, TaskKind, Truth};
use magiclens_eval::benchmarks::{Entry, LoadOptions};
use magiclens_eval::outcome::TaskOutcome;
use magiclens_train::feature_table::FeatureTable;
use serde::{Deserialize, Serialize};

use crate::ExperimentError;

/// The task of captions that ask for images.
pub(crate) const TEXT_TO_IMAGE: &str = "text_to_image";
/// The end of a relation's name where the query image stays in its own ranking, which is what a model without regard to the
/// instruction finds first.
pub(crate) const QUERY_KEPT: &str = ", query kept";
const RANKS: [usize; 2] = [1, 10];

/// The test part of a collection, with frozen features of its images.
pub(crate) struct TestPart {
    pub(crate) collection: Collection,
    /// A row for each image.
    pub(crate) images: FeatureTable,
    /// Rows of images and galleries are those of the collection.
    pub(crate) tasks: Vec<Task>,
}

/// The values of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunValues {
    /// Numbers that were trained.
    pub(crate) parameters: usize,
    /// In the order of the benchmark, text -> image last.
    pub(crate) tasks: Vec<TaskValues>,
}

/// The values of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskValues {
    /// Its name, e.g. "style".
    pub(crate) task: String,
    /// The root concept of each query, numbered from 0 in their order: queries of one are not independent.
    pub(crate) clusters: Vec<usize>,
    /// For each measure a value for each query.
    pub(crate) values: BTreeMap<String, Vec<f64>>,
}

impl TestPart {
    pub(crate) fn load(data: &Path, collection: Collection, images: FeatureTable) -> Result<Self, ExperimentError> {
        let no_queries = || ExperimentError::NoQueries { folder: data.into() };
        let own = Entry::named("own").ok_or_else(no_queries)?;
        let own = own.load(data, &LoadOptions::default())?;
        let tasks = own.variants.into_iter().next().map(|variant| variant.tasks);
        let mut tasks = tasks.unwrap_or_default();
        tasks.retain(|task| task.name != FOOD);
        if tasks.iter().all(|task| task.gallery.is_empty()) {
            return Err(no_queries());
        }
        tasks.push(text_to_image(&collection));
        Ok(Self {
            collection,
            images,
            tasks,
        })
    }

    /// All texts of its queries, and the empty one with which targets are fused.
    pub(crate) fn texts(&self) -> Vec<String> {
        let queries = self.tasks.iter().flat_map(|task| &task.queries);
        let mut texts: Vec<String> = queries.map(|query| query.text.clone()).collect();
        texts.push(String::new());
        texts.sort_unstable();
        texts.dedup();
        texts
    }
}

/// A task whose queries find their own images, too.
pub(crate) fn with_query_kept(task: &Task) -> Task {
    let mut kept = task.clone();
    kept.name += QUERY_KEPT;
    kept.queries.iter_mut().for_each(|query| query.exclude.clear());
    kept
}

/// Each different caption asks for the images that it is the caption of.
fn text_to_image(collection: &Collection) -> Task {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, image) in collection.images.iter().enumerate() {
        if !image.caption.is_empty() {
            rows.entry(&image.caption).or_default().push(row);
        }
    }
    let query = |(caption, rows): (&str, Vec<usize>)| Query {
        id: caption.to_owned(),
        text: caption.to_owned(),
        cluster: collection.roots[rows[0]],
        truth: Truth::Items(rows),
        ..Query::default()
    };
    Task {
        name: TEXT_TO_IMAGE.to_owned(),
        kind: TaskKind::TextToImage,
        gallery: (0..collection.images.len()).collect(),
        queries: rows.into_iter().map(query).collect(),
        measures: RANKS.map(|k| Measure::new(format!("R@{k}"), Metric::Hit(k))).into(),
        ..Task::default()
    }
}

impl TaskValues {
    /// The values of a task's outcome.
    pub(crate) fn of(task: &Task, outcome: &TaskOutcome) -> Self {
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        let number = |query: &Query| {
            let next = numbers.len();
            *numbers.entry(query.cluster).or_insert(next)
        };
        let of_measure = |(at, measure): (usize, &Measure)| {
            let values = outcome.iter().map(|query| query.values[at]).collect();
            (measure.label.clone(), values)
        };
        Self {
            task: task.name.clone(),
            clusters: task.queries.iter().map(number).collect(),
            values: task.measures.iter().enumerate().map(of_measure).collect(),
        }
    }
}
