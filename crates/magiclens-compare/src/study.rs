//! The study folder: what is compared, on which items, with which images. Once made it needs neither model nor index.

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use magiclens_data::files::{ReadCappedError, read_capped, write_atomic_bytes};
use magiclens_data::{Digest, ImageId};
use magiclens_index::Index;
use serde::{Deserialize, Serialize};

use crate::error::CompareError;
use crate::judgment::Side;

/// Version of `study.json`.
const FORMAT: u32 = 1;
/// No file of a study comes near this size.
const MAX_FILE_BYTES: u64 = 1 << 30;

const STUDY_FILE: &str = "study.json";
const IMAGES_FOLDER: &str = "pictures";
const LOCK_FILE: &str = "study.lock";
pub(crate) const RATINGS_FILE: &str = "ratings.jsonl";
/// Beginning of the ids of checks made by the program.
pub(crate) const AUTOMATIC_CHECK: &str = "automatic check";

/// The intent classes of the human evaluation in the MagicLens paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Intent {
    /// The same thing again, or with one visible change.
    #[serde(rename = "simple visual")]
    SimpleVisual,
    /// Several visible changes, or relations between things.
    #[serde(rename = "complex visual")]
    ComplexVisual,
    /// Properties that cannot be seen in the query image itself: use, origin, history.
    #[serde(rename = "beyond visual")]
    BeyondVisual,
}

impl Intent {
    /// In the order of the paper's table.
    pub const ALL: [Self; 3] = [Self::SimpleVisual, Self::ComplexVisual, Self::BeyondVisual];

    /// As written in the query file.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleVisual => "simple visual",
            Self::ComplexVisual => "complex visual",
            Self::BeyondVisual => "beyond visual",
        }
    }
}

/// The parts of a query that make its vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The query image fused with the instruction.
    #[default]
    #[serde(rename = "image+text")]
    ImageText,
    /// The query image alone.
    #[serde(rename = "image")]
    Image,
    /// The instruction alone, among the image tower's vectors.
    #[serde(rename = "text")]
    Text,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ImageText, Self::Image, Self::Text];

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageText => "image+text",
            Self::Image => "image",
            Self::Text => "text",
        }
    }
}

/// One of the two systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedSystem {
    /// Digest of weights and configuration.
    pub model: String,
    /// The parts of a query that it uses.
    pub method: Method,
    /// Digest of the ids of all images that it searches among.
    pub gallery: String,
    /// The number of these images.
    #[serde(rename = "pictures")]
    pub images: usize,
}

impl ComparedSystem {
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
            gallery: short_digest(bytes),
            images: ids.len(),
        })
    }
}

/// The identity of a study: a folder refuses other settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Digest of the query file and its images.
    pub queries: String,
    /// The first system.
    pub a: ComparedSystem,
    /// The second system.
    pub b: ComparedSystem,
    /// Length of the rankings.
    pub k: usize,
    /// Decides order, sides and automatic checks.
    pub seed: u64,
    /// Checks that are made of rankings and random images.
    pub automatic_checks: usize,
    /// The question to raters.
    pub question: String,
}

impl Settings {
    /// The question to raters unless another one is given.
    pub const QUESTION: &'static str = "Which result list fits the query picture and the instruction better?";

    /// The system of one side.
    pub fn system(&self, side: Side) -> &ComparedSystem {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Each setting in words, with its value.
    fn described(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for (side, system) in [("A", &self.a), ("B", &self.b)] {
            let gallery = format!("{} images, {}", system.images, system.gallery);
            rows.push((format!("the model of {side}"), system.model.clone()));
            rows.push((format!("the method of {side}"), system.method.name().to_owned()));
            rows.push((format!("the gallery of {side}"), gallery));
        }
        let others = [
            ("the digest of the query file", self.queries.clone()),
            ("`-k`", self.k.to_string()),
            ("`--seed`", self.seed.to_string()),
            ("`--checks`", self.automatic_checks.to_string()),
            ("the question", self.question.clone()),
        ];
        rows.extend(others.map(|(what, value)| (what.to_owned(), value)));
        rows
    }

    /// The settings that differ in `other`, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let both = self.described().into_iter().zip(other.described());
        both.filter(|(here, there)| here != there)
            .map(|((what, here), (_, there))| format!("{what} is `{here}` there and `{there}` now"))
            .collect()
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

    /// Refuses two systems that are one, or that cannot find any image.
    ///
    /// # Errors
    /// [`CompareError::SameSystem`], [`CompareError::EmptyGallery`].
    pub fn check_systems(&self) -> Result<(), CompareError> {
        if let Some(side) = [Side::A, Side::B]
            .into_iter()
            .find(|side| self.system(*side).images == 0)
        {
            return Err(CompareError::EmptyGallery { side });
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

/// The purpose of an item.
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
    /// Its purpose. Never shown to raters.
    pub kind: Kind,
    /// The query image.
    #[serde(rename = "picture")]
    pub image: ImageId,
    /// The change that is wanted.
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
    /// The identity of the folder.
    pub settings: Settings,
    /// Names of the systems in the report.
    pub names: [String; 2],
    /// Queries first, then checks.
    pub items: Vec<Item>,
}

impl Study {
    /// A study in memory.
    pub fn new(settings: Settings, names: [String; 2], items: Vec<Item>) -> Self {
        let format = FORMAT;
        Self {
            format,
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
        let Some(bytes) = read_if_present(&path)? else {
            let dir = dir.to_owned();
            return Err(match dir.join(RATINGS_FILE).exists() {
                true => CompareError::StudyGone { dir },
                false => CompareError::NoStudy { dir },
            });
        };
        let damaged = |problem| CompareError::Damaged {
            path: path.clone(),
            problem,
        };
        let study: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
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

    /// Writes `study.json`, whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), CompareError> {
        fs_err::create_dir_all(dir)?;
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        Ok(write_atomic_bytes(dir.join(STUDY_FILE), json)?)
    }

    /// Items that compare the systems, with their class.
    pub fn queries(&self) -> impl Iterator<Item = (&Item, Intent)> {
        self.items.iter().filter_map(|item| match item.kind {
            Kind::Query { intent } => Some((item, intent)),
            Kind::Check { .. } => None,
        })
    }
}

/// The study's small copy of an image, a JPEG. Both systems' images come from here, so that nothing about an image says
/// who found it.
pub fn image_path(dir: &Path, id: ImageId) -> PathBuf {
    dir.join(IMAGES_FOLDER).join(format!("{id}.jpg"))
}

/// The bytes of a file of the study; `None` if there is none.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, CompareError> {
    match read_capped(path, MAX_FILE_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadCappedError::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The lines of a log that were written whole. A last line without its end was being written when the program was stopped.
pub(crate) fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    &bytes[..end]
}

/// A line of a log.
pub(crate) fn json_line(value: &impl Serialize) -> Result<Vec<u8>, CompareError> {
    let mut line = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    line.push(b'\n');
    Ok(line)
}

/// A digest in the form that studies have had from the start: half the length of a [`Digest`].
pub(crate) fn short_digest(bytes: impl AsRef<[u8]>) -> String {
    let mut digest = Digest::of(bytes).to_string();
    digest.truncate(32);
    digest
}

/// Makes sure that nobody else writes to the study; the system lets go when the process dies.
pub(crate) fn lock(dir: &Path) -> Result<fs_err::File, CompareError> {
    fs_err::create_dir_all(dir)?;
    let mut options = fs_err::OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(dir.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CompareError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_the_form_of_existing_studies() {
        assert_eq!(short_digest("queries"), "54d7b2080bba06007f777d6a861acf60");
    }
}
