//! Bytes of a page -> text: byte order mark, `Content-Type` header, `<meta>`, else a guess. Broken bytes become U+FFFD.
//!
//! The order is that of the HTML standard, so that a page reads as a browser shows it, even where its label is wrong.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::ascii::{split_at, starts_with};

/// The part of an unlabeled page that the guess looks at: detection is several times slower than everything else together.
const GUESS_BYTES: usize = 64 << 10;

/// The page as text. `scan_bytes` is how far a `<meta>` label is looked for; `host` helps the guess by its country.
pub(super) fn decode<'a>(bytes: &'a [u8], content_type: &str, host: Option<&str>, scan_bytes: usize) -> Cow<'a, str> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0;
    }
    let head = &bytes[..bytes.len().min(scan_bytes)];
    let labeled = from_content_type(content_type.as_bytes()).or_else(|| from_markup(head));
    let encoding = match labeled {
        Some(encoding) => encoding,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => return Cow::Borrowed(text),
            Err(_) => guess(bytes, host),
        },
    };
    encoding.decode_without_bom_handling(bytes).0
}

/// The `charset` of a media type, as in a header or in `<meta content>`.
fn from_content_type(value: &[u8]) -> Option<&'static Encoding> {
    let at = find(value, b"charset")? + b"charset".len();
    let rest = value[at..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let label = match rest.first()? {
        &quote @ (b'"' | b'\'') => rest[1..].split(|&byte| byte == quote).next()?,
        _ => rest
            .split(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b',' | b'"' | b'\'' | b'/' | b'>'))
            .next()?,
    };
    Encoding::for_label_no_replacement(label)
}

/// The label in a `<meta>` or an XML declaration.
fn from_markup(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"<\0") {
        return Some(UTF_16LE);
    }
    if head.starts_with(b"\0<") {
        return Some(UTF_16BE);
    }
    from_meta(head).or_else(|| from_declaration(head)).map(readable_so_far)
}

/// The label in the first `<meta>` that has one, outside comments.
fn from_meta(mut rest: &[u8]) -> Option<&'static Encoding> {
    while let Some(at) = rest.iter().position(|&byte| byte == b'<') {
        rest = &rest[at..];
        let is_meta = starts_with(rest, b"<meta")
            && rest
                .get(5)
                .is_some_and(|&byte| byte.is_ascii_whitespace() || byte == b'/');
        if rest.starts_with(b"<!--") {
            // `<!-->` ends itself, as in the standard.
            let end = rest[2..].windows(3).position(|window| window == b"-->");
            rest = end.map_or(&[], |end| &rest[end + 5..]);
        } else if is_meta {
            let (tag, after) = split_at(rest, |byte| byte == b'>');
            let meta = &tag[5..];
            let is_free_text = find(meta, b"content=").is_some() && find(meta, b"http-equiv").is_none();
            if let Some(encoding) = from_content_type(meta).filter(|_| !is_free_text) {
                return Some(encoding);
            }
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    None
}

/// The label in an XML declaration.
fn from_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let declaration = head.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..declaration.windows(2).position(|window| window == b"?>")?];
    let value = declaration[find(declaration, b"encoding")? + b"encoding".len()..].trim_ascii_start();
    let value = value.strip_prefix(b"=")?.trim_ascii_start();
    let quote = *value.first()?;
    Encoding::for_label_no_replacement(value[1..].split(|&byte| byte == quote).next()?)
}

/// A label that was read as ASCII cannot truthfully be UTF-16.
fn readable_so_far(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16BE || encoding == UTF_16LE {
        UTF_8
    } else if encoding == encoding_rs::X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    }
}

fn guess(bytes: &[u8], host: Option<&str>) -> &'static Encoding {
    let head = &bytes[..bytes.len().min(GUESS_BYTES)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(head, head.len() == bytes.len());
    let tld = host.and_then(|host| host.rsplit('.').next()).filter(|tld| {
        // The detector insists on what `url` has made sure of.
        tld.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    });
    detector.guess(tld.map(str::as_bytes), Utf8Detection::Allow)
}

/// The place of `needle`, given in lower case, whatever the case.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], content_type: &str) -> String {
        decode(bytes, content_type, None, 1024).into_owned()
    }

    #[test]
    fn a_byte_order_mark_beats_the_header_and_the_header_beats_the_page() {
        assert_eq!(text(b"\xef\xbb\xbf\xc3\xa9", "text/html; charset=iso-8859-1"), "é");
        assert_eq!(text(b"\xff\xfe\xe9\x00", "text/html"), "é");
        assert_eq!(
            text(b"<meta charset=utf-8>\xe9", "text/html; Charset=\"ISO-8859-1\""),
            "<meta charset=utf-8>é"
        );
        assert_eq!(text(b"\xe9", "text/html;charset = latin1 ; x=y"), "é");
    }

    #[test]
    fn a_page_says_its_charset_in_several_ways() {
        for head in [
            "<meta charset=koi8-r>",
            "<META CHARSET='KOI8-R' />",
            "<!-- <meta charset=utf-8> --><meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">",
            "<?xml version='1.0' encoding='koi8-r'?>",
            "<meta name=description content='of charset=utf-8 and others'><meta charset=koi8-r>",
        ] {
            let mut bytes = head.as_bytes().to_vec();
            bytes.extend(b"\xc4\xc1");
            assert_eq!(text(&bytes, "text/html"), format!("{head}да"));
        }
        // UTF-16 cannot be true of a page whose label was read as ASCII.
        assert_eq!(text("<meta charset=utf-16>é".as_bytes(), ""), "<meta charset=utf-16>é");
    }

    #[test]
    fn what_is_unlabeled_is_guessed_and_broken_bytes_are_replaced() {
        assert_eq!(text("naïve".as_bytes(), ""), "naïve");
        assert_eq!(
            text(b"<p>caf\xe9 au lait, tr\xe8s bien, d\xe9j\xe0 vu", ""),
            "<p>café au lait, très bien, déjà vu"
        );
        assert_eq!(text(b"a\xffb\xc3", "text/html; charset=utf-8"), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(b"<\0p\0>\0", ""), "<p>");
        assert_eq!(text(b"\xe9", "text/html; charset=nonsense"), "é");
    }

    #[test]
    fn a_comment_that_never_ends_and_a_label_cut_off_are_no_trouble() {
        for bytes in [
            &b"<!-- <meta charset=koi8-r>"[..],
            b"<meta charset=",
            b"<meta charset='",
            b"<?xml encoding=",
            b"<!-->",
            b"<meta",
        ] {
            assert_eq!(text(bytes, "charset"), String::from_utf8_lossy(bytes));
        }
    }
}
