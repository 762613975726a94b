//! What an evaluation found, for machines (JSON) and people (Markdown table, HTML page with pictures).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::benchmark::Count;
use crate::outcome::{Difference, VariantFigures};

/// The whole of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Threads used.
    pub threads: usize,
    /// Largest memory of the process in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// By benchmark, in the order of the run.
    pub benchmarks: Vec<BenchmarkReport>,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkReport {
    /// Its name on the command line.
    pub benchmark: String,
    /// Its name in tables.
    pub title: String,
    /// The part of the data.
    pub split: String,
    /// The wording of the query text.
    pub template: String,
    /// Its counts beside the published ones.
    pub counts: Vec<Count>,
    /// Whether the data are the published ones in full: else figures cannot be compared with published ones.
    pub complete: bool,
    /// What a reader should know.
    pub remarks: Vec<String>,
    /// The columns of the table, as `(label, variant, task, measure)`.
    pub columns: Vec<ColumnReport>,
    /// The systems, the first is the one that others are compared with.
    pub systems: Vec<SystemReport>,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// As published tables call it.
    pub label: String,
    /// The flag of the variant.
    pub variant: String,
    /// The task; `None` is the mean over tasks.
    pub task: Option<String>,
    /// The label of the measure.
    pub measure: String,
}

/// One system on one benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemReport {
    /// Its name: weights and query builder, or the file of rankings.
    pub system: String,
    /// Digest of the weights; `None` for a file of rankings.
    pub model_id: Option<String>,
    /// The figures of each variant.
    pub variants: Vec<VariantFigures>,
    /// How it differs from the first system.
    pub differences: Vec<Difference>,
    /// How fast it was.
    pub speed: Option<Speed>,
    /// Queries that it got wrong, to look at.
    pub failures: Vec<Failure>,
}

/// What was computed, and how fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Pictures read and embedded; those in the cache not counted.
    pub pictures: usize,
    /// Seconds for them.
    pub pictures_s: f64,
    /// Pictures that were in the cache.
    pub pictures_cached: usize,
    /// Queries ranked.
    pub queries: usize,
    /// Seconds for embedding and ranking them.
    pub queries_s: f64,
}

/// A query that went wrong. Pictures are paths of files, with the part that is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The flag of the variant.
    pub variant: String,
    /// The task.
    pub task: String,
    /// The query's id.
    pub query: String,
    /// The instruction.
    pub text: String,
    /// The query pictures.
    pub images: Vec<Shown>,
    /// Right answers, at most three.
    pub truth: Vec<Shown>,
    /// The first answers.
    pub came: Vec<Answer>,
    /// The value of each measure.
    pub values: BTreeMap<String, f64>,
}

/// A picture or a text of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A picture.
    Picture {
        /// Its name.
        id: String,
        /// Its file.
        path: std::path::PathBuf,
        /// The part that is shown.
        crop: Option<crate::benchmark::Crop>,
    },
    /// A text.
    Text(String),
}

/// One answer of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What came.
    pub shown: Shown,
    /// Whether it is right.
    pub right: bool,
}
