//! One line of training or test data: an image, an instruction, and the images that answer it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ImageId;

/// A query image, an instruction, and all images that are right answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Triplet {
    /// The query image.
    pub query: ImageId,
    /// Another image that the instruction is about: "the first in the style of the second".
    pub second: Option<ImageId>,
    /// The change or relation that is wanted, in natural words.
    pub instruction: String,
    /// All right answers, in the order of their ids; never empty, never the query.
    pub targets: Vec<ImageId>,
    /// The relation of query and targets, e.g. "style".
    pub relation: String,
    /// Wrong answers that are easily taken for right ones; may be empty.
    pub hard_negatives: Vec<ImageId>,
    /// Its origin.
    pub provenance: Provenance,
}

/// The origin of a triplet; one JSON text in Parquet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The package or page of the query.
    pub source: String,
    /// The generator of the instruction, e.g. `template:style/12`.
    pub generator: String,
    /// The licenses of the images, joined with ` AND `.
    #[serde(rename = "licence")]
    pub license: String,
    /// The models that took part.
    #[serde(default)]
    pub models: Vec<String>,
    /// Their scores.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// The page that the images share; empty if they share none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page: String,
    /// The URL that each image was fetched from, and the page it stands on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub urls: BTreeMap<ImageId, ImageAddress>,
    /// The prompt that the instruction was written with, and its version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The version of each stage that the triplet went through.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, u32>,
}

/// The origin of a mined image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAddress {
    /// The image's own address.
    pub url: String,
    /// The page it stands on.
    pub page: String,
    /// The license that the page states; empty if none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[serde(rename = "licence")]
    pub license: String,
    /// The wishes to be left alone that page or image state, where the run was told to count them only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opt_outs: Vec<String>,
}
