//! The study folder: what is compared, on which items, with which images. Once made it needs neither model nor index.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io::Write;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use magiclens_index::Index;
use serde::{Deserialize, Serialize};

use crate::error::CompareError;
use crate::judgment::Side;
use crate::queries::Intent;
use crate::ranking::Method;

/// Version of `study.json`.
const FORMAT: u32 = 1;

const STUDY_FILE: &str = "study.json";
const IMAGES_FOLDER: &str = "pictures";
const LOCK_FILE: &str = "study.lock";
pub(crate) const RATINGS_FILE: &str = "ratings.jsonl";

/// One of the two systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Digest of weights and configuration.
    pub model: String,
    /// What a query is made of.
    pub method: Method,
    /// Digest of the ids of all images that it searches among.
    pub gallery: ImageId,
    /// How many there are.
    #[serde(rename = "pictures")]
    pub images: usize,
}

impl System {
    /// The system that searches this index in this way.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn of(index: &Index, method: Method) -> Result<Self, CompareError> {
        let ids = index.ids()?;
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_bytes()).collect();
        Ok(Self {
            model: index.stamp().model_id.clone(),
            method,
            gallery: ImageId::of_bytes(&bytes),
            images: ids.len(),
        })
    }
}

/// What a study folder belongs to: with other settings it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Digest of the query file and its images.
    pub queries: ImageId,
    /// The first system.
    pub a: System,
    /// The second system.
    pub b: System,
    /// Length of the rankings.
    pub k: usize,
    /// Decides order, sides and automatic checks.
    pub seed: u64,
    /// Checks that are made of rankings and random images.
    pub automatic_checks: usize,
    /// What raters are asked.
    pub question: String,
}

impl Settings {
    /// What raters are asked unless something else is said.
    pub const QUESTION: &'static str = "Which result list fits the query picture and the instruction better?";

    /// What `other` has otherwise, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, here: &dyn ToString, there: &dyn ToString| {
            let (here, there) = (here.to_string(), there.to_string());
            if here != there {
                found.push(format!("{what} is `{here}` there and `{there}` now"));
            }
        };
        for (side, here, there) in [("A", &self.a, &other.a), ("B", &self.b, &other.b)] {
            compare(&format!("the model of {side}"), &here.model, &there.model);
            compare(
                &format!("the method of {side}"),
                &here.method.name(),
                &there.method.name(),
            );
            let gallery = |system: &System| format!("{} pictures, {}", system.images, system.gallery);
            compare(&format!("the gallery of {side}"), &gallery(here), &gallery(there));
        }
        compare("the digest of the query file", &self.queries, &other.queries);
        compare("`-k`", &self.k, &other.k);
        compare("`--seed`", &self.seed, &other.seed);
        compare("`--checks`", &self.automatic_checks, &other.automatic_checks);
        compare("the question", &self.question, &other.question);
        found
    }

    pub(crate) fn check(&self, other: &Self, dir: &Path) -> Result<(), CompareError> {
        match self.differences(other) {
            differences if differences.is_empty() => Ok(()),
            differences => Err(CompareError::OtherStudy {
                dir: dir.to_owned(),
                differences,
            }),
        }
    }

    /// Refuses two systems that are one, or that cannot find the same images.
    ///
    /// # Errors
    /// [`CompareError::SameSystem`], [`CompareError::EmptyGallery`], or an index that cannot be read.
    pub fn check_systems(&self) -> Result<(), CompareError> {
        for (side, system) in [(Side::A, &self.a), (Side::B, &self.b)] {
            if system.images == 0 {
                return Err(CompareError::EmptyGallery { side });
            }
        }
        if self.a == self.b {
            return Err(CompareError::SameSystem);
        }
        Ok(())
    }
}

/// Refuses indexes of different images.
///
/// # Errors
/// [`CompareError::DifferentGalleries`], or an index that cannot be read.
pub fn check_galleries(a: &Index, b: &Index) -> Result<(), CompareError> {
    let [ids_a, ids_b] = [a.ids()?, b.ids()?].map(BTreeSet::from_iter);
    if ids_a == ids_b {
        return Ok(());
    }
    let (only_a, only_b) = (ids_a.difference(&ids_b).count(), ids_b.difference(&ids_a).count());
    let (a, b) = (ids_a.len(), ids_b.len());
    Err(CompareError::DifferentGalleries { a, b, only_a, only_b })
}

/// What an item is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It compares the systems.
    Query {
        /// Class of the query.
        intent: Intent,
    },
    /// Its answer is known: ranking `a` is right.
    Check {
        /// The system whose ranking is the right one; none if the query file gave it.
        real: Option<Side>,
    },
}

/// One question to raters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Unique in the study. Never shown to raters.
    pub id: String,
    /// What it is for. Never shown to raters.
    pub kind: Kind,
    /// The query image.
    #[serde(rename = "picture")]
    pub image: ImageId,
    /// What is asked for.
    pub instruction: String,
    /// The ranking of system A, best first; in a check, the right one.
    pub a: Vec<ImageId>,
    /// The ranking of system B; in a check, the wrong one.
    pub b: Vec<ImageId>,
}

impl Item {
    /// The ranking of one side.
    pub fn ranking(&self, side: Side) -> &[ImageId] {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// A study that is ready for raters: the content of `study.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Study {
    format: u32,
    /// What the folder belongs to.
    pub settings: Settings,
    /// How the report calls the systems.
    pub names: [String; 2],
    /// Queries first, then checks.
    pub items: Vec<Item>,
}

impl Study {
    /// A study in memory.
    pub fn new(settings: Settings, names: [String; 2], items: Vec<Item>) -> Self {
        Self {
            format: FORMAT,
            settings,
            names,
            items,
        }
    }

    /// Reads the study in `dir`.
    ///
    /// # Errors
    /// [`CompareError::NoStudy`], [`CompareError::StudyGone`], [`CompareError::Damaged`], or a file that cannot be read.
    pub fn open(dir: &Path) -> Result<Self, CompareError> {
        let path = dir.join(STUDY_FILE);
        if !path.is_file() {
            let dir = dir.to_owned();
            return Err(match dir.join(RATINGS_FILE).exists() {
                true => CompareError::StudyGone { dir },
                false => CompareError::NoStudy { dir },
            });
        }
        let damaged = |problem| CompareError::Damaged {
            path: path.clone(),
            problem,
        };
        let study: Self = serde_json::from_slice(&fs_err::read(&path)?).map_err(|error| damaged(error.to_string()))?;
        match study.format {
            FORMAT => Ok(study),
            found => Err(damaged(format!(
                "it has format {found}, but this program reads format {FORMAT}"
            ))),
        }
    }

    /// Reads the study in `dir` if there is one, and refuses one with other settings.
    ///
    /// # Errors
    /// As [`Study::open`] except [`CompareError::NoStudy`]; [`CompareError::OtherStudy`].
    pub fn open_for(dir: &Path, settings: &Settings) -> Result<Option<Self>, CompareError> {
        match Self::open(dir) {
            Err(CompareError::NoStudy { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(study) => {
                study.settings.check(settings, dir)?;
                Ok(Some(study))
            }
        }
    }

    /// Writes `study.json`: aside, synced, renamed.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), CompareError> {
        fs_err::create_dir_all(dir)?;
        let aside = dir.join("study.json.tmp");
        let mut file = fs_err::File::create(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?)?;
        file.sync_all()?;
        fs_err::rename(&aside, dir.join(STUDY_FILE))?;
        Ok(fs_err::File::open(dir)?.sync_all()?)
    }

    /// Items that compare the systems, with their class.
    pub fn queries(&self) -> impl Iterator<Item = (&Item, Intent)> {
        self.items.iter().filter_map(|item| match item.kind {
            Kind::Query { intent } => Some((item, intent)),
            Kind::Check { .. } => None,
        })
    }
}

/// Where the study keeps the small copy of an image, a JPEG. Both systems' images come from here, so that nothing about
/// an image says who found it.
pub fn image_path(dir: &Path, id: ImageId) -> PathBuf {
    dir.join(IMAGES_FOLDER).join(format!("{id}.jpg"))
}

/// Makes sure that nobody else writes to the study; the system lets go when the process dies.
pub(crate) fn lock(dir: &Path) -> Result<fs_err::File, CompareError> {
    fs_err::create_dir_all(dir)?;
    let mut options = fs_err::OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CompareError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
