//! The ten public benchmarks, one file each, and our own: where its files lie, gallery, query text, what is left out, cut-offs and
//! averaging, each with its source. A file here loads and states a protocol; it computes nothing.

mod captions;
mod circo;
mod cirr;
mod coco;
mod dtin;
mod fiq;
mod flickr30k;
mod genecis;
mod own;
mod quickdraw;
mod sketch;
mod sketchy;
mod tu_berlin;

use std::collections::HashSet;
use std::path::Path;

use crate::EvalError;
use crate::annotations::annotation;
use crate::benchmark::Benchmark;

/// How a benchmark is loaded where its users have a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The part of the data, where there are several; `None` is the part whose truth is public.
    pub split: Option<String>,
    /// The wording of the query text; `None` is MagicLens' own.
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
    /// What must lie in the data folder.
    pub layout: &'static str,
    /// Parts of the data, the default first.
    pub splits: &'static [&'static str],
    /// Wordings of the query text, the default first.
    pub templates: &'static [&'static str],
    load: fn(&Path, &Choice<'_>) -> Result<Benchmark, EvalError>,
}

/// Checked options.
pub(crate) struct Choice<'a> {
    pub(crate) split: &'a str,
    pub(crate) template: &'a str,
    pub(crate) only_rankings: bool,
}

/// All of them, in the order of the paper's tables.
pub const ALL: [Entry; 10] = [
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
];

/// The one that is made out of a collection.
pub const OWN: Entry = own::ENTRY;

impl Entry {
    /// The benchmark of this name: one of [`ALL`], or [`OWN`].
    pub fn named(name: &str) -> Option<&'static Self> {
        static ENTRIES: [Entry; 10] = ALL;
        static OURS: Entry = OWN;
        let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
        let wanted = plain(name);
        ENTRIES
            .iter()
            .chain([&OURS])
            .find(|entry| plain(entry.name) == wanted || plain(entry.title) == wanted)
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
        let split = self.choose("split", self.splits, options.split.as_deref())?;
        let template = self.choose("template", self.templates, options.template.as_deref())?;
        let choice = Choice {
            split,
            template,
            only_rankings: options.only_rankings,
        };
        (self.load)(data, &choice)
    }

    fn choose(
        &self,
        option: &'static str,
        known: &'static [&'static str],
        wanted: Option<&str>,
    ) -> Result<&'static str, EvalError> {
        let Some(wanted) = wanted else {
            return Ok(known.first().copied().unwrap_or_default());
        };
        known
            .iter()
            .copied()
            .find(|name| *name == wanted)
            .ok_or_else(|| EvalError::Option {
                benchmark: self.name.to_owned(),
                option,
                found: wanted.to_owned(),
                known: known.iter().map(|name| name.to_string()).collect(),
            })
    }
}

/// Refuses what no protocol can be run on: tasks without queries or gallery, and names that stand twice.
fn validate(benchmark: &Benchmark, data: &Path) -> Result<(), EvalError> {
    for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
        let refuse = |reason: String| Err(annotation(data, format!("{}, {}: {reason}", benchmark.name, task.name)));
        if task.queries.is_empty() {
            return refuse("there is no query".to_owned());
        }
        if task.gallery.is_empty() && task.queries.iter().any(|query| query.subset.is_empty()) {
            return refuse("there is no picture to find".to_owned());
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
