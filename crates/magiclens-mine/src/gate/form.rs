//! Gates that need only the text: length, prose, language, and talk about the task.

use std::sync::LazyLock;

use regex::Regex;

use super::{BLOCKED_WORD, GateConfig, NAMES_IMAGES, NOT_WORDS, TALKS_ABOUT_TASK, TOO_LONG, TOO_SHORT, WRONG_LANGUAGE};
use crate::words::words;
use magiclens_web::DropReason;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Addresses, file names, tags, code.
static NOT_PROSE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)https?:|www\.|[a-z0-9]\.(?:jpe?g|png|gif|webp|svg|bmp|tiff?|html?)\b|</?[a-z!][^>]*>|[{}\\^`~<>]|\(\)|;\s*$|=>|->|==|\*\*|__|&[a-z]+;|&#|\[[^\]]*\]|[\r\n\t]|[\x00-\x1f]|\u{fffd}",
    )
});

/// "image 1", "the second image", "target image", "image A".
static NAMED_IMAGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?ix)
        \b(?:image|picture|photo|photograph|pic|img)s? \s* (?:\#|no\.?\s*|number\s*)? \d\b
        | \b(?:image|picture|photo|photograph|pic)s? \s (?:one|two|three) (?:\s*[.,;:?!]|\s+(?:is|to|and|shows|but|into)\b|$)
        | \b(?:first|second|third|1st|2nd|3rd|former|latter|target|query|candidate|reference|left|right|left-hand|right-hand) \s+
          (?:given\s+)? (?:image|picture|photo|photograph|pic)s?\b
        | \b(?-i:(?:[Ii]mage|[Pp]icture|[Pp]hoto)\s[AB])(?:\s*[.,;:?!]|\s+(?:is|to|and|shows|but|into)\b|$)
        | \b(?:both|two|these) \s+ (?:images|pictures|photos|photographs)\b",
    )
});

/// Answers of a language model that are not the instruction, or tell where it comes from.
static ABOUT_TASK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^(?:sure|certainly|of course|okay|ok|here is|here's|here are)\b.{0,40}[,:!]|^(?:here is|here are)\s+(?:an?|the|some|\d+)\s+(?:instruction|wording|quer)|^(?:instruction|query|answer|output|reasoning|target|wording|prompt|response)\s*\d*\s*:|^(?:i'?m sorry|i am sorry|sorry)\b|\bas an? (?:ai|language model|assistant)\b|\bi (?:can(?:no|')t|am unable|do not have|don't have)\b|\b(?:metadata|alt[- ]?text|alt attribute|file ?name|(?:image|picture)'?s? caption|the caption|instruction|triplet)s?\b|^\s*(?:n/?a|none|null|undefined)\s*\.?$",
    )
});

pub(super) fn check(text: &str, config: &GateConfig) -> Result<(), DropReason> {
    // Megabytes are not looked at any closer.
    if config.max_chars < text.chars().take(config.max_chars + 1).count() {
        return Err(TOO_LONG);
    }
    let words = words(text);
    if words.len() < config.min_words {
        return Err(TOO_SHORT);
    }
    if config.max_words < words.len() {
        return Err(TOO_LONG);
    }
    if !is_prose(text, &words, config.min_letter_share) {
        return Err(NOT_WORDS);
    }
    if names_image(text) {
        return Err(NAMES_IMAGES);
    }
    if ABOUT_TASK.is_match(text) {
        return Err(TALKS_ABOUT_TASK);
    }
    if words.iter().any(|word| config.blocked_words.contains(word)) {
        return Err(BLOCKED_WORD);
    }
    if is_other_language(text, config) {
        Err(WRONG_LANGUAGE)
    } else {
        Ok(())
    }
}

/// "Image 1", "the second image", "the target image": nobody who searches would say so.
pub(crate) fn names_image(text: &str) -> bool {
    NAMED_IMAGE.is_match(text)
}

fn is_prose(text: &str, words: &[String], min_letter_share: f64) -> bool {
    /// No word of a language that uses spaces is longer.
    const MAX_WORD_CHARS: usize = 40;
    /// "very very very" is speech, more is a loop.
    const MAX_SAME: usize = 3;
    let visible = text.chars().filter(|c| !c.is_whitespace()).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let loops = words
        .windows(MAX_SAME + 1)
        .any(|run| run.iter().all(|word| *word == run[0]));
    min_letter_share <= letters as f64 / visible.max(1) as f64
        && words.iter().all(|word| word.chars().count() <= MAX_WORD_CHARS)
        && !loops
        && !NOT_PROSE.is_match(text)
}

fn is_other_language(text: &str, config: &GateConfig) -> bool {
    if config.languages.is_empty() || text.chars().count() < config.min_language_chars {
        return false;
    }
    let guess = whatlang::detect(text).filter(whatlang::Info::is_reliable);
    guess.is_some_and(|guess| config.languages.iter().all(|language| language != guess.lang().code()))
}
