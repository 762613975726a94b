//! Parquet tables: written whole or not at all; read column by column, with errors that name the column.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, RecordBatch, StringArray, UInt32Array};
use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::files::write_atomic;

/// An error of writing or reading a Parquet table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file could not be opened, written or renamed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is no Parquet file, or a damaged one.
    #[error(
        "`{path}` cannot be read as Parquet: {reason}\nhint: the file may be cut off or of another kind; write it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The message of the reader.
        reason: String,
    },
    /// The writer failed.
    #[error("`{path}` cannot be written as Parquet: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The message of the writer.
        reason: String,
    },
    /// A column that must be there is not.
    #[error(
        "`{path}` has no column `{column}`\nhint: it was written by another version or another program; write it again"
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A column holds another type.
    #[error("column `{column}` of `{path}` holds {found}, but {expected} is needed")]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The type that is needed.
        expected: String,
        /// The type that is there.
        found: String,
    },
    /// A value that cannot be what the column says.
    #[error("column `{column}` of `{path}`, row {row}: {reason}")]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The row, counted from 0 in its row batch.
        row: usize,
        /// The problem.
        reason: String,
    },
}

impl TableError {
    pub(crate) fn write(path: &Path, reason: impl Display) -> Self {
        Self::Write {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Writes `batches`, at least one, to `path`, whole or not at all.
pub fn write(path: &Path, batches: &[RecordBatch]) -> Result<(), TableError> {
    let first = batches
        .first()
        .ok_or_else(|| TableError::write(path, "no rows were given"))?;
    write_atomic(path, |file| {
        let write = || {
            let mut writer = ArrowWriter::try_new(file, first.schema(), None)?;
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.close()
        };
        write().map_err(|error: ParquetError| TableError::write(path, error))?;
        Ok(())
    })
}

/// All rows of `path`, which `rows_of` makes of one batch of columns after another.
pub fn read_rows<T>(
    path: &Path,
    mut rows_of: impl FnMut(Columns<'_>) -> Result<Vec<T>, TableError>,
) -> Result<Vec<T>, TableError> {
    let mut rows = Vec::new();
    for batch in read_batches(path, None)? {
        rows.append(&mut rows_of(Columns::new(path, &batch?))?);
    }
    Ok(rows)
}

/// The batches of `path`, of up to `batch_rows` rows.
pub(crate) fn read_batches(
    path: &Path,
    batch_rows: Option<usize>,
) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>> + use<>, TableError> {
    let file = fs_err::File::open(path)?.into_parts().0;
    let path = path.to_owned();
    let damaged = move |reason: String| TableError::Damaged {
        path: path.clone(),
        reason,
    };
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(error.to_string()))?;
    if let Some(rows) = batch_rows {
        builder = builder.with_batch_size(rows);
    }
    let reader = builder.build().map_err(|error| damaged(error.to_string()))?;
    Ok(reader.map(move |batch| batch.map_err(|error| damaged(error.to_string()))))
}

/// The columns of one batch, by name.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    /// The columns of `batch`, which was read from `path`.
    pub fn new(path: &'a Path, batch: &'a RecordBatch) -> Self {
        Self { path, batch }
    }

    /// A text column without nulls.
    pub fn texts(&self, column: &str) -> Result<Vec<&'a str>, TableError> {
        let texts = self.optional_texts(column)?;
        let filled = |(row, text): (usize, Option<&'a str>)| text.ok_or_else(|| self.null(column, row));
        texts.into_iter().enumerate().map(filled).collect()
    }

    /// A text column that may hold nulls.
    pub fn optional_texts(&self, column: &str) -> Result<Vec<Option<&'a str>>, TableError> {
        Ok(self.typed::<StringArray>(column, "text")?.iter().collect())
    }

    /// A column of lists of texts; a null list is an empty one.
    pub fn lists(&self, column: &str) -> Result<Vec<Vec<&'a str>>, TableError> {
        let lists = self.typed::<ListArray>(column, "a list of texts")?;
        let texts = lists.values().as_any().downcast_ref::<StringArray>();
        let texts = texts.ok_or_else(|| self.wrong_type(column, "a list of texts", lists.data_type()))?;
        let offsets = lists.value_offsets();
        let list = |row: usize| {
            let range = offsets[row] as usize..offsets[row + 1] as usize;
            let text = |at: usize| {
                if texts.is_null(at) {
                    Err(self.null(column, row))
                } else {
                    Ok(texts.value(at))
                }
            };
            range.map(text).collect()
        };
        (0..lists.len()).map(list).collect()
    }

    /// A column of bytes without nulls.
    pub fn bytes(&self, column: &str) -> Result<Vec<&'a [u8]>, TableError> {
        let values = self.typed::<BinaryArray>(column, "bytes")?.iter().enumerate();
        values
            .map(|(row, value)| value.ok_or_else(|| self.null(column, row)))
            .collect()
    }

    /// A column of whole numbers without nulls.
    pub fn numbers(&self, column: &str) -> Result<Vec<u32>, TableError> {
        let numbers = self
            .typed::<UInt32Array>(column, "32 bit whole numbers")?
            .iter()
            .enumerate();
        numbers
            .map(|(row, number)| number.ok_or_else(|| self.null(column, row)))
            .collect()
    }

    /// A text column without nulls, each text parsed.
    pub fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Vec<T>, TableError> {
        let texts = self.texts(column)?.into_iter().enumerate();
        texts.map(|(row, text)| self.check(column, row, text.parse())).collect()
    }

    /// A column of lists of texts, each text parsed.
    pub fn parsed_lists<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Vec<Vec<T>>, TableError> {
        let parse = |(row, texts): (usize, Vec<&str>)| {
            let values = texts.into_iter().map(|text| self.check(column, row, text.parse()));
            values.collect()
        };
        self.lists(column)?.into_iter().enumerate().map(parse).collect()
    }

    /// The value of a row, or its error with the names of column and row.
    pub fn check<T>(&self, column: &str, row: usize, value: Result<T, impl Display>) -> Result<T, TableError> {
        value.map_err(|error| self.bad_value(column, row, error.to_string()))
    }

    fn typed<T: 'static>(&self, column: &str, expected: &str) -> Result<&'a T, TableError> {
        let array: &'a ArrayRef = self
            .batch
            .column_by_name(column)
            .ok_or_else(|| TableError::MissingColumn {
                path: self.path.to_owned(),
                column: column.to_owned(),
            })?;
        array
            .as_any()
            .downcast_ref::<T>()
            .ok_or_else(|| self.wrong_type(column, expected, array.data_type()))
    }

    fn wrong_type(&self, column: &str, expected: &str, found: &DataType) -> TableError {
        TableError::WrongType {
            path: self.path.to_owned(),
            column: column.to_owned(),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }

    fn null(&self, column: &str, row: usize) -> TableError {
        self.bad_value(column, row, "a value is missing".to_owned())
    }

    fn bad_value(&self, column: &str, row: usize, reason: String) -> TableError {
        TableError::BadValue {
            path: self.path.to_owned(),
            column: column.to_owned(),
            row,
            reason,
        }
    }
}

/// A text column.
pub fn text_column(texts: impl IntoIterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// A text column that may hold nulls.
pub fn optional_text_column<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(texts.into_iter().collect::<StringArray>())
}

/// A column of whole numbers.
pub fn number_column(numbers: impl IntoIterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(numbers))
}

/// A column of lists of texts.
pub fn list_column<T: AsRef<str>>(lists: impl IntoIterator<Item = impl IntoIterator<Item = T>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in lists {
        for text in list {
            builder.values().append_value(text);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// A batch of named columns.
pub fn batch(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, TableError> {
    // The type is not left to the values: an optional column without nulls must not become another column.
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| TableError::write(path, error))
}
