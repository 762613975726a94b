//! Another kind of image of the same subject: "its options dialog", "the floor plan for this".

use std::collections::BTreeSet;
use std::ops::Range;

use super::phrase::Phrase;
use super::relation::Relation;
use crate::english::ENGLISH;
use crate::page::ImagePair;
use crate::words::{content_words, is_stop_word, stem, words};

/// Longer descriptions do not only name a subject.
const MAX_WORDS: usize = 9;
/// Words of a kind: "tool options dialog".
const MAX_KIND_WORDS: usize = 3;

/// The target is an image of another kind, and its subject stands in the query's own words.
pub(super) fn aspect(pair: &ImagePair) -> Option<Relation> {
    let query_text = pair.query.metadata.sentences().collect::<Vec<_>>().join(" . ");
    let query_words = content_words(&query_text);
    let known: BTreeSet<String> = query_words.iter().filter(|word| !is_kind(word)).cloned().collect();
    let descriptions = pair.target.metadata.sentences().map(Phrase::new);
    descriptions
        .filter(|phrase| phrase.len() <= MAX_WORDS)
        .find_map(|phrase| {
            let kind = kind_of(&phrase, &known)?;
            let kind_words = content_words(&kind);
            let is_known_kind = |word: &String| is_kind(word) && query_words.contains(word);
            let is_of_query = kind_words.is_subset(&query_words) || kind_words.iter().any(is_known_kind);
            (!is_of_query).then(|| Relation::new("aspect", [("kind", kind)]))
        })
}

pub(super) fn is_kind(word: &str) -> bool {
    ENGLISH.template.kinds.has(&stem(word))
}

/// The kind in "“Bloom” filter options" and "Tool options for the Eraser tool", where all words of the subject are `known`.
fn kind_of(phrase: &Phrase, known: &BTreeSet<String>) -> Option<String> {
    let start = usize::from(phrase.starts_with_article());
    let preposition = (start + 1..phrase.len()).find(|&at| ["of", "for", "from"].contains(&phrase.key(at)));
    let (kind, subject) = match preposition {
        Some(at) => (start..at, at + 1..phrase.len()),
        None => kind_behind_subject(phrase, start, known)?,
    };
    let fits = kind.len() <= MAX_KIND_WORDS
        && is_kind(phrase.key(kind.end - 1))
        && phrase.is_whole(&kind)
        && is_known(phrase, subject.clone(), known)
        && names_something(phrase, subject);
    fits.then(|| lower_titled(&phrase.written(kind)))
}

/// The spans of kind and subject in "S kind", perhaps with a place behind, which is skipped: "S icon in the toolbox".
fn kind_behind_subject(
    phrase: &Phrase,
    start: usize,
    known: &BTreeSet<String>,
) -> Option<(Range<usize>, Range<usize>)> {
    let place = (start..phrase.len()).find(|&at| ["in", "on", "at", "with"].contains(&phrase.key(at)));
    let end = place.unwrap_or(phrase.len());
    let is_of_kind = |at: &usize| !is_known(phrase, *at..at + 1, known);
    let first = (start..end).rev().take_while(is_of_kind).last()?;
    let fits = start < first
        && phrase.is_whole(&(start..end))
        && !is_stop_word(phrase.key(first))
        && !phrase.continues_quotation(first);
    fits.then_some((first..end, start..first))
}

/// All telling words of the span are known, and there are some.
fn is_known(phrase: &Phrase, span: Range<usize>, known: &BTreeSet<String>) -> bool {
    let words: Vec<String> = span.flat_map(|at| words(phrase.key(at))).collect();
    let mut telling = words.iter().filter(|word| !is_stop_word(word)).peekable();
    telling.peek().is_some() && telling.all(|word| known.contains(&stem(word)))
}

fn names_something(phrase: &Phrase, mut span: Range<usize>) -> bool {
    span.any(|at| !is_stop_word(phrase.key(at)) && !ENGLISH.template.kind_fillers.has(&stem(phrase.key(at))))
}

/// Kinds are common nouns: "Context Menu" to "context menu". Abbreviations stay.
fn lower_titled(text: &str) -> String {
    let lower = |word: &str| {
        let plain = word.chars().skip(1).all(char::is_lowercase);
        if plain { word.to_lowercase() } else { word.to_owned() }
    };
    text.split(' ').map(lower).collect::<Vec<_>>().join(" ")
}
