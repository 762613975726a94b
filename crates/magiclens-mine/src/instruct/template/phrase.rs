//! Descriptions as tokens: the place where two of them differ, and the part that can stand inside an instruction.

use std::ops::Range;

use super::token::{Token, tokens};
use crate::english::ENGLISH;
use crate::words::{is_stop_word, words};

/// A description and its tokens.
#[derive(Clone, Debug)]
pub(super) struct Phrase<'a> {
    text: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Phrase<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: tokens(text),
        }
    }

    /// The word at a place, in lower case; empty outside.
    pub(super) fn key(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.key)
    }

    /// The strongest mark before a word; a space if there is none.
    pub(super) fn gap(&self, at: usize) -> char {
        self.tokens.get(at).map_or(' ', |token| token.gap)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The words of a span as written, but a sentence's first word in lower case.
    pub(super) fn written(&self, span: Range<usize>) -> String {
        let text = self.as_written(span.clone());
        if span.start == 0 && self.starts_like_a_sentence() {
            with_first(&text, |first| first.to_lowercase().collect())
        } else {
            text
        }
    }

    /// The words of a span as written, with the quotes and brackets that belong to it.
    pub(super) fn as_written(&self, span: Range<usize>) -> String {
        let Some(tokens) = self.tokens.get(span).filter(|tokens| !tokens.is_empty()) else {
            return String::new();
        };
        let (start, end) = (tokens[0].span.start, tokens[tokens.len() - 1].span.end);
        // Marks right before and behind may close what was opened inside.
        let outer_start = self.text[..start].trim_end_matches(['“', '(', '[', '"']).len();
        let behind = self.text[end..].trim_start_matches(['”', ')', ']', '’', '"']);
        let outer_end = self.text.len() - behind.len();
        let candidates = [outer_start..outer_end, start..outer_end, outer_start..end, start..end];
        let mut texts = candidates.into_iter().map(|range| &self.text[range]);
        match texts.find(|text| is_balanced(text)) {
            Some(text) => unwrapped(text).to_owned(),
            None => {
                let bare = tokens.iter().map(|token| &self.text[token.span.clone()]);
                bare.collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Only the first word has a capital, and nothing else shows that it is a name.
    fn starts_like_a_sentence(&self) -> bool {
        let lists = &ENGLISH.template;
        let text = |at: usize| self.tokens.get(at).map_or("", |token| &self.text[token.span.clone()]);
        let (first, second) = (text(0), text(1));
        // "Paris at night": a name before a preposition cannot be told from a noun; it stays. So does "Apollo 11".
        let is_name_like = lists.prepositions.has(self.key(1)) && !lists.common_endings.ends(first);
        let is_plain = first.chars().skip(1).all(|c| c.is_lowercase() || c == '-' || c == '\'');
        let goes_on_small = second.starts_with(char::is_lowercase) && !self.is_titled() && !is_name_like;
        is_plain && (self.starts_with_article() || goes_on_small)
    }

    pub(super) fn starts_with_article(&self) -> bool {
        ["a", "an", "the"].contains(&self.key(0))
    }

    /// Every mark inside the span is weak: no new sentence, dash, colon or bracket after its first word.
    pub(super) fn is_whole(&self, span: &Range<usize>) -> bool {
        self.tokens[span.clone()].iter().skip(1).all(|token| token.gap == ' ')
    }

    /// The span is one quotation.
    pub(super) fn is_quoted(&self, span: &Range<usize>) -> bool {
        let mut quotations = self.tokens[span.clone()].iter().map(|token| token.quotation);
        quotations
            .next()
            .is_some_and(|first| first != 0 && quotations.all(|other| other == first))
    }

    pub(super) fn starts_with_preposition(&self, span: &Range<usize>) -> bool {
        ENGLISH.template.prepositions.has(self.key(span.start))
    }

    /// The word at the place belongs to the noun phrase before it.
    pub(super) fn noun_follows(&self, at: usize) -> bool {
        at < self.len() && self.gap(at) == ' ' && !is_stop_word(self.key(at))
    }

    /// The one place where `self` (the query's) and `other` (the target's) differ, in each; one may be empty. None if they are the
    /// same.
    pub(super) fn difference(&self, other: &Phrase) -> Option<[Range<usize>; 2]> {
        let shorter = self.len().min(other.len());
        let start = (0..shorter).take_while(|&at| self.key(at) == other.key(at)).count();
        let end = (0..shorter - start)
            .take_while(|&back| self.key(self.len() - 1 - back) == other.key(other.len() - 1 - back))
            .count();
        let (mut query, mut target) = (start..self.len() - end, start..other.len() - end);
        if query.is_empty() && target.is_empty() {
            return None;
        }
        // A quotation is one name: “Linear Light” and “Hard Light”, not "Linear" and "Hard".
        while self.continues_quotation(query.start) && other.continues_quotation(target.start) {
            (query.start, target.start) = (query.start - 1, target.start - 1);
        }
        while self.continues_quotation(query.end) && other.continues_quotation(target.end) {
            (query.end, target.end) = (query.end + 1, target.end + 1);
        }
        if let Some(preposition) = other.preposition_before(&target)
            && !query.is_empty()
            && !target.is_empty()
        {
            (query.start, target.start) = (preposition, preposition);
        }
        Some([query, target])
    }

    /// The preposition that belongs to a place: "using time" instead of "using distance". An article may stand between them
    /// unless a noun follows: "for the Mottle option".
    fn preposition_before(&self, span: &Range<usize>) -> Option<usize> {
        let is_article = |at: &usize| ["a", "an", "the", "its", "their"].contains(&self.key(*at));
        let mut before = (0..span.start).rev();
        let noun_follows = self.noun_follows(span.end);
        let nearest = before.find(|at| noun_follows || !is_article(at));
        nearest.filter(|&at| ENGLISH.template.prepositions.has(self.key(at)))
    }

    /// The token stands in the same quotation as the one before.
    pub(super) fn continues_quotation(&self, at: usize) -> bool {
        let quotation = |at: usize| self.tokens.get(at).map_or(0, |token| token.quotation);
        0 < at && quotation(at) != 0 && quotation(at) == quotation(at - 1)
    }

    /// The beginning of the description that can follow "showing": at most `max_words` words, no sentence, no order.
    pub(super) fn noun_phrase(&self, max_words: usize) -> Option<String> {
        let lists = &ENGLISH.template;
        let sentence_end = (1..self.len())
            .find(|&at| ".;:?!".contains(self.gap(at)))
            .unwrap_or(self.len());
        let is_order = lists.orders.has(self.key(0));
        // Titles and quotations order nobody.
        let is_name = self.is_titled() || self.tokens.first().is_some_and(|first| first.quotation != 0);
        let is_verb = |at: usize| lists.sentence.has(self.key(at)) || self.key(at).ends_with("n't");
        if (0..sentence_end).any(is_verb)
            || is_order && !is_name
            || self.starts_with_preposition(&(0..1))
            || ["and", "or", "but"].contains(&self.key(0))
        {
            return None;
        }
        let fits = sentence_end <= max_words;
        let end = if fits { sentence_end } else { self.cut(max_words)? };
        let tells = |at: usize| 3 <= self.key(at).chars().count() && !is_stop_word(self.key(at));
        // "Selection inverted" tells what was done, not what is shown.
        let is_done = 0 < end && lists.participles.has(self.key(end - 1));
        if is_done || !(0..end).any(tells) {
            return None;
        }
        let written = self.written(0..end);
        // "Add Core Account" is a name on a page, not an order to the reader.
        let is_bare = is_order && !written.contains(['“', '"']);
        Some(if is_bare { format!("“{written}”") } else { written })
    }

    /// The longest beginning of two to `max_words` words that ends before a preposition or a strong mark. Not before "and" or a
    /// comma: "edge-based and region-based segmentation" is one thing.
    pub(super) fn cut(&self, max_words: usize) -> Option<usize> {
        (2..=max_words.min(self.len().saturating_sub(1))).rev().find(|&at| {
            let text = &self.text[self.tokens[0].span.start..self.tokens[at - 1].span.end];
            let breaks = ENGLISH.template.cuts.has(self.key(at)) || !" ,".contains(self.gap(at));
            is_balanced(text) && breaks && !is_stop_word(self.key(at - 1))
        })
    }

    /// Most words have capitals, as in titles.
    fn is_titled(&self) -> bool {
        let is_telling = |token: &&Token| !is_stop_word(&token.key) && 2 < token.key.len();
        let telling = || self.tokens.iter().filter(is_telling);
        let has_capital = |token: &&Token| self.text[token.span.clone()].starts_with(char::is_uppercase);
        let (all, capital) = (telling().count(), telling().filter(has_capital).count());
        2 <= capital && all * 2 <= capital * 3
    }
}

/// The text without brackets that stand around the whole.
fn unwrapped(text: &str) -> &str {
    let inner = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    let mut inners = [('(', ')'), ('[', ']')].into_iter().filter_map(inner);
    inners.find(|inner| is_balanced(inner)).unwrap_or(text)
}

fn is_balanced(text: &str) -> bool {
    let count = |mark: char| text.matches(mark).count();
    count('(') == count(')') && count('“') == count('”') && count('[') == count(']') && count('"').is_multiple_of(2)
}

/// The text with its first letter changed.
pub(super) fn with_first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut rest = text.chars();
    rest.next().map_or(String::new(), |first| change(first) + rest.as_str())
}

/// All telling words of `part` are in `whole`.
pub(super) fn adds_no_word(part: &str, whole: &str) -> bool {
    let (words, known) = (words(part), words(whole));
    words.iter().all(|word| is_stop_word(word) || known.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(query: &str, target: &str) -> Option<(String, String)> {
        let (query, target) = (Phrase::new(query), Phrase::new(target));
        let [old, new] = query.difference(&target)?;
        Some((query.written(old), target.written(new)))
    }

    #[test]
    fn finds_the_one_place() {
        let check = |query: &str, target: &str, expected: (&str, &str)| {
            assert_eq!(
                difference(query, target),
                Some((expected.0.to_owned(), expected.1.to_owned())),
                "{query} / {target}"
            );
        };
        check(
            "Filter “Bloom” applied",
            "Filter “Lens Flare” applied",
            ("“Bloom”", "“Lens Flare”"),
        );
        check("Bridge at night", "Bridge in the fog", ("at night", "in the fog"));
        check(
            "example using distance",
            "example using time",
            ("using distance", "using time"),
        );
        check(
            "Chicago River",
            "Chicago River - Gamma Correction",
            ("", "Gamma Correction"),
        );
        check(
            "The dialog (as a list)",
            "The dialog (grid view)",
            ("as a list", "grid view"),
        );
        check("Red cotton shirt", "Blue cotton shirt", ("red", "blue"));
        check(
            "Mode “Linear Light”",
            "Mode “Hard Light”",
            ("“Linear Light”", "“Hard Light”"),
        );
        check(
            "A \"big mill\" here",
            "A \"big barn\" here",
            ("\"big mill\"", "\"big barn\""),
        );
        check(
            "for the “Mottle” option",
            "for the “Defocus” option",
            ("“Mottle”", "“Defocus”"),
        );
        check("step 1", "step 2", ("1", "2"));
        assert_eq!(difference("The mill.", "the mill"), None);
        assert_eq!(difference("", ""), None);
    }

    #[test]
    fn takes_noun_phrases() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Phrase::new(text).noun_phrase(6).as_deref(), expected, "{text}")
        };
        check("The Buffers dialog", Some("the Buffers dialog"));
        check(
            "Street network with legend and background color",
            Some("street network"),
        );
        check("Elevation map. It is large", Some("elevation map"));
        check("The “Whirl and Pinch” dialog", Some("the “Whirl and Pinch” dialog"));
        check("Chicago River", Some("Chicago River"));
        check("Add Core Account", Some("“Add Core Account”"));
        check("Click the button", None);
        check("The mill is old", None);
        check("At night", None);
        check("one two three four five six seven eight", None);
        check("", None);
        check("Comparing edge-based and region-based segmentation of coins", None);
        check("“Draw background” example", Some("“Draw background” example"));
        check(
            "A selected (dark and flat) image",
            Some("a selected (dark and flat) image"),
        );
        check("12", None);
    }

    #[test]
    fn survives_odd_marks() {
        for text in ["“", "((", "“a", "a”)", "é“", "\" a", "= & %", "→ →", "a (b “c) d” e"] {
            let phrase = Phrase::new(text);
            let _ = (
                phrase.written(0..phrase.len()),
                phrase.noun_phrase(3),
                phrase.is_titled(),
            );
        }
        assert_eq!(Phrase::new("a (b").written(0..2), "a b");
    }
}
