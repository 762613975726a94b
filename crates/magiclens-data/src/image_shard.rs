//! An image shard: image files as rows of a Parquet file, so that millions of them are few files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use parquet::arrow::ArrowWriter;

use crate::ImageId;
use crate::table::{self, Columns, TableError};

/// One file of an image shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// The content id of `bytes`.
    pub id: ImageId,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The URL it was fetched from.
    pub url: String,
    /// The file as it was fetched.
    pub bytes: Vec<u8>,
}

/// Writes an image shard row by row; memory holds a row group's files at most.
#[derive(Debug)]
pub struct ImageShard {
    path: PathBuf,
    writer: ArrowWriter<File>,
    waiting: Vec<ImageFile>,
    waiting_bytes: usize,
}

/// A row group is written when its files have this many bytes together.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_ROWS: usize = 1024;

impl ImageShard {
    /// Begins a shard in `file`, which `path` names in errors.
    pub fn begin(path: &Path, file: File) -> Result<Self, TableError> {
        let schema = batch(path, &[])?.schema();
        let writer = ArrowWriter::try_new(file, schema, None).map_err(|error| TableError::write(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// Adds a file.
    pub fn push(&mut self, file: ImageFile) -> Result<(), TableError> {
        self.waiting_bytes += file.bytes.len();
        self.waiting.push(file);
        if self.waiting_bytes >= GROUP_BYTES || self.waiting.len() >= GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the end of the file.
    pub fn finish(mut self) -> Result<File, TableError> {
        self.write_group()?;
        self.writer
            .into_inner()
            .map_err(|error| TableError::write(&self.path, error))
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let batch = batch(&self.path, &self.waiting)?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        let written = self.writer.write(&batch).and_then(|()| self.writer.flush());
        written.map_err(|error| TableError::write(&self.path, error))
    }
}

/// Reads an image shard, a few files at a time.
pub fn read_image_shard(
    path: &Path,
) -> Result<impl Iterator<Item = Result<ImageFile, TableError>> + use<>, TableError> {
    const ROWS: usize = 32;
    let batches = table::read_batches(path, Some(ROWS))?;
    let path = path.to_owned();
    Ok(batches.flat_map(move |batch| {
        let files = batch.and_then(|batch| files(Columns::new(&path, &batch)));
        match files {
            Ok(files) => files.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
}

fn batch(path: &Path, files: &[ImageFile]) -> Result<RecordBatch, TableError> {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(files.iter().map(|file| &file.bytes)));
    table::batch(
        path,
        vec![
            ("id", table::text_column(files.iter().map(|file| file.id.to_string()))),
            ("width", table::number_column(files.iter().map(|file| file.width))),
            ("height", table::number_column(files.iter().map(|file| file.height))),
            ("url", table::text_column(files.iter().map(|file| &file.url))),
            ("bytes", bytes),
        ],
    )
}

fn files(columns: Columns<'_>) -> Result<Vec<ImageFile>, TableError> {
    let (ids, urls) = (columns.parsed("id")?, columns.texts("url")?);
    let (widths, heights) = (columns.numbers("width")?, columns.numbers("height")?);
    let bytes = columns.bytes("bytes")?;
    let file = |(row, id): (usize, ImageId)| ImageFile {
        id,
        width: widths[row],
        height: heights[row],
        url: urls[row].to_owned(),
        bytes: bytes[row].to_vec(),
    };
    Ok(ids.into_iter().enumerate().map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000.parquet");
        let file = |n: u32| ImageFile {
            id: ImageId::of_bytes(&n.to_le_bytes()),
            width: n,
            height: n + 1,
            url: format!("https://example.org/{n}.png"),
            bytes: vec![n as u8; n as usize % 7],
        };
        let files: Vec<ImageFile> = (0..3000).map(file).collect();
        let mut shard = ImageShard::begin(&path, File::create(&path).unwrap()).unwrap();
        for file in &files {
            shard.push(file.clone()).unwrap();
        }
        shard.finish().unwrap();
        let read: Vec<ImageFile> = read_image_shard(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read, files);
    }

    #[test]
    fn an_empty_shard_is_a_shard_and_a_cut_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000.parquet");
        ImageShard::begin(&path, File::create(&path).unwrap())
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(read_image_shard(&path).unwrap().count(), 0);
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = read_image_shard(&path).err().unwrap().to_string();
        assert!(error.contains("cannot be read as Parquet"), "{error}");
    }
}
