//! Reads the entries of a zip archive that are stored as they are, which is how torch saves. Nothing is unpacked.
//!
//! Source: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3 (zip64). Checksums are not compared: torch can be told to leave
//! them out, and the lists at the end of the file already show a download that was cut off.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

/// How every local entry begins, and so an archive that has any.
pub(super) const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const END64: &[u8; 4] = b"PK\x06\x06";
const END64_LOCATOR: &[u8; 4] = b"PK\x06\x07";

const LOCAL_LENGTH: usize = 30;
const CENTRAL_LENGTH: usize = 46;
const END_LENGTH: usize = 22;
const END64_LENGTH: usize = 56;
const END64_LOCATOR_LENGTH: usize = 20;
/// The extra field that holds the 64-bit sizes.
const ZIP64_EXTRA: u16 = 1;

/// Why an archive cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ZipError {
    /// No list of entries at the end of the file.
    #[error("the zip archive has no end: the file is cut off, or no zip archive")]
    NoEnd,
    /// The lists say something impossible.
    #[error("the zip archive is damaged: {0}")]
    Damaged(&'static str),
    /// An entry that is packed.
    #[error(
        "entry `{name}` of the zip archive is compressed, which torch never does\nhint: save the file again in torch, or \
         repack the archive without compression"
    )]
    Compressed {
        /// The entry.
        name: String,
    },
    /// An entry that needs a password.
    #[error("entry `{name}` of the zip archive is encrypted")]
    Encrypted {
        /// The entry.
        name: String,
    },
}

/// The entries of an archive by name. They share memory with the file's content.
///
/// # Errors
/// A cut off, damaged, packed or encrypted archive; entries that overlap or have one name.
pub(super) fn entries(file: &Bytes) -> Result<BTreeMap<String, Bytes>, ZipError> {
    let (directory, count) = directory(file)?;
    let mut ranges = vec![directory.clone()];
    let mut entries = BTreeMap::new();
    let mut rest = &file[directory.clone()];
    while !rest.is_empty() {
        let (entry, length) = Entry::read(rest)?;
        rest = &rest[length..];
        let (whole, data) = entry.place(file, directory.start)?;
        ranges.push(whole);
        if entries.insert(entry.name, file.slice(data)).is_some() {
            return Err(ZipError::Damaged("two entries have one name"));
        }
    }
    if entries.len() as u64 != count {
        return Err(ZipError::Damaged("its list has another number of entries than it says"));
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    if ranges.windows(2).any(|pair| pair[1].start < pair[0].end) {
        return Err(ZipError::Damaged("entries overlap"));
    }
    Ok(entries)
}

/// Where the list of entries lies, and how many there are.
fn directory(file: &[u8]) -> Result<(Range<usize>, u64), ZipError> {
    let latest = file.len().checked_sub(END_LENGTH).ok_or(ZipError::NoEnd)?;
    let earliest = latest.saturating_sub(usize::from(u16::MAX));
    // A comment may follow, and must reach exactly to the end of the file.
    let ends_file = |at: usize| number(file, at + 20, 2).map(|comment| at as u64 + END_LENGTH as u64 + comment);
    let at = (earliest..=latest)
        .rev()
        .find(|&at| file[at..].starts_with(END) && ends_file(at) == Ok(file.len() as u64))
        .ok_or(ZipError::NoEnd)?;
    let (count, length, start, end) = match end64(file, at)? {
        Some(at) => (
            number(file, at + 32, 8)?,
            number(file, at + 40, 8)?,
            number(file, at + 48, 8)?,
            at,
        ),
        None => (
            number(file, at + 10, 2)?,
            number(file, at + 12, 4)?,
            number(file, at + 16, 4)?,
            at,
        ),
    };
    let directory = range(start, length).filter(|directory| directory.end <= end);
    let directory = directory.ok_or(ZipError::Damaged("its list of entries lies outside of the file"))?;
    Ok((directory, count))
}

/// Where the 64-bit form of the end lies, if there is one before the end at `end`.
fn end64(file: &[u8], end: usize) -> Result<Option<usize>, ZipError> {
    let Some(locator) = end.checked_sub(END64_LOCATOR_LENGTH) else {
        return Ok(None);
    };
    if !file[locator..].starts_with(END64_LOCATOR) {
        return Ok(None);
    }
    let at = usize::try_from(number(file, locator + 8, 8)?).ok();
    at.filter(|&at| at.checked_add(END64_LENGTH).is_some_and(|end| end <= locator) && file[at..].starts_with(END64))
        .map(Some)
        .ok_or(ZipError::Damaged("its 64-bit end is missing"))
}

/// An entry of the list.
struct Entry {
    name: String,
    length: u64,
    local: u64,
}

impl Entry {
    /// The entry at the start of `list`, and how many bytes it takes.
    fn read(list: &[u8]) -> Result<(Self, usize), ZipError> {
        const CUT: ZipError = ZipError::Damaged("its list of entries is cut off");
        if list.len() < CENTRAL_LENGTH || !list.starts_with(CENTRAL) {
            return Err(CUT);
        }
        let short = |at| number(list, at, 2);
        let (name_length, extra_length, comment_length) =
            (short(28)? as usize, short(30)? as usize, short(32)? as usize);
        let extra_start = CENTRAL_LENGTH + name_length;
        let total = extra_start + extra_length + comment_length;
        let name = list.get(CENTRAL_LENGTH..extra_start).ok_or(CUT)?;
        let extra = list.get(extra_start..extra_start + extra_length).ok_or(CUT)?;
        if list.len() < total {
            return Err(CUT);
        }
        let name = std::str::from_utf8(name).map_err(|_| ZipError::Damaged("a name is not UTF-8"))?;
        let name = name.to_owned();
        if short(8)? & 1 == 1 {
            return Err(ZipError::Encrypted { name });
        }
        if short(10)? != 0 {
            return Err(ZipError::Compressed { name });
        }
        let mut large = Large::of(extra)?;
        // The 64-bit numbers stand in this order, each only where the 32-bit one is full.
        let length = large.or(number(list, 24, 4)?)?;
        let packed_length = large.or(number(list, 20, 4)?)?;
        let local = large.or(number(list, 42, 4)?)?;
        if length != packed_length {
            return Err(ZipError::Damaged("an entry that is not packed has two lengths"));
        }
        Ok((Self { name, length, local }, total))
    }

    /// Where it lies with its header, and where its data; all of it before `end`.
    fn place(&self, file: &[u8], end: usize) -> Result<(Range<usize>, Range<usize>), ZipError> {
        const OUTSIDE: ZipError = ZipError::Damaged("an entry lies outside of the file");
        let header = range(self.local, LOCAL_LENGTH as u64)
            .filter(|header| header.end <= end)
            .ok_or(OUTSIDE)?;
        if !file[header.clone()].starts_with(LOCAL) {
            return Err(ZipError::Damaged("an entry is not where the list says"));
        }
        let (name_length, extra_length) = (number(file, header.start + 26, 2)?, number(file, header.start + 28, 2)?);
        let name = range(header.end as u64, name_length)
            .filter(|name| name.end <= end)
            .ok_or(OUTSIDE)?;
        if file[name.clone()] != *self.name.as_bytes() {
            return Err(ZipError::Damaged("an entry has two names"));
        }
        let data = range(name.end as u64 + extra_length, self.length)
            .filter(|data| data.end <= end)
            .ok_or(OUTSIDE)?;
        Ok((header.start..data.end, data))
    }
}

/// The numbers of a zip64 extra field that were not taken yet.
struct Large<'a>(&'a [u8]);

impl<'a> Large<'a> {
    fn of(mut extra: &'a [u8]) -> Result<Self, ZipError> {
        while !extra.is_empty() {
            let (kind, length) = (number(extra, 0, 2)?, number(extra, 2, 2)? as usize);
            let content = extra
                .get(4..4 + length)
                .ok_or(ZipError::Damaged("an extra field is cut off"))?;
            if kind == u64::from(ZIP64_EXTRA) {
                return Ok(Self(content));
            }
            extra = &extra[4 + length..];
        }
        Ok(Self(&[]))
    }

    /// `small`, or the next 64-bit number where `small` says that there is one.
    fn or(&mut self, small: u64) -> Result<u64, ZipError> {
        if small != u64::from(u32::MAX) {
            return Ok(small);
        }
        let large = number(self.0, 0, 8)?;
        self.0 = &self.0[8..];
        Ok(large)
    }
}

/// The little-endian number of `length` bytes at `at`.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, ZipError> {
    let found = bytes
        .get(at..at + length)
        .ok_or(ZipError::Damaged("a number is cut off"))?;
    let mut wide = [0; 8];
    wide[..length].copy_from_slice(found);
    Ok(u64::from_le_bytes(wide))
}

fn range(start: u64, length: u64) -> Option<Range<usize>> {
    let end = start.checked_add(length)?;
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
