//! The HTTP response in a WARC record: status, the headers that matter, the body as it was sent.

use super::encodings::Encoding;
use super::fields;
use crate::DropReason;
use crate::ascii::starts_with;

const NOT_HTTP: DropReason = DropReason("not an HTTP response");

/// A response, its body still encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The status code.
    pub(super) status: u16,
    /// `Content-Type`; the last if there are several, as browsers do.
    pub(super) content_type: String,
    /// The values of `X-Robots-Tag`.
    pub(super) robots_tags: Vec<String>,
    /// The encodings of the body, the last applied last.
    pub(super) encodings: Vec<Encoding>,
    /// The body.
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the headers of a response.
    ///
    /// # Errors
    /// That this is no response, or encoded in an unknown way.
    pub(super) fn parse(block: &'a [u8], max_header_bytes: usize) -> Result<Self, DropReason> {
        let searched = &block[..block.len().min(max_header_bytes)];
        // A response without a blank line has no body.
        let length = fields::header_length(searched, 0).or((searched.len() == block.len()).then_some(block.len()));
        let (header, body) = block.split_at(length.ok_or(NOT_HTTP)?);
        let (first, fields) = fields::parse(header);
        let mut message = Self {
            status: parse_status(first).ok_or(NOT_HTTP)?,
            body,
            ..Self::default()
        };
        let mut transfer_encodings = Vec::new();
        for field in fields {
            match field.name().as_slice() {
                b"content-type" => message.content_type = field.text(),
                b"x-robots-tag" => message.robots_tags.push(field.text()),
                // The W3C group's protocol for text and data mining; "1" reserves the rights.
                b"tdm-reservation" if field.text().trim() == "1" => {
                    message.robots_tags.push("tdm-reservation".to_owned());
                }
                b"content-encoding" => message.encodings.extend(Encoding::parse_list(&field.text())?),
                b"transfer-encoding" => transfer_encodings.extend(Encoding::parse_list(&field.text())?),
                _ => {}
            }
        }
        message.encodings.append(&mut transfer_encodings);
        Ok(message)
    }
}

/// The reason for which a response with this status is rejected; none for 200.
pub(super) fn status_reason(status: u16) -> Option<DropReason> {
    match status {
        200 => None,
        100..=199 => Some(DropReason("HTTP status 1xx")),
        201..=299 => Some(DropReason("HTTP status 2xx other than 200")),
        300..=399 => Some(DropReason("HTTP status 3xx")),
        400..=499 => Some(DropReason("HTTP status 4xx")),
        500..=599 => Some(DropReason("HTTP status 5xx")),
        _ => Some(DropReason("HTTP status unknown")),
    }
}

/// `HTTP/1.1 200 OK`, `HTTP/2 200`.
fn parse_status(line: &[u8]) -> Option<u16> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    if !starts_with(words.next()?, b"HTTP/") {
        return None;
    }
    std::str::from_utf8(words.next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_that_matter_are_read() {
        let block = b"HTTP/1.1 200 OK\r\ncontent-type: text/html;\r\n charset=x\r\nX-Robots-Tag: noai\r\nTDM-Reservation: 1\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nx-robots-tag: noimageindex\r\n\r\nbody\r\n\r\nmore";
        let message = Message::parse(block, 1000).unwrap();
        assert_eq!(message.status, 200);
        assert_eq!(message.content_type, "text/html; charset=x");
        assert_eq!(message.robots_tags, ["noai", "tdm-reservation", "noimageindex"]);
        assert_eq!(message.encodings, [Encoding::Gzip, Encoding::Chunked]);
        assert_eq!(message.body, b"body\r\n\r\nmore");
    }

    #[test]
    fn status_lines_are_read_leniently() {
        let check =
            |block: &[u8], expected| assert_eq!(Message::parse(block, 100).map(|message| message.status), expected);
        check(b"HTTP/1.0 404 Not Found\n\n", Ok(404));
        check(b"HTTP/2 200\r\n\r\nx", Ok(200));
        check(b"HTTP/1.1  301\r\nA: b", Ok(301));
        check(b"HTTP/1.1 OK\r\n\r\n", Err(NOT_HTTP));
        check(b"<html>", Err(NOT_HTTP));
        check(b"", Err(NOT_HTTP));
        check(
            &[b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; 200]].concat(),
            Err(NOT_HTTP),
        );
    }

    #[test]
    fn only_200_is_kept() {
        assert_eq!(status_reason(200), None);
        assert_eq!(status_reason(206), Some(DropReason("HTTP status 2xx other than 200")));
        assert_eq!(status_reason(404), Some(DropReason("HTTP status 4xx")));
        assert_eq!(status_reason(999), Some(DropReason("HTTP status unknown")));
    }
}
