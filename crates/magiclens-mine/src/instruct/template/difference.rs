//! Descriptions that agree but for one place: "at night" and "in the fog", "radius 10" and "radius 20".

use std::ops::Range;

use super::aspect::is_kind;
use super::phrase::Phrase;
use super::relation::{Relation, own_words};
use crate::english::ENGLISH;
use crate::page::{Described, ImagePair, Metadata};
use crate::words::{content_words, is_stop_word};

/// Longer descriptions differ in many ways that mean nothing.
const MAX_LABEL_WORDS: usize = 10;
/// Longer differences are not one place.
const MAX_DIFFERENCE_WORDS: usize = 5;

/// The relation of descriptions that agree but for one place.
pub(super) fn one_difference(pair: &ImagePair) -> Option<Relation> {
    let (query, target) = (&pair.query.metadata, &pair.target.metadata);
    let only_file_names = own_words(query).is_empty() && own_words(target).is_empty();
    let fields = if only_file_names {
        phrases([(&query.file_words, &target.file_words)])
    } else {
        described_phrases(query, target)
    };
    let found = fields.iter().find_map(|(query, target)| {
        let change = Change::between(query, target)?;
        let is_sure = !only_file_names || change.is_sure_of_file_names() && are_of_a_size(&pair.query, &pair.target);
        is_sure.then(|| change.relation()).flatten()
    })?;
    // Where caption and alt text differ in different words, "the same but for one thing" is not true.
    let slots = ["query", "target"].map(|slot| found.slots.get(slot).map_or("", String::as_str));
    let changed = content_words(&slots.join(" "));
    let agrees = |(query, target): &(Phrase, Phrase)| {
        let Some(other) = Change::between(query, target) else {
            return true;
        };
        MAX_LABEL_WORDS < query.len().max(target.len()) || !changed.is_disjoint(&content_words(&other.words()))
    };
    fields.iter().all(agrees).then_some(found)
}

fn described_phrases<'a>(query: &'a Metadata, target: &'a Metadata) -> Vec<(Phrase<'a>, Phrase<'a>)> {
    phrases([
        (&query.caption, &target.caption),
        (&query.alt, &target.alt),
        (&query.title, &target.title),
        (&query.model_caption, &target.model_caption),
        (own_words(query), own_words(target)),
    ])
}

fn phrases<'a, const N: usize>(texts: [(&'a str, &'a str); N]) -> Vec<(Phrase<'a>, Phrase<'a>)> {
    let are_known = |(query, target): &(&str, &str)| !query.is_empty() && !target.is_empty();
    let phrases = |(query, target)| (Phrase::new(query), Phrase::new(target));
    texts.into_iter().filter(are_known).map(phrases).collect()
}

/// Variants of one image are as wide or as high as one another.
fn are_of_a_size(query: &Described, target: &Described) -> bool {
    query.width.abs_diff(target.width) * 50 <= query.width || query.height.abs_diff(target.height) * 50 <= query.height
}

/// Two descriptions and the one place where they differ.
struct Change<'a> {
    query: &'a Phrase<'a>,
    target: &'a Phrase<'a>,
    from: Range<usize>,
    to: Range<usize>,
}

impl<'a> Change<'a> {
    fn between(query: &'a Phrase<'a>, target: &'a Phrase<'a>) -> Option<Self> {
        let [from, to] = query.difference(target)?;
        Some(Self {
            query,
            target,
            from,
            to,
        })
    }

    /// Both sides of the place.
    fn sides(&self) -> [(&'a Phrase<'a>, &Range<usize>); 2] {
        [(self.query, &self.from), (self.target, &self.to)]
    }

    fn words(&self) -> String {
        let sides = self.sides();
        sides.map(|(phrase, span)| phrase.as_written(span.clone())).join(" ")
    }

    /// Both sides give the same answer.
    fn agree(&self, answer: impl Fn(&Phrase, &Range<usize>) -> bool) -> bool {
        let [query, target] = self.sides().map(|(phrase, span)| answer(phrase, span));
        query == target
    }

    /// Words of file names are short of grammar: most must agree, and what differs must tell something.
    fn is_sure_of_file_names(&self) -> bool {
        let tells = |(phrase, span): (&Phrase, &Range<usize>)| {
            !span.clone().any(|at| ENGLISH.template.file_states.has(phrase.key(at)))
        };
        self.sides().into_iter().all(tells)
            && self.from.len().max(self.to.len()) <= 2
            && 2 <= self.target.len() - self.to.len()
    }

    fn relation(&self) -> Option<Relation> {
        if !self.is_small() || !self.sides().into_iter().all(|(phrase, span)| is_usable(phrase, span)) {
            return None;
        }
        match (self.from.is_empty(), self.to.is_empty()) {
            (false, false) => self.replaced(),
            (true, false) => self.added(),
            _ => None,
        }
    }

    /// Whether the shared words outweigh the others, circumstances aside: "bridge at night", "bridge in the fog".
    fn is_small(&self) -> bool {
        // A quotation is one name, however long.
        let weight = |(phrase, span): (&Phrase, &Range<usize>)| if phrase.is_quoted(span) { 1 } else { span.len() };
        let changed = self.sides().map(weight).into_iter().max().unwrap_or_default();
        let starts = |(phrase, span): (&Phrase, &Range<usize>)| phrase.starts_with_preposition(span);
        let is_circumstance = self.sides().into_iter().any(starts);
        let is_added = is_circumstance || self.from.is_empty();
        let needed = if is_added { 1 } else { changed };
        let shared = || (0..self.target.len()).filter(|at| !self.to.contains(at));
        let telling = shared().filter(|&at| {
            let key = self.target.key(at);
            !is_stop_word(key) && key.chars().any(char::is_alphabetic)
        });
        needed <= telling.count() && changed.div_ceil(2) <= shared().count()
    }

    /// One thing in place of another.
    fn replaced(&self) -> Option<Relation> {
        // "Tor - FreedomBox" and "Tor page" differ in more than a word.
        if 0 < self.to.start && self.query.gap(self.from.start) != self.target.gap(self.to.start) {
            return None;
        }
        match self.sides().map(|(phrase, span)| phrase.starts_with_preposition(span)) {
            [true, true] => Some(self.circumstance()),
            [false, false] => self.variant(),
            // "as a list" and "grid view" cannot be set against one another.
            _ => None,
        }
    }

    /// "At night", with the noun that the place may leave behind: "with 4 neighbors".
    fn circumstance(&self) -> Relation {
        let change = self.up_to_noun();
        let [old, new] = change.sides().map(|(phrase, span)| phrase.written(span.clone()));
        Relation::new("circumstance", [("query", old), ("target", new), ("same", self.same())])
    }

    fn variant(&self) -> Option<Relation> {
        let mut change = self.with_counted_noun();
        if !change.is_of_one_sort() {
            return None;
        }
        let article = |(phrase, span): (&Phrase, &Range<usize>)| ["a", "an", "the"].contains(&phrase.key(span.start));
        if change.sides().into_iter().any(article) {
            change = change.up_to_noun();
        }
        let [old, new] = change.sides().map(|(phrase, span)| change.name(phrase, span));
        let mut relation = Relation::new("variant", [("same", self.same())]);
        if change.target.noun_follows(change.to.end) {
            relation.slots.insert("query_one", format!("the {old} one"));
            relation.slots.insert("target_one", format!("the {new} one"));
        }
        relation.slots.extend([("query", old), ("target", new)]);
        Some(relation)
    }

    /// The place with the shared rest of its noun phrase.
    fn up_to_noun(&self) -> Self {
        let behind = self.to.end..self.target.len();
        let shared = behind.take_while(|&at| self.target.noun_follows(at)).count();
        Self {
            from: self.from.start..self.from.end + shared,
            to: self.to.start..self.to.end + shared,
            ..*self
        }
    }

    /// A number takes the word before it along: "radius 20" instead of "radius 10".
    fn with_counted_noun(&self) -> Self {
        let is_number = |(phrase, span): (&Phrase, &Range<usize>)| span.len() == 1 && starts_with_number(phrase, span);
        let before = self.to.start.checked_sub(1).map_or("", |at| self.target.key(at));
        let is_noun = 2 <= before.len() && before.chars().all(char::is_alphabetic) && !is_stop_word(before);
        let takes = is_noun && self.target.gap(self.to.start) == ' ' && self.sides().into_iter().all(is_number);
        let start = |span: &Range<usize>| span.start - usize::from(takes)..span.end;
        Self {
            from: start(&self.from),
            to: start(&self.to),
            ..*self
        }
    }

    /// Both are names or both are not, both are states ("applied") or both are not, and none is a bare number.
    fn is_of_one_sort(&self) -> bool {
        let is_name = |phrase: &Phrase, span: &Range<usize>| {
            let text = phrase.as_written(span.clone());
            text.trim_start_matches(['“', '"', '(']).starts_with(char::is_uppercase)
        };
        // "Red" is a color, "applied" a state.
        let is_state = |phrase: &Phrase, span: &Range<usize>| {
            let key = phrase.key(span.end - 1);
            key.ends_with("ed") && !ENGLISH.gate.colors.has(key)
        };
        let has_grammar = |phrase: &Phrase, span: &Range<usize>| span.clone().any(|at| is_stop_word(phrase.key(at)));
        // "500m" tells what it counts, "3" does not.
        let is_bare = |(phrase, span): (&Phrase, &Range<usize>)| {
            let has_unit = |c: char| c.is_alphabetic() || "%°$€£×".contains(c);
            starts_with_number(phrase, span) && !(span.len() == 1 && phrase.key(span.start).contains(has_unit))
        };
        let case_is_free = self.from.start == 0 || self.to.end < self.target.len();
        (case_is_free || self.agree(is_name))
            && self.agree(is_state)
            && self.agree(has_grammar)
            && !self.sides().into_iter().any(is_bare)
    }

    /// One side as it stands in an instruction. One word alone at the start cannot be told from a name, unless it is a color:
    /// "Mumble icon", "Red shirt".
    fn name(&self, phrase: &Phrase, span: &Range<usize>) -> String {
        let at_start = self.from.start == 0 && self.to.start == 0;
        let is_plain = self.query.key(0) == "the" || self.target.key(0) == "the";
        if at_start && !is_plain && !ENGLISH.gate.colors.has(phrase.key(span.start)) {
            phrase.as_written(span.clone())
        } else {
            phrase.written(span.clone())
        }
    }

    /// "The same", or "the same dialog" if the target names a kind right behind or before the place.
    fn same(&self) -> String {
        let behind = (self.to.end < self.target.len()).then(|| self.target.len() - 1);
        let before = self.to.start.checked_sub(1);
        let before = before.filter(|_| self.target.starts_with_preposition(&self.to));
        match behind.or(before).map(|at| self.target.key(at)) {
            Some(kind) if is_kind(kind) => format!("the same {kind}"),
            _ => "the same".to_owned(),
        }
    }

    /// A circumstance that only the target has, at the end: "bridge at night".
    fn added(&self) -> Option<Relation> {
        let is_circumstance = self.target.starts_with_preposition(&self.to) && self.target.key(self.to.start) != "of";
        (is_circumstance && self.to.end == self.target.len()).then(|| {
            let new = self.target.written(self.to.clone());
            Relation::new("circumstance", [("target", new), ("same", "the same".to_owned())])
        })
    }
}

/// Short, in one piece, no half sentence, and no end that asks for more, like "of" and "the".
fn is_usable(phrase: &Phrase, span: &Range<usize>) -> bool {
    let lists = &ENGLISH.template;
    let mut keys = span.clone().map(|at| phrase.key(at));
    let last = keys.clone().next_back();
    let dangles = last.is_some_and(|key| is_stop_word(key) && !lists.ending_particles.has(key));
    let is_grammar = keys.clone().any(|key| lists.not_exchangeable.has(key))
        || !span.is_empty() && keys.all(|key| lists.bare_grammar.has(key));
    span.len() <= MAX_DIFFERENCE_WORDS && phrase.is_whole(span) && !dangles && !is_grammar
}

fn starts_with_number(phrase: &Phrase, span: &Range<usize>) -> bool {
    let key = phrase.key(span.start).trim_start_matches(['#', '$', '€', '£']);
    key.starts_with(|c: char| c.is_ascii_digit())
}
