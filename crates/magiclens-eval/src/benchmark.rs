//! A benchmark as data: images, texts, and for each variant of its protocol the tasks to run. The files under
//! `benchmarks/` make these from the published annotation files; everything else knows no benchmark by name.

use std::path::PathBuf;

use magiclens_collection::{Collection, LabeledImage};
use magiclens_metrics::{self as metrics, Judged};
use serde::{Deserialize, Serialize};

use crate::id::Id;

/// A loaded benchmark.
#[derive(Clone, Debug, Default)]
pub struct Benchmark {
    /// Its short name, e.g. "circo".
    pub name: String,
    /// The images of galleries and queries, each once.
    pub images: Vec<ImageEntry>,
    /// The texts of galleries, each once; empty except for image-to-text retrieval.
    pub texts: Vec<TextEntry>,
    /// The protocol and its variants, the reported one first.
    pub variants: Vec<Variant>,
    /// Counts of its annotation files beside the published ones.
    pub counts: Vec<Count>,
    /// Folders that should hold the images above and nothing else.
    pub image_folders: Vec<PathBuf>,
    /// The table columns that published results are given in.
    pub columns: Vec<Column>,
    /// Whether rankings may name items that are not listed here, because the list of the gallery is not there.
    pub open_gallery: bool,
    /// Remarks for readers of the metrics, e.g. which published ones cannot be compared.
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

/// The images of a collection in the same rows.
pub(crate) fn image_entries(collection: &Collection) -> Vec<ImageEntry> {
    let entry = |image: &LabeledImage| ImageEntry {
        id: Id::text(image.id.to_string()),
        path: collection.folder.join(&image.path),
        crop: None,
    };
    collection.images.iter().map(entry).collect()
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
    /// Its tasks; the scores of the variant are means over them.
    pub tasks: Vec<Task>,
    /// The things that these means are over.
    pub mean: Mean,
}

/// The things that the scores of a variant are means over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mean {
    /// Every task counts alike.
    #[default]
    Tasks,
    /// Every query counts alike.
    Queries,
}

/// The kinds of query and gallery of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// An image with an instruction finds images.
    #[default]
    Composed,
    /// An image finds texts, by the two towers alone.
    ImageToText,
    /// A text finds images, by the two towers alone.
    TextToImage,
}

/// A gallery and queries against it.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// E.g. "dress".
    pub name: String,
    /// The kinds of query and gallery.
    pub kind: TaskKind,
    /// Rows of [`Benchmark::images`] (or `texts`) in the order of the official index. Empty if every query brings its own
    /// candidates.
    pub gallery: Vec<usize>,
    /// The class of each gallery item, where truth is a class; else empty.
    pub classes: Vec<u32>,
    /// The queries.
    pub queries: Vec<Query>,
    /// The measures; no label twice.
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
    /// The right answers.
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
    /// [`metrics::trapezoidal_average_precision`].
    TrapezoidalAveragePrecision,
}

/// A column of published tables, in terms of our measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whether every count is the published one, so that scores can be compared with published ones.
    pub fn is_complete(&self) -> bool {
        self.counts.iter().all(Count::is_published)
    }

    /// True if no query's truth is published: then only server files can be made.
    pub fn is_hidden(&self) -> bool {
        let tasks = self.variants.iter().flat_map(|variant| &variant.tasks);
        let mut queries = tasks.flat_map(|task| &task.queries);
        queries.all(|query| query.truth == Truth::Hidden)
    }

    /// The depth to which rankings are worth keeping: somewhat further than the measures look, since variants remove images;
    /// 200 where they look to the end.
    pub fn depth(&self) -> usize {
        let tasks = self.variants.iter().flat_map(|variant| &variant.tasks);
        let depths = tasks.map(|task| task.depth().map_or(200, |depth| depth + 1));
        depths.max().unwrap_or(0)
    }

    /// The variant of this flag.
    pub fn variant(&self, flag: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.flag == flag)
    }
}

impl Count {
    /// Whether the published number was found.
    pub fn is_published(&self) -> bool {
        self.found == self.published
    }

    /// The count of something, in these files and in the published ones.
    pub fn new(what: impl Into<String>, found: usize, published: usize) -> Self {
        Self {
            what: what.into(),
            found,
            published,
        }
    }
}

/// The query's own image: in its ranking, or taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnImage {
    Kept,
    Removed,
}

impl OwnImage {
    /// The queries with their images left in their rankings, or taken out.
    pub(crate) fn of(self, queries: &[Query]) -> Vec<Query> {
        let exclude = |query: &Query| match self {
            Self::Kept => Vec::new(),
            Self::Removed => query.images.clone(),
        };
        let changed = queries.iter().map(|query| Query {
            exclude: exclude(query),
            ..query.clone()
        });
        changed.collect()
    }

    /// The word on the command line, and in the names of variants.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Removed => "removed",
        }
    }
}

impl Variant {
    /// A variant of these tasks.
    pub(crate) fn new(flag: &str, name: &str, tasks: Vec<Task>) -> Self {
        Self {
            name: name.to_owned(),
            flag: flag.to_owned(),
            tasks,
            mean: Mean::Tasks,
        }
    }

    /// Every query with its task.
    pub(crate) fn queries(&self) -> impl Iterator<Item = (&Task, &Query)> {
        let tasks = self.tasks.iter();
        tasks.flat_map(|task| task.queries.iter().map(move |query| (task, query)))
    }

    /// The same tasks under another mean.
    pub(crate) fn averaged(self, mean: Mean) -> Self {
        Self { mean, ..self }
    }

    /// The variants with the query image in the ranking and without it, the reported one first.
    pub(crate) fn by_own_image(order: [OwnImage; 2], tasks: impl Fn(OwnImage) -> Vec<Task>) -> Vec<Self> {
        let variant = |own: OwnImage| Self::new(own.word(), &format!("query image {}", own.word()), tasks(own));
        order.map(variant).into()
    }
}

impl Task {
    /// The depth to which the measures look at rankings; `None` is to their end.
    pub fn depth(&self) -> Option<usize> {
        let depths = self.measures.iter().filter(|measure| measure.scope != Scope::Subset);
        depths
            .map(|measure| measure.metric.depth())
            .try_fold(0, |deepest, depth| Some(deepest.max(depth?)))
    }

    /// The rows of the gallery that are of a class.
    pub(crate) fn members(&self, class: u32) -> impl Iterator<Item = usize> {
        let items = self.gallery.iter().zip(&self.classes);
        items.filter(move |(_, found)| **found == class).map(|(row, _)| *row)
    }

    /// The measure of this label.
    pub fn measure(&self, label: &str) -> Option<usize> {
        self.measures.iter().position(|measure| measure.label == label)
    }
}

impl Measure {
    /// One metric at several ranks, e.g. R@1 and R@5.
    pub(crate) fn at<const N: usize>(prefix: &str, ranks: [usize; N], metric: fn(usize) -> Metric) -> [Self; N] {
        ranks.map(|k| Self::new(format!("{prefix}@{k}"), metric(k)))
    }

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
            Self::TrapezoidalAveragePrecision => metrics::trapezoidal_average_precision(judged),
        }
    }

    /// The depth to which it looks at a ranking; `None` is to its end.
    pub(crate) fn depth(self) -> Option<usize> {
        match self {
            Self::Hit(k)
            | Self::SetRecall(k)
            | Self::Precision(k)
            | Self::CappedPrecision(k)
            | Self::AveragePrecision(k) => Some(k),
            Self::PlainAveragePrecision(top) | Self::InterpolatedAveragePrecision(top) => top,
            Self::TrapezoidalAveragePrecision => None,
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

    /// A column for every measure of every task, e.g. "dress R@10".
    pub(crate) fn of_tasks<'a>(
        variant: &'a str,
        tasks: impl IntoIterator<Item = &'a str>,
        measures: &'a [&str],
    ) -> impl Iterator<Item = Self> {
        let of = move |task: &'a str| {
            let column = move |measure: &&str| Self::of_task(&format!("{task} {measure}"), variant, task, measure);
            measures.iter().map(column)
        };
        tasks.into_iter().flat_map(of)
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
