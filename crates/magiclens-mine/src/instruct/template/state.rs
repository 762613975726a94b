//! Before and after: images that were worked on, and their originals.

use std::sync::LazyLock;

use regex::Regex;

use super::TemplateConfig;
use super::phrase::{Phrase, lower_first};
use super::relation::{Place, Relation, own_words};
use crate::page::{ImagePair, Metadata};
use crate::words::{is_stop_word, words};

/// What a description says about an image that is worked on.
pub(super) enum State {
    Original,
    Applied(String),
    Manner(String),
    Other,
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
    pattern(
        r"(?i)^(?:filter\s+applied\s+)?((?:with|without|after|using)\s+[^.;:]{3,40}|[\w ]{2,25}\s*=\s*[\d.,]+\s*%?)[.]?$",
    )
});

/// The untouched image and what became of it, either way round; only where they stand so close that they are surely the same.
pub(super) fn worked_on(pair: &ImagePair, place: &Place, config: &TemplateConfig) -> Option<Relation> {
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let label = |metadata: &Metadata| {
        let phrase = Phrase::new(own_words(metadata));
        // The title of the whole figure says nothing about one of its images.
        let is_own = !metadata.caption.is_empty() || query.alt != target.alt;
        (place.figure && is_own)
            .then(|| phrase.noun_phrase(config.max_phrase_words))
            .flatten()
            .filter(|_| phrase.len() <= config.max_phrase_words)
    };
    let (before, after) = (state(query), state(target));
    let is_close = match (&before, &after) {
        (State::Original, _) => place.is_close(&pair.query, &pair.target),
        (_, State::Original) => place.is_close(&pair.target, &pair.query),
        _ => false,
    };
    if !is_close {
        return None;
    }
    match (before, after) {
        (State::Original, State::Applied(effect)) => Some(Relation::new("effect", [("target", effect)])),
        (State::Original, State::Manner(manner)) => Some(Relation::new("result", [("target", manner)])),
        (State::Original, State::Other) => Some(Relation::new("outcome", [("target", label(target)?)])),
        (State::Applied(effect), State::Original) => Some(Relation::new("original", [("query", effect)])),
        (State::Manner(_), State::Original) => Some(Relation::new("untouched", [])),
        (State::Other, State::Original) if place.figure => Some(Relation::new("untouched", [])),
        _ => None,
    }
}

pub(super) fn state(metadata: &Metadata) -> State {
    let text = own_words(metadata);
    if ORIGINAL.is_match(text) {
        return State::Original;
    }
    let effect = APPLIED
        .iter()
        .find_map(|pattern| pattern.captures(text))
        .map(|found| found[1].trim().to_owned());
    if let Some(effect) =
        effect.filter(|effect| !words(effect).iter().all(|word| is_stop_word(word) || word == "filter"))
    {
        let named = effect.split_whitespace().count() <= 5 && Phrase::new(&effect).noun_phrase(5).is_some();
        return if named { State::Applied(effect) } else { State::Other };
    }
    match MANNER.captures(text) {
        Some(found) if found[1].contains('=') => State::Manner(format!("with {}", lower_first(found[1].trim()))),
        Some(found) => State::Manner(lower_first(found[1].trim())),
        None => State::Other,
    }
}

/// True for "Original image" and the like.
pub(super) fn is_original(text: &str) -> bool {
    ORIGINAL.is_match(text)
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}
