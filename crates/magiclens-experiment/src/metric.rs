//! The metrics that conditions are compared in: a measure, and the tasks that its mean is over.

use magiclens_collection::{
    COLOR, DRAWING_TO_PHOTO, GENDER, GROUP, PHOTO_TO_DRAWING, SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY,
    STYLE_UNSEEN,
};
use magiclens_metrics::mean;

use crate::measure::{QUERY_KEPT, RunValues, TEXT_TO_IMAGE, TaskValues};

/// The relations of a mean, in the order of tables.
pub(crate) const RELATIONS: [&str; 10] = [
    STYLE,
    STYLE_FAMILY,
    STYLE_UNSEEN,
    SKETCH_TO_COLOR,
    SKIN_TONE,
    GENDER,
    COLOR,
    GROUP,
    PHOTO_TO_DRAWING,
    DRAWING_TO_PHOTO,
];

/// A measure of some tasks; the mean over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As tables show it.
    pub name: &'static str,
    /// The tasks.
    pub tasks: Tasks,
    /// The label of the measure, e.g. "R@10".
    pub measure: &'static str,
}

/// The tasks of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Every relation that the collection asks for.
    Relations,
    /// All of these but one.
    RelationsBut(&'static str),
    /// Every relation, with the query image in its own ranking.
    QueryKept,
    /// One task.
    One(&'static str),
}

/// Share of queries with a right image first, mean over the relations.
pub(crate) const MEAN_R1: Metric = Metric {
    name: "mean R@1",
    tasks: Tasks::Relations,
    measure: "R@1",
};
/// Share of queries with a right image among the first ten, mean over the relations.
pub(crate) const MEAN_R10: Metric = Metric {
    name: "mean R@10",
    tasks: Tasks::Relations,
    measure: "R@10",
};
/// Share of queries with a right image first although the query image may come, mean over the relations.
pub(crate) const KEPT_R1: Metric = Metric {
    name: "mean R@1, query kept",
    tasks: Tasks::QueryKept,
    measure: "R@1",
};
/// Text -> image by the two towers alone.
pub(crate) const TEXT_R10: Metric = Metric::of("text to image R@10", TEXT_TO_IMAGE, "R@10");

impl Metric {
    /// One measure of one task.
    pub const fn of(name: &'static str, task: &'static str, measure: &'static str) -> Self {
        Self {
            name,
            tasks: Tasks::One(task),
            measure,
        }
    }

    pub(crate) fn is_of(&self, task: &TaskValues) -> bool {
        let name = task.task.as_str();
        let fits = match self.tasks {
            Tasks::Relations => RELATIONS.contains(&name),
            Tasks::RelationsBut(other) => RELATIONS.contains(&name) && name != other,
            Tasks::QueryKept => name.ends_with(QUERY_KEPT),
            Tasks::One(one) => name == one,
        };
        fits && task.values.contains_key(self.measure)
    }

    /// The mean over tasks of the means over queries; NaN without such tasks.
    pub(crate) fn of_run(&self, values: &RunValues) -> f64 {
        let tasks = values.tasks.iter().filter(|task| self.is_of(task));
        mean(tasks.map(|task| mean(task.values[self.measure].iter().copied())))
    }
}
