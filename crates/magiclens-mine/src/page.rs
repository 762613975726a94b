//! The words of the pipeline: images with what is known about each, pairs, instructions.

use std::collections::BTreeMap;

use magiclens_data::ImageId;
use serde::{Deserialize, Serialize};

/// All words about an image, from the page and from models: the paper's "expanded metadata".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// `alt`, cleaned.
    pub alt: String,
    /// Caption, cleaned.
    pub caption: String,
    /// `title`, cleaned.
    pub title: String,
    /// Words of the file name, if it has real ones.
    pub file_words: String,
    /// The nearest heading above it.
    pub heading: String,
    /// Text around it, before and after.
    pub context: String,
    /// The page's title without the site's name.
    pub page_title: String,
    /// The page's first heading.
    pub page_heading: String,
    /// Labels from a vision model.
    pub labels: Vec<String>,
    /// A caption from a vision model.
    pub model_caption: String,
}

/// An image that passed cleaning, with what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The hash of its file.
    #[serde(rename = "picture")]
    pub image: ImageId,
    /// The shard that holds its file.
    pub shard: usize,
    /// The address that it was fetched from.
    pub url: String,
    /// The page it stands on.
    pub page_url: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The number of the figure of its page that it stands in.
    pub figure: Option<u32>,
    /// Its place among the page's images.
    pub position: u32,
    /// The license that its page states; empty if none.
    #[serde(rename = "licence")]
    pub license: String,
    /// The wishes of its page's publisher that the run does not act on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opt_outs: Vec<String>,
    /// All words about it.
    pub metadata: Metadata,
}

/// The way in which the two images of a pair were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// They stand on one page.
    Page,
    /// One is among the other's nearest neighbors in the corpus, by the named encoder.
    #[serde(rename = "neighbour")]
    Neighbor(String),
}

/// Two images that are related but not the same; the instruction leads from `query` to `target`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImagePair {
    /// The image that is given.
    pub query: Described,
    /// The image that is wanted.
    pub target: Described,
    /// The way in which they were found.
    pub origin: Origin,
    /// Similarities by encoder and space: "image:image", "text:text_trunk", ...
    pub scores: BTreeMap<String, f64>,
    /// Near to the query as well, but not the target.
    pub hard_negatives: Vec<Described>,
}

impl ImagePair {
    /// The similarity by an encoder, whatever its space; runs of earlier versions name scores by the encoder alone.
    pub fn score(&self, encoder: &str) -> Option<f64> {
        let is_of = |name: &str| name.rsplit_once(':').map_or(name, |(encoder, _space)| encoder) == encoder;
        self.scores
            .iter()
            .find(|(name, _)| is_of(name))
            .map(|(_, score)| *score)
    }
}

/// One wording of what leads from the query image to the target image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// As a person would ask.
    pub text: String,
    /// The relation of the two, in one word: "variant", "same_subject", ...
    pub relation: String,
    /// Its writer: `template:effect/2`, or `model:NAME`.
    pub generator: String,
    /// The prompt and its version, e.g. `instruct/1`; empty for templates.
    pub prompt: String,
    /// The model's reasoning before its answer; empty for templates.
    pub reasoning: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Image `number` of a page of `a.example`.
    pub(crate) fn described(number: u8, metadata: Metadata) -> Described {
        Described {
            image: ImageId::from_bytes([number; 16]),
            shard: 0,
            url: format!("https://a.example/{number}.jpg"),
            page_url: "https://a.example/".to_owned(),
            width: 300,
            height: 200,
            figure: None,
            position: number.into(),
            license: String::new(),
            opt_outs: Vec::new(),
            metadata,
        }
    }

    /// The images 1 and 2 as a pair of their page.
    pub(crate) fn pair(query: Metadata, target: Metadata) -> ImagePair {
        ImagePair {
            query: described(1, query),
            target: described(2, target),
            origin: Origin::Page,
            scores: BTreeMap::new(),
            hard_negatives: Vec::new(),
        }
    }
}
