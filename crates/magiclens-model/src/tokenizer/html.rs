//! HTML character references as Python's `html.unescape` reads them.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Value by reference, such as `&amp;`; old names are there without the semicolon too.
static ENTITIES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    entities::ENTITIES
        .iter()
        .map(|entity| (entity.entity, entity.characters))
        .collect()
});

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|[^\t\n\x0C <&#;]{1,32};?)").expect("the pattern is valid")
});

/// Replaces every character reference, also those without a semicolon.
pub(super) fn unescape(text: &str) -> String {
    REFERENCE
        .replace_all(text, |found: &Captures<'_>| replacement(found))
        .into_owned()
}

/// The text of a whole reference such as `&amp;`.
pub(super) fn named(reference: &str) -> Option<&'static str> {
    ENTITIES.get(reference).copied()
}

fn replacement(found: &Captures<'_>) -> String {
    let group = |index| found.get(index).map(|found| found.as_str());
    match (group(1), group(2)) {
        (Some(decimal), _) => numbered(decimal, 10),
        (_, Some(hexadecimal)) => numbered(hexadecimal, 16),
        _ => named_or_prefix(&found[0]),
    }
}

fn named_or_prefix(reference: &str) -> String {
    // The longest known beginning counts, down to two letters.
    const SHORTEST: usize = "&lt".len();
    let ends = (SHORTEST..=reference.len())
        .rev()
        .filter(|&end| reference.is_char_boundary(end));
    let known = ends
        .into_iter()
        .find_map(|end| named(&reference[..end]).map(|value| (value, &reference[end..])));
    known.map_or_else(|| reference.to_owned(), |(value, rest)| format!("{value}{rest}"))
}

fn numbered(digits: &str, radix: u32) -> String {
    const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
    // A number too long for 32 bits is beyond Unicode as well.
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    match code {
        0 => REPLACEMENT.to_string(),
        0x0D => "\r".to_owned(),
        0x80..=0x9F => super::code_pages::windows_1252(code as u8).to_string(),
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0xFDD0..=0xFDEF => String::new(),
        _ if code <= 0x10_FFFF && code & 0xFFFE == 0xFFFE => String::new(),
        _ => char::from_u32(code).unwrap_or(REPLACEMENT).to_string(),
    }
}
