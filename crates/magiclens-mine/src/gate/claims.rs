//! Does an instruction contradict what is known? Colors, numbers and quoted terms that it asks for must not be the query's alone,
//! and what it leaves behind must not be the target's alone.

use std::collections::BTreeSet;

use super::own_texts;
use crate::page::Metadata;
use crate::words::{content_words, is_stop_word, stem, words};

const COLORS: &[&str] = &[
    "beige",
    "black",
    "blue",
    "brown",
    "crimson",
    "cyan",
    "gold",
    "golden",
    "gray",
    "green",
    "indigo",
    "magenta",
    "maroon",
    "navy",
    "orange",
    "pink",
    "purple",
    "red",
    "scarlet",
    "silver",
    "teal",
    "turquoise",
    "violet",
    "white",
    "yellow",
    "monochrome",
    "colourful",
    "colorful",
];
const COUNTS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "dozen", "hundred",
];

/// How a word of an instruction is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What the target shall have.
    Wanted,
    /// What the query has and the target has not: "instead of a dog".
    LeftBehind,
    /// What the target shall not have: "without a dog".
    Absent,
    /// What the query is, or what came later: "this is step 2", "before the rain".
    Given,
}

/// True if words of the instruction and the images' metadata cannot both be right.
pub(super) fn contradicts(text: &str, query: &Metadata, target: &Metadata) -> bool {
    let (query_own, target_own) = (own_words(query), own_words(target));
    // What surrounds the target may be about it as well.
    let around = [
        &target.heading,
        &target.page_title,
        &target.page_heading,
        &target.context,
        &target.file_words,
    ];
    let target_all: BTreeSet<String> = around
        .into_iter()
        .flat_map(|text| plain_words(text))
        .chain(target_own.iter().cloned())
        .collect();
    let query_all: BTreeSet<String> = [&query.heading, &query.file_words]
        .into_iter()
        .flat_map(|text| plain_words(text))
        .chain(query_own.iter().cloned())
        .collect();
    let tokens = parts(text);
    let wanted_only_by_query = |word: &str| query_own.contains(word) && !target_all.contains(word);
    for (word, part) in &tokens {
        let word = normal(word);
        let is_number = word.chars().any(|c| c.is_ascii_digit());
        let is_exact = is_number || COLORS.contains(&word.as_str()) || COUNTS.contains(&word.as_str());
        if *part == Part::Wanted && is_exact && !target_own.is_empty() {
            let made_up = is_number && !target_all.contains(&word) && !query_all.contains(&word);
            if made_up || wanted_only_by_query(&word) {
                return true;
            }
        }
    }
    is_turned_round(&tokens, &query_own, &target_own)
        || is_denied(&tokens, target)
        || misquotes(text, &query_all, &target_all)
}

/// All words of the image's own descriptions and labels, as they are compared.
fn own_words(metadata: &Metadata) -> BTreeSet<String> {
    own_texts(metadata)
        .chain(metadata.labels.iter().map(String::as_str))
        .flat_map(plain_words)
        .collect()
}

fn plain_words(text: &str) -> Vec<String> {
    words(text).iter().map(|word| normal(word)).collect()
}

fn normal(word: &str) -> String {
    match word {
        "grey" => "gray".to_owned(),
        "colour" => "color".to_owned(),
        _ => stem(word),
    }
}

/// The words of an instruction, and how each is meant.
fn parts(text: &str) -> Vec<(String, Part)> {
    let mut parts = Vec::new();
    for clause in text.to_lowercase().split([',', ';', ':', '.', '?', '!', '—', '–']) {
        let words = words(clause);
        let mut part = Part::Wanted;
        // Where a clause turns from what is left behind to what is wanted.
        let mut turn: &[&str] = &[];
        for (at, word) in words.iter().enumerate() {
            let next = words.get(at + 1).map_or("", String::as_str);
            let word_is = |options: &[&str]| options.contains(&word.as_str());
            if word_is(turn) || word_is(&["but", "show", "instead"]) && next != "of" {
                (part, turn) = (Part::Wanted, &[]);
            } else if word == "without" || (word == "no" && next != "longer") {
                (part, turn) = (Part::Absent, &["but", "and", "with"]);
            } else if (word_is(&["instead"]) && next == "of")
                || (word == "rather" && next == "than")
                || (word == "place" && next == "of")
            {
                (part, turn) = (Part::LeftBehind, &["but", "show"]);
            } else if word_is(&["not", "unlike", "except", "remove", "undo", "never"]) {
                (part, turn) = (Part::LeftBehind, &["but", "show", "and"]);
            } else if word_is(&["from", "change", "replace", "swap", "turn", "exchange", "switch"])
                && is_followed(&words[at..], &["to", "with", "into", "for", "by"])
            {
                (part, turn) = (Part::LeftBehind, &["to", "with", "into", "for", "by"]);
            } else if word == "before" || (word == "this" && ["is", "belongs"].contains(&next)) {
                (part, turn) = (Part::Given, &["show"]);
            }
            parts.push((word.clone(), part));
        }
    }
    parts
}

fn is_followed(words: &[String], by: &[&str]) -> bool {
    words.iter().any(|word| by.contains(&word.as_str()))
}

/// "Instead of X" where X is the target's and not the query's.
fn is_turned_round(tokens: &[(String, Part)], query: &BTreeSet<String>, target: &BTreeSet<String>) -> bool {
    if query.is_empty() || target.is_empty() {
        return false;
    }
    runs(tokens, Part::LeftBehind).any(|run| {
        !run.is_empty() && run.iter().all(|word| target.contains(word)) && !run.iter().any(|word| query.contains(word))
    })
}

/// "Without X" where the target's words tell of X.
fn is_denied(tokens: &[(String, Part)], target: &Metadata) -> bool {
    let told = |word: &String| {
        own_texts(target).any(|text| {
            parts(text)
                .iter()
                .any(|(told, part)| *part == Part::Wanted && normal(told) == *word)
        })
    };
    runs(tokens, Part::Absent).any(|run| !run.is_empty() && run.iter().take(2).all(told))
}

/// The telling words of each stretch of one part.
fn runs(tokens: &[(String, Part)], wanted: Part) -> impl Iterator<Item = Vec<String>> {
    tokens
        .chunk_by(|a, b| a.1 == b.1)
        .filter(move |run| run[0].1 == wanted)
        .map(|run| {
            run.iter()
                .map(|(word, _)| word)
                .filter(|word| !is_stop_word(word))
                .map(|word| normal(word))
                .collect()
        })
}

/// A quoted term that neither image has.
fn misquotes(text: &str, query: &BTreeSet<String>, target: &BTreeSet<String>) -> bool {
    let quotes = text.split(['“', '”', '"']).skip(1).step_by(2);
    quotes.map(content_words).any(|term| {
        let known = |words: &BTreeSet<String>| term.iter().filter(|word| words.contains(&normal(word))).count() * 2;
        !term.is_empty() && known(query) < term.len() && known(target) < term.len()
    })
}
