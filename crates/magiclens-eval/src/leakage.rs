//! Near-duplicates between a training set and the images of a benchmark: what was trained on cannot be measured with.
//!
//! They are found by their [`Fingerprint`]; equal files are found by content.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use magiclens_data::fingerprint::{DuplicateKind, Fingerprint};
use rayon::prelude::*;
use serde::Serialize;

use crate::EvalError;
use crate::benchmark::{Benchmark, Truth};
use crate::images::{Step, is_image_name, read_file};

/// An image of the benchmark that stands in the training set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The benchmark's image.
    #[serde(rename = "picture")]
    pub image: PathBuf,
    /// The training image that is most like it.
    pub training: PathBuf,
    /// How.
    pub likeness: DuplicateKind,
    /// Bits of 256 that differ.
    pub bits: u32,
}

/// What leaked into training.
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
            "{}: {} of {} pictures have a near-duplicate among {} training pictures ({} unreadable)",
            self.benchmark,
            self.leaks.len(),
            self.images,
            self.training_images,
            self.unreadable
        )?;
        writeln!(
            f,
            "  queries: {}; with a leaked query picture {}, with a leaked right answer {}",
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
///
/// # Errors
/// None for single images; they are counted.
pub fn leakage(
    benchmark: &Benchmark,
    training: &[PathBuf],
    progress: &(dyn Fn(Step<'_>) + Sync),
) -> Result<Leakage, EvalError> {
    let mut paths: Vec<&Path> = benchmark.images.iter().map(|image| image.path.as_path()).collect();
    paths.sort_unstable();
    paths.dedup();
    let own = fingerprints("benchmark pictures", &paths, progress);
    let training: Vec<&Path> = training.iter().map(PathBuf::as_path).collect();
    let trained = fingerprints("training pictures", &training, progress);
    let by_content: HashMap<ImageId, &Path> = trained.iter().map(|(path, print)| (print.content(), *path)).collect();

    progress(Step::Start("comparisons", own.len()));
    let leaks: Vec<Leak> = own
        .par_iter()
        .filter_map(|(path, print)| {
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
        })
        .collect();
    progress(Step::Done);
    Ok(summary(
        benchmark,
        leaks,
        paths.len() + training.len() - own.len() - trained.len(),
        own.len(),
        trained.len(),
    ))
}

/// Every image file under a folder, in order.
pub fn image_files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let files = walk
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path);
    files.filter(|path| is_image_name(path)).collect()
}

fn nearest<'a>(print: &Fingerprint, trained: &[(&'a Path, Fingerprint)]) -> Option<(DuplicateKind, u32, &'a Path)> {
    let alike = trained.iter().filter_map(|(path, other)| {
        let (likeness, bits) = print.duplicate_of(other)?;
        Some((likeness, bits, *path))
    });
    alike.min_by_key(|(likeness, bits, _)| (*bits, *likeness))
}

fn fingerprints<'a>(
    what: &str,
    paths: &[&'a Path],
    progress: &(dyn Fn(Step<'_>) + Sync),
) -> Vec<(&'a Path, Fingerprint)> {
    progress(Step::Start(what, paths.len()));
    let prints = paths.par_iter().filter_map(|path| {
        let read = read_file(path).ok().and_then(|(_, bytes)| {
            let image = decode_rgb(&bytes, &Limits::default()).ok()?;
            Some((*path, Fingerprint::of(ImageId::of_bytes(&bytes), &image)))
        });
        progress(Step::Advance(1));
        read
    });
    let prints = prints.collect();
    progress(Step::Done);
    prints
}

fn summary(
    benchmark: &Benchmark,
    leaks: Vec<Leak>,
    unreadable: usize,
    images: usize,
    training_images: usize,
) -> Leakage {
    let leaked: std::collections::HashSet<&Path> = leaks.iter().map(|leak| leak.image.as_path()).collect();
    let is_leaked = |row: &usize| leaked.contains(benchmark.images[*row].path.as_path());
    let tasks: Vec<_> = benchmark
        .variants
        .first()
        .into_iter()
        .flat_map(|variant| &variant.tasks)
        .collect();
    let queries = || {
        tasks
            .iter()
            .flat_map(|task| task.queries.iter().map(move |query| (task, query)))
    };
    let with_truth = queries().filter(|(task, query)| match &query.truth {
        Truth::Hidden => false,
        Truth::Items(rows) => task.kind != crate::benchmark::TaskKind::ImageToText && rows.iter().any(is_leaked),
        Truth::Class(class) => {
            let members = task
                .gallery
                .iter()
                .zip(&task.classes)
                .filter(|(_, found)| *found == class);
            members.into_iter().any(|(row, _)| is_leaked(row))
        }
    });
    Leakage {
        benchmark: benchmark.name.clone(),
        images,
        training_images,
        unreadable,
        queries: queries().count(),
        queries_with_leaked_image: queries()
            .filter(|(_, query)| query.images.iter().any(is_leaked))
            .count(),
        queries_with_leaked_truth: with_truth.count(),
        leaks,
    }
}
