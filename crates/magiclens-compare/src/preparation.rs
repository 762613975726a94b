//! From two systems as they are named to a study: their indexes, their rankings, the images.

use std::path::{Path, PathBuf};

use magiclens_index::Index;
use magiclens_search::Encoder;

use crate::error::CompareError;
use crate::judgment::Side;
use crate::queries::QueryFile;
use crate::ranking::Draft;
use crate::study::{ComparedSystem, Method, Settings, Study, check_galleries, short_digest};

/// Queries for each automatic check.
const QUERIES_PER_CHECK: usize = 12;

/// The program around a preparation: it has the models and shows the progress, so that this crate knows neither.
pub trait Host {
    /// A model in memory.
    type Model: Encoder;

    /// Loads the model of these weights.
    ///
    /// # Errors
    /// Weights that cannot be read.
    fn load(&self, weights: &Path) -> anyhow::Result<Self::Model>;

    /// Weights that an index may have been made with, the likeliest first.
    fn known_weights(&self) -> Vec<PathBuf>;

    /// Brings the images below a folder into an index of this model.
    ///
    /// # Errors
    /// An index that cannot be written, a model that fails, a run that is stopped.
    fn index(&self, index: &Path, images: &Path, model: &Self::Model) -> anyhow::Result<()>;

    /// `done` of `total` queries of a system are ranked.
    fn ranked(&self, done: usize, total: usize);
}

/// A system as it is named.
#[derive(Clone, Debug)]
pub struct SystemSource {
    /// An index, or weights.
    pub path: PathBuf,
    /// The parts of a query that it uses.
    pub method: Method,
    /// Its name in the report; `None` for the name of the file.
    pub name: Option<String>,
}

/// Everything that a study is made of.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// A and B.
    pub systems: [SystemSource; 2],
    /// The query file.
    pub queries: PathBuf,
    /// Images to search among, for systems that are weights.
    pub images: Option<PathBuf>,
    /// The study folder; `None` for one beside the query file.
    pub out: Option<PathBuf>,
    /// Length of the rankings.
    pub k: usize,
    /// Decides order, sides and automatic checks.
    pub seed: u64,
    /// Automatic checks; `None` for one for each 12 queries unless the query file has checks.
    pub checks: Option<usize>,
    /// The question to raters.
    pub question: String,
    /// True to compare systems that search among different images.
    pub allow_different_galleries: bool,
}

/// A system whose index is open.
struct Candidate<'a> {
    source: &'a SystemSource,
    index: Index,
}

impl Preparation {
    /// Makes the study, or goes on with it, or finds it finished. Gives its folder.
    ///
    /// # Errors
    /// Systems that do not exist or cannot be compared, bad queries, a folder of another study, a model that fails.
    pub fn run(&self, host: &impl Host) -> Result<PathBuf, CompareError> {
        let queries = QueryFile::read(&self.queries)?;
        let dir = self.out.clone().unwrap_or_else(|| self.queries.with_extension("study"));
        let [a, b] = &self.systems;
        let candidates = [self.open(a, &dir, host)?, self.open(b, &dir, host)?];
        let settings = self.settings(&queries, &candidates)?;
        settings.check_systems()?;
        if !self.allow_different_galleries {
            check_galleries(&candidates[0].index, &candidates[1].index)?;
        }
        match Study::open_for(&dir, &settings)? {
            Some(mut study) => {
                let names = self.names(study.names.clone());
                if names != study.names {
                    study.names = names;
                    study.write(&dir)?;
                }
            }
            None => self.make(&dir, settings, &queries, &candidates, host)?,
        }
        Ok(dir)
    }

    fn settings(&self, queries: &QueryFile, [a, b]: &[Candidate<'_>; 2]) -> Result<Settings, CompareError> {
        let default_checks = match queries.checks.is_empty() {
            true => queries.queries.len().div_ceil(QUERIES_PER_CHECK),
            false => 0,
        };
        Ok(Settings {
            queries: queries.digest.clone(),
            a: ComparedSystem::of(&a.index, a.source.method)?,
            b: ComparedSystem::of(&b.index, b.source.method)?,
            k: self.k,
            seed: self.seed,
            automatic_checks: self.checks.unwrap_or(default_checks),
            question: self.question.trim().to_owned(),
        })
    }

    fn make<H: Host>(
        &self,
        dir: &Path,
        settings: Settings,
        queries: &QueryFile,
        candidates: &[Candidate<'_>; 2],
        host: &H,
    ) -> Result<(), CompareError> {
        let mut draft = Draft::open(dir, settings)?;
        // The two systems may share one model.
        let mut loaded: Option<H::Model> = None;
        for (side, candidate) in [Side::A, Side::B].into_iter().zip(candidates) {
            let total = draft.missing(side, queries);
            if total == 0 {
                continue;
            }
            let wanted = &candidate.index.stamp().model_id;
            let model = match loaded.take().filter(|model| model.model_id() == wanted) {
                Some(model) => model,
                None => candidate.load(host)?,
            };
            let mut done = 0;
            draft.rank(side, &candidate.index, &model, queries, |more| {
                done += more;
                host.ranked(done, total);
            })?;
            loaded = Some(model);
        }
        let [a, b] = candidates;
        draft.finish(queries, [&a.index, &b.index], self.names(default_names(&self.systems)))?;
        Ok(())
    }

    fn open<'a>(
        &self,
        source: &'a SystemSource,
        study: &Path,
        host: &impl Host,
    ) -> Result<Candidate<'a>, CompareError> {
        let index = match Index::is_in(&source.path) {
            true => source.path.clone(),
            false => self.index_for(&source.path, study, host)?,
        };
        let index = Index::open(&index)?;
        Ok(Candidate { source, index })
    }

    /// Indexes the images for these weights into the study folder: a folder for each model and each set of images.
    fn index_for(&self, weights: &Path, study: &Path, host: &impl Host) -> Result<PathBuf, CompareError> {
        let path = weights.to_owned();
        if !weights.exists() {
            return Err(CompareError::NoSystem { path });
        }
        let images = self.images.as_ref().ok_or(CompareError::NoImages { path })?;
        let images = fs_err::canonicalize(images)?;
        let model = host.load(weights)?;
        let name = [model.model_id(), &images.to_string_lossy()].join("\n");
        let index = study.join(format!("index-{}", short_digest(name)));
        host.index(&index, &images, &model)?;
        Ok(index)
    }

    /// The names that were asked for, else those.
    fn names(&self, otherwise: [String; 2]) -> [String; 2] {
        let [a, b] = &self.systems;
        let [other_a, other_b] = otherwise;
        [a.name.clone().unwrap_or(other_a), b.name.clone().unwrap_or(other_b)]
    }
}

impl Candidate<'_> {
    /// The model that made the index.
    fn load<H: Host>(&self, host: &H) -> Result<H::Model, CompareError> {
        let name = &self.index.stamp().name;
        let weights = match Index::is_in(&self.source.path) {
            false => vec![self.source.path.clone()],
            true if name.is_empty() => host.known_weights(),
            true => vec![PathBuf::from(name)],
        };
        for path in &weights {
            let model = host.load(path)?;
            if *model.model_id() == self.index.stamp().model_id {
                return Ok(model);
            }
        }
        let tried: Vec<String> = weights.iter().map(|path| format!("`{}`", path.display())).collect();
        Err(CompareError::UnknownModel {
            path: self.source.path.clone(),
            stamp: self.index.stamp().clone(),
            tried: tried.join(", "),
        })
    }
}

impl SystemSource {
    fn default_name(&self) -> String {
        let name = match self.path.is_dir() {
            true => self.path.file_name(),
            false => self.path.file_stem(),
        };
        name.map_or("index".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

/// File names; with the method, or else the letter, where those are the same.
fn default_names(systems: &[SystemSource; 2]) -> [String; 2] {
    let [a, b] = systems;
    let names = systems.each_ref().map(SystemSource::default_name);
    match names[0] == names[1] {
        false => names,
        true if a.method != b.method => [a, b].map(|one| format!("{} ({})", names[0], one.method.name())),
        true => ["A", "B"].map(|letter| format!("{} {letter}", names[0])),
    }
}
