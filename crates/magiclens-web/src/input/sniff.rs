//! The kind of a body by its first bytes, as browsers tell (WHATWG, MIME Sniffing, sections 6 and 7).

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Bytes that are enough to tell.
pub(super) const SNIFF_BYTES: usize = 1024;

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTML or XHTML.
    Html,
    /// An image, or what claims to be one.
    Image,
    /// Anything else.
    Other,
}

/// The kind of a body, by its first bytes and the type that is stated for it.
pub(super) fn kind(content_type: &str, head: &[u8]) -> Kind {
    match stated_kind(content_type) {
        _ if is_image(head) => Kind::Image,
        Stated::Html => Kind::Html,
        _ if is_html_document(head) => Kind::Html,
        Stated::Nothing if is_html_fragment(head) => Kind::Html,
        Stated::Image => Kind::Image,
        _ => Kind::Other,
    }
}

/// True if the stated type alone says that a body is neither HTML nor an image, so that it needs no look.
pub(super) fn is_stated_other(content_type: &str) -> bool {
    stated_kind(content_type) == Stated::Other
}

/// True if the stated type says that a body is an image.
pub(super) fn is_stated_image(content_type: &str) -> bool {
    stated_kind(content_type) == Stated::Image
}

/// The kind that a server states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stated {
    Html,
    Image,
    /// Nothing, or what servers say about files that they do not know.
    Nothing,
    /// Text or XML: not HTML unless it says so at once.
    Text,
    Other,
}

fn stated_kind(content_type: &str) -> Stated {
    let essence = content_type.split([';', ',']).next().unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "text/html" | "application/xhtml+xml" | "application/vnd.wap.xhtml+xml" => Stated::Html,
        "" | "application/octet-stream" | "binary/octet-stream" | "application/unknown" | "unknown/unknown" | "*/*" => {
            Stated::Nothing
        }
        "text/plain" | "text/xml" | "application/xml" => Stated::Text,
        essence if essence.starts_with("image/") => Stated::Image,
        // Not a type at all.
        essence if !essence.contains('/') => Stated::Nothing,
        _ => Stated::Other,
    }
}

/// True if the bytes start like an image in a format that is decoded.
pub(super) fn is_image(head: &[u8]) -> bool {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..]
        | [0xFF, 0xD8, 0xFF, ..]
        | [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..]
        | [b'I', b'I', b'*', 0, ..]
        | [b'M', b'M', 0, b'*', ..]
        | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        // Size, then four reserved zeros: two letters alone would be too little.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => true,
        _ => false,
    }
}

/// True if the bytes say that they are an HTML document: a doctype or `<html>`, perhaps behind comments or an XML declaration.
pub(super) fn is_html_document(head: &[u8]) -> bool {
    static DOCUMENT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?is-u)^(?:\s+|<\?xml.*?\?>|<!--.*?-->|<!doctype\s+\[?(?:svg|math)[^>]*>)*<(?:!doctype\s+html|html[\s>])",
        )
        .expect("a valid pattern")
    });
    DOCUMENT.is_match(&as_ascii(head))
}

/// True if the bytes start with an element that only HTML has.
fn is_html_fragment(head: &[u8]) -> bool {
    static FRAGMENT: LazyLock<Regex> = LazyLock::new(|| {
        let tags = "head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta|link|img";
        Regex::new(&format!(r"(?is-u)^(?:\s+|<!--.*?-->)*<(?:{tags})[\s>/]")).expect("a valid pattern")
    });
    FRAGMENT.is_match(&as_ascii(head))
}

/// The first bytes without a byte order mark and, in UTF-16, without the zeros between ASCII letters.
fn as_ascii(head: &[u8]) -> Vec<u8> {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    match head {
        [0xEF, 0xBB, 0xBF, rest @ ..] => rest.to_vec(),
        [0xFF, 0xFE, rest @ ..] | [0xFE, 0xFF, rest @ ..] => rest.iter().copied().filter(|&byte| byte != 0).collect(),
        _ => head.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

    #[test]
    fn the_content_outweighs_the_stated_type() {
        let check = |stated, head: &[u8], expected| assert_eq!(kind(stated, head), expected, "{stated:?} {head:?}");
        check("text/html; charset=utf-8", b"hello", Kind::Html);
        check("TEXT/HTML", b"", Kind::Html);
        check("text/html", PNG, Kind::Image);
        check("application/xhtml+xml", b"<?xml version='1.0'?>", Kind::Html);
        check("image/jpeg", b"\xff\xd8\xff\xe0", Kind::Image);
        check(
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg'>",
            Kind::Image,
        );
        check("image/png", b"<!DOCTYPE html><title>Not found</title>", Kind::Html);
        check("", PNG, Kind::Image);
        check("", b"  <!-- hi --><!DocType HTML>", Kind::Html);
        check("", b"<p>hello", Kind::Html);
        check("", b"<pre>hello", Kind::Other);
        check(
            "application/octet-stream",
            b"\xef\xbb\xbf\r\n<html lang=en>",
            Kind::Html,
        );
        check("nonsense", b"\xff\xfe<\0h\0t\0m\0l\0>\0", Kind::Html);
        check("text/plain", b"<p>in markdown", Kind::Other);
        check("text/plain", b"<html><body>", Kind::Html);
        check(
            "text/xml",
            b"<?xml version='1.0'?>\n<html xmlns='http://www.w3.org/1999/xhtml'>",
            Kind::Html,
        );
        check("text/xml", b"<?xml version='1.0'?>\n<rss>", Kind::Other);
        check("application/pdf", b"%PDF-1.4", Kind::Other);
        check("", b"BMW and others", Kind::Other);
    }

    #[test]
    fn some_types_need_no_look() {
        for other in [
            "video/mp4",
            "text/css",
            "application/javascript",
            "font/woff2",
            "application/pdf",
        ] {
            assert!(is_stated_other(other), "{other}");
        }
        for open in ["", "text/html", "image/png", "application/octet-stream", "text/plain"] {
            assert!(!is_stated_other(open), "{open}");
        }
    }
}
