//! Verifies a data folder before anything is computed: missing, broken and extra images, counts against the published
//! ones.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::benchmark::{Benchmark, Count};
use crate::error::first_line;
use crate::images::{Step, image_files, read_image};
use crate::{BrokenImage, ImageProblem};

/// Images decoded between two steps of the progress bar.
const CHUNK: usize = 64;

/// The result of a check.
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
    /// Remarks of the loader.
    pub remarks: Vec<String>,
}

impl Check {
    /// Whether scores of this folder can be compared with published ones.
    pub fn passes(&self) -> bool {
        self.missing.is_empty() && self.corrupt.is_empty() && self.counts.iter().all(Count::is_published)
    }
}

/// Paths of one kind that a person is shown; JSON has them all.
const SHOWN: usize = 10;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.passes() { "complete" } else { "NOT COMPLETE" };
        writeln!(f, "{}: {result}, {} images named", self.benchmark, self.images)?;
        for count in &self.counts {
            let mark = if count.is_published() { "ok   " } else { "WRONG" };
            let (what, found, published) = (&count.what, count.found, count.published);
            writeln!(f, "  {mark}  {what}: {found}, published {published}")?;
        }
        list(f, "missing", &self.missing, |path| path.display().to_string())?;
        list(f, "corrupt", &self.corrupt, |image| {
            format!("{}: {}", image.path.display(), first_line(&image.reason.to_string()))
        })?;
        list(f, "extra (harmless)", &self.extra, |path| path.display().to_string())?;
        self.remarks
            .iter()
            .try_for_each(|remark| writeln!(f, "  note: {remark}"))
    }
}

fn list<T>(f: &mut fmt::Formatter<'_>, what: &str, items: &[T], line: impl Fn(&T) -> String) -> fmt::Result {
    writeln!(f, "  {} {what}", items.len())?;
    items
        .iter()
        .take(SHOWN)
        .try_for_each(|item| writeln!(f, "    {}", line(item)))?;
    if SHOWN < items.len() {
        writeln!(f, "    .. and {} more; `--json` lists all", items.len() - SHOWN)?;
    }
    Ok(())
}

/// Opens and decodes every image of a benchmark once.
pub fn check(benchmark: &Benchmark, progress: &(dyn Fn(Step<'_>) + Sync)) -> Check {
    // Parts of one image are one file.
    let paths: BTreeSet<&PathBuf> = benchmark.images.iter().map(|image| &image.path).collect();
    let paths: Vec<&PathBuf> = paths.into_iter().collect();
    progress(Step::Start("images", paths.len()));
    let mut broken = Vec::new();
    for chunk in paths.chunks(CHUNK) {
        broken.par_extend(chunk.par_iter().filter_map(|path| {
            let reason = read_image(path).err()?;
            let path = path.to_path_buf();
            Some(BrokenImage { path, reason })
        }));
        progress(Step::Advance(chunk.len()));
    }
    progress(Step::Done);
    let (missing, corrupt): (Vec<_>, Vec<_>) = broken
        .into_iter()
        .partition(|image| image.reason == ImageProblem::Missing);
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

/// Files beside named images that nothing names.
fn extra(benchmark: &Benchmark, named: &[&PathBuf]) -> Vec<PathBuf> {
    let known: HashSet<&PathBuf> = named.iter().copied().collect();
    let mut folders: BTreeSet<&Path> = benchmark.image_folders.iter().map(PathBuf::as_path).collect();
    folders.extend(named.iter().filter_map(|path| path.parent()));
    let files = folders.into_iter().flat_map(|folder| image_files(folder, 1));
    let found: BTreeSet<PathBuf> = files.filter(|path| !known.contains(path)).collect();
    found.into_iter().collect()
}
