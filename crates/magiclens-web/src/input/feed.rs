//! The bytes of an archive file, decompressed, in one window that grows only to the largest record.
//!
//! A gzip file is a row of members, usually one a record. A feed stops where a member ends, because that is the best place to
//! take up the thread again when a record lies about its length, and where data is damaged, after which it goes on with the
//! next member that can be found.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use regex::bytes::Regex;

use super::config::InputConfig;
use crate::DropReason;

/// The file ends within a gzip member or a record.
pub(super) const CUT_OFF: DropReason = DropReason("archive cut off");
/// A gzip member cannot be decompressed, or its checksum is wrong.
pub(super) const DAMAGED: DropReason = DropReason("damaged gzip");
/// Bytes between gzip members or records that belong to none.
pub(super) const UNREADABLE: DropReason = DropReason("unreadable bytes");
/// A gzip member expands beyond the limits.
pub(super) const BOMB: DropReason = DropReason("gzip bomb");

/// The window of a gzip stream is 32 KiB; 16 more than its exponent would ask `inflate` for the gzip format.
const GZIP_WINDOW_BITS: u8 = 15;

/// The first bytes of a gzip member: magic, the method "deflate", flags of which the upper three must be zero.
static GZIP_MAGIC: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s-u)\x1f\x8b\x08[\x00-\x1f]").expect("a valid pattern"));
const GZIP_MAGIC_BYTES: usize = 4;

/// The reason for which a feed stopped before it had the wanted bytes. Asked again, it goes on behind the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A gzip member ended as it should.
    Member,
    /// Bytes are lost here: what comes next does not continue what was there before.
    Damage(DropReason),
    /// The file ended.
    End,
}

/// The window over an archive file.
pub(super) struct Feed<R> {
    source: Source<R>,
    window: Vec<u8>,
    start: usize,
    end: usize,
    max_window_bytes: usize,
}

enum Source<R> {
    Plain { file: R, offset: u64 },
    Gzip(Box<Gunzip<R>>),
}

impl<R: Read + Seek> Feed<R> {
    /// A feed from the start of `file`. What starts like gzip is gzip; for a file that starts like nothing, its name decides.
    pub(super) fn new(mut file: R, named_gz: bool, config: &InputConfig) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut magic = Vec::new();
        file.by_ref().take(5).read_to_end(&mut magic)?;
        file.rewind()?;
        // A record with its header, and what is read beyond it.
        let max_window_bytes = config.max_record_bytes.saturating_add(config.max_header_bytes);
        let max_window_bytes = max_window_bytes.saturating_add(config.buffer_bytes);
        let source = if GZIP_MAGIC.is_match(&magic) || (named_gz && magic != b"WARC/") {
            Source::Gzip(Box::new(Gunzip::new(file, length, max_window_bytes, config)))
        } else {
            Source::Plain { file, offset: 0 }
        };
        Ok(Self {
            source,
            window: vec![0; config.buffer_bytes.max(1)],
            start: 0,
            end: 0,
            max_window_bytes,
        })
    }

    /// The bytes that are there and not yet consumed.
    pub(super) fn available(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    /// Passes over bytes that are available.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Passes over everything that is available.
    pub(super) fn clear(&mut self) {
        self.start = self.end;
    }

    /// Makes at least `bytes` available; if that cannot be, says what stopped it.
    pub(super) fn want(&mut self, bytes: usize) -> io::Result<Option<Stop>> {
        while self.end - self.start < bytes {
            self.make_room();
            match self.source.read(&mut self.window[self.end..])? {
                Ok(read) => self.end += read,
                Err(stop) => return Ok(Some(stop)),
            }
        }
        Ok(None)
    }

    /// The place where the file is being read: the first available byte of a plain file, the current member of a gzip file.
    pub(super) fn offset(&self) -> u64 {
        match &self.source {
            Source::Plain { offset, .. } => offset - (self.end - self.start) as u64,
            Source::Gzip(gunzip) => gunzip.member_start,
        }
    }

    /// Notes that a record was found here, so that this gzip member is no bomb.
    pub(super) fn note_record(&mut self) {
        if let Source::Gzip(gunzip) = &mut self.source {
            gunzip.has_record = true;
        }
    }

    /// Makes the window's end free. It is moved only when half of it is used up and else doubled: so the work stays in proportion
    /// to what is read, and the window below twice the largest record.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end < self.window.len() {
            return;
        }
        if 0 < self.start && self.end / 2 <= self.start {
            self.window.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            let doubled = (self.window.len() * 2).min(self.max_window_bytes.saturating_mul(2));
            self.window.resize(doubled.max(self.window.len() + 1), 0);
        }
    }
}

impl<R: Read + Seek> Source<R> {
    /// The number of bytes that were read, at least one, or what stopped it.
    fn read(&mut self, into: &mut [u8]) -> io::Result<Result<usize, Stop>> {
        match self {
            Self::Plain { file, offset } => {
                let read = read_some(file, into)?;
                *offset += read as u64;
                Ok(if read == 0 { Err(Stop::End) } else { Ok(read) })
            }
            Self::Gzip(gunzip) => gunzip.read(into),
        }
    }
}

/// Decompresses a row of gzip members.
struct Gunzip<R> {
    file: R,
    /// Compressed bytes; `at..filled` are still to be used, and the file goes on at `offset`.
    input: Vec<u8>,
    at: usize,
    filled: usize,
    offset: u64,
    inflate: Decompress,
    inside: bool,
    member_start: u64,
    has_record: bool,
    /// A stop that is due as soon as the bytes before it have been handed out.
    due: Option<Stop>,
    /// True while the next member is looked for behind a damage, which has been reported already.
    is_searching: bool,
    /// Bytes that may still be read a second time: as many as the file has, so that hostile files cost twice, not n times.
    reread_bytes: u64,
    /// A member up to this size is no bomb: a record in it may not yet have been found.
    harmless_bytes: u64,
    max_expansion: u64,
}

impl<R: Read + Seek> Gunzip<R> {
    fn new(file: R, length: u64, max_window_bytes: usize, config: &InputConfig) -> Self {
        Self {
            file,
            input: vec![0; config.buffer_bytes.max(GZIP_MAGIC_BYTES)],
            at: 0,
            filled: 0,
            offset: 0,
            inflate: Decompress::new_gzip(GZIP_WINDOW_BITS),
            inside: false,
            member_start: 0,
            has_record: false,
            due: None,
            is_searching: false,
            reread_bytes: length,
            harmless_bytes: max_window_bytes as u64,
            max_expansion: config.max_expansion,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<Result<usize, Stop>> {
        loop {
            if let Some(stop) = self.due.take() {
                return Ok(Err(stop));
            }
            if !self.inside {
                self.enter_member()?;
                continue;
            }
            let is_end = self.at == self.filled && !self.refill()?;
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let input = &self.input[self.at..self.filled];
            let status = self.inflate.decompress(input, into, FlushDecompress::None);
            let used = (self.inflate.total_in() - in_before) as usize;
            let made = (self.inflate.total_out() - out_before) as usize;
            self.at += used;
            match status {
                Ok(Status::StreamEnd) => self.leave_member(Stop::Member),
                Err(_) => self.abandon_member(DAMAGED)?,
                Ok(_) if is_end && made == 0 => self.abandon_member(CUT_OFF)?,
                // Nothing used and nothing made, though there is input and room: it would stay so for ever.
                Ok(_) if used == 0 && made == 0 && !is_end => self.abandon_member(DAMAGED)?,
                Ok(_) if self.is_bomb() => {
                    // Its end is not looked for: whatever looks like the next member is.
                    self.leave_member(Stop::Damage(BOMB));
                    self.is_searching = true;
                }
                Ok(_) => {}
            }
            if 0 < made {
                return Ok(Ok(made));
            }
        }
    }

    /// Finds the start of the next member, or the end of the file.
    fn enter_member(&mut self) -> io::Result<()> {
        let mut is_garbage = false;
        let is_found = loop {
            let input = &self.input[self.at..self.filled];
            let found = GZIP_MAGIC.find(input).map(|magic| magic.start());
            // Without a find, the last bytes may be the start of a magic.
            let skipped = found.unwrap_or(input.len().saturating_sub(GZIP_MAGIC_BYTES - 1));
            // Files that were laid out in advance are padded with zeros.
            is_garbage |= input[..skipped].iter().any(|&byte| byte != 0);
            self.at += skipped;
            if found.is_some() {
                break true;
            }
            if !self.refill()? {
                is_garbage |= self.input[self.at..self.filled].iter().any(|&byte| byte != 0);
                self.at = self.filled;
                break false;
            }
        };
        if is_found {
            self.member_start = self.position();
            self.inflate.reset(true);
            self.inside = true;
            self.has_record = false;
        }
        if is_garbage && !self.is_searching {
            self.due = Some(Stop::Damage(UNREADABLE));
        } else if !is_found {
            self.due = Some(Stop::End);
        }
        self.is_searching = false;
        Ok(())
    }

    fn leave_member(&mut self, stop: Stop) {
        self.inside = false;
        self.due = Some(stop);
    }

    /// Gives up a member. Since damaged data may have led far astray, the next one is looked for from just behind its start.
    fn abandon_member(&mut self, reason: DropReason) -> io::Result<()> {
        self.leave_member(Stop::Damage(reason));
        self.is_searching = true;
        let back = self.position() - (self.member_start + 1).min(self.position());
        if back <= self.reread_bytes {
            self.reread_bytes -= back;
            self.at = 0;
            self.filled = 0;
            self.offset = self.file.seek(SeekFrom::Start(self.member_start + 1))?;
        }
        Ok(())
    }

    fn is_bomb(&self) -> bool {
        let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
        !self.has_record && self.harmless_bytes < made && read.saturating_mul(self.max_expansion) < made
    }

    /// The place of the next unused byte in the file.
    fn position(&self) -> u64 {
        self.offset - (self.filled - self.at) as u64
    }

    /// Reads more compressed bytes behind the unused ones; false at the end of the file.
    fn refill(&mut self) -> io::Result<bool> {
        self.input.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        let read = read_some(&mut self.file, &mut self.input[self.filled..])?;
        self.filled += read;
        self.offset += read as u64;
        Ok(0 < read)
    }
}

fn read_some(file: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
