//! How two pictures belong together, as far as their words tell. From the surest relation to the loosest; the first that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::TemplateConfig;
use super::phrase::{Difference, Phrase, lower_first, says_nothing_new};
use crate::metadata::is_plain_heading;
use crate::page::{Described, ImagePair, Metadata, Origin};
use crate::words::{content_words, is_stop_word, stem, words};

/// A relation's name in `wordings.toml`, and what its wordings can speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) name: &'static str,
    pub(super) slots: BTreeMap<&'static str, String>,
}

impl Relation {
    fn new<const N: usize>(name: &'static str, slots: [(&'static str, String); N]) -> Self {
        Self { name, slots: slots.into() }
    }
}

/// Kinds of pictures of one thing: "the options dialog of", "the floor plan of". Stems.
const KINDS: &[&str] = &[
    "dialog", "window", "menu", "submenu", "icon", "logo", "option", "setting", "preference", "toolbar", "toolbox", "panel", "tab",
    "plot", "histogram", "graph", "chart", "diagram", "formula", "equation", "map", "sketch", "drawing", "portrait", "poster", "cover",
    "plan", "interior", "exterior", "facade", "front", "back", "rear", "detail", "section", "skeleton", "flag", "emblem", "label",
    "packaging", "box", "manual", "schematic", "blueprint", "timeline", "legend", "spectrum", "screen", "form", "wizard", "parameter",
    "property", "painting", "engraving", "statue", "model", "prototype", "ticket", "stamp", "coin", "mask", "thumbnail", "silhouette",
    "nest", "egg", "larva", "seed", "flower", "leaf", "fruit", "bark", "root", "recipe", "ingredient", "entrance", "roof", "tower", "dome",
    "kitchen", "bathroom", "bedroom", "lobby", "engine", "dashboard", "cockpit", "cabin", "underside", "close-up", "closeup",
];

/// Things that are counted, in the order in which they come.
const COUNTERS: &[&str] = &[
    "step", "stage", "phase", "part", "day", "week", "month", "year", "lesson", "chapter", "page", "frame", "slide", "round", "level", "scene", "episode",
];
/// Things that are only numbered.
const NUMBERED: &[&str] = &[
    "example", "formula", "option", "method", "type", "version", "plate", "variant", "number", "no", "view", "test",
    "sample", "case", "exercise", "model", "series", "room", "house", "gallery", "track", "exhibit", "item", "pattern", "style",
];

const COLOURS: &[&str] = &[
    "beige", "black", "blue", "bronze", "brown", "cream", "crimson", "cyan", "gold", "golden", "gray", "green", "grey", "indigo", "ivory",
    "lavender", "magenta", "maroon", "navy", "olive", "orange", "pink", "purple", "red", "scarlet", "silver", "tan", "teal", "turquoise",
    "violet", "white", "yellow",
];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static ORIGINAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^(?:(?:the|an)\s+)?(?:original|unmodified|unprocessed|unedited|untouched|unaltered|initial|starting|before)(?:\s+(?:image|picture|photo(?:graph)?|layer|version|state|drawing|shot|frame|selection))?(?:\s+for\s+(?:the\s+)?(?:demo|example|comparison))?[.:]?$",
    )
});

/// "Filter “Bloom” applied", "After applying Whirl", "Gaussian blur applied": what was applied.
static APPLIED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r#"(?i)^(?:the\s+)?filter\s+[“"]\s*([^“”"]{2,40}?)\s*[”"]\s+applied[.]?$"#,
        r#"(?i)^(?:the\s+)?[“"]?\s*([^“”".,:;]{2,40}?)\s*[”"]?\s+(?:(?:filter|effect)\s+)?applied[.]?$"#,
        r#"(?i)^(?:the\s+)?(?:result\s+(?:of|after)\s+|after\s+)applying\s+(?:the\s+)?[“"]?([^“”".,:;]{2,40}?)[”"]?[.]?$"#,
        r#"(?i)^(?:(?:the|an)\s+)?(?:image|picture|photo|example)\s+(?:with|after)\s+(?:the\s+)?[“"]?([^“”".,:;]{2,40}?)[”"]?\s+applied[.]?$"#,
    ]
    .map(pattern)
    .into()
});

/// "Iterations = 4", "With default options", "After two passes": how it was done.
static MANNER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^(?:filter\s+applied\s+)?((?:with|without|after|using)\s+[^.;:]{3,40}|[\w ]{2,25}\s*=\s*[\d.,]+\s*%?)[.]?$")
});

static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[#$€£]?\d[\d.,]*(?:[%°×x]|[a-zA-Z]{1,4})?$"));
static YEAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:1[5-9]|20)\d\ds?$"));

/// What a description says about a picture that is worked on.
enum State {
    Original,
    Applied(String),
    Manner(String),
    Other,
}

/// The first relation that holds; none if the words support none.
pub(super) fn relate(pair: &ImagePair, config: &TemplateConfig) -> Option<Relation> {
    let place = Place::of(pair);
    worked_on(pair, &place, config)
        .or_else(|| aspect(pair, &place))
        .or_else(|| parallel(pair, &place))
        .or_else(|| example(pair, &place))
        .or_else(|| same_words(pair, &place))
        .or_else(|| config.loose_relations.then(|| loose(pair, &place, config)).flatten())
}

/// What the two places have in common.
struct Place {
    page: bool,
    section: bool,
    figure: bool,
    /// Places between them among the page's pictures.
    distance: u32,
    /// What section or page are about; empty if no heading tells.
    topic: String,
}

impl Place {
    fn of(pair: &ImagePair) -> Self {
        let (query, target) = (&pair.query, &pair.target);
        let page = pair.origin == Origin::Page && query.page_url == target.page_url;
        let section = page && !query.metadata.heading.is_empty() && query.metadata.heading == target.metadata.heading;
        let headings = [&target.metadata.heading, &target.metadata.page_heading, &target.metadata.page_title];
        let known = &headings[if section { 0 } else { 1 }..];
        let topic = if page { known.iter().find_map(|heading| topic(heading)).unwrap_or_default() } else { String::new() };
        Self {
            page,
            section,
            figure: page && query.figure.is_some() && query.figure == target.figure,
            distance: query.position.abs_diff(target.position),
            topic,
        }
    }

    /// So near that "original" and "result" mean the same picture.
    fn is_close(&self) -> bool {
        self.figure || (self.section && self.distance <= 2)
    }
}

/// A heading as a noun phrase; none if it names no matter.
fn topic(heading: &str) -> Option<String> {
    if is_plain_heading(heading) || !heading.chars().any(char::is_alphabetic) {
        return None;
    }
    let phrase = Phrase::new(heading);
    let plain = ["how", "using", "example", "examples", "what", "why", "where", "when", "step"].contains(&phrase.key(0));
    let whole = 0..phrase.len();
    if plain || !phrase.is_whole(&whole) && !heading.ends_with(')') {
        return None;
    }
    // Cut short, it would name another matter.
    (phrase.len() <= 6).then(|| phrase.noun_phrase(6)).flatten()
}

/// Before and after.
fn worked_on(pair: &ImagePair, place: &Place, config: &TemplateConfig) -> Option<Relation> {
    if !place.is_close() {
        return None;
    }
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let label = |metadata: &Metadata| {
        let phrase = Phrase::new(own_words(metadata));
        let same_alt = query.alt == target.alt && !metadata.caption.is_empty();
        (place.figure && (same_alt || metadata.caption.is_empty()))
            .then(|| phrase.noun_phrase(config.max_phrase_words))
            .flatten()
            .filter(|_| phrase.len() <= config.max_phrase_words)
    };
    match (state(query), state(target)) {
        (State::Original, State::Applied(effect)) => Some(Relation::new("effect", [("target", effect)])),
        (State::Original, State::Manner(manner)) => Some(Relation::new("result", [("target", manner)])),
        (State::Original, State::Other) => Some(Relation::new("outcome", [("target", label(target)?)])),
        (State::Applied(effect), State::Original) => Some(Relation::new("original", [("query", effect)])),
        (State::Manner(_), State::Original) => Some(Relation::new("untouched", [])),
        (State::Other, State::Original) if place.figure => Some(Relation::new("untouched", [])),
        _ => None,
    }
}

fn state(metadata: &Metadata) -> State {
    let text = own_words(metadata);
    if ORIGINAL.is_match(text) {
        return State::Original;
    }
    let effect = APPLIED.iter().find_map(|pattern| pattern.captures(text)).map(|found| found[1].trim().to_owned());
    if let Some(effect) = effect.filter(|effect| !words(effect).iter().all(|word| is_stop_word(word) || word == "filter")) {
        let named = effect.split_whitespace().count() <= 5 && Phrase::new(&effect).noun_phrase(5).is_some();
        return if named { State::Applied(effect) } else { State::Other };
    }
    match MANNER.captures(text) {
        Some(found) if found[1].contains('=') => State::Manner(format!("with {}", lower_first(found[1].trim()))),
        Some(found) => State::Manner(lower_first(found[1].trim())),
        None => State::Other,
    }
}

/// The best description of the picture itself. File names are not sentences of the author: they do not count here.
fn own_words(metadata: &Metadata) -> &str {
    [&metadata.caption, &metadata.alt, &metadata.title, &metadata.model_caption]
        .into_iter()
        .find(|text| !text.is_empty())
        .map_or("", |text| text.as_str())
}

/// All descriptions in one line, for the question what is known.
fn all_words(metadata: &Metadata) -> String {
    [&metadata.caption, &metadata.alt, &metadata.title, &metadata.model_caption, &metadata.file_words].map(String::as_str).join(" . ")
}

/// Another kind of picture of the same: "its options dialog".
fn aspect(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let query_words = content_words(&all_words(&pair.query.metadata));
    let page_words = content_words(&format!("{} {}", pair.target.metadata.page_title, pair.target.metadata.page_heading));
    let own: BTreeSet<String> = query_words.iter().filter(|word| !is_kind(word)).cloned().collect();
    let of_page: BTreeSet<String> = page_words.iter().filter(|word| !is_kind(word)).cloned().collect();
    let target = &pair.target.metadata;
    let descriptions = [&target.caption, &target.alt, &target.title, &target.model_caption];
    for text in descriptions.into_iter().filter(|text| !text.is_empty()) {
        let phrase = Phrase::new(text);
        if 9 < phrase.len() {
            continue;
        }
        for (known, name) in [(&own, "aspect"), (&of_page, "companion")] {
            let Some((kind, subject)) = kind_of(&phrase, known) else { continue };
            let kind_stems = content_words(&kind);
            // The query must not be of that kind itself.
            if kind_stems.is_subset(&query_words) || kind_stems.iter().any(|word| is_kind(word) && query_words.contains(word)) {
                continue;
            }
            if name == "companion" && !place.page {
                continue;
            }
            return Some(Relation::new(name, [("kind", kind), ("subject", subject)]));
        }
    }
    None
}

fn is_kind(word: &str) -> bool {
    KINDS.contains(&stem(word).as_str())
}

/// Splits "“Bloom” filter options" and "Tool options for the Eraser tool" into kind and subject, where all words of the subject are
/// `known`.
fn kind_of(phrase: &Phrase, known: &BTreeSet<String>) -> Option<(String, String)> {
    let all_known = |span: Range<usize>| {
        let mut telling = 0;
        for at in span {
            for word in words(phrase.key(at)) {
                if !is_stop_word(&word) {
                    telling += 1;
                    if !known.contains(&stem(&word)) {
                        return false;
                    }
                }
            }
        }
        0 < telling
    };
    let article = usize::from(["a", "an", "the"].contains(&phrase.key(0)));
    // "K of S"
    if let Some(at) = (article + 1..phrase.len()).find(|&at| ["of", "for", "from"].contains(&phrase.key(at))) {
        let kind = article..at;
        if kind.len() <= 3 && is_kind(phrase.key(at - 1)) && phrase.is_whole(&kind) && all_known(at + 1..phrase.len()) {
            return Some((lower_titled(&phrase.written(kind)), phrase.written(at + 1..phrase.len())));
        }
        return None;
    }
    // "S K", perhaps with a place behind: "S icon in the toolbox"
    let end = (article..phrase.len()).find(|&at| ["in", "on", "at", "with"].contains(&phrase.key(at))).unwrap_or(phrase.len());
    if end <= article || !is_kind(phrase.key(end - 1)) {
        return None;
    }
    let start = (article..end).rev().take_while(|&at| !all_known(at..at + 1)).last()?;
    let whole = start..phrase.len();
    let fits = start > article && end - start <= 3 && whole.len() <= 6 && phrase.is_whole(&whole);
    if !fits || !all_known(article..start) || is_stop_word(phrase.key(start)) {
        return None;
    }
    Some((lower_titled(&phrase.written(whole)), phrase.written(0..start)))
}

/// Kinds are common nouns: "Context Menu" to "context menu". Abbreviations stay.
fn lower_titled(text: &str) -> String {
    let lower = |word: &str| {
        let plain = word.chars().skip(1).all(char::is_lowercase);
        if plain { word.to_lowercase() } else { word.to_owned() }
    };
    text.split(' ').map(lower).collect::<Vec<_>>().join(" ")
}

/// Descriptions that agree but for one place.
fn parallel(pair: &ImagePair, place: &Place) -> Option<Relation> {
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
    fields.into_iter().filter(|(a, b)| !a.is_empty() && !b.is_empty()).find_map(|(a, b)| {
        let (query, target) = (Phrase::new(a), Phrase::new(b));
        let difference = query.difference(&target)?;
        // Words of file names are short of grammar: most must agree.
        let changed = difference.query.len().max(difference.target.len());
        if nameless && (2 < changed || target.len() - difference.target.len() < 2) {
            return None;
        }
        compare(&query, &target, &difference, place)
    })
}

fn compare(query: &Phrase, target: &Phrase, difference: &Difference, place: &Place) -> Option<Relation> {
    /// Longer differences are not one place.
    const MAX_WORDS: usize = 5;
    let (from, to) = (&difference.query, &difference.target);
    let shared = (0..target.len()).filter(|at| !to.contains(at));
    let telling = shared.clone().filter(|&at| !is_stop_word(target.key(at)) && target.key(at).chars().any(char::is_alphabetic)).count();
    let changed = from.len().max(to.len());
    let is_usable = |phrase: &Phrase, span: &Range<usize>| {
        let last_dangles = !span.is_empty() && is_dangling(phrase.key(span.end - 1));
        span.len() <= MAX_WORDS && phrase.is_whole(span) && !last_dangles && !is_grammar(phrase, span)
    };
    if telling == 0 || shared.count() < changed.div_ceil(2) || !is_usable(query, from) || !is_usable(target, to) {
        return None;
    }
    match (from.is_empty(), to.is_empty()) {
        (false, false) => replaced(query, target, difference, place),
        (true, false) => added(target, to),
        (false, true) => removed(query, from),
        (true, true) => None,
    }
}

/// "of", "the", "and": a phrase does not end there.
fn is_dangling(key: &str) -> bool {
    is_stop_word(key) && !["on", "off", "one", "none", "yes", "no", "up", "down", "many", "more", "inside", "outside"].contains(&key)
}

/// Words that cannot be set against others: verbs of sentences, and nothing but grammar.
fn is_grammar(phrase: &Phrase, span: &Range<usize>) -> bool {
    let verbs = ["is", "are", "was", "were", "has", "have", "can", "will", "be", "which", "that", "you", "we", "it", "and", "or", "but", "this"];
    !span.is_empty()
        && (span.clone().any(|at| verbs.contains(&phrase.key(at)))
            || span.clone().all(|at| ["a", "an", "the", "of", "to", "same", "other", "another"].contains(&phrase.key(at))))
}

fn replaced(query: &Phrase, target: &Phrase, difference: &Difference, place: &Place) -> Option<Relation> {
    let (from, to) = (difference.query.clone(), difference.target.clone());
    let (mut old, mut new) = (query.written(from.clone()), target.written(to.clone()));
    // One word alone cannot be told from a name: "Mumble icon".
    if from.start == 0 && to.start == 0 && ![query.key(0), target.key(0)].contains(&"the") {
        (old, new) = (query.as_written(from.clone()), target.as_written(to.clone()));
    }
    let same = ("same", same(target, &to));
    let before = if to.start == 0 { "" } else { target.key(to.start - 1) };
    if NUMBER.is_match(query.key(from.start)) && NUMBER.is_match(target.key(to.start)) && from.len() == 1 && to.len() == 1 {
        return numbered(before, old, new, same, place);
    }
    // "in 1890" and "in 1930"
    if from.len() == 2 && to.len() == 2 && YEAR.is_match(query.key(from.start + 1)) && YEAR.is_match(target.key(to.start + 1)) {
        let year = |phrase: &Phrase, at: usize| phrase.written(at..at + 1);
        return Some(Relation::new("time", [("query", year(query, from.start + 1)), ("target", year(target, to.start + 1)), same]));
    }
    let is_colour = |phrase: &Phrase, span: &Range<usize>| span.len() == 1 && COLOURS.contains(&phrase.key(span.start));
    if is_colour(query, &from) && is_colour(target, &to) {
        return Some(Relation::new("colour", [("query", lower_titled(&old)), ("target", lower_titled(&new)), same]));
    }
    let opens = [query.starts_with_preposition(&from), target.starts_with_preposition(&to)];
    let name = match opens {
        [true, true] => "circumstance",
        // "as a list" and "grid view" cannot be set against one another.
        [false, true] | [true, false] => return None,
        [false, false] if to.end < target.len() && target.tokens[to.end].gap == ' ' && !is_stop_word(target.key(to.end)) => "variant",
        [false, false] => "exchange",
    };
    Some(Relation::new(name, [("query", old), ("target", new), same]))
}

/// One number in place of another. `before` is the word before it.
fn numbered(before: &str, old: String, new: String, same: (&'static str, String), place: &Place) -> Option<Relation> {
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
            return Some(Relation::new("number", [counter, ("query", old), ("target", new), same]));
        }
    }
    if YEAR.is_match(&old) && YEAR.is_match(&new) {
        return Some(Relation::new("time", [("query", old), ("target", new), same]));
    }
    let is_name = 2 <= before.len() && before.chars().all(char::is_alphabetic) && !is_stop_word(before);
    if is_name {
        return Some(Relation::new("value", [("name", before.to_owned()), ("query", old), ("target", new), same]));
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
    let label = ["-", "(", ":"].iter().any(|mark| mark.starts_with(target.tokens[span.start].gap));
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

/// A result or an untouched picture for a dialog, an icon and the like.
fn example(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let query_words = content_words(&all_words(query));
    if !place.page || !query_words.iter().any(|word| is_kind(word)) {
        return None;
    }
    match state(target) {
        State::Applied(effect) if !content_words(&effect).is_disjoint(&query_words) => Some(Relation::new("use", [("target", effect)])),
        State::Original => Some(Relation::new("sample", [])),
        _ => None,
    }
}

/// Pictures that are described by the same words.
fn same_words(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let (query, target) = (own_words(&pair.query.metadata), own_words(&pair.target.metadata));
    let (known, wanted) = (content_words(query), content_words(target));
    if known.is_empty() || known != wanted {
        return None;
    }
    match Phrase::new(target).noun_phrase(5).filter(|_| Phrase::new(target).len() <= 5) {
        Some(subject) => Some(Relation::new("another", [("subject", subject)])),
        None => place.figure.then(|| Relation::new("sibling", [])),
    }
}

/// A common place or a likeness, and in few words what the target shows.
fn loose(pair: &ImagePair, place: &Place, config: &TemplateConfig) -> Option<Relation> {
    let query_words = all_words(&pair.query.metadata);
    let what = brief(&pair.target, &query_words, config)?;
    let name = match (place.section, place.page, &pair.origin) {
        (true, ..) => "section",
        (false, true, _) => "page",
        (false, false, Origin::Neighbour(_)) => "similar",
        (false, false, Origin::Page) => return None,
    };
    // A topic that the phrase repeats would stand there twice.
    let topic = if says_nothing_new(&place.topic, &what) || says_nothing_new(&what, &place.topic) { String::new() } else { place.topic.clone() };
    Some(Relation::new(name, [("what", what), ("topic", topic)]))
}

/// What the target shows in few words, with something that the query's words do not say, and without telling a long caption whole.
fn brief(target: &Described, query_words: &str, config: &TemplateConfig) -> Option<String> {
    /// As in the gate for leaks: shorter captions are names.
    const NAME_WORDS: usize = 4;
    let metadata = &target.metadata;
    if let State::Applied(effect) = state(metadata) {
        return Some(format!("the picture with {effect} applied"));
    }
    let descriptions = [&metadata.caption, &metadata.alt, &metadata.title, &metadata.model_caption];
    descriptions.into_iter().filter(|text| !text.is_empty()).find_map(|text| {
        // "GRASS v.overlay: polygon to polygon union": what comes behind the colon tells more.
        let (_, text) = text.split_once(": ").unwrap_or(("", text));
        let phrase = Phrase::new(text);
        let whole = phrase.noun_phrase(config.max_phrase_words).filter(|what| !what.contains('='))?;
        let telling = content_words(text).len();
        let what = if NAME_WORDS < telling && telling <= content_words(&whole).len() + 1 {
            let end = phrase.cut(phrase.len().min(config.max_phrase_words))?;
            let short = phrase.written(0..end);
            (content_words(&short).len() * 3 <= telling * 2).then_some(short)?
        } else {
            whole
        };
        let is_new = !says_nothing_new(&what, query_words);
        (is_new && !ORIGINAL.is_match(&what)).then_some(what)
    })
}
