//! The public benchmarks, one file each, and our own: place of its files, gallery, query text, exclusions, cut-offs and
//! averaging, each with its source. A file here loads and states a protocol; it computes nothing.

mod captions;
mod circo;
mod cirr;
mod coco;
mod domains;
mod dtin;
mod fiq;
mod flickr30k;
mod genecis;
mod icir;
mod imagenet_r;
mod ltll;
mod minidomainnet;
mod nico;
mod own;
mod quickdraw;
mod sketch;
mod sketchy;
mod tu_berlin;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::EvalError;
use crate::annotations::annotation;
use crate::benchmark::Benchmark;

/// Choices of the user in loading a benchmark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The part of the data, where there are several; `None` is the part whose truth is public.
    pub split: Option<String>,
    /// The wording of the query text; `None` is the first of the benchmark's, MagicLens' own where it has one.
    pub template: Option<String>,
    /// Whether only rankings are scored, for which a list of the gallery may be missing.
    pub only_rankings: bool,
}

/// A benchmark that can be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// Its folder below the one that `eval all` is given.
    pub folder: &'static str,
    /// The files that must lie in the data folder.
    pub layout: &'static str,
    /// Parts of the data, the default first.
    pub splits: &'static [&'static str],
    /// Wordings of the query text, the default first.
    pub templates: &'static [&'static str],
    load: fn(&Path, &Choice<'_>) -> Result<Benchmark, EvalError>,
}

/// Names that a report gives to a benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Its name in tables.
    pub title: &'a str,
    /// The part of the data.
    pub split: &'a str,
    /// The wording of the query text.
    pub template: &'a str,
}

/// Checked options.
pub(crate) struct Choice<'a> {
    pub(crate) split: &'a str,
    pub(crate) template: &'a str,
    pub(crate) only_rankings: bool,
}

/// All of them: the ten of the paper in the order of its tables, then those of the i-CIR paper.
pub static ALL: [Entry; 15] = [
    fiq::ENTRY,
    cirr::ENTRY,
    circo::ENTRY,
    dtin::ENTRY,
    genecis::ENTRY,
    tu_berlin::ENTRY,
    sketchy::ENTRY,
    quickdraw::ENTRY,
    flickr30k::ENTRY,
    coco::ENTRY,
    icir::ENTRY,
    imagenet_r::ENTRY,
    nico::ENTRY,
    minidomainnet::ENTRY,
    ltll::ENTRY,
];

/// The one that is made out of a collection.
pub static OWN: Entry = own::ENTRY;

impl Entry {
    /// The benchmark of this name: one of [`ALL`], or [`OWN`].
    pub fn named(name: &str) -> Option<&'static Self> {
        let wanted = plain(name);
        ALL.iter()
            .chain([&OWN])
            .find(|entry| plain(entry.name) == wanted || plain(entry.title) == wanted)
    }

    /// The folder of this benchmark below a common one, by its name, its title or its official folder, in letters of any case.
    pub fn folder_in(&self, data: &Path) -> Option<PathBuf> {
        let names = [self.folder, self.name, self.title].map(plain);
        let entries = std::fs::read_dir(data).ok()?.flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        folders.into_iter().find(|path| {
            let name = plain(&path.file_name().unwrap_or_default().to_string_lossy());
            path.is_dir() && names.contains(&name)
        })
    }

    /// The names that a report gives to this benchmark and to the options.
    pub fn names<'a>(&self, options: &'a LoadOptions) -> Names<'a> {
        let chosen = |wanted: &'a Option<String>, known: &'static [&'static str]| -> &'a str {
            let default = known.first().copied().unwrap_or_default();
            wanted.as_deref().unwrap_or(default)
        };
        Names {
            title: self.title,
            split: chosen(&options.split, self.splits),
            template: chosen(&options.template, self.templates),
        }
    }

    /// Reads the annotation files under `data`. Images are named, not opened.
    ///
    /// # Errors
    /// Annotation files that are missing or contradict each other, or an option that this benchmark does not know.
    pub fn load(&self, data: &Path, options: &LoadOptions) -> Result<Benchmark, EvalError> {
        let benchmark = self.read(data, options)?;
        validate(&benchmark, data)?;
        Ok(benchmark)
    }

    /// [`Entry::load`] without a look at what was read.
    pub(crate) fn read(&self, data: &Path, options: &LoadOptions) -> Result<Benchmark, EvalError> {
        let Names { split, template, .. } = self.names(options);
        self.check("split", self.splits, split)?;
        self.check("template", self.templates, template)?;
        let choice = Choice {
            split,
            template,
            only_rankings: options.only_rankings,
        };
        Ok(Benchmark {
            name: self.name.to_owned(),
            ..(self.load)(data, &choice)?
        })
    }

    fn check(&self, option: &'static str, known: &[&str], found: &str) -> Result<(), EvalError> {
        if known.contains(&found) {
            return Ok(());
        }
        Err(EvalError::Option {
            benchmark: self.name.to_owned(),
            option,
            found: found.to_owned(),
            known: known.iter().map(|name| name.to_string()).collect(),
        })
    }
}

/// A name without the parts that people write differently.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '_'], "")
}

/// Refuses benchmarks that no protocol can be run on: tasks without queries or gallery, and names that stand twice.
fn validate(benchmark: &Benchmark, data: &Path) -> Result<(), EvalError> {
    for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
        let refuse = |reason: String| Err(annotation(data, format!("{}, {}: {reason}", benchmark.name, task.name)));
        if task.queries.is_empty() {
            return refuse("there is no query".to_owned());
        }
        if task.gallery.is_empty() && task.queries.iter().any(|query| query.subset.is_empty()) {
            return refuse("there is no image to find".to_owned());
        }
        let mut seen = HashSet::new();
        if let Some(query) = task.queries.iter().find(|query| !seen.insert(query.id.as_str())) {
            return refuse(format!("the query `{}` stands there twice", query.id));
        }
        let mut rows = HashSet::new();
        if let Some(row) = task.gallery.iter().find(|row| !rows.insert(**row)) {
            let number = row.to_string();
            let name = benchmark.images.get(*row).map_or(number, |image| image.id.to_string());
            return refuse(format!("`{name}` stands in the gallery twice"));
        }
    }
    Ok(())
}
