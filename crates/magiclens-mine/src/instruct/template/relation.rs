//! How two images belong together, as far as their words tell. From the surest relation to the loosest; the first that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::TemplateConfig;
use super::phrase::{Phrase, says_nothing_new};
use super::slot::parallel;
use super::state::{State, is_original, state, worked_on};
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
    pub(super) fn new<const N: usize>(name: &'static str, slots: [(&'static str, String); N]) -> Self {
        Self {
            name,
            slots: slots.into(),
        }
    }
}

/// Kinds of images of one thing: "the options dialog of", "the floor plan of". Stems.
const KINDS: &[&str] = &[
    "dialog",
    "window",
    "menu",
    "submenu",
    "icon",
    "logo",
    "option",
    "setting",
    "preference",
    "toolbar",
    "toolbox",
    "panel",
    "tab",
    "plot",
    "histogram",
    "graph",
    "chart",
    "diagram",
    "formula",
    "equation",
    "map",
    "sketch",
    "drawing",
    "portrait",
    "poster",
    "cover",
    "plan",
    "interior",
    "exterior",
    "facade",
    "front",
    "back",
    "rear",
    "detail",
    "section",
    "skeleton",
    "flag",
    "emblem",
    "label",
    "packaging",
    "box",
    "manual",
    "schematic",
    "blueprint",
    "timeline",
    "legend",
    "spectrum",
    "screen",
    "form",
    "wizard",
    "parameter",
    "property",
    "painting",
    "engraving",
    "statue",
    "model",
    "prototype",
    "ticket",
    "stamp",
    "coin",
    "mask",
    "thumbnail",
    "silhouette",
    "nest",
    "egg",
    "larva",
    "seed",
    "flower",
    "leaf",
    "fruit",
    "bark",
    "root",
    "recipe",
    "ingredient",
    "entrance",
    "roof",
    "tower",
    "dome",
    "kitchen",
    "bathroom",
    "bedroom",
    "lobby",
    "engine",
    "dashboard",
    "cockpit",
    "cabin",
    "underside",
    "close-up",
    "closeup",
];

/// As in the gate for leaks: captions with no more telling words are names.
const NAME_WORDS: usize = 4;

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
pub(super) struct Place {
    pub(super) page: bool,
    section: bool,
    pub(super) figure: bool,
    /// Places between them among the page's images.
    distance: u32,
    /// What section or page are about; empty if no heading tells.
    topic: String,
}

impl Place {
    fn of(pair: &ImagePair) -> Self {
        let (query, target) = (&pair.query, &pair.target);
        let page = pair.origin == Origin::Page && query.page_url == target.page_url;
        let section = page && !query.metadata.heading.is_empty() && query.metadata.heading == target.metadata.heading;
        let headings = [
            &target.metadata.heading,
            &target.metadata.page_heading,
            &target.metadata.page_title,
        ];
        let known = &headings[if section { 0 } else { 1 }..];
        let topic = if page {
            known.iter().find_map(|heading| topic(heading)).unwrap_or_default()
        } else {
            String::new()
        };
        Self {
            page,
            section,
            figure: page && query.figure.is_some() && query.figure == target.figure,
            distance: query.position.abs_diff(target.position),
            topic,
        }
    }

    /// So near that `original` and `result` are surely the same image: in one figure, or one soon after the other and of the
    /// same shape.
    pub(super) fn is_close(&self, original: &Described, result: &Described) -> bool {
        let shape = |image: &Described| f64::from(image.width) / f64::from(image.height.max(1));
        let alike = (shape(original) / shape(result).max(f64::MIN_POSITIVE) - 1.0).abs() < 0.02;
        let follows = original.position < result.position && self.distance <= 2;
        (self.figure || (self.section && follows && alike)) && !names_another(original, result)
    }
}

/// The file names are made alike, but the original's has words that the result's lacks: `light-globe-original` is not what
/// `light-sunflower-bloom` was made from.
fn names_another(original: &Described, result: &Described) -> bool {
    const STATES: &[&str] = &["original", "before", "source", "base", "input", "raw"];
    let of = |image: &Described| -> BTreeSet<String> {
        let words = words(&image.metadata.file_words);
        words
            .into_iter()
            .filter(|word| !STATES.contains(&word.as_str()))
            .collect()
    };
    let (original, result) = (of(original), of(result));
    !original.is_disjoint(&result) && !original.is_subset(&result)
}

/// A heading as a noun phrase; none if it names no matter.
fn topic(heading: &str) -> Option<String> {
    if is_plain_heading(heading) || !heading.chars().any(char::is_alphabetic) {
        return None;
    }
    let phrase = Phrase::new(heading);
    let plain = [
        "how", "using", "example", "examples", "what", "why", "where", "when", "step",
    ]
    .contains(&phrase.key(0));
    let whole = 0..phrase.len();
    if plain || !phrase.is_whole(&whole) && !heading.ends_with(')') {
        return None;
    }
    // Cut short, it would name another matter.
    (phrase.len() <= 6).then(|| phrase.noun_phrase(6)).flatten()
}

/// The best description of the image itself. File names are not sentences of the author: they do not count here.
pub(super) fn own_words(metadata: &Metadata) -> &str {
    [
        &metadata.caption,
        &metadata.alt,
        &metadata.title,
        &metadata.model_caption,
    ]
    .into_iter()
    .find(|text| !text.is_empty())
    .map_or("", |text| text.as_str())
}

/// All descriptions in one line, for the question what is known.
fn own_all(metadata: &Metadata) -> String {
    [
        &metadata.caption,
        &metadata.alt,
        &metadata.title,
        &metadata.model_caption,
    ]
    .map(String::as_str)
    .join(" . ")
}

/// The same, with the words of the file name.
fn all_words(metadata: &Metadata) -> String {
    format!("{} . {}", own_all(metadata), metadata.file_words)
}

/// Another kind of image of the same: "its options dialog".
fn aspect(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let query_words = content_words(&own_all(&pair.query.metadata));
    let page_words = content_words(&format!(
        "{} {}",
        pair.target.metadata.page_title, pair.target.metadata.page_heading
    ));
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
            let Some((kind, subject)) = kind_of(&phrase, known) else {
                continue;
            };
            let kind_stems = content_words(&kind);
            // The query must not be of that kind itself.
            if kind_stems.is_subset(&query_words)
                || kind_stems
                    .iter()
                    .any(|word| is_kind(word) && query_words.contains(word))
            {
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

pub(super) fn is_kind(word: &str) -> bool {
    KINDS.contains(&stem(word).as_str())
}

/// Splits "“Bloom” filter options" and "Tool options for the Eraser tool" into kind and subject, where all words of the subject are
/// `known`.
fn kind_of(phrase: &Phrase, known: &BTreeSet<String>) -> Option<(String, String)> {
    /// These name no subject.
    const COMMON: &[&str] = &[
        "tool", "filter", "command", "example", "effect", "new", "main", "general",
    ];
    let names = |span: Range<usize>| {
        span.into_iter()
            .any(|at| !is_stop_word(phrase.key(at)) && !COMMON.contains(&stem(phrase.key(at)).as_str()))
    };
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
        if kind.len() <= 3
            && is_kind(phrase.key(at - 1))
            && phrase.is_whole(&kind)
            && all_known(at + 1..phrase.len())
            && names(at + 1..phrase.len())
        {
            return Some((
                lower_titled(&phrase.written(kind)),
                phrase.written(at + 1..phrase.len()),
            ));
        }
        return None;
    }
    // "S K", perhaps with a place behind, which is left out: "S icon in the toolbox"
    let end = (article..phrase.len())
        .find(|&at| ["in", "on", "at", "with"].contains(&phrase.key(at)))
        .unwrap_or(phrase.len());
    if end <= article || !is_kind(phrase.key(end - 1)) {
        return None;
    }
    let start = (article..end).rev().take_while(|&at| !all_known(at..at + 1)).last()?;
    let kind = start..end;
    let fits = start > article && kind.len() <= 3 && phrase.is_whole(&(article..end));
    if !fits
        || !all_known(article..start)
        || !names(article..start)
        || is_stop_word(phrase.key(start))
        || phrase.continues_quotation(start)
    {
        return None;
    }
    Some((lower_titled(&phrase.written(kind)), phrase.written(article..start)))
}

/// Kinds are common nouns: "Context Menu" to "context menu". Abbreviations stay.
pub(super) fn lower_titled(text: &str) -> String {
    let lower = |word: &str| {
        let plain = word.chars().skip(1).all(char::is_lowercase);
        if plain { word.to_lowercase() } else { word.to_owned() }
    };
    text.split(' ').map(lower).collect::<Vec<_>>().join(" ")
}

/// A result or an untouched image for a dialog, an icon and the like.
fn example(pair: &ImagePair, place: &Place) -> Option<Relation> {
    /// What belongs to a program.
    const CONTROLS: &[&str] = &[
        "dialog",
        "window",
        "menu",
        "submenu",
        "icon",
        "option",
        "setting",
        "preference",
        "toolbar",
        "toolbox",
        "panel",
        "tab",
        "parameter",
        "property",
    ];
    /// Longer descriptions tell of other things.
    const MAX_LABEL_WORDS: usize = 7;
    /// What every page of a manual says.
    const COMMON: &[&str] = &[
        "filter", "example", "tool", "original", "applying", "applied", "effect", "result",
    ];
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let query_words = content_words(&own_all(query));
    // "Ripple applied with default options" is a result itself.
    let label = words(own_words(query));
    let is_label = label.len() <= MAX_LABEL_WORDS && !label.iter().any(|word| word == "applied");
    if !is_label || !place.page || !query_words.iter().any(|word| CONTROLS.contains(&word.as_str())) {
        return None;
    }
    let is_about_it = |text: &str| {
        content_words(text)
            .iter()
            .any(|word| query_words.contains(word) && !COMMON.contains(&word.as_str()) && !is_kind(word))
    };
    match state(target) {
        State::Applied(effect) if is_about_it(&effect) => Some(Relation::new("use", [("target", effect)])),
        State::Original if is_about_it(&own_all(target)) => Some(Relation::new("sample", [])),
        _ => None,
    }
}

/// Images that are described by the same words.
fn same_words(pair: &ImagePair, place: &Place) -> Option<Relation> {
    let (query, target) = (own_words(&pair.query.metadata), own_words(&pair.target.metadata));
    let wanted = content_words(target);
    if wanted.is_empty() || words(query) != words(target) {
        return None;
    }
    let phrase = Phrase::new(target);
    match phrase
        .noun_phrase(5)
        .filter(|_| phrase.len() <= 5 && wanted.len() <= NAME_WORDS)
    {
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
        (false, false, Origin::Neighbor(_)) if is_alike(pair, config) => "similar",
        (false, false, _) => return None,
    };
    // A topic that the phrase repeats would stand there twice.
    let topic = if says_nothing_new(&place.topic, &what) || says_nothing_new(&what, &place.topic) {
        String::new()
    } else {
        place.topic.clone()
    };
    Some(Relation::new(name, [("what", what), ("topic", topic)]))
}

/// Whether the encoders that look at images say that the two are alike; one without a score has no say.
fn is_alike(pair: &ImagePair, config: &TemplateConfig) -> bool {
    let scored = |(encoder, least): (&String, &f64)| pair.score(encoder).map(|score| *least <= score);
    let says: Vec<bool> = config.min_likeness.iter().filter_map(scored).collect();
    !says.is_empty() && says.iter().all(|&alike| alike)
}

/// What the target shows in few words, with something that the query's words do not say, and without telling a long caption whole.
fn brief(target: &Described, query_words: &str, config: &TemplateConfig) -> Option<String> {
    let metadata = &target.metadata;
    if let State::Applied(effect) = state(metadata) {
        return Some(format!("the picture with {effect} applied"));
    }
    if own_words(metadata).to_lowercase().starts_with("filter applied") {
        return Some("the picture with the filter applied".to_owned());
    }
    let descriptions = [
        &metadata.caption,
        &metadata.alt,
        &metadata.title,
        &metadata.model_caption,
    ];
    descriptions
        .into_iter()
        .filter(|text| !text.is_empty())
        .find_map(|text| {
            // "GRASS v.overlay: polygon to polygon union": what comes behind the colon tells more.
            let behind = text
                .split_once(": ")
                .map(|(_, behind)| behind)
                .filter(|behind| !behind.contains(':') && 2 <= content_words(behind).len());
            let text = behind.unwrap_or(text);
            let phrase = Phrase::new(text);
            let whole = phrase
                .noun_phrase(config.max_phrase_words)
                .filter(|what| !what.contains('='))?;
            let telling = content_words(text).len();
            let what = if NAME_WORDS < telling && telling <= content_words(&whole).len() + 1 {
                let end = phrase.cut(phrase.len().min(config.max_phrase_words))?;
                let short = phrase.written(0..end);
                (content_words(&short).len() * 3 <= telling * 2).then_some(short)?
            } else {
                whole
            };
            let is_new = !says_nothing_new(&what, query_words);
            (is_new && !is_original(&what)).then_some(what)
        })
}
