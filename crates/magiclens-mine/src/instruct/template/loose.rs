//! Loose relations: the same words for both images, or a common place, or images that look alike.

use super::TemplateConfig;
use super::phrase::{Phrase, adds_no_word};
use super::relation::{Relation, Setting, own_words};
use crate::english::ENGLISH;
use crate::page::{ImagePair, Metadata, Origin};
use crate::words::{content_words, is_stop_word, words};

/// As in the gate for leaks: captions with no more telling words are names.
const NAME_WORDS: usize = 4;

/// Images that are described by the same words.
pub(super) fn same_words(pair: &ImagePair) -> Option<Relation> {
    /// A longer description is no name.
    const MAX_WORDS: usize = 5;
    let (query, target) = (own_words(&pair.query.metadata), own_words(&pair.target.metadata));
    let phrase = Phrase::new(target);
    let is_name = phrase.len() <= MAX_WORDS && (1..=NAME_WORDS).contains(&content_words(target).len());
    if !is_name || words(query) != words(target) {
        return None;
    }
    let subject = phrase.noun_phrase(MAX_WORDS)?;
    Some(Relation::new("another", [("subject", subject)]))
}

/// A common place or a similar look, and in few words what the target shows.
pub(super) fn loose(pair: &ImagePair, config: &TemplateConfig) -> Option<Relation> {
    let setting = Setting::of(pair);
    let name = match (setting.section, setting.page, &pair.origin) {
        (true, ..) => "section",
        (false, true, _) => "page",
        (false, false, Origin::Neighbor(_)) if looks_similar(pair, config) => "similar",
        (false, false, _) => return None,
    };
    let query_words = pair.query.metadata.descriptions().collect::<Vec<_>>().join(" . ");
    let what = brief(&pair.target.metadata, &query_words, config)?;
    // A topic that the phrase repeats would stand there twice.
    let repeats = adds_no_word(&setting.topic, &what) || adds_no_word(&what, &setting.topic);
    let topic = if repeats { String::new() } else { setting.topic };
    Some(Relation::new(name, [("what", what), ("topic", topic)]))
}

/// All encoders with a threshold that scored the pair find it similar, and there is one.
fn looks_similar(pair: &ImagePair, config: &TemplateConfig) -> bool {
    let passes = |(encoder, min): (&String, &f64)| pair.score(encoder).map(|score| *min <= score);
    let mut passed = config.min_similarity.iter().filter_map(passes).peekable();
    passed.peek().is_some() && passed.all(|passes| passes)
}

/// The target in few words, one of them absent from the query's words; `None` if only a whole long caption would do.
fn brief(target: &Metadata, query_words: &str, config: &TemplateConfig) -> Option<String> {
    let is_telling = |what: &String| !adds_no_word(what, query_words) && !is_generic(what);
    target
        .sentences()
        .find_map(|text| shortened(behind_colon(text), config.max_phrase_words).filter(is_telling))
}

/// "GRASS v.overlay: polygon to polygon union": the words behind the colon tell more.
fn behind_colon(text: &str) -> &str {
    match text.split_once(": ") {
        Some((_, behind)) if !behind.contains(':') && 2 <= content_words(behind).len() => behind,
        _ => text,
    }
}

/// The description as a noun phrase; of a long one only a part.
fn shortened(text: &str, max_words: usize) -> Option<String> {
    let phrase = Phrase::new(text);
    let whole = phrase.noun_phrase(max_words).filter(|what| !what.contains('='))?;
    let telling = content_words(text).len();
    let tells_all = NAME_WORDS < telling && telling <= content_words(&whole).len() + 1;
    if !tells_all {
        return Some(whole);
    }
    let short = phrase.written(0..phrase.cut(phrase.len().min(max_words))?);
    (content_words(&short).len() * 3 <= telling * 2).then_some(short)
}

/// "The original image", "an example".
fn is_generic(what: &str) -> bool {
    let is_empty = |word: &String| is_stop_word(word) || ENGLISH.template.generic.has(word);
    words(what).iter().all(is_empty)
}
