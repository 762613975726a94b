//! Parquet tables: written aside, synced and renamed; read column by column, with errors that name the column.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{ArrowError, DataType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::files::write_atomic;

/// Why a Parquet table could not be written or read.
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
        /// What the reader says.
        reason: String,
    },
    /// The writer failed.
    #[error("`{path}` cannot be written as Parquet: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the writer says.
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
        /// What is wrong.
        reason: String,
    },
}

/// Writes `batches`, at least one, to `path`, whole or not at all.
pub(crate) fn write(path: &Path, batches: &[RecordBatch]) -> Result<(), TableError> {
    let failed = |reason: String| TableError::Write {
        path: path.to_owned(),
        reason,
    };
    let first = batches.first().ok_or_else(|| failed("no rows were given".to_owned()))?;
    write_atomic(path, |file| {
        let write = || {
            let mut writer = ArrowWriter::try_new(file, first.schema(), None)?;
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.close()
        };
        write().map_err(|error: ParquetError| failed(error.to_string()))?;
        Ok(())
    })
}

/// Reads all rows of `path` as batches of columns.
pub(crate) fn read(path: &Path) -> Result<Vec<RecordBatch>, TableError> {
    let damaged = |reason: String| TableError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let file: File = fs_err::File::open(path)?.into_parts().0;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| damaged(error.to_string()))?;
    reader
        .collect::<Result<_, ArrowError>>()
        .map_err(|error| damaged(error.to_string()))
}

/// The columns of one batch, by name.
pub(crate) struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(path: &'a Path, batch: &'a RecordBatch) -> Self {
        Self { path, batch }
    }

    /// A text column without nulls.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<&'a str>, TableError> {
        let texts = self.optional_texts(column)?;
        let filled = |(row, text): (usize, Option<&'a str>)| text.ok_or_else(|| self.null(column, row));
        texts.into_iter().enumerate().map(filled).collect()
    }

    /// A text column that may hold nulls.
    pub(crate) fn optional_texts(&self, column: &str) -> Result<Vec<Option<&'a str>>, TableError> {
        Ok(self.typed::<StringArray>(column, "text")?.iter().collect())
    }

    /// A column of lists of texts; a null list is an empty one.
    pub(crate) fn lists(&self, column: &str) -> Result<Vec<Vec<&'a str>>, TableError> {
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
    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<&'a [u8]>, TableError> {
        let values = self.typed::<BinaryArray>(column, "bytes")?.iter().enumerate();
        values
            .map(|(row, value)| value.ok_or_else(|| self.null(column, row)))
            .collect()
    }

    /// A column of whole numbers without nulls.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<u32>, TableError> {
        let numbers = self
            .typed::<UInt32Array>(column, "32 bit whole numbers")?
            .iter()
            .enumerate();
        numbers
            .map(|(row, number)| number.ok_or_else(|| self.null(column, row)))
            .collect()
    }

    /// `parse` for a value; what it says is wrong becomes an error that names column and row.
    pub(crate) fn parse<T, E: std::fmt::Display>(
        &self,
        column: &str,
        row: usize,
        parsed: Result<T, E>,
    ) -> Result<T, TableError> {
        parsed.map_err(|error| self.bad_value(column, row, error.to_string()))
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
pub(crate) fn text_column(texts: impl IntoIterator<Item = impl AsRef<str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// A text column that may hold nulls.
pub(crate) fn optional_text_column<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(texts.into_iter().collect::<StringArray>())
}

/// A column of whole numbers.
pub(crate) fn number_column(numbers: impl IntoIterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(numbers))
}

/// A column of lists of texts.
pub(crate) fn list_column<T: AsRef<str>>(lists: impl IntoIterator<Item = impl IntoIterator<Item = T>>) -> ArrayRef {
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
pub(crate) fn batch(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, TableError> {
    // The type is not left to the values: an optional column without nulls must not become another column.
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| TableError::Write {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
