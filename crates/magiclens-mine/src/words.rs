//! Comparable words of a text, for gates, templates and metadata.

use std::collections::BTreeSet;

use crate::english::ENGLISH;

/// The words of a text in their order, in lower case: runs of letters and digits; an apostrophe may stand inside. In scripts
/// without spaces each character is a word.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside =
            matches!(c, '\'' | '’') && !word.is_empty() && rest.peek().is_some_and(|next| next.is_alphabetic());
        if is_ideograph(c) {
            push(&mut words, &mut word);
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        } else if inside {
            word.push('\'');
        } else {
            push(&mut words, &mut word);
        }
    }
    push(&mut words, &mut word);
    words
}

fn push(words: &mut Vec<String>, word: &mut String) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// Han and kana, which are written without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2ffff}')
}

/// True for words that say nothing about what an image shows.
pub(crate) fn is_stop_word(word: &str) -> bool {
    ENGLISH.stop.has(word)
}

/// A word without its plural or possessive ending, so that "dogs" and "dog's" meet "dog". Not a dictionary form.
pub(crate) fn stem(word: &str) -> String {
    let word = word.strip_suffix("'s").unwrap_or(word);
    let letters = word.chars().count();
    if 4 < letters && word.ends_with("ies") {
        return format!("{}y", &word[..word.len() - 3]);
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if 4 < letters && ends(&["ches", "shes", "sses", "xes", "zes"]) {
        return word[..word.len() - 2].to_owned();
    }
    let plural = word.ends_with('s') && !ends(&["ss", "us", "is"]);
    if 3 < letters && plural {
        return word[..word.len() - 1].to_owned();
    }
    word.to_owned()
}

/// The stems of the words that say something, without repeats.
pub(crate) fn content_words(text: &str) -> BTreeSet<String> {
    words(text)
        .iter()
        .filter(|word| !is_stop_word(word))
        .map(|word| stem(word))
        .collect()
}

/// The part of `words` that `others` has as well: 0 to 1; 0 if there are no words.
pub(crate) fn share_in(words: &BTreeSet<String>, others: &BTreeSet<String>) -> f64 {
    words.intersection(others).count() as f64 / words.len().max(1) as f64
}

/// Words common to both, of all: 0 to 1; 0 if there are none.
pub(crate) fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    a.intersection(b).count() as f64 / a.union(b).count().max(1) as f64
}

/// At most `max_chars` characters, cut between words where there is one.
pub(crate) fn cut(text: &str, max_chars: usize) -> &str {
    let Some((end, next)) = text.char_indices().nth(max_chars) else {
        return text;
    };
    let head = &text[..end];
    if next.is_whitespace() {
        return head.trim_end();
    }
    match head.rfind(char::is_whitespace) {
        Some(space) => head[..space].trim_end(),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_words() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text), expected, "{text}");
        check(
            "The Dog's “new” bed-cover, 2x!",
            &["the", "dog's", "new", "bed", "cover", "2x"],
        );
        check("'quoted' l’Été", &["quoted", "l'été"]);
        check("富士山 Fuji", &["富", "士", "山", "fuji"]);
        check(" -- ", &[]);
    }

    #[test]
    fn stems_plurals_and_possessives() {
        for (word, expected) in [
            ("dogs", "dog"),
            ("dog's", "dog"),
            ("cities", "city"),
            ("boxes", "box"),
            ("churches", "church"),
            ("glass", "glass"),
            ("bus", "bus"),
            ("was", "was"),
            ("houses", "house"),
        ] {
            assert_eq!(stem(word), expected);
        }
    }

    #[test]
    fn keeps_what_says_something() {
        let expected = ["bridge", "night", "red"].map(str::to_owned);
        assert!(
            content_words("A picture of the red bridges at night")
                .iter()
                .eq(&expected)
        );
    }

    #[test]
    fn measures_shares() {
        let (a, b) = (content_words("red old bridge"), content_words("old bridge fog river"));
        assert_eq!(share_in(&a, &b), 2.0 / 3.0);
        assert_eq!(overlap(&a, &b), 2.0 / 5.0);
        assert_eq!(
            (
                share_in(&BTreeSet::new(), &b),
                overlap(&BTreeSet::new(), &BTreeSet::new())
            ),
            (0.0, 0.0)
        );
    }

    #[test]
    fn cuts_between_words() {
        assert_eq!(cut("one two three", 13), "one two three");
        assert_eq!(cut("one two three", 9), "one two");
        assert_eq!(cut("one two three", 7), "one two");
        assert_eq!(cut("éééé", 2), "éé");
        assert_eq!(cut("", 0), "");
    }
}
