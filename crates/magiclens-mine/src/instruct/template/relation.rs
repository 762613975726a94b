//! The parts of a relation: its name, the slots of its wordings, and the setting that both images share.

use std::collections::BTreeMap;

use super::phrase::Phrase;
use crate::english::ENGLISH;
use crate::metadata::is_plain_heading;
use crate::page::{ImagePair, Metadata, Origin};

/// A relation's name in `wordings.toml`, and the slots that its wordings can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) name: &'static str,
    pub(super) slots: BTreeMap<&'static str, String>,
}

impl Relation {
    pub(super) fn new<const N: usize>(name: &'static str, slots: [(&'static str, String); N]) -> Self {
        Self {
            name,
            slots: slots.into(),
        }
    }
}

/// Common ground of the places of two images.
pub(super) struct Setting {
    pub(super) page: bool,
    pub(super) section: bool,
    /// The matter of the section or page; empty if no heading names it.
    pub(super) topic: String,
}

impl Setting {
    pub(super) fn of(pair: &ImagePair) -> Self {
        let (query, target) = (&pair.query, &pair.target);
        let page = pair.origin == Origin::Page && query.page_url == target.page_url;
        let section = page && !query.metadata.heading.is_empty() && query.metadata.heading == target.metadata.heading;
        let headings = [
            Some(&target.metadata.heading).filter(|_| section),
            Some(&target.metadata.page_heading),
            Some(&target.metadata.page_title),
        ];
        let topic = headings.into_iter().flatten().find_map(|heading| topic(heading));
        Self {
            page,
            section,
            topic: topic.filter(|_| page).unwrap_or_default(),
        }
    }
}

/// A heading as a noun phrase; none if it names no matter.
fn topic(heading: &str) -> Option<String> {
    /// Cut short, a longer one would name another matter.
    const MAX_WORDS: usize = 6;
    if is_plain_heading(heading) || !heading.chars().any(char::is_alphabetic) {
        return None;
    }
    let phrase = Phrase::new(heading);
    let is_one_phrase = phrase.is_whole(&(0..phrase.len())) || heading.ends_with(')');
    let names_matter = !ENGLISH.template.plain_topics.has(phrase.key(0)) && is_one_phrase;
    (names_matter && phrase.len() <= MAX_WORDS)
        .then(|| phrase.noun_phrase(MAX_WORDS))
        .flatten()
}

/// The best description of the image itself.
pub(super) fn own_words(metadata: &Metadata) -> &str {
    metadata.sentences().next().unwrap_or_default()
}
