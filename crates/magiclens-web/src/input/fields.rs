//! Header blocks as WARC records and HTTP messages have them, read leniently: any line end, folded lines, any bytes.

use crate::ascii::name_and_value;

/// One field of a header block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Field<'_> {
    /// The name in lower case.
    pub(super) fn name(&self) -> Vec<u8> {
        self.name.to_ascii_lowercase()
    }

    /// The value: folded lines joined by a space, as UTF-8, or else as Latin-1.
    pub(super) fn text(&self) -> String {
        let decoded = match std::str::from_utf8(self.value) {
            Ok(text) => text.to_owned(),
            Err(_) => self.value.iter().map(|&byte| char::from(byte)).collect(),
        };
        if decoded.contains(['\r', '\n']) {
            decoded.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        } else {
            decoded
        }
    }
}

/// The length of the header block at the start of `bytes`, its blank line included; `from` bytes have been searched before.
pub(super) fn header_length(bytes: &[u8], from: usize) -> Option<usize> {
    // Two bytes back: a line end may have been cut in two.
    let mut at = from.saturating_sub(2);
    while let Some(newline) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        at += newline + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Splits a block into its first line and its fields. Lines without a colon are skipped.
pub(super) fn parse(block: &[u8]) -> (&[u8], impl Iterator<Item = Field<'_>>) {
    let (first, mut rest) = split_line(block);
    (first.trim_ascii(), std::iter::from_fn(move || next_field(&mut rest)))
}

/// The next field, taken from the front of `rest`.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    while !rest.is_empty() {
        let start = *rest;
        let mut line;
        (line, *rest) = split_line(start);
        // A line that starts with a blank continues the one before.
        while matches!(rest, [b' ' | b'\t', ..]) {
            *rest = split_line(rest).1;
            line = &start[..start.len() - rest.len()];
        }
        if let Some((name, value)) = name_and_value(line) {
            return Some(Field { name, value });
        }
    }
    None
}

/// The first line with its end, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let newline = bytes.iter().position(|&byte| byte == b'\n');
    bytes.split_at(newline.map_or(bytes.len(), |newline| newline + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_line_ends() {
        let block = b"HTTP/1.1 200 OK\r\nA: 1\nb :two\r\n three\n\tfour\r\nno colon\r\nC:\r\nD: caf\xe9\r\n\r\n";
        let (first, fields) = parse(block);
        assert_eq!(first, b"HTTP/1.1 200 OK");
        let found: Vec<(Vec<u8>, String)> = fields.map(|field| (field.name.to_vec(), field.text())).collect();
        let expected = [("A", "1"), ("b", "two three four"), ("C", ""), ("D", "café")];
        assert_eq!(found.len(), expected.len());
        for ((name, value), (expected_name, expected_value)) in found.iter().zip(expected) {
            assert_eq!(
                (name.as_slice(), value.as_str()),
                (expected_name.as_bytes(), expected_value)
            );
        }
    }

    #[test]
    fn the_block_ends_with_a_blank_line() {
        let check = |bytes: &[u8], expected: Option<usize>| {
            for from in 0..=bytes.len().min(expected.unwrap_or(usize::MAX).saturating_sub(1)) {
                assert_eq!(header_length(bytes, from), expected, "{bytes:?} from {from}");
            }
        };
        check(b"A: 1\r\n\r\nbody", Some(8));
        check(b"A: 1\n\nbody", Some(6));
        check(b"A: 1\n\r\nbody", Some(7));
        check(b"A: 1\r\n\r", None);
        check(b"A: 1", None);
    }
}
