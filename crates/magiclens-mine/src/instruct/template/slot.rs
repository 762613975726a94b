//! Descriptions that agree but for one place: "at night" and "in the fog", "radius 10" and "radius 20".

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::phrase::{Difference, Phrase};
use super::relation::{Place, Relation, is_kind, lower_titled, own_words};
use crate::page::{Described, ImagePair};
use crate::words::{content_words, is_stop_word, stem};

/// Things that are counted, in the order in which they come.
const COUNTERS: &[&str] = &[
    "step", "stage", "phase", "part", "day", "week", "month", "year", "lesson", "chapter", "page", "frame", "slide",
    "round", "level", "scene", "episode",
];

/// Things that are only numbered.
const NUMBERED: &[&str] = &[
    "example", "formula", "option", "method", "type", "version", "plate", "variant", "number", "no", "view", "test",
    "sample", "case", "exercise", "model", "series", "room", "house", "gallery", "track", "exhibit", "item", "pattern",
    "style",
];

const COLORS: &[&str] = &[
    "beige",
    "black",
    "blue",
    "bronze",
    "brown",
    "cream",
    "crimson",
    "cyan",
    "gold",
    "golden",
    "gray",
    "green",
    "grey",
    "indigo",
    "ivory",
    "lavender",
    "magenta",
    "maroon",
    "navy",
    "olive",
    "orange",
    "pink",
    "purple",
    "red",
    "scarlet",
    "silver",
    "tan",
    "teal",
    "turquoise",
    "violet",
    "white",
    "yellow",
];

static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[#$€£]?\d[\d.,]*(?:[%°×x]|[a-zA-Z]{1,4})?$"));
static YEAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:1[5-9]|20)\d\ds?$"));

/// Descriptions that agree but for one place.
pub(super) fn parallel(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let mut fields = vec![
        (query.caption.as_str(), target.caption.as_str()),
        (&query.alt, &target.alt),
        (&query.title, &target.title),
        (&query.model_caption, &target.model_caption),
        (own_words(query), own_words(target)),
    ];
    let nameless = own_words(query).is_empty() && own_words(target).is_empty();
    if nameless {
        fields.push((&query.file_words, &target.file_words));
    }
    let fields: Vec<(Phrase, Phrase)> = fields
        .into_iter()
        .filter(|(a, b)| !a.is_empty() && !b.is_empty())
        .map(|(a, b)| (Phrase::new(a), Phrase::new(b)))
        .collect();
    let found = fields.iter().find_map(|(query, target)| {
        let difference = query.difference(target)?;
        let fits = !nameless || is_sure(query, target, &difference) && are_of_a_size(&pair.query, &pair.target);
        fits.then(|| compare(query, target, &difference, place)).flatten()
    })?;
    // Where caption and alt text differ in different words, "the same but for one thing" is not true.
    let slots = ["query", "target"].map(|slot| found.slots.get(slot).map_or("", String::as_str));
    let changed = content_words(&slots.join(" "));
    let agrees = |(query, target): &(Phrase, Phrase)| {
        let Some(other) = query.difference(target) else {
            return true;
        };
        let other = format!("{} {}", query.as_written(other.query), target.as_written(other.target));
        MAX_LABEL_WORDS < query.len().max(target.len()) || !changed.is_disjoint(&content_words(&other))
    };
    fields.iter().all(agrees).then_some(found)
}

/// Variants of one image are as wide or as high as one another.
fn are_of_a_size(query: &Described, target: &Described) -> bool {
    query.width.abs_diff(target.width) * 50 <= query.width || query.height.abs_diff(target.height) * 50 <= query.height
}

/// Words of file names are short of grammar: most must agree, and what differs must tell something.
fn is_sure(query: &Phrase, target: &Phrase, difference: &Difference) -> bool {
    let tells = |phrase: &Phrase, span: &Range<usize>| !span.clone().any(|at| FILE_STATES.contains(&phrase.key(at)));
    let changed = difference.query.len().max(difference.target.len());
    tells(query, &difference.query)
        && tells(target, &difference.target)
        && changed <= 2
        && 2 <= target.len() - difference.target.len()
}

fn compare(query: &Phrase, target: &Phrase, difference: &Difference, place: &Place) -> Option<Relation> {
    /// Longer differences are not one place.
    const MAX_WORDS: usize = 5;
    let (from, to) = (&difference.query, &difference.target);
    let shared = (0..target.len()).filter(|at| !to.contains(at));
    let telling = shared
        .clone()
        .filter(|&at| !is_stop_word(target.key(at)) && target.key(at).chars().any(char::is_alphabetic))
        .count();
    // A quotation is one name, however long.
    let weight = |phrase: &Phrase, span: &Range<usize>| if phrase.is_quoted(span) { 1 } else { span.len() };
    let changed = weight(query, from).max(weight(target, to));
    // What is shared must outweigh what is not, but for circumstances: "bridge at night", "bridge in the fog".
    let is_circumstance = query.starts_with_preposition(from) || target.starts_with_preposition(to);
    let needed = if is_circumstance || from.is_empty() || to.is_empty() {
        1
    } else {
        changed
    };
    let is_usable = |phrase: &Phrase, span: &Range<usize>| {
        let last_dangles = !span.is_empty() && is_dangling(phrase.key(span.end - 1));
        span.len() <= MAX_WORDS && phrase.is_whole(span) && !last_dangles && !is_grammar(phrase, span)
    };
    if telling < needed || shared.count() < changed.div_ceil(2) || !is_usable(query, from) || !is_usable(target, to) {
        return None;
    }
    match (from.is_empty(), to.is_empty()) {
        (false, false) => replaced(query, target, difference, place),
        (true, false) => added(target, to),
        (false, true) => removed(query, from),
        (true, true) => None,
    }
}

/// Longer descriptions differ in many ways that mean nothing.
const MAX_LABEL_WORDS: usize = 10;

/// Words of file names that tell how a file came about.
const FILE_STATES: &[&str] = &[
    "open",
    "mode",
    "duplicate",
    "copy",
    "raster",
    "vector",
    "setting",
    "settings",
    "result",
    "start",
    "end",
    "before",
    "after",
    "example",
    "test",
    "menu",
    "new",
    "old",
    "base",
    "left",
    "right",
    "work",
    "tut",
    "step",
    "map",
    "source",
    "none",
    "done",
    "pre",
    "post",
    "use",
    "main",
    "sample",
    "demo",
    "select",
    "icon",
];

/// "of", "the", "and": a phrase does not end there.
fn is_dangling(key: &str) -> bool {
    is_stop_word(key)
        && ![
            "on", "off", "one", "none", "yes", "no", "up", "down", "many", "more", "inside", "outside",
        ]
        .contains(&key)
}

/// Words that cannot be set against others: verbs of sentences, and nothing but grammar.
fn is_grammar(phrase: &Phrase, span: &Range<usize>) -> bool {
    let verbs = [
        "is", "are", "was", "were", "has", "have", "can", "will", "be", "which", "that", "you", "we", "it", "and",
        "or", "but", "this",
    ];
    !span.is_empty()
        && (span.clone().any(|at| verbs.contains(&phrase.key(at)))
            || span
                .clone()
                .all(|at| ["a", "an", "the", "of", "to", "same", "other", "another"].contains(&phrase.key(at))))
}

fn replaced(query: &Phrase, target: &Phrase, difference: &Difference, place: &Place) -> Option<Relation> {
    let (from, to) = (difference.query.clone(), difference.target.clone());
    // "Tor - FreedomBox" and "Tor page" differ in more than a word.
    if 0 < to.start && query.tokens[from.start].gap != target.tokens[to.start].gap {
        return None;
    }
    let (mut old, mut new) = (query.written(from.clone()), target.written(to.clone()));
    // One word alone cannot be told from a name: "Mumble icon".
    if from.start == 0 && to.start == 0 && ![query.key(0), target.key(0)].contains(&"the") {
        (old, new) = (query.as_written(from.clone()), target.as_written(to.clone()));
    }
    let same = ("same", same(target, &to));
    let before = if to.start == 0 { "" } else { target.key(to.start - 1) };
    if NUMBER.is_match(query.key(from.start))
        && NUMBER.is_match(target.key(to.start))
        && from.len() == 1
        && to.len() == 1
    {
        // "radius 10", but not "map, 500m resolution".
        let ends = to.end == target.len() || target.tokens[to.end].gap != ' ' || is_stop_word(target.key(to.end));
        let name = if ends && target.tokens[to.start].gap == ' ' {
            before
        } else {
            ""
        };
        return numbered(before, name, old, new, same, place);
    }
    // "in 1890" and "in 1930"
    if from.len() == 2
        && to.len() == 2
        && query.key(from.start) == target.key(to.start)
        && YEAR.is_match(query.key(from.start + 1))
        && YEAR.is_match(target.key(to.start + 1))
    {
        let year = |phrase: &Phrase, at: usize| phrase.written(at..at + 1);
        return Some(Relation::new(
            "time",
            [
                ("query", year(query, from.start + 1)),
                ("target", year(target, to.start + 1)),
                same,
            ],
        ));
    }
    let is_color = |phrase: &Phrase, span: &Range<usize>| span.len() == 1 && COLORS.contains(&phrase.key(span.start));
    if is_color(query, &from) && is_color(target, &to) {
        return Some(Relation::new(
            "colour",
            [("query", lower_titled(&old)), ("target", lower_titled(&new)), same],
        ));
    }
    let opens = [
        query.starts_with_preposition(&from),
        target.starts_with_preposition(&to),
    ];
    let name = match opens {
        [true, true] => "circumstance",
        // "as a list" and "grid view" cannot be set against one another.
        [false, true] | [true, false] => return None,
        // "connected" and "Download Profile", "2" and "3 Model B" are not of one sort.
        [false, false] if !are_alike(query, &from, target, &to) => return None,
        [false, false]
            if to.end < target.len() && target.tokens[to.end].gap == ' ' && !is_stop_word(target.key(to.end)) =>
        {
            "variant"
        }
        [false, false] => "exchange",
    };
    Some(Relation::new(name, [("query", old), ("target", new), same]))
}

/// Both are names or both are not, both are states ("applied") or both are not, and none begins with a number.
fn are_alike(query: &Phrase, from: &Range<usize>, target: &Phrase, to: &Range<usize>) -> bool {
    let is_name = |phrase: &Phrase, span: &Range<usize>| {
        phrase
            .as_written(span.clone())
            .trim_start_matches(['“', '"', '('])
            .starts_with(char::is_uppercase)
    };
    let is_state = |phrase: &Phrase, span: &Range<usize>| phrase.key(span.end - 1).ends_with("ed");
    let is_number =
        |phrase: &Phrase, span: &Range<usize>| phrase.key(span.start).starts_with(|c: char| c.is_ascii_digit());
    let has_grammar = |phrase: &Phrase, span: &Range<usize>| span.clone().any(|at| is_stop_word(phrase.key(at)));
    let at_start = from.start == 0 || to.end < target.len();
    (at_start || is_name(query, from) == is_name(target, to))
        && is_state(query, from) == is_state(target, to)
        && has_grammar(query, from) == has_grammar(target, to)
        && !is_number(query, from)
        && !is_number(target, to)
}

/// One number in place of another. `before` is the word before it, `name` as well if it says what the number is.
fn numbered(
    before: &str,
    name: &str,
    old: String,
    new: String,
    same: (&'static str, String),
    place: &Place,
) -> Option<Relation> {
    let counter = ("counter", before.to_owned());
    let (old_count, new_count) = (old.parse::<u32>().ok(), new.parse::<u32>().ok());
    if let (Some(old_count), Some(new_count)) = (old_count, new_count) {
        if COUNTERS.contains(&before) {
            let name = match i64::from(new_count) - i64::from(old_count) {
                1 if place.page => "next",
                -1 if place.page => "previous",
                _ => "step",
            };
            return Some(Relation::new(name, [counter, ("query", old), ("target", new)]));
        }
        if NUMBERED.contains(&stem(before).as_str()) {
            return Some(Relation::new(
                "number",
                [counter, ("query", old), ("target", new), same],
            ));
        }
    }
    if YEAR.is_match(&old) && YEAR.is_match(&new) {
        return Some(Relation::new("time", [("query", old), ("target", new), same]));
    }
    let is_name = 2 <= name.len() && name.chars().all(char::is_alphabetic) && !is_stop_word(name);
    if is_name {
        return Some(Relation::new(
            "value",
            [("name", name.to_owned()), ("query", old), ("target", new), same],
        ));
    }
    // "500m" tells what it counts, "3" does not.
    let has_unit = |text: &str| text.chars().any(|c| c.is_alphabetic() || "%°$€£×".contains(c));
    (has_unit(&old) && has_unit(&new)).then(|| Relation::new("amount", [("query", old), ("target", new), same]))
}

/// "the same", or "the same dialog" if the descriptions name a kind right behind or before the place where they differ.
fn same(target: &Phrase, span: &Range<usize>) -> String {
    let behind = (span.end < target.len()).then(|| target.key(target.len() - 1));
    let before = (0 < span.start && target.starts_with_preposition(span)).then(|| target.key(span.start - 1));
    match behind.or(before).filter(|key| is_kind(key)) {
        Some(kind) => format!("the same {kind}"),
        None => "the same".to_owned(),
    }
}

fn added(target: &Phrase, span: &Range<usize>) -> Option<Relation> {
    let new = target.written(span.clone());
    let last = span.end == target.len();
    let first = target.key(span.start);
    let is_participle = ["ed", "ing"].iter().any(|ending| first.ends_with(ending)) && 4 < first.len();
    let same = ("same", "the same".to_owned());
    if target.starts_with_preposition(span) && first != "of" && last {
        return Some(Relation::new("addition", [("target", new), same]));
    }
    let label = ["-", "(", ":"]
        .iter()
        .any(|mark| mark.starts_with(target.tokens[span.start].gap));
    let is_noun = last && label && !is_participle && !target.starts_with_preposition(span);
    is_noun.then(|| Relation::new("label", [("target", new)]))
}

fn removed(query: &Phrase, span: &Range<usize>) -> Option<Relation> {
    // Only what was put on can be missing: "with legend", "- gamma correction".
    let last = span.end == query.len();
    let opened = ["with", "after", "using", "wearing"].contains(&query.key(span.start)) && 1 < span.len();
    let dash = query.tokens[span.start].gap == '-' && !query.starts_with_preposition(span);
    if !last || !(opened || dash) {
        return None;
    }
    let from = if opened { span.start + 1 } else { span.start };
    Some(Relation::new("removal", [("query", query.written(from..span.end))]))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}
