//! Files and folders that cannot be used, and the reasons.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use magiclens_data::decode::DecodeError;
use serde::{Serialize, Serializer};

use crate::image::{self, FileStamp};

/// A file or folder that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Absolute path.
    #[serde(serialize_with = "image::path_as_text")]
    pub path: PathBuf,
    /// The sort of reason, for counting.
    pub reason: SkipReason,
    /// The reason in words, for people.
    pub detail: String,
    /// Set where the content is at fault, so that the same content need not be tried again.
    #[serde(skip)]
    pub(crate) stamp: Option<FileStamp>,
}

/// The sort of reason for which a file or folder cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// No bytes.
    Empty,
    /// Too many bytes or pixels.
    TooLarge,
    /// The content is no image, whatever the name says.
    NotAnImage,
    /// Cut off or contradicting itself.
    Damaged,
    /// An image of a kind that is not read.
    Unsupported,
    /// An image for which the model has no vector, such as an all-black one for some models.
    NotEmbeddable,
    /// The system refused.
    Unreadable,
    /// It was there a moment ago.
    Vanished,
    /// It changed while it was read.
    Changing,
    /// A link that leads back to a folder above it.
    LinkLoop,
    /// A link that leads nowhere.
    BrokenLink,
    /// A name that is not valid Unicode: only earlier versions skip such files.
    BadName,
    /// A `pictures.parquet` that is no table of images.
    BadCollection,
}

/// The names in the database and in JSON.
const NAMES: [(SkipReason, &str); 13] = [
    (SkipReason::Empty, "empty"),
    (SkipReason::TooLarge, "too_large"),
    (SkipReason::NotAnImage, "not_a_picture"),
    (SkipReason::Damaged, "damaged"),
    (SkipReason::Unsupported, "unsupported"),
    (SkipReason::NotEmbeddable, "not_embeddable"),
    (SkipReason::Unreadable, "unreadable"),
    (SkipReason::Vanished, "vanished"),
    (SkipReason::Changing, "changing"),
    (SkipReason::LinkLoop, "link_loop"),
    (SkipReason::BrokenLink, "broken_link"),
    (SkipReason::BadName, "bad_name"),
    (SkipReason::BadCollection, "bad_collection"),
];

impl SkipReason {
    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(reason, _)| *reason == self);
        found.expect("every reason has a name").1
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(reason, _)| *reason)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name().replace('_', " "))
    }
}

impl Serialize for SkipReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Skipped {
    /// A file that may be fine the next time.
    pub(crate) fn now(path: &Path, reason: SkipReason, detail: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason,
            detail: detail.into(),
            stamp: None,
        }
    }

    /// A file whose content could not be read or decoded; `file` is its state if the content was seen.
    pub(crate) fn from_decode(path: &Path, file: Option<&FileStamp>, error: &DecodeError) -> Self {
        let message = error.to_string();
        let detail = message.lines().next().unwrap_or_default();
        let reason = match error {
            DecodeError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::now(path, SkipReason::Vanished, "the file is gone");
            }
            DecodeError::Io(_) => return Self::now(path, SkipReason::Unreadable, detail),
            DecodeError::Empty => SkipReason::Empty,
            DecodeError::TooManyBytes { .. } | DecodeError::TooManyPixels { .. } => SkipReason::TooLarge,
            DecodeError::UnknownFormat | DecodeError::NotAFile => SkipReason::NotAnImage,
            DecodeError::Unsupported(_) => SkipReason::Unsupported,
            DecodeError::Truncated | DecodeError::Corrupt(_) => SkipReason::Damaged,
        };
        Self {
            stamp: file.cloned(),
            ..Self::now(path, reason, detail)
        }
    }

    /// A file whose content, which was seen in the state `file`, cannot be used.
    pub(crate) fn content(file: &FileStamp, error: &DecodeError) -> Self {
        Self::from_decode(&file.path, Some(file), error)
    }
}
