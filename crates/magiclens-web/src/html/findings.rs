//! Findings of the pass over a page: its text, its images, and places in the text.

use super::sources::Source;
use super::statements::Statements;
use super::text::{Span, Text};
use crate::page::Region;

/// Everything that has been found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) text: Text,
    pub(super) images: Vec<FoundImage>,
    pub(super) headings: Vec<Heading>,
    pub(super) statements: Statements,
    /// Captions and code: no running text.
    pub(super) captions_and_code: Vec<Span>,
    pub(super) code: Vec<Span>,
    /// Text outside the main content.
    pub(super) aside: Vec<Span>,
    pub(super) mains: Vec<MainPart>,
    /// Number of figures.
    pub(super) figures: u32,
}

/// An image as the pass found it.
#[derive(Debug, Default)]
pub(super) struct FoundImage {
    pub(super) sources: Vec<Source>,
    pub(super) alt: String,
    pub(super) title: String,
    /// Its caption with its rank.
    pub(super) caption: Option<(u8, String)>,
    /// The link around it, as written.
    pub(super) link: String,
    /// Its place in the text.
    pub(super) at: Span,
    /// The place of its heading in `Findings::headings`, plus one; 0 before the first.
    pub(super) heading: usize,
    pub(super) region: Region,
    pub(super) figure: Option<u32>,
    pub(super) marks: Vec<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    /// A symbol in the caption of another image.
    pub(super) in_caption: bool,
    /// Waits for a script to be shown.
    pub(super) lazy: bool,
    /// Stands in a `<noscript>`.
    pub(super) noscript: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    pub(super) level: u8,
    pub(super) span: Span,
    pub(super) region: Region,
}

/// A part of the page that says it is the main content.
#[derive(Clone, Copy, Debug)]
pub(super) struct MainPart {
    pub(super) level: MainLevel,
    pub(super) span: Span,
}

/// Certainty that a part is the main content, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MainLevel {
    /// `<main>`, `role=main`.
    Main,
    /// `<article>`.
    Article,
    /// By its id or class.
    Named,
}

/// Adds a place, unless nothing stands there.
pub(super) fn add_span(spans: &mut Vec<Span>, span: Span) {
    if span.start < span.end {
        spans.push(span);
    }
}
