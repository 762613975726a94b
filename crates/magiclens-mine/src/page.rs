//! The words of the pipeline: pages, the images on them, what is known about each, pairs, instructions.

use std::collections::BTreeMap;

use magiclens_data::ImageId;
use serde::{Deserialize, Serialize};

/// An HTML page as an archive or a folder gives it, not yet parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPage {
    /// Where it was fetched from. A file of a folder has a `file:` address relative to the folder: `file:///a/b.html`.
    pub url: String,
    /// The `Content-Type` header; empty if there was none.
    pub content_type: String,
    /// The body, decoded from transfer and content encodings, in its own charset.
    pub html: Vec<u8>,
    /// The values of its `X-Robots-Tag` headers.
    pub robots_tags: Vec<String>,
}

/// An image as an archive, a folder or a server gives it, not yet decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawImage {
    /// Where it was fetched from.
    pub url: String,
    /// The `Content-Type` header; empty if there was none.
    pub content_type: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The values of its `X-Robots-Tag` headers.
    pub robots_tags: Vec<String>,
}

/// A parsed page: what it says as a whole, and its images in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Where it was fetched from.
    pub url: String,
    /// `<title>`, else `og:title`.
    pub title: String,
    /// The first `<h1>`.
    pub heading: String,
    /// `<html lang>` as written; empty if not stated.
    pub language: String,
    /// The license that the page states, as an address or words (`rel=license`, `<meta name=dc.rights>`, ...); empty if not stated.
    #[serde(rename = "licence")]
    pub license: String,
    /// Wishes of the publisher that images be left alone: "noimageindex", "noindex", "noai", "noimageai", "tdm-reservation"; sorted.
    pub opt_outs: Vec<String>,
    /// The first few thousand characters of running text of the main content, for the language and safety filters.
    pub text: String,
    /// Its images, in their order.
    #[serde(rename = "pictures")]
    pub images: Vec<PageImage>,
}

/// An image where it stands on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageImage {
    /// The best source, absolute: the largest of `srcset` and lazy-load attributes, else `src`.
    pub url: String,
    /// Its other sources, absolute, best first; a fetch or look-up that misses the first tries these.
    pub alternatives: Vec<String>,
    /// `alt`.
    pub alt: String,
    /// `title`.
    pub title: String,
    /// The `<figcaption>` of its figure, or what the page marks as its caption.
    pub caption: String,
    /// The nearest heading above it.
    pub heading: String,
    /// Running text just before it.
    pub before: String,
    /// Running text just after it.
    pub after: String,
    /// Where it links to, absolute; empty if it does not.
    pub link: String,
    /// The stated width in CSS pixels.
    pub width: Option<u32>,
    /// The stated height in CSS pixels.
    pub height: Option<u32>,
    /// The part of the page it stands in.
    pub region: Region,
    /// Which figure of the page it stands in, counted from 0.
    pub figure: Option<u32>,
    /// Words of the classes and ids of the image and the elements around it, in lower case: what betrays logos and ads.
    pub marks: Vec<String>,
}

/// The part of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// The main content.
    #[default]
    Main,
    /// The head of the page: site name, banner.
    Header,
    /// Menus, breadcrumbs, pagers.
    Navigation,
    /// Beside the content: related links, advertisements.
    Aside,
    /// The foot of the page.
    Footer,
}

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
    /// Where it was fetched from.
    pub url: String,
    /// The page it stands on.
    pub page_url: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Which figure of its page it stands in.
    pub figure: Option<u32>,
    /// Its place among the page's images.
    pub position: u32,
    /// The license that its page states; empty if none.
    #[serde(rename = "licence")]
    pub license: String,
    /// The wishes of its page's publisher that the run does not act on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opt_outs: Vec<String>,
    /// What is known in words.
    pub metadata: Metadata,
}

/// How the two images of a pair were found.
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
    /// How they were found.
    pub origin: Origin,
    /// Similarities by name: "image", "text", ...
    pub scores: BTreeMap<String, f64>,
    /// Near to the query as well, but not the target.
    pub hard_negatives: Vec<Described>,
}

/// One wording of what leads from the query image to the target image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// As a person would ask.
    pub text: String,
    /// How the two belong together, in one word: "variant", "same_subject", ...
    pub relation: String,
    /// What wrote it: `template:effect/2`, or `model:NAME`.
    pub generator: String,
    /// The prompt and its version, e.g. `instruct/1`; empty for templates.
    pub prompt: String,
    /// The model's reasoning before its answer; empty for templates.
    pub reasoning: String,
}
