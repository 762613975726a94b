//! Bytes of texts whose encoding is not known, read as ASCII.

/// True if `bytes` start with `start`, whatever the case.
pub(crate) fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes
        .get(..start.len())
        .is_some_and(|bytes| bytes.eq_ignore_ascii_case(start))
}

/// The bytes up to the first for which `is_end` holds, and the rest from there on.
pub(crate) fn split_at(bytes: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| is_end(byte));
    bytes.split_at(end.unwrap_or(bytes.len()))
}

/// Name and value on both sides of the first colon, trimmed.
pub(crate) fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_at(line, |byte| byte == b':');
    Some((name.trim_ascii(), rest.strip_prefix(b":")?.trim_ascii()))
}
