//! Repairs text as `fix_text` of ftfy 6.3.1 does, with its default settings: above all mojibake, which is UTF-8 that was
//! once read in an older encoding (`cafÃ©` for `café`).
//!
//! CLIP's tokenizer begins with it, so that ids depend on it. The rules and the classes of characters follow ftfy
//! (Robyn Speer, Apache-2.0), written anew for Rust's regular expressions, which do not look around.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::UnicodeNormalization;

use super::badness::is_bad;
use super::code_pages::{CODE_PAGES, CodePage, Kind, windows_1252};
use super::html;

/// Longer lines are repaired in pieces of this many characters.
const MAX_SEGMENT_CHARS: usize = 1_000_000;

/// Repairs each line of a text until nothing changes.
pub(super) fn fix_text(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    // A `<` means HTML, in which references are meant to stay, from that line on.
    let mut unescape = true;
    for segment in text.split_inclusive('\n').flat_map(pieces) {
        unescape &= !segment.contains('<');
        fixed.push_str(&fix_segment(segment, unescape));
    }
    fixed
}

fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let end = rest
            .char_indices()
            .nth(MAX_SEGMENT_CHARS)
            .map_or(rest.len(), |(position, _)| position);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn fix_segment(segment: &str, unescape: bool) -> String {
    let mut text = segment.to_owned();
    loop {
        let unescaped = if unescape {
            unescape_entities(&text)
        } else {
            Cow::Borrowed(text.as_str())
        };
        let fixed = fix_encoding(&unescaped);
        let fixed: String = fixed.chars().map(fix_c1_control).collect();
        let fixed = fix_line_breaks(&fix_characters(&fixed));
        let fixed = TERMINAL_ESCAPE.replace_all(&fixed, "");
        let fixed: String = fixed
            .chars()
            .filter(|&character| !is_control(character))
            .nfc()
            .collect();
        if fixed == text {
            return fixed;
        }
        text = fixed;
    }
}

// Entities.

static ENTITY: LazyLock<Regex> = LazyLock::new(|| pattern("&#?[0-9A-Za-z]{1,24};"));

/// Only what ends in a semicolon; also names in capitals, whose value is then capitalized.
fn unescape_entities(text: &str) -> Cow<'_, str> {
    ENTITY.replace_all(text, |found: &Captures<'_>| {
        let reference = &found[0];
        let value = if reference.starts_with("&#") {
            Some(html::unescape(reference)).filter(|value| !value.contains(';'))
        } else {
            html::named(reference)
                .map(str::to_owned)
                .or_else(|| capitalized(reference))
        };
        value.unwrap_or_else(|| reference.to_owned())
    })
}

fn capitalized(reference: &str) -> Option<String> {
    let lower = reference.to_ascii_lowercase();
    let is_upper = lower.to_ascii_uppercase() == reference && html::unescape(reference) == reference;
    html::named(&lower).filter(|_| is_upper).map(str::to_uppercase)
}

// Single characters.

static TERMINAL_ESCAPE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1B\[(?:\d|;)*[a-zA-Z]"));

fn fix_c1_control(character: char) -> char {
    match character {
        '\u{80}'..='\u{9F}' => windows_1252(character as u8),
        _ => character,
    }
}

/// Ligatures apart, halfwidth and fullwidth forms to their usual width, curly quotes straight.
fn fix_characters(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'Ĳ' => fixed.push_str("IJ"),
            'ĳ' => fixed.push_str("ij"),
            'ŉ' => fixed.push_str("'n"),
            'Ǆ' | 'ǅ' | 'ǆ' | 'Ǉ' | 'ǈ' | 'ǉ' | 'Ǌ' | 'ǋ' | 'ǌ' | 'Ǳ' | 'ǲ' | 'ǳ' | 'ﬀ'..='ﬄ' | 'ﬆ' =>
            {
                fixed.extend(std::iter::once(character).nfkc());
            }
            'ﬅ' => fixed.push_str("ſt"),
            '\u{3000}' => fixed.push(' '),
            '\u{FF01}'..='\u{FFEF}' => fixed.extend(std::iter::once(character).nfkc()),
            '\u{2BC}' | '\u{2018}'..='\u{201B}' => fixed.push('\''),
            '\u{201C}'..='\u{201F}' => fixed.push('"'),
            _ => fixed.push(character),
        }
    }
    fixed
}

fn fix_line_breaks(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n")
}

/// Control characters that nobody means to write.
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08' | '\x0B' | '\x0E'..='\x1F' | '\x7F' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}'
    )
}

fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    loop {
        let fixed = fix_encoding_once(&text);
        if fixed == text {
            return fixed;
        }
        text = fixed;
    }
}

fn fix_encoding_once(text: &str) -> String {
    if text.is_ascii() || !is_bad(text) {
        return text.to_owned();
    }
    // Most likely it was UTF-8, read in one of these.
    if let Some(decoded) = CODE_PAGES.iter().find_map(|page| decode_again(text, page)) {
        return decoded;
    }
    // Or a part of it was.
    let fixed = decode_parts(text);
    if fixed != text {
        return fixed;
    }
    // Control characters of Latin-1 were meant for Windows-1252; without those, this changes nothing.
    text.chars().map(fix_c1_control).collect()
}

/// The text as UTF-8, if it fits into `page` and makes sense then.
fn decode_again(text: &str, page: &CodePage) -> Option<String> {
    let mut bytes = page.encode(text)?;
    if page.kind != Kind::MacRoman && ALTERED_UTF8.is_match(&bytes) {
        bytes = restore_a0(&bytes);
    }
    if page.kind == Kind::Sloppy {
        bytes = LOSSY_UTF8.replace_all(&bytes, "\u{FFFD}".as_bytes()).into_owned();
    }
    if bytes.contains(&0xED) || bytes.contains(&0xC0) {
        decode_utf8_variant(&bytes)
    } else {
        String::from_utf8(bytes).ok()
    }
}

/// UTF-8 with a space where A0 was once.
static ALTERED_UTF8: LazyLock<regex::bytes::Regex> = LazyLock::new(|| {
    byte_pattern(
        r"[\xC2\xC3\xC5\xCE\xD0\xD9] |[\xE2\xE3] [\x80-\x84\x86-\x9F\xA1-\xBF]|[\xE0-\xE3][\x80-\x84\x86-\x9F\xA1-\xBF] |\xF0 [\x80-\xBF][\x80-\xBF]|\xF0[\x80-\xBF] [\x80-\xBF]|\xF0[\x80-\xBF][\x80-\xBF] ",
    )
});

/// UTF-8 with 1A or `?` where a byte was lost.
static LOSSY_UTF8: LazyLock<regex::bytes::Regex> = LazyLock::new(|| {
    byte_pattern(
        r"[\xC2-\xDF]\x1A|[\xC2\xC3]\?|\xED[\xA0-\xAF][\x1A?]\xED[\xB0-\xBF][\x1A?\x80-\xBF]|\xED[\xA0-\xAF][\x1A?\x80-\xBF]\xED[\xB0-\xBF][\x1A?]|[\xE0-\xEF][\x1A?][\x1A\x80-\xBF]|[\xE0-\xEF][\x1A\x80-\xBF][\x1A?]|[\xF0-\xF4][\x1A?][\x1A\x80-\xBF][\x1A\x80-\xBF]|[\xF0-\xF4][\x1A\x80-\xBF][\x1A?][\x1A\x80-\xBF]|[\xF0-\xF4][\x1A\x80-\xBF][\x1A\x80-\xBF][\x1A?]|\x1A",
    )
});

fn restore_a0(bytes: &[u8]) -> Vec<u8> {
    // `Ã` as a word of its own is `à`, and keeps its space, but not in the Portuguese `às`, `àquele`.
    const NOT_A_WORD: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut words = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        words.push(byte);
        rest = after;
        if let (0xC3, Some(next)) = (byte, after.strip_prefix(b" "))
            && !NOT_A_WORD.iter().any(|start| next.starts_with(start))
        {
            words.extend(b"\xA0 ");
            rest = next;
        }
    }
    let restore = |found: &regex::bytes::Captures<'_>| -> Vec<u8> {
        found[0]
            .iter()
            .map(|&byte| if byte == b' ' { 0xA0 } else { byte })
            .collect()
    };
    ALTERED_UTF8.replace_all(&words, restore).into_owned()
}

/// UTF-8 that may hold surrogate pairs of three bytes each (CESU-8) and Java's two-byte null.
fn decode_utf8_variant(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let plain = (0..rest.len())
            .find(|&at| special_length(&rest[at..]).is_some())
            .unwrap_or(rest.len());
        text.push_str(std::str::from_utf8(&rest[..plain]).ok()?);
        rest = &rest[plain..];
        if let Some(length) = special_length(rest) {
            text.push(special_char(&rest[..length])?);
            rest = &rest[length..];
        }
    }
    Some(text)
}

/// Length of the variant sequence at the start. A line feed at the very end passes for its last byte.
fn special_length(bytes: &[u8]) -> Option<usize> {
    let is_continuation = |byte: &u8| (0x80..=0xBF).contains(byte);
    match bytes {
        [0xC0, 0x80, ..] | [0xC0, b'\n'] => Some(2),
        [0xED, 0xA0..=0xAF, c, 0xED, 0xB0..=0xBF, last, after @ ..]
            if is_continuation(c) && (is_continuation(last) || (*last == b'\n' && after.is_empty())) =>
        {
            Some(6)
        }
        _ => None,
    }
}

fn special_char(sequence: &[u8]) -> Option<char> {
    let bits = |at: usize, mask: u8| u32::from(sequence[at] & mask);
    match sequence.len() {
        6 => {
            char::from_u32(0x1_0000 + (bits(1, 0x0F) << 16 | bits(2, 0x3F) << 10 | bits(4, 0x0F) << 6 | bits(5, 0x3F)))
        }
        _ => Some('\0'),
    }
}

// Parts of a text.

/// The characters of the code pages that bytes of UTF-8 look like.
struct Clues {
    first_of_2: HashSet<char>,
    first_of_3: HashSet<char>,
    first_of_4: HashSet<char>,
    continuation: HashSet<char>,
    /// Without what often stands for itself: dashes, quotes, ellipsis, bullet.
    strict_continuation: HashSet<char>,
}

static CLUES: LazyLock<Clues> = LazyLock::new(|| {
    let characters = |bytes: &[u8]| -> HashSet<char> {
        let pages = CODE_PAGES
            .iter()
            .filter(|page| matches!(page.kind, Kind::Latin1 | Kind::Sloppy));
        pages
            .flat_map(|page| bytes.iter().map(|&byte| page.decode(byte)))
            .collect()
    };
    let range = |first: u8, last: u8| characters(&(first..=last).collect::<Vec<_>>());
    let mut continuation = range(0x80, 0xBF);
    let strict_continuation = continuation
        .iter()
        .copied()
        .filter(|character| !"–—―‘’‚“”„•…".contains(*character))
        .collect();
    continuation.insert(' ');
    Clues {
        first_of_2: range(0xC2, 0xDF),
        first_of_3: range(0xE0, 0xEF),
        first_of_4: characters(&[0xF0, 0xF3]),
        continuation,
        strict_continuation,
    }
});

impl Clues {
    /// Number of characters at the start that look like one character of UTF-8.
    fn sequence_length(&self, characters: &[char]) -> Option<usize> {
        let first = characters.first()?;
        let continues = |length: usize| {
            characters
                .get(1..length)
                .is_some_and(|rest| rest.iter().all(|c| self.continuation.contains(c)))
        };
        let starts = [&self.first_of_2, &self.first_of_3, &self.first_of_4];
        (2..)
            .zip(starts)
            .find(|(length, start)| start.contains(first) && continues(*length))
            .map(|(length, _)| length)
    }

    /// Number of characters at the start that look like UTF-8.
    fn run_length(&self, characters: &[char]) -> usize {
        let mut length = 0;
        while let Some(more) = self.sequence_length(&characters[length..]) {
            length += more;
        }
        length
    }
}

fn decode_parts(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut fixed = String::with_capacity(text.len());
    let mut position = 0;
    while position < characters.len() {
        let follows_continuation = position > 0 && CLUES.strict_continuation.contains(&characters[position - 1]);
        let length = if follows_continuation {
            0
        } else {
            CLUES.run_length(&characters[position..])
        };
        let part: String = characters[position..position + length.max(1)].iter().collect();
        // The whole text was tried before.
        if length > 0 && length < characters.len() && is_bad(&part) {
            fixed.push_str(&fix_encoding(&part));
        } else {
            fixed.push_str(&part);
        }
        position += length.max(1);
    }
    fixed
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is valid")
}

fn byte_pattern(pattern: &str) -> regex::bytes::Regex {
    regex::bytes::Regex::new(&format!("(?-u:{pattern})")).expect("the pattern is valid")
}
