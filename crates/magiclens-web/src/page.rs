//! Pages and images: as archives, folders and servers give them, and as parsed.

use serde::{Deserialize, Serialize};

/// An HTML page as an archive or a folder gives it, not yet parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPage {
    /// The address it was fetched from. A file of a folder has a `file:` address relative to the folder: `file:///a/b.html`.
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
    /// The address it was fetched from.
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
    /// The address it was fetched from.
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
    /// Its link, absolute; empty if it does not.
    pub link: String,
    /// The stated width in CSS pixels.
    pub width: Option<u32>,
    /// The stated height in CSS pixels.
    pub height: Option<u32>,
    /// The part of the page it stands in.
    pub region: Region,
    /// The figure of the page it stands in, counted from 0.
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
