//! Undoes transfer and content encodings, within limits, and copes with headers that promise what the body no longer has.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::sniff;
use crate::DropReason;

/// A coding that is not known.
pub(super) const UNKNOWN_ENCODING: DropReason = DropReason("unknown content encoding");
/// The body is not what its header says, and not plain either.
pub(super) const BAD_ENCODING: DropReason = DropReason("bad content encoding");

/// The window that RFC 9659 allows a server to use.
const MAX_ZSTD_WINDOW_BYTES: u64 = 8 << 20;
const BUFFER_BYTES: usize = 16 << 10;

/// One coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// `gzip`.
    Gzip,
    /// `deflate`: zlib by the book, but bare deflate is about.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Encoding {
    /// The codings that a header names, in the order in which they were applied.
    pub(super) fn parse_list(value: &str) -> Result<Vec<Self>, DropReason> {
        let mut encodings = Vec::new();
        for name in value.split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" | "none" | "utf-8" => {}
                "chunked" => encodings.push(Self::Chunked),
                "gzip" | "x-gzip" => encodings.push(Self::Gzip),
                "deflate" => encodings.push(Self::Deflate),
                "br" => encodings.push(Self::Brotli),
                "zstd" => encodings.push(Self::Zstd),
                _ => return Err(UNKNOWN_ENCODING),
            }
        }
        Ok(encodings)
    }
}

/// A decoded body, as far as it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    /// The first bytes.
    pub(super) bytes: Cow<'a, [u8]>,
    /// False if there is more.
    pub(super) is_whole: bool,
}

/// Undoes `encodings`, the last first, up to `max_bytes` of the result. A body that ends early gives what there is.
pub(super) fn decode<'a>(body: &'a [u8], encodings: &[Encoding], max_bytes: usize) -> Result<Decoded<'a>, DropReason> {
    if encodings.is_empty() {
        let shown = body.len().min(max_bytes);
        return Ok(Decoded {
            bytes: Cow::Borrowed(&body[..shown]),
            is_whole: shown == body.len(),
        });
    }
    // The decoders are other people's code over hostile input: a panic in one of them must cost one body only.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_all(body, encodings, max_bytes)));
    let Ok(Ok(mut bytes)) = decoded else {
        return Err(BAD_ENCODING);
    };
    let is_whole = bytes.len() <= max_bytes;
    bytes.truncate(max_bytes);
    Ok(Decoded {
        bytes: Cow::Owned(bytes),
        is_whole,
    })
}

fn decode_all(body: &[u8], encodings: &[Encoding], max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut reader: Box<dyn BufRead + '_> = Box::new(body);
    for &encoding in encodings.iter().rev() {
        reader = undo(encoding, reader)?;
    }
    let mut bytes = Vec::new();
    // One byte more, so that the caller knows that there is more.
    match reader.take(max_bytes as u64 + 1).read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof || bytes.is_empty() => Err(error),
        // Crawlers cut long bodies; what is there is still worth reading.
        _ => Ok(bytes),
    }
}

/// A reader of what `reader` encodes; `reader` itself if its first bytes show that it does not.
fn undo<'a>(encoding: Encoding, mut reader: Box<dyn BufRead + 'a>) -> io::Result<Box<dyn BufRead + 'a>> {
    let head = reader.fill_buf()?;
    let is_plain = sniff::is_image(head) || sniff::is_html_document(head);
    Ok(match (encoding, head) {
        _ if is_plain => reader,
        (Encoding::Chunked, head) if is_chunk(head) => buffered(Chunks {
            reader,
            left: 0,
            is_first: true,
        }),
        (Encoding::Gzip, [0x1F, 0x8B, ..]) => buffered(MultiGzDecoder::new(reader)),
        (Encoding::Deflate, &[method, flags, ..]) if is_zlib(method, flags) => buffered(ZlibDecoder::new(reader)),
        (Encoding::Deflate, head) if !is_text(head) => buffered(DeflateDecoder::new(reader)),
        (Encoding::Brotli, head) if !is_text(head) => {
            buffered(brotli_decompressor::Decompressor::new(reader, BUFFER_BYTES))
        }
        (Encoding::Zstd, [0x28, 0xB5, 0x2F, 0xFD, ..]) => {
            let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(reader, MAX_ZSTD_WINDOW_BYTES);
            buffered(decoder.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?)
        }
        _ => reader,
    })
}

fn buffered<'a>(reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

/// RFC 1950: the method is 8, and the two bytes as a number are a multiple of 31.
fn is_zlib(method: u8, flags: u8) -> bool {
    method & 0x0F == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

/// True for bytes that no compressor puts at a start: printable ones and blanks only.
fn is_text(head: &[u8]) -> bool {
    let mut head = head.iter().take(64);
    head.all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// The body of a chunked message. Ends where the last chunk or the body ends, or where no chunk starts.
struct Chunks<R> {
    reader: R,
    left: u64,
    is_first: bool,
}

/// A chunk's length has at most 16 digits; the rest are extensions, which nobody uses.
const MAX_CHUNK_LINE_BYTES: usize = 256;

/// True if the bytes start with the line of a chunk.
fn is_chunk(head: &[u8]) -> bool {
    let line = &head[..head.len().min(MAX_CHUNK_LINE_BYTES)];
    matches!(httparse::parse_chunk_size(line), Ok(httparse::Status::Complete(_)))
}

impl<R: BufRead> Chunks<R> {
    /// Reads the line before the next chunk; false if there is none.
    fn enter_chunk(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut start = (&mut self.reader).take(MAX_CHUNK_LINE_BYTES as u64);
            start.read_until(b'\n', &mut line)?;
            // The line end behind the chunk before.
            if self.is_first || line.is_empty() || !line.trim_ascii().is_empty() {
                break;
            }
        }
        self.is_first = false;
        self.left = match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => size,
            _ => 0,
        };
        Ok(0 < self.left)
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.enter_chunk()? {
            return Ok(0);
        }
        let read = (&mut self.reader).take(self.left).read(into)?;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"<p>The same text, the same text, the same text again.</p>";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(body: &[u8], header: &str, expected: &[u8]) {
        let encodings = Encoding::parse_list(header).unwrap();
        let decoded = decode(body, &encodings, 1000).unwrap();
        assert_eq!((decoded.bytes.as_ref(), decoded.is_whole), (expected, true), "{header}");
    }

    #[test]
    fn every_encoding_is_undone() {
        check(TEXT, "", TEXT);
        check(TEXT, "identity", TEXT);
        check(&gzip(TEXT), "gzip", TEXT);
        check(&gzip(TEXT), "X-GZip", TEXT);
        check(&[gzip(TEXT), gzip(TEXT)].concat(), "gzip", &[TEXT, TEXT].concat());
        check(&gzip(&gzip(TEXT)), "gzip, gzip", TEXT);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(TEXT).unwrap();
        check(&zlib.finish().unwrap(), "deflate", TEXT);
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(TEXT).unwrap();
        check(&bare.finish().unwrap(), "deflate", TEXT);
        let zstd = ruzstd::encoding::compress_to_vec(TEXT, ruzstd::encoding::CompressionLevel::Fastest);
        check(&zstd, "zstd", TEXT);
        // By `brotliCompressSync` of Node.js.
        let brotli = [
            0x1B, 0x38, 0x00, 0xF8, 0x1D, 0x07, 0x6E, 0x4C, 0xD9, 0x26, 0x9D, 0x6A, 0x17, 0xE7, 0x35, 0x4F, 0x19, 0x1C,
            0x9E, 0xA6, 0x03, 0x71, 0x61, 0x19, 0x3E, 0xAD, 0xC8, 0x22, 0x9F, 0xD0, 0xA3, 0x05, 0xB0, 0x43, 0x99, 0x85,
            0x44, 0x1B, 0x7B, 0xB9, 0x05, 0x93, 0x77, 0x00,
        ];
        check(&brotli, "br", TEXT);
    }

    #[test]
    fn chunks_are_joined() {
        check(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "chunked", b"abcde");
        check(b"3\r\nabc\r\nA\r\ncut", "chunked", b"abccut");
        check(b"3\r\nabc\r\nnot a chunk", "chunked", b"abc");
        let chunked = [
            format!("{:x}\r\n", gzip(TEXT).len()).as_bytes(),
            &gzip(TEXT),
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        check(&chunked, "gzip, chunked", TEXT);
    }

    #[test]
    fn a_stale_header_does_no_harm() {
        for header in ["chunked", "gzip", "deflate", "br", "zstd", "gzip, chunked"] {
            check(TEXT, header, TEXT);
            check(b"\x89PNG\r\n\x1a\n", header, b"\x89PNG\r\n\x1a\n");
            check(b"", header, b"");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&gzip(&vec![0; 10 << 20]));
        let decoded = decode(&bomb, &[Encoding::Gzip, Encoding::Gzip], 100).unwrap();
        assert_eq!((decoded.bytes.len(), decoded.is_whole), (100, false));
    }

    #[test]
    fn a_cut_off_body_gives_what_is_there() {
        let long: Vec<u8> = (0..20_000u32).flat_map(|n| (n * n).to_string().into_bytes()).collect();
        let body = gzip(&long);
        let decoded = decode(&body[..body.len() / 2], &[Encoding::Gzip], 1 << 20).unwrap();
        assert!(1000 < decoded.bytes.len() && long.starts_with(&decoded.bytes));
    }

    #[test]
    fn damaged_and_unknown_encodings_are_refused() {
        let mut body = gzip(TEXT);
        body[12] ^= 0xFF;
        assert_eq!(decode(&body, &[Encoding::Gzip], 1000), Err(BAD_ENCODING));
        assert_eq!(
            decode(&[0x28, 0xB5, 0x2F, 0xFD, 0xFF, 0xFF, 1, 2, 3], &[Encoding::Zstd], 1000),
            Err(BAD_ENCODING)
        );
        assert_eq!(decode(&[0xFF; 40], &[Encoding::Brotli], 1000), Err(BAD_ENCODING));
        assert_eq!(Encoding::parse_list("gzip, compress"), Err(UNKNOWN_ENCODING));
    }
}
