//! Packed weights in a file of their own, which later runs map into memory instead of packing again.
//!
//! | part | content |
//! |---|---|
//! | blobs | the numbers of every array, each from a multiple of [`ALIGNMENT`] on |
//! | about | a text of whoever wrote the file |
//! | index | a line `name offset bytes hash` for each array |
//! | footer | lengths of about and index, the hash of both, [`MAGIC`] |
//!
//! Hashes are blake3; all are compared when a file is opened, so that a damaged one is never used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use memmap2::Mmap;
use rayon::prelude::*;
use tempfile::NamedTempFile;

use crate::lines::Lines;

/// Ends a file. Its number grows with the layout of panels.
const MAGIC: [u8; 8] = *b"MLPACK01";
const ALIGNMENT: usize = 64;
const HASH: usize = 32;
const FOOTER: usize = 8 + 8 + HASH + MAGIC.len();

/// A number of 32 bits, of which all bits are a value.
///
/// # Safety
/// Only for types of 4 bytes whose every pattern of bits is valid.
pub(crate) unsafe trait Word: Copy + std::fmt::Debug + Send + Sync + 'static {}
// SAFETY: four bytes, all patterns valid.
unsafe impl Word for f32 {}
// SAFETY: as above.
unsafe impl Word for u32 {}
// SAFETY: as above.
unsafe impl Word for i32 {}

/// Numbers in memory of their own, or in a mapped file.
#[derive(Debug)]
pub(crate) enum Numbers<T: Word> {
    Owned(Vec<T>),
    Lines(Lines),
    Mapped(Arc<Mmap>, Range<usize>),
}

impl<T: Word> Default for Numbers<T> {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl<T: Word> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(numbers) => numbers,
            // SAFETY: words of 32 bits, whose bits are a number of this type.
            Self::Lines(lines) => unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len()) },
            Self::Mapped(map, at) => {
                let bytes = &map[at.clone()];
                // SAFETY: the bytes begin at a multiple of 64 of a mapping, which begins at a page; any bits are a number.
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
            }
        }
    }
}

fn bytes_of<T: Word>(numbers: &[T]) -> &[u8] {
    // SAFETY: numbers of four bytes without gaps.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// A file of packed weights, mapped into memory.
#[derive(Debug)]
pub struct PackedFile {
    map: Arc<Mmap>,
    about: Range<usize>,
    arrays: BTreeMap<String, Range<usize>>,
}

impl PackedFile {
    /// Maps a file. It must not be written while it is in use; [`PackedWriter`] only ever replaces one.
    ///
    /// # Errors
    /// A file that is missing, damaged or of another layout.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the caller's promise; a writer makes a new file and renames it.
        let map = unsafe { Mmap::map(&file)? };
        Self::read(Arc::new(map))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or of another release"))
    }

    /// The text that the writer was given.
    pub fn about(&self) -> &str {
        std::str::from_utf8(&self.map[self.about.clone()]).unwrap_or_default()
    }

    pub(crate) fn numbers<T: Word>(&self, name: &str) -> Option<Numbers<T>> {
        let at = self.arrays.get(name)?;
        Some(Numbers::Mapped(Arc::clone(&self.map), at.clone()))
    }

    fn read(map: Arc<Mmap>) -> Option<Self> {
        let footer_at = map.len().checked_sub(FOOTER)?;
        let (lengths, rest) = map[footer_at..].split_at(16);
        let (hash, magic) = rest.split_at(HASH);
        let length = |at: usize| u64::from_le_bytes(lengths[at..at + 8].try_into().unwrap_or_default()) as usize;
        let index_at = footer_at.checked_sub(length(8))?;
        let about_at = index_at.checked_sub(length(0))?;
        if *magic != MAGIC || *blake3::hash(&map[about_at..footer_at]).as_bytes() != *hash {
            return None;
        }
        let index = std::str::from_utf8(&map[index_at..footer_at]).ok()?;
        let arrays: Option<Vec<_>> = index.lines().map(|line| array(line, about_at)).collect();
        let arrays = arrays?;
        let is_whole =
            |(_, at, hash): &(String, Range<usize>, String)| blake3::hash(&map[at.clone()]).to_hex().as_str() == hash;
        arrays.par_iter().all(is_whole).then(|| Self {
            about: about_at..index_at,
            arrays: arrays.into_iter().map(|(name, at, _)| (name, at)).collect(),
            map: Arc::clone(&map),
        })
    }
}

/// A line of the index.
fn array(line: &str, end: usize) -> Option<(String, Range<usize>, String)> {
    let mut fields = line.split(' ');
    let (name, from, bytes, hash) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (from, bytes): (usize, usize) = (from.parse().ok()?, bytes.parse().ok()?);
    let to = from.checked_add(bytes).filter(|to| *to <= end)?;
    from.is_multiple_of(ALIGNMENT)
        .then(|| (name.to_owned(), from..to, hash.to_owned()))
}

/// Writes a file of packed weights beside its place, under a name of its own, and moves it there when it is whole.
#[derive(Debug)]
pub struct PackedWriter {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    at: usize,
    index: String,
    failed: Option<io::Error>,
}

impl PackedWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        remove_old_parts(folder)?;
        let part = tempfile::Builder::new().suffix(PART).tempfile_in(folder)?;
        Ok(Self {
            out: BufWriter::new(part),
            path: path.to_owned(),
            at: 0,
            index: String::new(),
            failed: None,
        })
    }

    /// Adds numbers; an error is kept for [`PackedWriter::finish`].
    pub(crate) fn add<T: Word>(&mut self, name: &str, numbers: &[T]) {
        let bytes = bytes_of(numbers);
        let padding = self.at.next_multiple_of(ALIGNMENT) - self.at;
        let written = self
            .out
            .write_all(&[0; ALIGNMENT][..padding])
            .and_then(|()| self.out.write_all(bytes));
        self.at += padding;
        let (at, length, hash) = (self.at, bytes.len(), blake3::hash(bytes));
        self.index.push_str(&format!("{name} {at} {length} {hash}\n"));
        self.at += length;
        self.failed = self.failed.take().or(written.err());
    }

    /// Ends the file with a text about it, and moves it to its place.
    ///
    /// # Errors
    /// A file that could not be written.
    pub fn finish(mut self, about: &str) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let text = [about.as_bytes(), self.index.as_bytes()].concat();
        self.out.write_all(&text)?;
        for length in [about.len(), self.index.len()] {
            self.out.write_all(&(length as u64).to_le_bytes())?;
        }
        self.out.write_all(blake3::hash(&text).as_bytes())?;
        self.out.write_all(&MAGIC)?;
        let part = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        part.as_file().sync_all()?;
        part.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Ends the names of files that are not whole.
const PART: &str = ".part";

/// Removes what writers left that were killed: parts that nobody has written to for a day.
fn remove_old_parts(folder: &Path) -> io::Result<()> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for entry in fs::read_dir(folder)?.flatten() {
        let is_old = |metadata: fs::Metadata| metadata.modified()?.elapsed().map_err(io::Error::other);
        let age = entry.metadata().and_then(is_old).unwrap_or_default();
        if age > DAY && entry.file_name().to_string_lossy().ends_with(PART) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> io::Result<()> {
        let mut writer = PackedWriter::create(path)?;
        writer.add("a", &[1.5_f32, -2.0, 3.0]);
        writer.add::<u32>("none", &[]);
        writer.add("b.c", &(0..100).collect::<Vec<i32>>());
        writer.finish("about it")
    }

    #[test]
    fn arrays_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file.packed");
        write(&path).unwrap();
        write(&path).unwrap();
        let file = PackedFile::open(&path).unwrap();
        assert_eq!(file.about(), "about it");
        assert_eq!(*file.numbers::<f32>("a").unwrap(), [1.5, -2.0, 3.0]);
        assert!(file.numbers::<u32>("none").unwrap().is_empty());
        assert_eq!(*file.numbers::<i32>("b.c").unwrap(), (0..100).collect::<Vec<i32>>());
        assert!(file.numbers::<f32>("c").is_none());
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no part is left"
        );
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.packed");
        write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let arrays = PackedFile::open(&path).unwrap().arrays;
        let is_padding = |at: usize| at < 64 + 400 && !arrays.values().any(|array| array.contains(&at));
        let broken = folder.path().join("broken.packed");
        let refused = |bytes: &[u8]| {
            fs::write(&broken, bytes).unwrap();
            PackedFile::open(&broken).is_err()
        };
        for at in 0..whole.len() {
            assert!(refused(&whole[..at]), "cut at {at}");
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(refused(&bytes) || is_padding(at), "flipped at {at}");
        }
    }

    #[test]
    fn two_writers_do_not_meet_and_old_parts_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.packed");
        let (mut one, mut other) = (
            PackedWriter::create(&path).unwrap(),
            PackedWriter::create(&path).unwrap(),
        );
        one.add("a", &[1_u32]);
        other.add("a", &[2_u32, 3]);
        one.finish("one").unwrap();
        let mapped = PackedFile::open(&path).unwrap();
        other.finish("other").unwrap();
        assert_eq!(*mapped.numbers::<u32>("a").unwrap(), [1]);
        assert_eq!(*PackedFile::open(&path).unwrap().numbers::<u32>("a").unwrap(), [2, 3]);

        let [old, new] = ["old.part", "new.part"].map(|name| folder.path().join(name));
        let two_days_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
        File::create(&old).unwrap().set_modified(two_days_ago).unwrap();
        File::create(&new).unwrap();
        write(&path).unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn a_writer_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.packed");
        PackedWriter::create(&path).unwrap().add("a", &[1_u32]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
