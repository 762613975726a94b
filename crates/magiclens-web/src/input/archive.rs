//! Cuts the bytes of a WARC file into records, and finds the next good record behind a bad one.
//!
//! A record's length is believed if a record, the end of a gzip member or the end of the file follows where it says. If not,
//! the record is lost, and the next record's first line is looked for from the start of the lost one's content.

use std::io::{self, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use fs_err::File;
use regex::bytes::Regex;

use super::config::InputConfig;
use super::error::InputError;
use super::feed::{CUT_OFF, Feed, Stop, UNREADABLE};
use super::fields;
use super::record::Record;
use crate::DropReason;

const WRONG_LENGTH: DropReason = DropReason("wrong record length");
const NO_LENGTH: DropReason = DropReason("record without a length");
const TOO_LARGE: DropReason = DropReason("record too large");
const ENDLESS_HEADERS: DropReason = DropReason("endless record headers");

/// The first line of a record and the name of its first field.
static RECORD_LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)WARC/[01]\.[0-9]{1,2}[ \t]*\r?\n[A-Za-z-]{1,40}[ \t]*:").expect("a valid pattern")
});
/// More bytes than a record line can have: so much is kept of what has been searched in vain.
const RECORD_LINE_BYTES: usize = 80;
const VERSION_START: &[u8] = b"WARC/";
/// The bytes that are looked at behind a record: an empty line twice, and the start of the next record.
const BEHIND_BYTES: usize = 4 + VERSION_START.len();

/// Makes of a record of an archive a page or image, nothing of interest, or the reason to reject it.
pub(super) type Convert = fn(&Head, &[u8], &InputConfig) -> Result<Option<Record>, DropReason>;

/// The pages and images in a WARC file.
pub(super) struct Archive<'a> {
    name: &'a str,
    config: &'a InputConfig,
    records: Records<File>,
    convert: Convert,
}

impl<'a> Archive<'a> {
    /// Opens the file at `path`. `name` stands for it in what is rejected.
    pub(super) fn open(
        name: &'a str,
        path: &Path,
        config: &'a InputConfig,
        convert: Convert,
    ) -> Result<Self, InputError> {
        let is_named_gz = name.to_ascii_lowercase().ends_with(".gz");
        Ok(Self {
            name,
            config,
            records: Records::new(File::open(path)?, is_named_gz, config).map_err(|source| unreadable(name, source))?,
            convert,
        })
    }

    /// Records are called by their address, else by their place.
    fn rejected(&self, head: Head, reason: DropReason) -> Record {
        let item = if head.address.is_empty() {
            format!("{}@{}", self.name, head.offset)
        } else {
            head.address
        };
        Record::rejected(item, reason)
    }
}

impl Iterator for Archive<'_> {
    type Item = Result<Record, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (head, converted) = match self.records.next() {
                Ok(Some(Item::Record(head))) => {
                    let converted = (self.convert)(&head, self.records.block(), self.config);
                    (head, converted)
                }
                Ok(Some(Item::Lost(head, reason))) => (head, Err(reason)),
                Ok(None) => return None,
                Err(source) => return Some(Err(unreadable(self.name, source))),
            };
            match converted {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok(record)),
                Err(reason) => return Some(Ok(self.rejected(head, reason))),
            }
        }
    }
}

fn unreadable(name: &str, source: io::Error) -> InputError {
    InputError::Unreadable {
        name: name.to_owned(),
        source,
    }
}

/// The parts of a record's header that are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The place of the record in its file: its own offset, or that of its gzip member.
    pub(super) offset: u64,
    /// `WARC-Type`: "response", ...
    pub(super) kind: String,
    /// `WARC-Target-URI`, without angle brackets.
    pub(super) address: String,
    /// `Content-Type`.
    pub(super) content_type: String,
}

/// The next stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// A whole record; its content is at [`Records::block`].
    Record(Head),
    /// Something that could not be read.
    Lost(Head, DropReason),
}

/// The records of a WARC file.
struct Records<R> {
    feed: Feed<R>,
    max_record_bytes: usize,
    max_header_bytes: usize,
    block: Range<usize>,
    /// True from a loss to the next whole record: what lies between is one loss.
    is_lost: bool,
    /// True if what comes next in the feed does not continue what is there.
    is_broken: bool,
}

/// The end of a record's content.
enum End {
    /// As its header says.
    Good,
    /// It is lost; the search goes on so far behind the record's start.
    At(usize, DropReason),
    /// It is lost together with all that is in the feed.
    Broken(DropReason),
}

impl<R: Read + Seek> Records<R> {
    /// The records of `file`; `named_gz` if its name says that it is compressed.
    fn new(file: R, named_gz: bool, config: &InputConfig) -> io::Result<Self> {
        Ok(Self {
            feed: Feed::new(file, named_gz, config)?,
            // Far more than any memory, and little enough to be added up.
            max_record_bytes: config.max_record_bytes.min(usize::MAX / 4),
            max_header_bytes: config.max_header_bytes.min(usize::MAX / 4),
            block: 0..0,
            is_lost: false,
            is_broken: false,
        })
    }

    /// The content of the record that [`Records::next`] gave last.
    fn block(&self) -> &[u8] {
        &self.feed.available()[self.block.clone()]
    }

    /// The next record or loss; none at the end of the file.
    fn next(&mut self) -> io::Result<Option<Item>> {
        self.leave_record();
        loop {
            let found = self.find_record()?;
            let mut head = Head {
                offset: self.feed.offset(),
                ..Head::default()
            };
            let lost = match found {
                Found::Nothing => return Ok(None),
                Found::Loss(reason) => Err(reason),
                Found::Record => self.read_record(&mut head)?,
            };
            let Err(reason) = lost else {
                self.is_lost = false;
                self.feed.note_record();
                return Ok(Some(Item::Record(head)));
            };
            // What follows a loss may look like a record and be none: only what has an address is another loss.
            if !self.is_lost || !head.address.is_empty() {
                self.is_lost = true;
                return Ok(Some(Item::Lost(head, reason)));
            }
        }
    }

    fn leave_record(&mut self) {
        if self.is_broken {
            self.feed.clear();
        } else {
            self.feed.consume(self.block.end);
        }
        self.is_broken = false;
        self.block = 0..0;
    }

    /// Brings the next record line to the front of the feed.
    fn find_record(&mut self) -> io::Result<Found> {
        let mut is_garbage = false;
        loop {
            self.skip_blank();
            let bytes = self.feed.available();
            if let Some(line) = RECORD_LINE.find(bytes) {
                let skipped = line.start();
                self.feed.consume(skipped);
                return Ok(if is_garbage || 0 < skipped {
                    Found::Loss(UNREADABLE)
                } else {
                    Found::Record
                });
            }
            let searched = bytes.len().saturating_sub(RECORD_LINE_BYTES);
            is_garbage |= 0 < searched;
            self.feed.consume(searched);
            match self.feed.want(self.feed.available().len() + 1)? {
                None | Some(Stop::Member) => {}
                Some(Stop::Damage(reason)) => {
                    self.feed.clear();
                    return Ok(Found::Loss(reason));
                }
                Some(Stop::End) => {
                    is_garbage |= !self.feed.available().is_empty();
                    self.feed.clear();
                    return Ok(if is_garbage {
                        Found::Loss(UNREADABLE)
                    } else {
                        Found::Nothing
                    });
                }
            }
        }
    }

    fn skip_blank(&mut self) {
        let bytes = self.feed.available();
        let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | 0);
        let blank = bytes.iter().position(|byte| !is_blank(byte));
        self.feed.consume(blank.unwrap_or(bytes.len()));
    }

    /// Reads the record at the front of the feed. If it is lost, the feed stands where the search is to go on.
    fn read_record(&mut self, head: &mut Head) -> io::Result<Result<(), DropReason>> {
        let header_bytes = match self.read_header()? {
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Err(reason)),
        };
        let length = match self.parse_header(header_bytes, head) {
            Ok(length) => length,
            Err(reason) => {
                self.feed.consume(header_bytes);
                return Ok(Err(reason));
            }
        };
        Ok(match self.find_end(header_bytes, header_bytes + length)? {
            End::Good => {
                self.block = header_bytes..header_bytes + length;
                Ok(())
            }
            End::At(end, reason) => {
                self.feed.consume(end);
                Err(reason)
            }
            End::Broken(reason) => {
                self.feed.clear();
                Err(reason)
            }
        })
    }

    /// The length of the header, blank line included.
    fn read_header(&mut self) -> io::Result<Result<usize, DropReason>> {
        let mut searched = 0;
        loop {
            let bytes = self.feed.available();
            let length = fields::header_length(bytes, searched);
            searched = bytes.len();
            let header = &bytes[..length.unwrap_or(searched).min(self.max_header_bytes + 1)];
            // A header that was cut off runs into the next record's.
            if let Some(next) = RECORD_LINE.find(&header[VERSION_START.len()..]) {
                let skipped = next.start() + VERSION_START.len();
                self.feed.consume(skipped);
                return Ok(Err(CUT_OFF));
            }
            if self.max_header_bytes < header.len() {
                self.feed.consume(VERSION_START.len());
                return Ok(Err(ENDLESS_HEADERS));
            }
            if let Some(length) = length {
                return Ok(Ok(length));
            }
            match self.feed.want(searched + 1)? {
                None | Some(Stop::Member) => {}
                Some(Stop::Damage(reason)) => {
                    self.feed.clear();
                    return Ok(Err(reason));
                }
                Some(Stop::End) => {
                    self.feed.clear();
                    return Ok(Err(CUT_OFF));
                }
            }
        }
    }

    /// Fills in the head; returns the stated length.
    fn parse_header(&self, header_bytes: usize, head: &mut Head) -> Result<usize, DropReason> {
        let mut length = None;
        for field in fields::parse(&self.feed.available()[..header_bytes]).1 {
            if field.is("WARC-Type") {
                head.kind = field.text().to_ascii_lowercase();
            } else if field.is("WARC-Target-URI") {
                let address = field.text();
                head.address = address.trim_start_matches('<').trim_end_matches('>').to_owned();
            } else if field.is("Content-Type") {
                head.content_type = field.text();
            } else if field.is("Content-Length") {
                length = Some(field.text());
            }
        }
        let digits = length.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        // What has too many digits for a number is too large.
        let length: usize = digits.ok_or(NO_LENGTH)?.parse().map_err(|_| TOO_LARGE)?;
        if self.max_record_bytes < length {
            Err(TOO_LARGE)
        } else {
            Ok(length)
        }
    }

    /// Checks that the content that starts at `start` ends at `end`, as its header says; if not, says where to search on.
    fn find_end(&mut self, start: usize, end: usize) -> io::Result<End> {
        let mut boundary: Option<usize> = None;
        let mut is_cut_off = false;
        loop {
            let all = end + BEHIND_BYTES;
            let stop = self
                .feed
                .want(boundary.map_or(all, |at| at + VERSION_START.len()).min(all))?;
            let available = self.feed.available();
            if let Some(at) = boundary.filter(|at| at + VERSION_START.len() <= available.len()) {
                if available[at..].starts_with(VERSION_START) {
                    return Ok(End::At(at, WRONG_LENGTH));
                }
                boundary = None;
            }
            let is_whole = end <= available.len();
            match stop {
                None if available.len() < all => {}
                None => break,
                // The record's gzip member ends behind it, as it should.
                Some(Stop::Member) if is_whole && is_blank(&available[end..]) => break,
                // Members may be cut anywhere; but the next one may also start with a record.
                Some(Stop::Member) => boundary = (!is_whole).then_some(available.len()),
                // A whole record is good, though the checksum of its member is cut off.
                Some(Stop::Damage(CUT_OFF)) if is_whole => {
                    is_cut_off = true;
                    break;
                }
                Some(Stop::Damage(reason)) => return Ok(End::Broken(reason)),
                Some(Stop::End) if is_whole => break,
                Some(Stop::End) => {
                    return Ok(match self.find_line(start) {
                        Some(line) => End::At(line, WRONG_LENGTH),
                        None => End::At(available.len(), CUT_OFF),
                    });
                }
            }
        }
        Ok(self.check_behind(start, end, is_cut_off))
    }

    /// Believes in the stated end of a content that starts at `start` if there is nothing, a record or an empty line behind it.
    fn check_behind(&mut self, start: usize, end: usize, is_cut_off: bool) -> End {
        let behind = &self.feed.available()[end..];
        let next = behind.trim_ascii_start();
        if next.is_empty() || next.starts_with(VERSION_START) || behind.starts_with(b"\r\n\r\n") {
            self.is_broken = is_cut_off;
            return End::Good;
        }
        if is_cut_off {
            End::Broken(WRONG_LENGTH)
        } else {
            End::At(self.find_line(start).unwrap_or(end), WRONG_LENGTH)
        }
    }

    /// The first record line behind `start`.
    fn find_line(&self, start: usize) -> Option<usize> {
        RECORD_LINE
            .find(&self.feed.available()[start..])
            .map(|line| start + line.start())
    }
}

/// The find at the front of the feed.
enum Found {
    Record,
    Loss(DropReason),
    Nothing,
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().is_empty()
}
