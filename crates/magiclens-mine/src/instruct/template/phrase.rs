//! Descriptions as tokens: what two of them share, where they differ, and which part can stand inside an instruction.

use std::ops::Range;

use crate::words::{is_stop_word, words};

/// Before these a noun phrase can be cut short and stays true.
const CUTS: &[&str] = &[
    "with",
    "in",
    "on",
    "at",
    "from",
    "after",
    "before",
    "by",
    "for",
    "using",
    "during",
    "showing",
    "including",
    "near",
    "under",
    "over",
    "behind",
    "while",
    "where",
    "which",
    "that",
    "as",
    "when",
    "via",
    "through",
    "into",
    "to",
    "containing",
];

/// Words that open a circumstance: "at night".
const PREPOSITIONS: &[&str] = &[
    "about", "above", "after", "against", "along", "among", "around", "as", "at", "before", "behind", "below",
    "beneath", "beside", "between", "by", "during", "for", "from", "in", "inside", "near", "of", "on", "outside",
    "over", "through", "under", "using", "via", "wearing", "with", "within", "without",
];

/// Words that make a description a sentence, which cannot follow "showing".
const SENTENCE_WORDS: &[&str] = &[
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "am",
    "has",
    "have",
    "had",
    "can",
    "cannot",
    "can't",
    "could",
    "will",
    "would",
    "shall",
    "should",
    "may",
    "might",
    "must",
    "do",
    "does",
    "did",
    "don't",
    "doesn't",
    "you",
    "your",
    "we",
    "our",
    "us",
    "i",
    "my",
    "he",
    "she",
    "it",
    "it's",
    "its",
    "they",
    "their",
    "them",
    "this",
    "that",
    "these",
    "those",
    "here",
    "there",
    "who",
    "what",
    "how",
    "why",
    "when",
    "let's",
    "please",
    "if",
    "because",
    "shows",
    "show",
    "shown",
    "means",
    "becomes",
    "became",
    "looks",
    "gets",
    "got",
    "makes",
    "same",
    "above",
    "below",
    "left",
    "right",
    "top",
    "bottom",
    "following",
    "previous",
    "next",
    "another",
    "other",
];

/// Verbs that open an order: "Click the button".
const ORDERS: &[&str] = &[
    "click",
    "select",
    "choose",
    "press",
    "add",
    "set",
    "enter",
    "open",
    "drag",
    "move",
    "type",
    "see",
    "note",
    "try",
    "make",
    "change",
    "adjust",
    "configure",
    "install",
    "run",
    "check",
    "activate",
    "load",
    "save",
    "apply",
    "find",
    "use",
    "create",
    "get",
    "go",
    "put",
    "take",
    "keep",
    "remove",
    "delete",
    "copy",
    "paste",
    "draw",
    "edit",
    "import",
    "export",
    "start",
    "stop",
    "turn",
    "switch",
    "look",
    "read",
    "learn",
    "visit",
    "buy",
    "join",
    "watch",
    "download",
    "upload",
    "enable",
    "disable",
    "insert",
    "replace",
    "define",
];

/// Endings of words that are hardly ever names.
const COMMON_ENDINGS: &[&str] = &[
    "tion", "tions", "sion", "ing", "ings", "ed", "ment", "ments", "ness", "ity", "mage", "mages", "xample", "xamples",
    "view", "views", "parison",
];

/// One word of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Where it stands in the text, quotes and brackets around it left out.
    span: Range<usize>,
    /// In lower case, for comparison.
    pub(super) key: String,
    /// The strongest mark between it and the token before: a space if there is none.
    pub(super) gap: char,
    /// Which quotation of the text it stands in, counted from 1; 0 outside.
    quotation: usize,
}

/// A description and its tokens.
#[derive(Clone, Debug)]
pub(super) struct Phrase<'a> {
    text: &'a str,
    pub(super) tokens: Vec<Token>,
}

/// Where two descriptions differ: one place, of which one side may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) query: Range<usize>,
    pub(super) target: Range<usize>,
}

impl<'a> Phrase<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut gap = ' ';
        let mut at = 0;
        let (mut quotations, mut inside) = (0, false);
        let mut turn = |marks: &str| {
            for mark in marks.chars() {
                inside = match mark {
                    '“' | '«' | '„' => true,
                    '”' | '»' => false,
                    '"' => !inside,
                    _ => continue,
                };
                quotations += usize::from(inside);
            }
            if inside { quotations } else { 0 }
        };
        for piece in text.split_whitespace() {
            let start = at + text[at..].find(piece).expect("the piece comes from here");
            at = start + piece.len();
            let is_core = |c: char| c.is_alphanumeric() || "=%&°+$€£#×".contains(c);
            let (Some(first), Some(last)) = (piece.find(is_core), piece.rfind(is_core)) else {
                gap = stronger(gap, marks(piece));
                turn(piece);
                continue;
            };
            let end = last + piece[last..].chars().next().map_or(0, char::len_utf8);
            let span = start + first..start + end;
            gap = stronger(gap, marks(&piece[..first]));
            let key = text[span.clone()].to_lowercase().replace('’', "'");
            let quotation = turn(&piece[..first]);
            // Marks inside a word, as in `5"x7"`, are no quotations; those behind it may end one.
            turn(&text[span.end..at]);
            let behind = marks(&text[span.end..at]);
            tokens.push(Token {
                span,
                key,
                gap: std::mem::replace(&mut gap, behind),
                quotation,
            });
        }
        Self { text, tokens }
    }

    pub(super) fn key(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.key)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The words of a span as written, but a sentence's first word in lower case.
    pub(super) fn written(&self, span: Range<usize>) -> String {
        let text = self.as_written(span.clone());
        if span.start == 0 && self.starts_like_a_sentence() {
            lower_first(&text)
        } else {
            text
        }
    }

    /// The words of a span as written, with the quotes and brackets that belong to it.
    pub(super) fn as_written(&self, span: Range<usize>) -> String {
        let Some(tokens) = self.tokens.get(span.clone()).filter(|tokens| !tokens.is_empty()) else {
            return String::new();
        };
        let (first, last) = (&tokens[0].span, &tokens[tokens.len() - 1].span);
        // Marks right after the last word may close what was opened inside.
        let whole = &self.text[first.start..self.text.len()];
        let end = last.end
            + whole[last.end - first.start..]
                .find(|c: char| !"”)]’\"".contains(c))
                .unwrap_or(self.text.len() - last.end);
        let start = first.start
            - self.text[..first.start]
                .chars()
                .rev()
                .take_while(|c| "“([\"".contains(*c))
                .map(char::len_utf8)
                .sum::<usize>();
        let candidates = [start..end, first.start..end, start..last.end, first.start..last.end];
        let balanced = candidates
            .into_iter()
            .map(|range| &self.text[range])
            .find(|text| is_balanced(text));
        let text = match balanced {
            Some(text) => text.to_owned(),
            None => tokens
                .iter()
                .map(|token| &self.text[token.span.clone()])
                .collect::<Vec<_>>()
                .join(" "),
        };
        unwrapped(&text).to_owned()
    }

    /// Only the first word has a capital, and nothing else shows that it is a name.
    fn starts_like_a_sentence(&self) -> bool {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| &self.text[token.span.clone()]);
        let first = text(0);
        let plain = first.chars().skip(1).all(|c| c.is_lowercase() || c == '-' || c == '\'');
        let article = ["a", "an", "the"].contains(&self.key(0));
        let second_small = text(1).starts_with(|c: char| c.is_lowercase() || c.is_numeric());
        // "Paris at night", "Apollo 11": a name before a preposition or a number cannot be told from a noun; leave it.
        let name_like =
            PREPOSITIONS.contains(&self.key(1)) && !COMMON_ENDINGS.iter().any(|ending| first.ends_with(ending));
        plain
            && (article || (second_small && !self.is_titled() && !name_like && !text(1).starts_with(char::is_numeric)))
    }

    /// True if every mark inside the span is weak: no new sentence, dash, colon or bracket after its first word.
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
        PREPOSITIONS.contains(&self.key(span.start))
    }

    /// The one place where `self` (the query's) and `other` (the target's) differ; none if they are the same.
    pub(super) fn difference(&self, other: &Phrase) -> Option<Difference> {
        let shorter = self.len().min(other.len());
        let same = |a: &Token, b: &Token| a.key == b.key;
        let mut start = (0..shorter)
            .take_while(|&at| same(&self.tokens[at], &other.tokens[at]))
            .count();
        let end = (0..shorter - start)
            .take_while(|&back| {
                same(
                    &self.tokens[self.len() - 1 - back],
                    &other.tokens[other.len() - 1 - back],
                )
            })
            .count();
        let (mut query, mut target) = (start..self.len() - end, start..other.len() - end);
        if query.is_empty() && target.is_empty() {
            return None;
        }
        // A quotation is one name: “Linear Light” and “Hard Light”, not "Linear" and "Hard".
        while 0 < start && self.continues_quotation(start) && other.continues_quotation(start) {
            start -= 1;
        }
        (query.start, target.start) = (start, start);
        while query.end < self.len()
            && target.end < other.len()
            && self.continues_quotation(query.end)
            && other.continues_quotation(target.end)
        {
            (query.end, target.end) = (query.end + 1, target.end + 1);
        }
        // A preposition before the place belongs to it: "using time" instead of "using distance". Behind it no article may stand
        // if a noun follows: "for the Mottle option".
        let mut from = start;
        let is_last =
            target.end == other.len() || other.tokens[target.end].gap != ' ' || is_stop_word(other.key(target.end));
        while is_last && 0 < from && ["a", "an", "the", "its", "their"].contains(&self.key(from - 1)) {
            from -= 1;
        }
        if 0 < from && PREPOSITIONS.contains(&self.key(from - 1)) && !query.is_empty() && !target.is_empty() {
            start = from - 1;
            (query.start, target.start) = (start, start);
        }
        Some(Difference { query, target })
    }

    /// The token stands in the same quotation as the one before.
    pub(super) fn continues_quotation(&self, at: usize) -> bool {
        let quotation = |at: usize| self.tokens.get(at).map_or(0, |token| token.quotation);
        0 < at && quotation(at) != 0 && quotation(at) == quotation(at - 1)
    }

    /// The beginning of the description that can follow "showing": at most `max_words` words, no sentence, no order.
    pub(super) fn noun_phrase(&self, max_words: usize) -> Option<String> {
        let sentence_end = (1..self.len())
            .find(|&at| ".;:?!".contains(self.tokens[at].gap))
            .unwrap_or(self.len());
        let whole = 0..sentence_end;
        let keys = |range: Range<usize>| range.map(|at| self.key(at));
        let is_verb = |key: &str| SENTENCE_WORDS.contains(&key) || key.ends_with("n't");
        if whole.is_empty() || keys(whole.clone()).any(is_verb) {
            return None;
        }
        // Titles and quotations order nobody.
        let titled = self.is_titled() || self.tokens[0].quotation != 0;
        if ORDERS.contains(&self.key(0)) && !titled
            || self.starts_with_preposition(&whole)
            || ["and", "or", "but"].contains(&self.key(0))
        {
            return None;
        }
        let end = if sentence_end <= max_words {
            sentence_end
        } else {
            self.cut(max_words)?
        };
        if !keys(0..end).any(|key| 3 <= key.chars().count() && !is_stop_word(key)) {
            return None;
        }
        let written = self.written(0..end);
        // "Add Core Account" is a name on a page, not an order to the reader.
        let is_bare = ORDERS.contains(&self.key(0)) && !written.contains(['“', '"']);
        Some(if is_bare { format!("“{written}”") } else { written })
    }

    /// The longest beginning of two to `max_words` words that ends before a preposition or a strong mark. Not before "and" or a
    /// comma: "edge-based and region-based segmentation" is one thing.
    pub(super) fn cut(&self, max_words: usize) -> Option<usize> {
        (2..=max_words.min(self.len().saturating_sub(1))).rev().find(|&at| {
            let begins = self.tokens[0].span.start;
            let whole = is_balanced(&self.text[begins..self.tokens[at - 1].span.end]);
            let breaks = CUTS.contains(&self.key(at)) || !" ,".contains(self.tokens[at].gap);
            whole && breaks && !is_stop_word(self.key(at - 1))
        })
    }

    /// Most words have capitals, as in titles.
    pub(super) fn is_titled(&self) -> bool {
        let telling = self
            .tokens
            .iter()
            .filter(|token| !is_stop_word(&token.key) && 2 < token.key.len());
        let (capital, all) = telling.fold((0, 0), |(capital, all), token| {
            (
                capital + usize::from(self.text[token.span.clone()].starts_with(char::is_uppercase)),
                all + 1,
            )
        });
        2 <= all && all * 2 <= capital * 3 && 2 <= capital
    }
}

/// Quotes and brackets that stand around the whole.
fn unwrapped(text: &str) -> &str {
    for (open, close) in [('(', ')'), ('[', ']')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close))
            && is_balanced(inner)
        {
            return inner;
        }
    }
    text
}

/// The strongest mark of a run of punctuation.
fn marks(text: &str) -> char {
    text.chars().map(kind).fold(' ', stronger)
}

fn kind(c: char) -> char {
    match c {
        '-' | '–' | '—' | '‒' | '→' | '|' | '/' | '•' | '·' | '»' | '>' => '-',
        '(' | ')' | '[' | ']' => '(',
        '.' | '!' | '?' | ';' | ':' | ',' => c,
        _ => ' ',
    }
}

fn stronger(a: char, b: char) -> char {
    let strength = |mark| " ,(-:;.!?".find(mark).unwrap_or(0);
    if strength(a) < strength(b) { b } else { a }
}

fn is_balanced(text: &str) -> bool {
    let count = |mark: char| text.matches(mark).count();
    count('(') == count(')') && count('“') == count('”') && count('[') == count(']') && count('"').is_multiple_of(2)
}

pub(super) fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map_or(String::new(), |first| first.to_lowercase().chain(rest).collect())
}

/// True if all telling words of `part` are in `whole`.
pub(super) fn says_nothing_new(part: &str, whole: &str) -> bool {
    let known = words(whole);
    words(part)
        .iter()
        .all(|word| is_stop_word(word) || known.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(query: &str, target: &str) -> Option<(String, String)> {
        let (query, target) = (Phrase::new(query), Phrase::new(target));
        let difference = query.difference(&target)?;
        Some((query.written(difference.query), target.written(difference.target)))
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
