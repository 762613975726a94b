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
            let (head, read) = match self.records.next().transpose()? {
                Ok(record) => record,
                Err(source) => return Some(Err(unreadable(self.name, source))),
            };
            let converted = read.and_then(|()| (self.convert)(&head, self.records.block(), self.config));
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

/// The reason for which there is no record where one was looked for.
enum Halt {
    Io(io::Error),
    /// Something could not be read. The feed stands where the search is to go on.
    Lost(DropReason),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
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

    /// The head of the next record, or of what is lost and why; none at the end of the file.
    fn next(&mut self) -> io::Result<Option<(Head, Result<(), DropReason>)>> {
        self.leave_record();
        loop {
            let found = self.find_record();
            let mut head = Head {
                offset: self.feed.offset(),
                ..Head::default()
            };
            let read = match found {
                Ok(false) => return Ok(None),
                Ok(true) => self.read_record(&mut head),
                Err(halt) => Err(halt),
            };
            match read {
                Ok(()) => {
                    self.is_lost = false;
                    self.feed.note_record();
                    return Ok(Some((head, Ok(()))));
                }
                // What follows a loss may look like a record and be none: only what has an address is another loss.
                Err(Halt::Lost(reason)) if !self.is_lost || !head.address.is_empty() => {
                    self.is_lost = true;
                    return Ok(Some((head, Err(reason))));
                }
                Err(Halt::Lost(_)) => {}
                Err(Halt::Io(error)) => return Err(error),
            }
        }
    }

    /// Gives up so many bytes of the feed.
    fn lose(&mut self, bytes: usize, reason: DropReason) -> Halt {
        self.feed.consume(bytes);
        Halt::Lost(reason)
    }

    /// Gives up all that is in the feed.
    fn lose_all(&mut self, reason: DropReason) -> Halt {
        self.feed.clear();
        Halt::Lost(reason)
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

    /// Brings the next record line to the front of the feed; false if there is none.
    fn find_record(&mut self) -> Result<bool, Halt> {
        let mut is_garbage = false;
        loop {
            self.skip_blank();
            let bytes = self.feed.available();
            if let Some(line) = RECORD_LINE.find(bytes) {
                let skipped = line.start();
                self.feed.consume(skipped);
                is_garbage |= 0 < skipped;
                return if is_garbage {
                    Err(Halt::Lost(UNREADABLE))
                } else {
                    Ok(true)
                };
            }
            let searched = bytes.len().saturating_sub(RECORD_LINE_BYTES);
            is_garbage |= 0 < searched;
            self.feed.consume(searched);
            match self.feed.want(self.feed.available().len() + 1)? {
                None | Some(Stop::Member) => {}
                Some(Stop::Damage(reason)) => return Err(self.lose_all(reason)),
                Some(Stop::End) if is_garbage || !self.feed.available().is_empty() => {
                    return Err(self.lose_all(UNREADABLE));
                }
                Some(Stop::End) => return Ok(false),
            }
        }
    }

    fn skip_blank(&mut self) {
        let bytes = self.feed.available();
        let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | 0);
        let blank = bytes.iter().position(|byte| !is_blank(byte));
        self.feed.consume(blank.unwrap_or(bytes.len()));
    }

    /// Reads the record at the front of the feed.
    fn read_record(&mut self, head: &mut Head) -> Result<(), Halt> {
        let header_bytes = self.read_header()?;
        let length = match self.parse_header(header_bytes, head) {
            Ok(length) => length,
            Err(reason) => return Err(self.lose(header_bytes, reason)),
        };
        self.check_end(header_bytes, header_bytes + length)?;
        self.block = header_bytes..header_bytes + length;
        Ok(())
    }

    /// The length of the header, blank line included.
    fn read_header(&mut self) -> Result<usize, Halt> {
        let mut searched = 0;
        loop {
            let bytes = self.feed.available();
            let length = fields::header_length(bytes, searched);
            searched = bytes.len();
            let header = &bytes[..length.unwrap_or(searched).min(self.max_header_bytes + 1)];
            // A header that was cut off runs into the next record's.
            if let Some(next) = RECORD_LINE.find(&header[VERSION_START.len()..]) {
                let skipped = next.start() + VERSION_START.len();
                return Err(self.lose(skipped, CUT_OFF));
            }
            if self.max_header_bytes < header.len() {
                return Err(self.lose(VERSION_START.len(), ENDLESS_HEADERS));
            }
            if let Some(length) = length {
                return Ok(length);
            }
            match self.feed.want(searched + 1)? {
                None | Some(Stop::Member) => {}
                Some(Stop::Damage(reason)) => return Err(self.lose_all(reason)),
                Some(Stop::End) => return Err(self.lose_all(CUT_OFF)),
            }
        }
    }

    /// Fills in the head; returns the stated length.
    fn parse_header(&self, header_bytes: usize, head: &mut Head) -> Result<usize, DropReason> {
        let mut length = None;
        for field in fields::parse(&self.feed.available()[..header_bytes]).1 {
            match field.name().as_slice() {
                b"warc-type" => head.kind = field.text().to_ascii_lowercase(),
                b"warc-target-uri" => {
                    head.address = field.text().trim_start_matches('<').trim_end_matches('>').to_owned();
                }
                b"content-type" => head.content_type = field.text(),
                b"content-length" => length = Some(field.text()),
                _ => {}
            }
        }
        let digits = length.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        // What has too many digits for a number is too large.
        let length: usize = digits.ok_or(NO_LENGTH)?.parse().map_err(|_| TOO_LARGE)?;
        if self.max_record_bytes < length {
            return Err(TOO_LARGE);
        }
        Ok(length)
    }

    /// Checks that the content that starts at `start` ends at `end`, as its header says.
    fn check_end(&mut self, start: usize, end: usize) -> Result<(), Halt> {
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
                    return Err(self.lose(at, WRONG_LENGTH));
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
                Some(Stop::Damage(reason)) => return Err(self.lose_all(reason)),
                Some(Stop::End) if is_whole => break,
                Some(Stop::End) => {
                    return Err(match self.find_line(start) {
                        Some(line) => self.lose(line, WRONG_LENGTH),
                        None => self.lose_all(CUT_OFF),
                    });
                }
            }
        }
        self.check_behind(start, end, is_cut_off)
    }

    /// Believes in the stated end of a content that starts at `start` if there is nothing, a record or an empty line behind it.
    fn check_behind(&mut self, start: usize, end: usize, is_cut_off: bool) -> Result<(), Halt> {
        let behind = &self.feed.available()[end..];
        let next = behind.trim_ascii_start();
        if next.is_empty() || next.starts_with(VERSION_START) || behind.starts_with(b"\r\n\r\n") {
            self.is_broken = is_cut_off;
            return Ok(());
        }
        if is_cut_off {
            return Err(self.lose_all(WRONG_LENGTH));
        }
        let line = self.find_line(start).unwrap_or(end);
        Err(self.lose(line, WRONG_LENGTH))
    }

    /// The first record line behind `start`.
    fn find_line(&self, start: usize) -> Option<usize> {
        RECORD_LINE
            .find(&self.feed.available()[start..])
            .map(|line| start + line.start())
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().is_empty()
}
