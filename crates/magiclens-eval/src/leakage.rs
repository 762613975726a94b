//! Near-duplicates between a training set and the images of a benchmark: images that were trained on measure nothing.
//!
//! They are found by their [`Fingerprint`]; equal files are found by content.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use magiclens_collection::{images_path, read_training_images};
use magiclens_data::ImageId;
use magiclens_data::fingerprint::{DuplicateKind, Fingerprint};
use rayon::prelude::*;
use serde::Serialize;

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, Task, TaskKind, Truth, Variant};
use crate::images::{Step, image_files, read_image};

/// An image of the benchmark that stands in the training set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The benchmark's image.
    #[serde(rename = "picture")]
    pub image: PathBuf,
    /// The training image that is most like it.
    pub training: PathBuf,
    /// The kind of their similarity.
    pub likeness: DuplicateKind,
    /// Bits of 256 that differ.
    pub bits: u32,
}

/// The images and queries of a benchmark that leaked into training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leakage {
    /// The benchmark.
    pub benchmark: String,
    /// Images of the benchmark that were looked at.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Training images that they were compared with.
    #[serde(rename = "training_pictures")]
    pub training_images: usize,
    /// Images of either side that could not be read, and were not compared.
    pub unreadable: usize,
    /// Every image of the benchmark with a near-duplicate, in the order of their paths.
    pub leaks: Vec<Leak>,
    /// Queries of the reported variant.
    pub queries: usize,
    /// Those whose query image leaked.
    #[serde(rename = "queries_with_leaked_picture")]
    pub queries_with_leaked_image: usize,
    /// Those with a right answer that leaked.
    pub queries_with_leaked_truth: usize,
}

/// Leaks that a person is shown; JSON has them all.
const SHOWN: usize = 20;

impl fmt::Display for Leakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} images have a near-duplicate among {} training images ({} unreadable)",
            self.benchmark,
            self.leaks.len(),
            self.images,
            self.training_images,
            self.unreadable
        )?;
        writeln!(
            f,
            "  queries: {}; with a leaked query image {}, with a leaked right answer {}",
            self.queries, self.queries_with_leaked_image, self.queries_with_leaked_truth
        )?;
        for leak in self.leaks.iter().take(SHOWN) {
            let (image, training) = (leak.image.display(), leak.training.display());
            writeln!(
                f,
                "  {image}  is  {training}  ({:?}, {} bits differ)",
                leak.likeness, leak.bits
            )?;
        }
        if SHOWN < self.leaks.len() {
            writeln!(f, "  .. and {} more; `--json` lists all", self.leaks.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// Looks for the images of a benchmark in a training set: every image file under `training` or, for a collection, the files
/// that the caller chose of it.
/// Images that cannot be read are counted.
pub fn leakage(benchmark: &Benchmark, training: &[PathBuf], progress: &(dyn Fn(Step<'_>) + Sync)) -> Leakage {
    let mut paths: Vec<&Path> = benchmark.images.iter().map(|image| image.path.as_path()).collect();
    paths.sort_unstable();
    paths.dedup();
    let own = fingerprints("benchmark images", &paths, progress);
    let training: Vec<&Path> = training.iter().map(PathBuf::as_path).collect();
    let trained = fingerprints("training images", &training, progress);
    let by_content: HashMap<ImageId, &Path> = trained.iter().map(|(path, print)| (print.content(), *path)).collect();

    progress(Step::Start("comparisons", own.len()));
    let leaks = own.par_iter().filter_map(|(path, print)| {
        let found = match by_content.get(&print.content()) {
            Some(equal) => Some((DuplicateKind::Equal, 0, *equal)),
            None => nearest(print, &trained),
        };
        progress(Step::Advance(1));
        let (likeness, bits, training) = found?;
        Some(Leak {
            image: path.to_path_buf(),
            training: training.to_owned(),
            likeness,
            bits,
        })
    });
    let leaks = leaks.collect();
    progress(Step::Done);
    Leakage {
        images: own.len(),
        training_images: trained.len(),
        unreadable: paths.len() + training.len() - own.len() - trained.len(),
        ..summary(benchmark, leaks)
    }
}

/// The images that a training set holds: of a collection those of the training split, else all below the folder.
///
/// # Errors
/// A collection that cannot be read; no images.
pub fn training_files(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let table = images_path(folder);
    let files: Vec<PathBuf> = match table.is_file() {
        true => {
            let images = read_training_images(&table)?;
            images.iter().map(|image| folder.join(&image.path)).collect()
        }
        false => image_files(folder, usize::MAX).collect(),
    };
    match files.is_empty() {
        true => Err(EvalError::NoTrainingImages {
            folder: folder.to_owned(),
        }),
        false => Ok(files),
    }
}

fn nearest<'a>(print: &Fingerprint, trained: &[(&'a Path, Fingerprint)]) -> Option<(DuplicateKind, u32, &'a Path)> {
    let alike = trained.iter().filter_map(|(path, other)| {
        let (likeness, bits) = print.duplicate_of(other)?;
        Some((likeness, bits, *path))
    });
    alike.min_by_key(|(likeness, bits, _)| (*bits, *likeness))
}

/// The fingerprints of the images that can be read.
fn fingerprints<'a>(
    what: &str,
    paths: &[&'a Path],
    progress: &(dyn Fn(Step<'_>) + Sync),
) -> Vec<(&'a Path, Fingerprint)> {
    progress(Step::Start(what, paths.len()));
    let prints = paths.par_iter().filter_map(|path| {
        let read = read_image(path).ok();
        progress(Step::Advance(1));
        read.map(|(content, image)| (*path, Fingerprint::of(content, &image)))
    });
    let prints = prints.collect();
    progress(Step::Done);
    prints
}

/// The queries that the leaks are about.
fn summary(benchmark: &Benchmark, leaks: Vec<Leak>) -> Leakage {
    let leaked: HashSet<&Path> = leaks.iter().map(|leak| leak.image.as_path()).collect();
    let is_leaked = |row: usize| leaked.contains(benchmark.images[row].path.as_path());
    let reported = benchmark.variants.first();
    let queries: Vec<(&Task, &Query)> = reported.into_iter().flat_map(Variant::queries).collect();
    let has_leaked_truth = |task: &Task, query: &Query| match &query.truth {
        Truth::Items(rows) if task.kind != TaskKind::ImageToText => rows.iter().any(|row| is_leaked(*row)),
        Truth::Class(class) => task.members(*class).any(is_leaked),
        Truth::Hidden | Truth::Items(_) => false,
    };
    let with_image = queries
        .iter()
        .filter(|(_, query)| query.images.iter().any(|row| is_leaked(*row)));
    let with_truth = queries.iter().filter(|(task, query)| has_leaked_truth(task, query));
    Leakage {
        benchmark: benchmark.name.clone(),
        queries: queries.len(),
        queries_with_leaked_image: with_image.count(),
        queries_with_leaked_truth: with_truth.count(),
        images: 0,
        training_images: 0,
        unreadable: 0,
        leaks,
    }
}
