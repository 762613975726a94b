//! Verifies a data folder before anything is computed: missing, broken and extra images, counts against the published
//! ones.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::PathBuf;

use magiclens_data::decode::{Limits, decode_rgb};
use rayon::prelude::*;
use serde::Serialize;

use crate::BrokenImage;
use crate::benchmark::{Benchmark, Count};
use crate::images::{MISSING, Step, is_image_name, read_file};

/// Images decoded between two steps of the progress bar.
const CHUNK: usize = 64;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The benchmark.
    pub benchmark: String,
    /// Images that the annotations name.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Named, but not there.
    pub missing: Vec<PathBuf>,
    /// There, but no images; each with its reason.
    pub corrupt: Vec<BrokenImage>,
    /// In the image folders, but not named by the annotations. Harmless: training images often lie there too.
    pub extra: Vec<PathBuf>,
    /// Every count beside the published one.
    pub counts: Vec<Count>,
    /// What the loader noticed.
    pub remarks: Vec<String>,
}

impl Check {
    /// Whether figures of this folder can be compared with published ones.
    pub fn passes(&self) -> bool {
        self.missing.is_empty() && self.corrupt.is_empty() && self.wrong_counts().next().is_none()
    }

    /// The counts that are not the published ones.
    pub fn wrong_counts(&self) -> impl Iterator<Item = &Count> {
        self.counts.iter().filter(|count| count.found != count.published)
    }
}

/// Paths of one kind that a person is shown; JSON has them all.
const SHOWN: usize = 10;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passes() { "complete" } else { "NOT COMPLETE" };
        writeln!(f, "{}: {verdict}, {} pictures named", self.benchmark, self.images)?;
        for count in &self.counts {
            let mark = if count.found == count.published {
                "ok   "
            } else {
                "WRONG"
            };
            writeln!(
                f,
                "  {mark}  {}: {}, published {}",
                count.what, count.found, count.published
            )?;
        }
        let missing = self.missing.iter().map(|path| path.display().to_string());
        list(f, "missing", self.missing.len(), missing)?;
        let corrupt = self.corrupt.iter().map(|image| {
            let reason = image.reason.lines().next().unwrap_or_default();
            format!("{}: {reason}", image.path.display())
        });
        list(f, "corrupt", self.corrupt.len(), corrupt)?;
        let extra = self.extra.iter().map(|path| path.display().to_string());
        list(f, "extra (harmless)", self.extra.len(), extra)?;
        self.remarks
            .iter()
            .try_for_each(|remark| writeln!(f, "  note: {remark}"))
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, count: usize, lines: impl Iterator<Item = String>) -> fmt::Result {
    writeln!(f, "  {count} {what}")?;
    lines.take(SHOWN).try_for_each(|line| writeln!(f, "    {line}"))?;
    if SHOWN < count {
        writeln!(f, "    .. and {} more; `--json` lists all", count - SHOWN)?;
    }
    Ok(())
}

/// Opens and decodes every image of a benchmark once.
pub fn check(benchmark: &Benchmark, progress: &(dyn Fn(Step<'_>) + Sync)) -> Check {
    // Parts of one image are one file.
    let paths: BTreeSet<&PathBuf> = benchmark.images.iter().map(|image| &image.path).collect();
    let paths: Vec<&PathBuf> = paths.into_iter().collect();
    progress(Step::Start("pictures", paths.len()));
    let mut broken = Vec::new();
    for chunk in paths.chunks(CHUNK) {
        broken.par_extend(chunk.par_iter().filter_map(|path| {
            let reason = problem(path)?;
            let path = path.to_path_buf();
            Some(BrokenImage { path, reason })
        }));
        progress(Step::Advance(chunk.len()));
    }
    progress(Step::Done);
    let (missing, corrupt): (Vec<_>, Vec<_>) = broken.into_iter().partition(|image| image.reason == MISSING);
    Check {
        benchmark: benchmark.name.clone(),
        images: paths.len(),
        missing: missing.into_iter().map(|image| image.path).collect(),
        corrupt,
        extra: extra(benchmark, &paths),
        counts: benchmark.counts.clone(),
        remarks: benchmark.remarks.clone(),
    }
}

/// Why a file is no image; `None` if it is one.
fn problem(path: &std::path::Path) -> Option<String> {
    let decoded = read_file(path)
        .and_then(|(_, bytes)| decode_rgb(&bytes, &Limits::default()).map_err(|error| error.to_string()));
    decoded.err()
}

/// Files beside named images that nothing names.
fn extra(benchmark: &Benchmark, named: &[&PathBuf]) -> Vec<PathBuf> {
    let known: HashSet<&PathBuf> = named.iter().copied().collect();
    let mut folders: BTreeSet<PathBuf> = benchmark.image_folders.iter().cloned().collect();
    folders.extend(named.iter().filter_map(|path| Some(path.parent()?.to_owned())));
    let mut found = BTreeMap::new();
    for folder in &folders {
        for entry in walkdir::WalkDir::new(folder).max_depth(1).into_iter().flatten() {
            let path = entry.path().to_path_buf();
            if entry.file_type().is_file() && is_image_name(&path) && !known.contains(&path) {
                found.insert(path, ());
            }
        }
    }
    found.into_keys().collect()
}
