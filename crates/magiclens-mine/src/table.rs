//! Tables between steps: typed rows, each a JSON value with a key that joins and bytes, in Parquet; one file for each task.
//!
//! A [`Shuffle`] is a table whose rows change shards: its files are sorted by destination and give each destination row groups
//! of its own, so that the task of a destination reads its part of every file and nothing else.

use std::fs::File;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sorter::{RawRow, Sorter};
use crate::store::{LocalFile, NewFile, Store};

/// A table of a run and the type of its values.
#[derive(Debug)]
pub struct Table<T> {
    folder: &'static str,
    value: PhantomData<fn() -> T>,
}

/// A table of rows on their way to other tasks.
#[derive(Debug)]
pub struct Shuffle<T>(Table<T>);

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<T> {
    /// Joins and orders rows.
    pub key: String,
    /// Stored as JSON.
    pub value: T,
    /// Numbers that JSON would blow up: vectors, files.
    pub bytes: Vec<u8>,
}

/// The file of a task in a folder of the run.
pub(crate) fn file_name(folder: &str, task: usize) -> String {
    format!("{folder}/{task:05}.parquet")
}

impl<T> Table<T> {
    /// The table in this folder of a run.
    pub const fn new(folder: &'static str) -> Self {
        Self {
            folder,
            value: PhantomData,
        }
    }

    /// Whether a task has published its file.
    ///
    /// # Errors
    /// A store that does not answer.
    pub fn exists(&self, store: &Store, task: usize) -> anyhow::Result<bool> {
        store.exists(&file_name(self.folder, task))
    }
}

impl<T: Serialize> Table<T> {
    /// Begins the file of a task.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(&self, store: &Store, task: usize) -> anyhow::Result<TableWriter<T>> {
        let file = store.create(&file_name(self.folder, task))?;
        Ok(TableWriter {
            groups: Groups::begin(file, TABLE_GROUP_BYTES)?,
            value: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Table<T> {
    /// All rows of a task's file, a few at a time.
    ///
    /// # Errors
    /// A file that is not there or no table; later, rows of another type.
    pub fn read(
        &self,
        store: &Store,
        task: usize,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row<T>>> + use<T>> {
        let file = store.local(&file_name(self.folder, task))?;
        let builder = open(file.path())?;
        rows(file, builder)
    }
}

impl<T> Shuffle<T> {
    /// The shuffle in this folder of a run.
    pub const fn new(folder: &'static str) -> Self {
        Self(Table::new(folder))
    }
}

impl<T: Serialize> Shuffle<T> {
    /// Begins the file of a task; memory holds a share of its rows only.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(&self, store: &Store, task: usize) -> anyhow::Result<ShuffleWriter<T>> {
        Ok(ShuffleWriter {
            file: store.create(&file_name(self.0.folder, task))?,
            rows: Sorter::new(SHUFFLE_MEMORY_BYTES),
            value: PhantomData,
        })
    }
}

impl<T: DeserializeOwned + 'static> Shuffle<T> {
    /// The rows that the first `tasks` tasks sent to `destination`, task by task.
    pub fn received(
        &self,
        store: &Store,
        tasks: usize,
        destination: usize,
    ) -> impl Iterator<Item = anyhow::Result<Row<T>>> {
        let of_task = move |task| -> Box<dyn Iterator<Item = anyhow::Result<Row<T>>>> {
            match self.received_from(store, task, destination) {
                Ok(rows) => Box::new(rows),
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        };
        (0..tasks).flat_map(of_task)
    }

    fn received_from(
        &self,
        store: &Store,
        task: usize,
        destination: usize,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row<T>>> + use<T>> {
        let file = store.local(&file_name(self.0.folder, task))?;
        let builder = open(file.path())?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let destinations = metadata
            .into_iter()
            .flatten()
            .find(|entry| entry.key == DESTINATIONS)
            .and_then(|entry| entry.value.as_deref())
            .ok_or_else(|| anyhow!("`{}` does not say where its rows go", file.path().display()))?;
        let wanted = destination.to_string();
        let groups = destinations
            .split(',')
            .enumerate()
            .filter(|(_, found)| *found == wanted);
        let groups = groups.map(|(group, _)| group).collect();
        rows(file, builder.with_row_groups(groups))
    }
}

/// Writes a table row by row; memory holds one row group at most.
#[derive(Debug)]
pub struct TableWriter<T> {
    groups: Groups,
    value: PhantomData<fn(T)>,
}

impl<T: Serialize> TableWriter<T> {
    /// Adds a row.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, key: impl Into<String>, value: &T, bytes: Vec<u8>) -> anyhow::Result<()> {
        self.groups.push(raw(0, key, value, bytes)?)
    }

    /// Publishes the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn publish(self) -> anyhow::Result<()> {
        self.groups.publish(None)
    }
}

/// Gathers rows for other tasks.
#[derive(Debug)]
pub struct ShuffleWriter<T> {
    file: NewFile,
    rows: Sorter,
    value: PhantomData<fn(T)>,
}

impl<T: Serialize> ShuffleWriter<T> {
    /// Sends a row to a destination.
    ///
    /// # Errors
    /// A temporary file that cannot be written.
    pub fn send(
        &mut self,
        destination: usize,
        key: impl Into<String>,
        value: &T,
        bytes: Vec<u8>,
    ) -> anyhow::Result<()> {
        Ok(self.rows.push(raw(destination, key, value, bytes)?)?)
    }

    /// Publishes the file: destination by destination, rows in the order of key and value.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn publish(self) -> anyhow::Result<()> {
        let mut groups = Groups::begin(self.file, SHUFFLE_GROUP_BYTES)?;
        let mut destinations: Vec<String> = Vec::new();
        for row in self.rows.sorted()? {
            let row = row?;
            let name = row.destination.to_string();
            if groups
                .waiting
                .first()
                .is_some_and(|first| first.destination != row.destination)
            {
                groups.end()?;
            }
            if groups.waiting.is_empty() {
                destinations.push(name);
            }
            groups.push(row)?;
        }
        let destinations = KeyValue::new(DESTINATIONS.to_owned(), destinations.join(","));
        groups.publish(Some(destinations))
    }
}

/// The metadata entry that lists the destination of each row group.
const DESTINATIONS: &str = "destinations";
/// A row group of a table is written when its rows have this many bytes together.
const TABLE_GROUP_BYTES: usize = 8 << 20;
/// The same of a shuffle, where small groups cost every reader.
const SHUFFLE_GROUP_BYTES: usize = 64 << 20;
/// Rows of a shuffle beyond this many bytes wait on the disk.
const SHUFFLE_MEMORY_BYTES: usize = 128 << 20;
/// Rows that are read at once.
const READ_ROWS: usize = 256;

/// Writes row groups; memory holds one.
#[derive(Debug)]
struct Groups {
    file: NewFile,
    writer: ArrowWriter<File>,
    waiting: Vec<RawRow>,
    waiting_bytes: usize,
    max_bytes: usize,
}

impl Groups {
    fn begin(file: NewFile, max_bytes: usize) -> anyhow::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .build();
        let writer = ArrowWriter::try_new(File::create(file.path())?, schema(), Some(properties))?;
        Ok(Self {
            file,
            writer,
            waiting: Vec::new(),
            waiting_bytes: 0,
            max_bytes,
        })
    }

    fn push(&mut self, row: RawRow) -> anyhow::Result<()> {
        self.waiting_bytes += row.payload_bytes();
        self.waiting.push(row);
        if self.waiting_bytes >= self.max_bytes {
            self.end()?;
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            self.writer.write(&batch(&self.waiting)?)?;
            self.writer.flush()?;
            self.waiting.clear();
            self.waiting_bytes = 0;
        }
        Ok(())
    }

    fn publish(mut self, metadata: Option<KeyValue>) -> anyhow::Result<()> {
        self.end()?;
        metadata
            .into_iter()
            .for_each(|entry| self.writer.append_key_value_metadata(entry));
        self.writer.close()?;
        self.file.publish()
    }
}

fn raw(destination: usize, key: impl Into<String>, value: &impl Serialize, bytes: Vec<u8>) -> anyhow::Result<RawRow> {
    Ok(RawRow {
        destination,
        key: key.into(),
        value: serde_json::to_string(value)?,
        bytes,
    })
}

fn open(path: &Path) -> anyhow::Result<ParquetRecordBatchReaderBuilder<File>> {
    let file: File = fs_err::File::open(path)?.into_parts().0;
    ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| damaged(path))
}

/// The rows of a file, which is held as long as it is read.
fn rows<T: DeserializeOwned>(
    file: LocalFile,
    builder: ParquetRecordBatchReaderBuilder<File>,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Row<T>>> + use<T>> {
    let reader = builder.with_batch_size(READ_ROWS).build()?;
    Ok(reader.flat_map(move |batch| {
        let rows = batch
            .map_err(anyhow::Error::from)
            .and_then(|batch| unpack(&batch))
            .with_context(|| damaged(file.path()));
        match rows {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
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

fn batch(rows: &[RawRow]) -> anyhow::Result<RecordBatch> {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.key)));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.value)));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes)));
    Ok(RecordBatch::try_new(schema(), vec![keys, values, bytes])?)
}

fn unpack<T: DeserializeOwned>(batch: &RecordBatch) -> anyhow::Result<Vec<Row<T>>> {
    fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> anyhow::Result<&'a A> {
        let found = batch
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref());
        found.ok_or_else(|| anyhow!("column `{name}` is missing or of another type"))
    }
    let keys: &StringArray = column(batch, "key")?;
    let values: &StringArray = column(batch, "value")?;
    let bytes: &BinaryArray = column(batch, "bytes")?;
    let row = |at| {
        let key = keys.value(at).to_owned();
        let value = serde_json::from_str(values.value(at))
            .with_context(|| format!("row `{key}` holds another kind of value"))?;
        Ok(Row {
            key,
            value,
            bytes: bytes.value(at).to_vec(),
        })
    };
    (0..batch.num_rows()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Table<u32> = Table::new("numbers");
    const SENT: Shuffle<u32> = Shuffle::new("sent");

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).unwrap();
        (folder, store)
    }

    fn send(writer: &mut ShuffleWriter<u32>, destination: usize, n: u32) {
        let bytes = vec![n as u8; 1000];
        writer.send(destination, format!("key {n:05}"), &n, bytes).unwrap();
    }

    #[test]
    fn a_table_comes_back_in_order() {
        let (_folder, store) = store();
        let mut writer = NUMBERS.create(&store, 3).unwrap();
        for n in 0..1000_u32 {
            writer.push(n.to_string(), &n, n.to_le_bytes().to_vec()).unwrap();
        }
        assert!(!NUMBERS.exists(&store, 3).unwrap());
        writer.publish().unwrap();
        let found: Vec<Row<u32>> = NUMBERS.read(&store, 3).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(n, row)| row.value == n as u32 && row.key == n.to_string())
        );
        assert_eq!(found[7].bytes, [7, 0, 0, 0]);
        let other: Table<String> = Table::new("numbers");
        let error = other.read(&store, 3).unwrap().next().unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("another kind of value"), "{error:#}");
    }

    #[test]
    fn each_destination_receives_its_own_rows_sorted() {
        let (_folder, store) = store();
        for (task, numbers) in [vec![5, 3, 9], vec![1, 4]].into_iter().enumerate() {
            let mut writer = SENT.create(&store, task).unwrap();
            numbers.into_iter().for_each(|n| send(&mut writer, n as usize % 3, n));
            writer.publish().unwrap();
        }
        let to = |destination| -> Vec<u32> {
            let rows = SENT.received(&store, 2, destination);
            rows.map(|row| row.unwrap().value).collect()
        };
        assert_eq!((to(0), to(1), to(2), to(3)), (vec![3, 9], vec![1, 4], vec![5], vec![]));
        assert!(
            SENT.received(&store, 3, 0).any(|row| row.is_err()),
            "the third task has no file"
        );
    }

    #[test]
    fn little_memory_gives_the_same_bytes() {
        let (_folder, store) = store();
        let publish = |task, memory_bytes, numbers: &mut dyn Iterator<Item = u32>| {
            let mut writer = SENT.create(&store, task).unwrap();
            writer.rows = Sorter::new(memory_bytes);
            numbers.for_each(|n| send(&mut writer, n as usize % 7, n));
            writer.publish().unwrap();
            store.read(&file_name("sent", task)).unwrap()
        };
        let much = publish(0, usize::MAX, &mut (0..200));
        assert!(much == publish(1, 100_000, &mut (0..200)));
        assert!(
            much == publish(2, 1, &mut (0..200).rev()),
            "each row spilled, in another order"
        );
    }

    #[test]
    fn a_destination_may_have_several_row_groups() {
        let (_folder, store) = store();
        let mut groups = Groups::begin(store.create(&file_name("sent", 0)).unwrap(), 1000).unwrap();
        for n in 0..5_u32 {
            groups.push(raw(2, "", &n, vec![0; 400]).unwrap()).unwrap();
        }
        let destinations = KeyValue::new(DESTINATIONS.to_owned(), "2,2".to_owned());
        groups.publish(Some(destinations)).unwrap();
        let rows = SENT.received(&store, 1, 2);
        assert_eq!(rows.map(|row| row.unwrap().value).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
