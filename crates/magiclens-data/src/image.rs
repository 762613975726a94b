//! One image of a collection and what is known about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ImageId;

/// One image of a collection: a row of `images.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The content id of the file.
    pub id: ImageId,
    /// Where the file is, relative to the collection folder, with `/`.
    pub path: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Drawn or photographed.
    pub kind: ImageKind,
    /// What it shows, tone and gender included: "woman astronaut: dark skin tone".
    pub concept: String,
    /// The concept without color, gender, tone and direction: what the split goes by.
    pub root: String,
    /// Other concepts whose image is identical.
    pub also: Vec<String>,
    /// The drawing style, e.g. "openmoji-black"; "photo" for photographs.
    pub style: String,
    /// The design family: styles of one family share their shapes.
    pub family: String,
    /// A few words that describe the image.
    pub caption: String,
    /// Search words.
    pub tags: Vec<String>,
    /// The large group, e.g. "animals-nature"; empty if unknown.
    pub group: String,
    /// The small group, e.g. "animal-mammal"; empty if unknown.
    pub subgroup: String,
    /// "light", "medium-light", "medium", "medium-dark" or "dark".
    pub skin_tone: Option<String>,
    /// "man", "woman" or "person".
    pub gender: Option<String>,
    /// The color word of the concept.
    pub color: Option<String>,
    /// The package it came from, e.g. `npm:@iconify-json/noto@1.2.9`.
    pub source: String,
    /// The license, as an SPDX expression where there is one.
    pub license: String,
    /// The part of the data it belongs to.
    pub split: Split,
}

/// Whether an image was drawn or photographed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    /// Drawn, painted or rendered.
    Drawing,
    /// Photographed.
    Photo,
}

/// The part of the data an image belongs to. No root concept is in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing among trained models.
    Dev,
    /// For the reported figures only.
    Test,
}

/// A text that names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of {expected}")]
pub struct ParseVariantError {
    found: String,
    expected: &'static str,
}

impl Split {
    /// All parts, in the order of use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];

    /// The name in columns and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

impl ImageKind {
    /// The name in columns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drawing => "drawing",
            Self::Photo => "photo",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = ParseVariantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVariantError {
            found: text.to_owned(),
            expected: "`train`, `dev`, `test`",
        };
        Self::ALL
            .into_iter()
            .find(|split| split.name() == text)
            .ok_or_else(error)
    }
}

impl FromStr for ImageKind {
    type Err = ParseVariantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVariantError {
            found: text.to_owned(),
            expected: "`drawing`, `photo`",
        };
        [Self::Drawing, Self::Photo]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(error)
    }
}
