//! Tables between steps: rows with a key that joins, a JSON value and bytes, in Parquet.
//!
//! A table is also how rows change shards: the writer sorts them by destination and gives each destination a row group of
//! its own, so that the task of a destination reads one row group of every file and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What rows are joined by.
    pub key: String,
    /// JSON.
    pub value: String,
    /// Numbers that JSON would blow up: vectors, files.
    pub bytes: Vec<u8>,
}

impl Row {
    /// A row of any value.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn new(key: impl Into<String>, value: &impl Serialize, bytes: Vec<u8>) -> anyhow::Result<Self> {
        let value = serde_json::to_string(value)?;
        Ok(Self {
            key: key.into(),
            value,
            bytes,
        })
    }

    /// Its value.
    ///
    /// # Errors
    /// A value of another kind.
    pub fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_str(&self.value).with_context(|| format!("row `{}` holds another kind of value", self.key))
    }
}

/// The metadata entry that lists the destination of each row group.
const DESTINATIONS: &str = "destinations";
/// A row group is written when its rows have this many bytes together.
const GROUP_BYTES: usize = 8 << 20;
/// Rows that are read at once.
const READ_ROWS: usize = 256;

/// Writes a table row by row; memory holds one row group at most.
#[derive(Debug)]
pub struct TableWriter {
    writer: ArrowWriter<File>,
    waiting: Vec<Row>,
    waiting_bytes: usize,
}

impl TableWriter {
    /// Begins a table in `file`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn begin(file: File) -> anyhow::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .build();
        Ok(Self {
            writer: ArrowWriter::try_new(file, schema(), Some(properties))?,
            waiting: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, row: Row) -> anyhow::Result<()> {
        self.waiting_bytes += row.key.len() + row.value.len() + row.bytes.len();
        self.waiting.push(row);
        if self.waiting_bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the end of the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.end_group()?;
        self.writer.close()?;
        Ok(())
    }

    fn end_group(&mut self) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            self.writer.write(&batch(&self.waiting)?)?;
            self.writer.flush()?;
            self.waiting.clear();
            self.waiting_bytes = 0;
        }
        Ok(())
    }
}

/// Rows on their way to other shards.
#[derive(Debug, Default)]
pub struct Shuffle {
    rows: BTreeMap<usize, Vec<Row>>,
}

impl Shuffle {
    /// Sends a row to a destination.
    pub fn send(&mut self, destination: usize, row: Row) {
        self.rows.entry(destination).or_default().push(row);
    }

    /// Writes all rows, one row group a destination, rows in the order of key and value.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(self, file: File) -> anyhow::Result<()> {
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .build();
        let mut writer = ArrowWriter::try_new(file, schema(), Some(properties))?;
        let destinations: Vec<String> = self.rows.keys().map(usize::to_string).collect();
        for (_, mut rows) in self.rows {
            rows.sort_unstable();
            writer.write(&batch(&rows)?)?;
            writer.flush()?;
        }
        writer.append_key_value_metadata(KeyValue::new(DESTINATIONS.to_owned(), destinations.join(",")));
        writer.close()?;
        Ok(())
    }
}

/// All rows of a table, a few at a time.
///
/// # Errors
/// A file that is not there or no table.
pub fn read(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row>> + use<>> {
    let reader = builder(path)?.with_batch_size(READ_ROWS).build()?;
    Ok(rows(path.to_owned(), reader))
}

/// The rows that were sent to `destination`, a few at a time.
///
/// # Errors
/// A file that is not there or no shuffled table.
pub fn received(path: &Path, destination: usize) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row>> + use<>> {
    let builder = builder(path)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let destinations = metadata
        .into_iter()
        .flatten()
        .find(|entry| entry.key == DESTINATIONS)
        .and_then(|entry| entry.value.as_deref())
        .ok_or_else(|| anyhow!("`{}` does not say where its rows go", path.display()))?;
    let wanted = destination.to_string();
    let group = destinations.split(',').position(|found| found == wanted);
    let reader = builder
        .with_row_groups(group.into_iter().collect())
        .with_batch_size(READ_ROWS)
        .build()?;
    Ok(rows(path.to_owned(), reader))
}

fn builder(path: &Path) -> anyhow::Result<ParquetRecordBatchReaderBuilder<File>> {
    let file: File = fs_err::File::open(path)?.into_parts().0;
    ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| damaged(path))
}

fn rows(path: PathBuf, reader: ParquetRecordBatchReader) -> impl Iterator<Item = anyhow::Result<Row>> {
    reader.flat_map(move |batch| {
        let rows = batch
            .map_err(anyhow::Error::from)
            .and_then(|batch| unpack(&batch))
            .with_context(|| damaged(&path));
        match rows {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    })
}

fn damaged(path: &Path) -> String {
    format!(
        "`{}` cannot be read\nhint: remove it and its file under `counts/`; the run then makes it again",
        path.display()
    )
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
        Field::new("bytes", DataType::Binary, false),
    ]))
}

fn batch(rows: &[Row]) -> anyhow::Result<RecordBatch> {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.key)));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.value)));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes)));
    Ok(RecordBatch::try_new(schema(), vec![keys, values, bytes])?)
}

fn unpack(batch: &RecordBatch) -> anyhow::Result<Vec<Row>> {
    fn column<'a, T: 'static>(batch: &'a RecordBatch, name: &str) -> anyhow::Result<&'a T> {
        let found = batch
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref());
        found.ok_or_else(|| anyhow!("column `{name}` is missing or of another type"))
    }
    let keys: &StringArray = column(batch, "key")?;
    let values: &StringArray = column(batch, "value")?;
    let bytes: &BinaryArray = column(batch, "bytes")?;
    let row = |at| Row {
        key: keys.value(at).to_owned(),
        value: values.value(at).to_owned(),
        bytes: bytes.value(at).to_vec(),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u32) -> Row {
        Row::new(format!("key {n}"), &n, n.to_le_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_table_comes_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let mut writer = TableWriter::begin(File::create(&path).unwrap()).unwrap();
        for n in 0..1000 {
            writer.push(row(n)).unwrap();
        }
        writer.finish().unwrap();
        let found: Vec<Row> = read(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(found, (0..1000).map(row).collect::<Vec<_>>());
        assert_eq!(found[7].parse::<u32>().unwrap(), 7);
        assert!(found[7].parse::<String>().is_err());
    }

    #[test]
    fn each_destination_receives_its_own_rows_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shuffle.parquet");
        let mut shuffle = Shuffle::default();
        for n in [5, 3, 9, 1, 4] {
            shuffle.send(n as usize % 3, row(n));
        }
        shuffle.write(File::create(&path).unwrap()).unwrap();
        let to = |destination| -> Vec<u32> {
            let rows = received(&path, destination).unwrap();
            rows.map(|row| row.unwrap().parse().unwrap()).collect()
        };
        assert_eq!(to(0), [3, 9]);
        assert_eq!(to(1), [1, 4]);
        assert_eq!(to(2), [5]);
        assert_eq!(to(3), [0; 0]);
    }

    #[test]
    fn nobody_receives_from_an_empty_shuffle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shuffle.parquet");
        Shuffle::default().write(File::create(&path).unwrap()).unwrap();
        assert_eq!(received(&path, 0).unwrap().count(), 0);
    }
}
