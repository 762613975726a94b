//! Sorting of more rows than memory holds: what exceeds it waits sorted in temporary files, which are merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

/// A row as it is stored, and the task that it goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RawRow {
    pub(crate) destination: usize,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) bytes: Vec<u8>,
}

/// Rows in the order of all their fields.
#[derive(Debug)]
pub(crate) struct Sorter {
    max_bytes: usize,
    held: Vec<RawRow>,
    held_bytes: usize,
    spilled: Vec<File>,
}

impl Sorter {
    /// A sorter that holds about `max_bytes` in memory.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            held: Vec::new(),
            held_bytes: 0,
            spilled: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: RawRow) -> io::Result<()> {
        self.held_bytes += size_of::<RawRow>() + row.payload_bytes();
        self.held.push(row);
        if self.held_bytes >= self.max_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let mut file = BufWriter::new(tempfile::tempfile()?);
        self.held.drain(..).try_for_each(|row| row.write(&mut file))?;
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.spilled.push(file);
        self.held_bytes = 0;
        Ok(())
    }

    /// All rows in order.
    pub(crate) fn sorted(mut self) -> io::Result<impl Iterator<Item = io::Result<RawRow>>> {
        self.held.sort_unstable();
        let held: Source = Box::new(self.held.into_iter().map(Ok));
        let spilled = self.spilled.into_iter().map(|file| {
            let mut file = BufReader::new(file);
            Box::new(std::iter::from_fn(move || RawRow::read(&mut file).transpose())) as Source
        });
        let mut merge = Merge {
            sources: spilled.chain([held]).collect(),
            heads: BinaryHeap::new(),
        };
        (0..merge.sources.len()).try_for_each(|source| merge.advance(source))?;
        Ok(merge)
    }
}

type Source = Box<dyn Iterator<Item = io::Result<RawRow>>>;

struct Merge {
    sources: Vec<Source>,
    /// The next row of each source that has one.
    heads: BinaryHeap<Reverse<(RawRow, usize)>>,
}

impl Merge {
    fn advance(&mut self, source: usize) -> io::Result<()> {
        if let Some(row) = self.sources[source].next() {
            self.heads.push(Reverse((row?, source)));
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = io::Result<RawRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((row, source)) = self.heads.pop()?;
        Some(self.advance(source).map(|()| row))
    }
}

impl RawRow {
    /// Bytes of key, value and bytes.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.key.len() + self.value.len() + self.bytes.len()
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let fields = [self.key.as_bytes(), self.value.as_bytes(), &self.bytes];
        file.write_all(&(self.destination as u64).to_le_bytes())?;
        fields.iter().try_for_each(|field| {
            file.write_all(&(field.len() as u64).to_le_bytes())?;
            file.write_all(field)
        })
    }

    /// The next row; none at the end of the file.
    fn read(file: &mut impl Read) -> io::Result<Option<Self>> {
        let destination = match read_number(file) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            number => number?,
        };
        let mut field = || {
            let mut bytes = vec![0; read_number(file)?];
            file.read_exact(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        let text = |bytes| String::from_utf8(bytes).map_err(io::Error::other);
        Ok(Some(Self {
            destination,
            key: text(field()?)?,
            value: text(field()?)?,
            bytes: field()?,
        }))
    }
}

fn read_number(file: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    usize::try_from(u64::from_le_bytes(bytes)).map_err(io::Error::other)
}
