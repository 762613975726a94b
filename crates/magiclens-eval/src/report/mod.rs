//! The results of an evaluation, for machines (JSON) and people (Markdown tables, HTML page with charts and images).
//!
//! | file | matter |
//! |---|---|
//! | `published.rs`, `published.toml` | published results of others |
//! | `document.rs` | the tables, and the order of everything |
//! | `chart.rs` | one chart for each benchmark |
//! | `gallery.rs` | the queries that went wrong, with their images |

mod chart;
mod document;
mod gallery;
pub mod published;
#[cfg(test)]
mod samples;

use std::collections::BTreeMap;
use std::path::Path;

use magiclens_data::files::write_atomic_bytes;
use serde::{Deserialize, Serialize, Serializer};

pub use crate::benchmark::Column;
use crate::benchmark::{Count, Crop};
use crate::scores::{Difference, Score, VariantScores};

/// The name of the JSON form; the number grows when a reader of it must change.
const SCHEMA: &str = "magiclens-eval-report/1";

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
    /// Whether the data are the published ones in full: else scores cannot be compared with published ones.
    pub complete: bool,
    /// Remarks for readers.
    pub remarks: Vec<String>,
    /// The columns of the table.
    pub columns: Vec<Column>,
    /// The systems, the first is the one that others are compared with.
    pub systems: Vec<SystemReport>,
}

/// One system on one benchmark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemReport {
    /// Its name: weights and query builder, or the file of rankings.
    pub system: String,
    /// Digest of the weights; `None` for a file of rankings.
    pub model_id: Option<String>,
    /// The scores of each variant.
    pub variants: Vec<VariantScores>,
    /// Its differences from the first system.
    pub differences: Vec<Difference>,
    /// Its speed.
    pub speed: Option<Speed>,
    /// Queries that it got wrong, to look at.
    pub failures: Vec<Failure>,
}

/// The numbers of things computed, and the time that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Images read and embedded; those in the cache not counted.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Seconds for them.
    #[serde(rename = "pictures_s")]
    pub images_s: f64,
    /// Images that were in the cache.
    #[serde(rename = "pictures_cached")]
    pub images_cached: usize,
    /// Queries ranked.
    pub queries: usize,
    /// Seconds for embedding and ranking them.
    pub queries_s: f64,
}

/// A query that went wrong. Images are paths of files, with the part that is shown.
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
    /// The query images.
    pub images: Vec<Shown>,
    /// Right answers, at most three.
    pub truth: Vec<Shown>,
    /// The first answers.
    #[serde(rename = "came")]
    pub answers: Vec<Answer>,
    /// The value of each measure; the JSON form omits those that are undefined (NaN).
    #[serde(serialize_with = "only_defined")]
    pub values: BTreeMap<String, f64>,
}

/// An image or a text of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// An image.
    #[serde(rename = "picture")]
    Image {
        /// Its name.
        id: String,
        /// Its file.
        #[serde(serialize_with = "as_text")]
        path: std::path::PathBuf,
        /// The part that is shown.
        crop: Option<Crop>,
    },
    /// A text.
    Text(String),
}

/// One answer of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The image or text.
    pub shown: Shown,
    /// Whether it is right.
    pub right: bool,
}

impl Report {
    /// The report as JSON: its fields, and `schema`, which names this form.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            schema: &'a str,
            #[serde(flatten)]
            report: &'a Report,
        }
        let document = Document {
            schema: SCHEMA,
            report: self,
        };
        serde_json::to_string_pretty(&document).expect("texts, numbers and lists of them have a JSON form")
    }

    /// Writes `report.json`, `report.md` and `report.html` into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        fs_err::create_dir_all(folder)?;
        write_atomic_bytes(folder.join("report.json"), self.to_json())?;
        write_atomic_bytes(folder.join("report.md"), self.to_markdown())?;
        write_atomic_bytes(folder.join("report.html"), self.to_html())
    }
}

impl SystemReport {
    /// A system without scores.
    pub(crate) fn named(system: &str) -> Self {
        Self {
            system: system.to_owned(),
            ..Self::default()
        }
    }

    /// The score of a column; `None` if it was not measured.
    pub fn score(&self, column: &Column) -> Option<&Score> {
        self.variant(&column.variant)?
            .score(column.task.as_deref(), &column.measure)
    }

    /// The difference of this system from the first one in a column; `None` if they were not compared.
    pub fn difference(&self, column: &Column) -> Option<&Difference> {
        // The mean over a single task is that task, which is compared once.
        let only = match self.variant(&column.variant)?.tasks.as_slice() {
            [only] => Some(only.task.as_str()),
            _ => None,
        };
        let task = column.task.as_deref().or(only);
        self.differences.iter().find(|difference| {
            difference.variant == column.variant
                && difference.task.as_deref() == task
                && difference.label == column.measure
        })
    }

    fn variant(&self, flag: &str) -> Option<&VariantScores> {
        self.variants.iter().find(|variant| variant.flag == flag)
    }
}

impl Shown {
    /// The name of the image, or the text.
    pub fn name(&self) -> &str {
        match self {
            Self::Image { id, .. } => id,
            Self::Text(text) => text,
        }
    }
}

fn only_defined<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().filter(|(_, value)| value.is_finite()))
}

/// A file name need not be Unicode, JSON is.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_was() {
        let report = samples::report();
        let text = report.to_json();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], "magiclens-eval-report/1");
        let circo = &value["benchmarks"][0];
        assert_eq!(circo["systems"][0]["variants"][0]["means"][0]["value"], 0.25);
        assert_eq!(circo["systems"][1]["differences"][0]["p_value"], 0.03125);
    }

    #[test]
    fn undefined_values_and_odd_paths_have_a_json_form() {
        let mut report = samples::report();
        let failure = &mut report.benchmarks[0].systems[0].failures[0];
        failure.values.insert("mAP".to_owned(), f64::NAN);
        #[cfg(unix)]
        {
            let odd: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![b'a', 0xff]);
            failure.images = vec![samples::image(odd.into())];
        }
        let back: Report = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(back.benchmarks[0].systems[0].failures[0].values.len(), 1);
    }

    #[test]
    fn a_column_finds_its_score_and_its_difference() {
        let report = samples::report();
        let (circo, own) = (&report.benchmarks[0], &report.benchmarks[1]);
        let value = |system: usize, column: usize| {
            circo.systems[system]
                .score(&circo.columns[column])
                .and_then(|score| score.value)
        };
        assert_eq!((value(0, 0), value(1, 0), value(0, 1)), (Some(0.25), Some(0.5), None));
        // A mean over one task is compared as that task.
        let mean = &own.columns[0];
        assert_eq!((mean.task.as_deref(), own.systems.len()), (None, 2));
        assert_eq!(own.systems[1].difference(mean).unwrap().paired.difference, -0.125);
        assert_eq!(own.systems[0].difference(mean), None);
    }
}
