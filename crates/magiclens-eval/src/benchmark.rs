//! A benchmark as data: images, texts, and for each variant of its protocol the tasks to run. The files under
//! `benchmarks/` make these from the published annotation files; everything else knows no benchmark by name.

use std::path::PathBuf;

use magiclens_metrics::{self as metrics, Judged};
use serde::{Deserialize, Serialize};

use crate::id::Id;

/// A loaded benchmark.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// Its short name, e.g. "circo".
    pub name: String,
    /// The images of galleries and queries, each once.
    pub images: Vec<ImageEntry>,
    /// The texts of galleries, each once; empty except for image-to-text retrieval.
    pub texts: Vec<TextEntry>,
    /// The protocol and its variants, the reported one first.
    pub variants: Vec<Variant>,
    /// Figures of its annotation files beside the published ones.
    pub counts: Vec<Count>,
    /// Folders that should hold the images above and nothing else.
    pub image_folders: Vec<PathBuf>,
    /// The table columns that published results are given in.
    pub columns: Vec<Column>,
    /// Whether rankings may name items that are not listed here, because the list of the gallery is not there.
    pub open_gallery: bool,
    /// What a reader of the figures should know, e.g. which published figures cannot be compared.
    pub remarks: Vec<String>,
}

/// An image of a benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageEntry {
    /// Its name in ranking files.
    pub id: Id,
    /// Its file.
    pub path: PathBuf,
    /// The part of it that is shown.
    pub crop: Option<Crop>,
}

/// A text of a gallery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEntry {
    /// Its name in ranking files.
    pub id: Id,
    /// The text.
    pub text: String,
}

/// A box around an object, widened and padded to a black square, as GeneCIS shows its attribute images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crop {
    /// Left edge of the object in pixels.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Width of the object.
    pub width: f64,
    /// Height of the object.
    pub height: f64,
}

/// One way to run the protocol.
#[derive(Clone, Debug)]
pub struct Variant {
    /// E.g. "original gallery, reference kept".
    pub name: String,
    /// The word that chooses it on the command line.
    pub flag: String,
    /// Its tasks; the figures of the variant are means over them.
    pub tasks: Vec<Task>,
}

/// What a task compares with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// An image with an instruction finds images.
    Composed,
    /// An image finds texts, by the two towers alone.
    ImageToText,
    /// A text finds images, by the two towers alone.
    TextToImage,
}

/// A gallery and queries against it.
#[derive(Clone, Debug)]
pub struct Task {
    /// E.g. "dress".
    pub name: String,
    /// What is compared.
    pub kind: TaskKind,
    /// Rows of [`Benchmark::images`] (or `texts`) in the order of the official index. Empty if every query brings its own
    /// candidates.
    pub gallery: Vec<usize>,
    /// The class of each gallery item, where truth is a class; else empty.
    pub classes: Vec<u32>,
    /// The queries.
    pub queries: Vec<Query>,
    /// What is measured; no label twice.
    pub measures: Vec<Measure>,
}

/// One query.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Unique among the queries of its task; the key in ranking files.
    pub id: String,
    /// Rows of the query images: one as a rule, none for a text query, several for a multi-image query.
    pub images: Vec<usize>,
    /// The instruction as the template makes it.
    pub text: String,
    /// The relative caption as annotated, which textual inversion puts into its own template.
    pub caption: String,
    /// The whole prompt of textual inversion with `*` for the image, where the benchmark has its own.
    pub prompt: Option<String>,
    /// What is right.
    pub truth: Truth,
    /// The one image that the annotator had in mind (CIRCO).
    pub target: Option<usize>,
    /// The candidates of subset measures, or of the whole query where the task has no gallery.
    pub subset: Vec<usize>,
    /// Rows that are taken out of the ranking.
    pub exclude: Vec<usize>,
    /// The groups of breakdowns, e.g. semantic aspects.
    pub groups: Vec<String>,
    /// Queries of one cluster are not independent.
    pub cluster: usize,
}

/// The right answers of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Truth {
    /// Not published: only a server can score this.
    #[default]
    Hidden,
    /// These rows.
    Items(Vec<usize>),
    /// Every gallery item of this class.
    Class(u32),
}

/// A metric, and the list that it looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// E.g. "R@10".
    pub label: String,
    /// The list.
    pub scope: Scope,
    /// The formula.
    pub metric: Metric,
}

/// The list and the truth that a measure looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The ranking against the truth.
    Ranking,
    /// The ranking against [`Query::target`] alone.
    Target,
    /// The candidates of [`Query::subset`] against the truth.
    Subset,
}

/// A formula of [`metrics`] with its cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// [`metrics::hit_at_k`].
    Hit(usize),
    /// [`metrics::set_recall_at_k`].
    SetRecall(usize),
    /// [`metrics::precision_at_k`].
    Precision(usize),
    /// [`metrics::capped_precision_at_k`].
    CappedPrecision(usize),
    /// [`metrics::average_precision_at_k`].
    AveragePrecision(usize),
    /// [`metrics::plain_average_precision`].
    PlainAveragePrecision(Option<usize>),
    /// [`metrics::interpolated_average_precision`].
    InterpolatedAveragePrecision(Option<usize>),
}

/// A figure that published tables give, in terms of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As in tables, e.g. "R@10 dress".
    pub label: String,
    /// The flag of the variant.
    pub variant: String,
    /// The task; `None` is the mean over tasks.
    pub task: Option<String>,
    /// The label of the measure.
    pub measure: String,
}

/// A number that was counted, and the one that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// E.g. "dress queries".
    pub what: String,
    /// In these files.
    pub found: usize,
    /// In the published ones.
    pub published: usize,
}

impl Benchmark {
    /// Whether every count is the published one, so that figures can be compared with published figures.
    pub fn is_complete(&self) -> bool {
        self.counts.iter().all(|count| count.found == count.published)
    }

    /// The variant of this flag.
    pub fn variant(&self, flag: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.flag == flag)
    }
}

impl Count {
    /// What was counted, in these files and in the published ones.
    pub fn new(what: impl Into<String>, found: usize, published: usize) -> Self {
        Self {
            what: what.into(),
            found,
            published,
        }
    }
}

impl Query {
    /// The queries with their images taken out of their rankings, or left in.
    pub(crate) fn removing_own(queries: &[Self], remove: bool) -> Vec<Self> {
        let exclude = |query: &Self| if remove { query.images.clone() } else { Vec::new() };
        let changed = queries.iter().map(|query| Self {
            exclude: exclude(query),
            ..query.clone()
        });
        changed.collect()
    }
}

impl Task {
    /// How far down the ranking the measures look; `None` is to its end.
    pub fn depth(&self) -> Option<usize> {
        let depths = self.measures.iter().filter(|measure| measure.scope != Scope::Subset);
        depths
            .map(|measure| measure.metric.depth())
            .try_fold(0, |deepest, depth| Some(deepest.max(depth?)))
    }

    /// The measure of this label.
    pub fn measure(&self, label: &str) -> Option<usize> {
        self.measures.iter().position(|measure| measure.label == label)
    }
}

impl Measure {
    /// A measure of the ranking against the truth.
    pub fn new(label: impl Into<String>, metric: Metric) -> Self {
        Self {
            label: label.into(),
            scope: Scope::Ranking,
            metric,
        }
    }

    /// The same measure of another list.
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }
}

impl Metric {
    /// The value for one query, in 0..1, or NaN where it is undefined.
    pub fn value(self, judged: &Judged) -> f64 {
        match self {
            Self::Hit(k) => metrics::hit_at_k(judged, k),
            Self::SetRecall(k) => metrics::set_recall_at_k(judged, k),
            Self::Precision(k) => metrics::precision_at_k(judged, k),
            Self::CappedPrecision(k) => metrics::capped_precision_at_k(judged, k),
            Self::AveragePrecision(k) => metrics::average_precision_at_k(judged, k),
            Self::PlainAveragePrecision(top) => metrics::plain_average_precision(judged, top),
            Self::InterpolatedAveragePrecision(top) => metrics::interpolated_average_precision(judged, top),
        }
    }

    /// How far down the ranking it looks; `None` is to its end.
    pub(crate) fn depth(self) -> Option<usize> {
        match self {
            Self::Hit(k)
            | Self::SetRecall(k)
            | Self::Precision(k)
            | Self::CappedPrecision(k)
            | Self::AveragePrecision(k) => Some(k),
            Self::PlainAveragePrecision(top) | Self::InterpolatedAveragePrecision(top) => top,
        }
    }
}

impl Column {
    /// A column that is a measure of one task.
    pub fn of_task(label: &str, variant: &str, task: &str, measure: &str) -> Self {
        Self {
            task: Some(task.to_owned()),
            ..Self::of_mean(label, variant, measure)
        }
    }

    /// A column that is the mean of a measure over the tasks.
    pub fn of_mean(label: &str, variant: &str, measure: &str) -> Self {
        Self {
            label: label.to_owned(),
            variant: variant.to_owned(),
            task: None,
            measure: measure.to_owned(),
        }
    }
}
