//! Contradictions between an instruction and the metadata: colors, numbers and quoted terms that it asks for must not be the query's
//! alone, and what it leaves behind must not be the target's alone.

use std::collections::BTreeSet;

use crate::english::ENGLISH;
use crate::page::Metadata;
use crate::words::{content_words, is_stop_word, stem, words};

/// The meaning of a word in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The target must have it.
    Wanted,
    /// The query has it and the target must not: "instead of a dog".
    LeftBehind,
    /// The target must not have it: "without a dog".
    Absent,
    /// True of the query, or of a later time: "this is step 2", "before the rain".
    Given,
}

/// Comparable words of an image: its own descriptions, and those with the text around it.
struct Known {
    own: BTreeSet<String>,
    all: BTreeSet<String>,
}

impl Known {
    fn new<'a>(metadata: &'a Metadata, around: impl IntoIterator<Item = &'a String>) -> Self {
        let labels = metadata.labels.iter().map(String::as_str);
        let own: BTreeSet<String> = metadata.sentences().chain(labels).flat_map(plain_words).collect();
        let around = around.into_iter().flat_map(|text| plain_words(text));
        let all = around.chain(own.iter().cloned()).collect();
        Self { own, all }
    }
}

/// Words of the instruction and the images' metadata cannot both be right.
pub(super) fn contradicts(text: &str, query: &Metadata, target: &Metadata) -> bool {
    // What surrounds the target may be about it as well.
    let around = [
        &target.heading,
        &target.page_title,
        &target.page_heading,
        &target.context,
        &target.file_words,
    ];
    let known_of_query = Known::new(query, [&query.heading, &query.file_words]);
    let known_of_target = Known::new(target, around);
    let tokens = parts(text);
    asks_for_wrong_detail(&tokens, &known_of_query, &known_of_target)
        || is_turned_round(&tokens, &known_of_query.own, &known_of_target.own)
        || is_denied(&tokens, target)
        || misquotes(text, &known_of_query.all, &known_of_target.all)
}

/// A color or number that only the query has, or a number that neither has.
fn asks_for_wrong_detail(tokens: &[(String, Part)], query: &Known, target: &Known) -> bool {
    let is_wrong = |word: String| {
        let is_number = word.chars().any(|c| c.is_ascii_digit());
        let is_exact = is_number || ENGLISH.gate.colors.has(&word) || ENGLISH.gate.counts.has(&word);
        let is_made_up = is_number && !query.all.contains(&word);
        is_exact && !target.all.contains(&word) && (is_made_up || query.own.contains(&word))
    };
    let wanted = tokens.iter().filter(|(_, part)| *part == Part::Wanted);
    !target.own.is_empty() && wanted.map(|(word, _)| normal(word)).any(is_wrong)
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

/// The words of an instruction with their parts.
fn parts(text: &str) -> Vec<(String, Part)> {
    let mut parts = Vec::new();
    for clause in text.to_lowercase().split([',', ';', ':', '.', '?', '!', '—', '–']) {
        let words = words(clause);
        let mut part = Part::Wanted;
        // Words at which a clause turns to what is wanted.
        let mut turn: &[&str] = &[];
        for (at, word) in words.iter().enumerate() {
            if turn.contains(&word.as_str()) {
                (part, turn) = (Part::Wanted, &[]);
            } else if let Some(switched) = switch(&words[at..]) {
                (part, turn) = switched;
            }
            parts.push((word.clone(), part));
        }
    }
    parts
}

/// The part that begins with the first of these words, and the words at which it ends; none if the part before goes on.
fn switch(words: &[String]) -> Option<(Part, &'static [&'static str])> {
    const ENDS_OF_CHANGE: &[&str] = &["to", "with", "into", "for", "by"];
    let (word, next) = (words[0].as_str(), words.get(1).map_or("", String::as_str));
    let is_followed = |by: &[&str]| words.iter().any(|word| by.contains(&word.as_str()));
    Some(match (word, next) {
        ("instead" | "place", "of") | ("rather", "than") => (Part::LeftBehind, &["but", "show"]),
        ("but" | "show" | "instead", _) => (Part::Wanted, &[]),
        ("no", "longer") => return None,
        ("without" | "no", _) => (Part::Absent, &["but", "and", "with"]),
        ("not" | "unlike" | "except" | "remove" | "undo" | "never", _) => (Part::LeftBehind, &["but", "show", "and"]),
        ("from" | "change" | "replace" | "swap" | "turn" | "exchange" | "switch", _) if is_followed(ENDS_OF_CHANGE) => {
            (Part::LeftBehind, ENDS_OF_CHANGE)
        }
        ("before", _) | ("this", "is" | "belongs") => (Part::Given, &["show"]),
        _ => return None,
    })
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
        target.sentences().any(|text| {
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
