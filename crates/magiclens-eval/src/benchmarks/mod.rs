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

use std::path::Path;

use crate::EvalError;
use crate::benchmark::Benchmark;

/// How a benchmark is loaded where its users have a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The part of the data, where there are several; `None` is the part whose truth is public.
    pub split: Option<String>,
    /// The wording of the query text; `None` is MagicLens' own.
    pub template: Option<String>,
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
        ENTRIES.iter().chain([&OURS]).find(|entry| entry.name == name)
    }

    /// Reads the annotation files under `data`. Pictures are named, not opened.
    ///
    /// # Errors
    /// Annotation files that are missing or contradict each other, or an option that this benchmark does not know.
    pub fn load(&self, data: &Path, options: &LoadOptions) -> Result<Benchmark, EvalError> {
        let split = self.choose("split", self.splits, options.split.as_deref())?;
        let template = self.choose("template", self.templates, options.template.as_deref())?;
        (self.load)(data, &Choice { split, template })
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
