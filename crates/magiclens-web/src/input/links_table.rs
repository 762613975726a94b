//! Parquet tables of page, image address and alt text, as web-scale collections are handed on.
//!
//! A table is cut into ranges of rows, and a page into none: the rows of a page that lie together belong to the range of the first
//! of them. Rows of a page that lie apart are put together within a range.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::Context;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use url::Url;

use super::plan::InputError;
use super::{InputConfig, NO_ADDRESS, NOT_WEB, Record, cut, web_address};
use crate::DropReason;
use crate::page::{Page, PageImage};

const NO_PAGE: DropReason = DropReason("row without a page");
const LONG_ADDRESS: DropReason = DropReason("address too long");
const TOO_MANY: DropReason = DropReason("too many pictures on the page");
const DAMAGED: DropReason = DropReason("damaged table");

/// Rows that are decoded at once; a batch of long texts stays small.
const BATCH_ROWS: usize = 1024;

/// Even a table of one row again and again takes more: what promises more rows a byte lies.
const MAX_ROWS_A_BYTE: u64 = 1000;
const REWRITE: &str = "the file may be cut off or of another kind; write it again";

/// The columns of a table of links. An empty name stands for the first of the usual names that the table has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The address of the page.
    pub page: String,
    /// The address of the image, absolute or relative to the page.
    pub image: String,
    /// The alt text. A table may do without.
    pub alt: String,
    /// The title of the page. A table may do without.
    pub title: String,
}

const PAGE_NAMES: [&str; 8] = [
    "page",
    "page_url",
    "source_page",
    "page_address",
    "source_page_url",
    "parent_url",
    "source_url",
    "referrer",
];
const IMAGE_NAMES: [&str; 8] = [
    "image",
    "image_url",
    "src",
    "img_url",
    "image_src",
    "picture",
    "picture_url",
    "url",
];
const ALT_NAMES: [&str; 5] = ["alt", "alt_text", "caption", "text", "description"];
const TITLE_NAMES: [&str; 3] = ["title", "page_title", "page_name"];

/// The rows of a table, cut into ranges. The columns are checked here, before any work is spent.
pub(super) fn row_ranges(name: &str, path: &Path, config: &InputConfig) -> Result<Vec<Range<u64>>, InputError> {
    let table = Table::open(name, path, &config.columns)?;
    let rows = table.rows;
    let starts = (0..rows).step_by(usize::try_from(config.rows_per_shard).unwrap_or(usize::MAX));
    Ok(starts
        .map(|start| start..start.saturating_add(config.rows_per_shard).min(rows))
        .collect())
}

/// Reads the pages of a range of rows; of all rows if none is given. `name` stands for the file in what is rejected.
pub(super) fn read(
    name: &str,
    path: &Path,
    rows: Option<Range<u64>>,
    config: &InputConfig,
    each: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let table = Table::open(name, path, &config.columns)?;
    let rows = rows.unwrap_or(0..table.rows);
    let mut pages = Pages {
        name,
        config,
        range: rows.clone(),
        before: None,
        last: None,
        slots: HashMap::new(),
        pages: Vec::new(),
        rejected: Vec::new(),
    };
    // Parquet is decoded by other people's code over other people's files: a panic costs the rest of this entry only.
    let mut told = Ok(());
    let read = catch_unwind(AssertUnwindSafe(|| {
        table.read(rows.start.saturating_sub(1), &mut |row, cells| {
            let goes_on = pages.take(row, &cells);
            // At once: a page may have any number of rows beyond the limit.
            for rejected in pages.rejected.drain(..) {
                if told.is_ok() {
                    told = each(rejected);
                }
            }
            goes_on && told.is_ok()
        })
    }));
    told?;
    pages.pages.into_iter().map(Record::Page).try_for_each(&mut *each)?;
    match read {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => each(Record::Rejected {
            item: name.to_owned(),
            reason: DAMAGED,
        }),
    }
}

/// The texts of one row.
#[derive(Clone, Copy, Debug, Default)]
struct Cells<'a> {
    page: Option<&'a str>,
    image: Option<&'a str>,
    alt: Option<&'a str>,
    title: Option<&'a str>,
}

/// The pages of a range of rows, in the order of their first rows.
struct Pages<'a> {
    name: &'a str,
    config: &'a InputConfig,
    range: Range<u64>,
    /// The page of the row before the range, while its rows go on: they belong to the range before.
    before: Option<String>,
    /// The page of the last row of the range, whose rows may go on behind it.
    last: Option<String>,
    /// Where among the pages one lies.
    slots: HashMap<String, usize>,
    pages: Vec<Page>,
    rejected: Vec<Record>,
}

impl Pages<'_> {
    /// Takes a row in; false if it is the first that is of no more interest.
    fn take(&mut self, row: u64, cells: &Cells) -> bool {
        if row < self.range.start {
            self.before = cells.page.map(str::to_owned);
            return true;
        }
        let is_behind = self.range.end <= row;
        if self.before.is_some() {
            if self.before.as_deref() == cells.page {
                return !is_behind;
            }
            self.before = None;
        }
        if is_behind && (cells.page.is_none() || self.last.as_deref() != cells.page) {
            return false;
        }
        if row + 1 == self.range.end {
            self.last = cells.page.map(str::to_owned);
        }
        if let Err(reason) = self.add(cells) {
            let item = format!("{} row {row}", self.name);
            self.rejected.push(Record::Rejected { item, reason });
        }
        true
    }

    fn add(&mut self, cells: &Cells) -> Result<(), DropReason> {
        let limit = |text: &str| {
            if self.config.max_address_bytes < text.len() {
                Err(LONG_ADDRESS)
            } else {
                Ok(())
            }
        };
        let (page, image) = (cells.page.ok_or(NO_PAGE)?.trim(), cells.image.ok_or(NO_ADDRESS)?.trim());
        limit(page)?;
        limit(image)?;
        let page_url = web_address(page)?;
        let url = image_address(&page_url, image)?;
        let text = |cell: Option<&str>| cut(cell.unwrap_or_default().to_owned(), self.config.max_text_bytes);
        let image = PageImage {
            url,
            alt: text(cells.alt),
            ..PageImage::default()
        };
        let title = text(cells.title);
        let page_url = String::from(page_url);
        let slot = *self.slots.entry(page_url).or_insert_with_key(|url| {
            self.pages.push(Page {
                url: url.clone(),
                ..Page::default()
            });
            self.pages.len() - 1
        });
        let page = &mut self.pages[slot];
        if page.title.is_empty() {
            page.title = title;
        }
        if self.config.max_images_per_page <= page.images.len() {
            return Err(TOO_MANY);
        }
        page.images.push(image);
        Ok(())
    }
}

fn image_address(page: &Url, image: &str) -> Result<String, DropReason> {
    if image.is_empty() {
        return Err(NO_ADDRESS);
    }
    let url = page.join(image).map_err(|_| NOT_WEB)?;
    web_address(url.as_str()).map(String::from)
}

/// An open table whose columns are known.
struct Table {
    builder: ParquetRecordBatchReaderBuilder<File>,
    rows: u64,
    /// Where the columns lie in the file: page, image, alt, title.
    columns: [Option<usize>; 4],
}

impl Table {
    fn open(name: &str, path: &Path, columns: &Columns) -> Result<Self, InputError> {
        let file = fs_err::File::open(path)?;
        let bytes = file.metadata()?.len();
        // Without the writer's Arrow schema each text column is plain text, whatever it was in the writer's memory.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = catch_unwind(AssertUnwindSafe(|| {
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.into_file(), options)
        }));
        let bad = |problem: String, hint| InputError::BadTable {
            name: name.to_owned(),
            problem,
            hint,
        };
        let builder = match builder {
            Ok(Ok(builder)) => builder,
            Ok(Err(error)) => return Err(bad(error.to_string(), REWRITE)),
            Err(_) => return Err(bad("its footer is damaged".to_owned(), REWRITE)),
        };
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        if bytes.saturating_mul(MAX_ROWS_A_BYTE) < rows {
            return Err(bad(
                format!("its footer promises {rows} rows, but it has only {bytes} bytes"),
                REWRITE,
            ));
        }
        let column = |setting: &'static str, given: &str, usual: &[&str], is_needed| {
            find_column(builder.schema(), setting, given, usual, is_needed).map_err(|problem| {
                bad(
                    problem,
                    "name its columns in the configuration, under `columns`: page, image, alt, title",
                )
            })
        };
        let columns = [
            column("page", &columns.page, &PAGE_NAMES, true)?,
            column("image", &columns.image, &IMAGE_NAMES, true)?,
            column("alt", &columns.alt, &ALT_NAMES, false)?,
            column("title", &columns.title, &TITLE_NAMES, false)?,
        ];
        Ok(Self { builder, rows, columns })
    }

    /// Gives the rows from `start` on to `each`, with their numbers, until that returns false.
    fn read(self, start: u64, each: &mut dyn FnMut(u64, Cells) -> bool) -> anyhow::Result<()> {
        let mut first_row = 0u64;
        let mut skipped_groups = 0;
        for group in self.builder.metadata().row_groups() {
            let end = first_row.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
            if start < end {
                break;
            }
            first_row = end;
            skipped_groups += 1;
        }
        let groups = (skipped_groups..self.builder.metadata().num_row_groups()).collect();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), self.columns.iter().copied().flatten());
        let names = self
            .columns
            .map(|column| column.map(|at| self.builder.schema().field(at).name().clone()));
        let offset = usize::try_from(start - first_row.min(start)).context("too many rows")?;
        let reader = self
            .builder
            .with_row_groups(groups)
            .with_projection(mask)
            .with_offset(offset)
            .with_batch_size(BATCH_ROWS)
            .build()?;
        let mut row = start;
        for batch in reader {
            let batch = batch?;
            let columns = names.each_ref().map(|name| batch.column_by_name(name.as_deref()?));
            for at in 0..batch.num_rows() {
                let [page, image, alt, title] = columns.map(|column| column.and_then(|column| text(column, at)));
                let cells = Cells {
                    page,
                    image,
                    alt,
                    title,
                };
                if !each(row, cells) {
                    return Ok(());
                }
                row += 1;
            }
        }
        Ok(())
    }
}

/// A cell of a text column; none if it is null, or bytes that are no UTF-8.
fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Binary => std::str::from_utf8(column.as_binary::<i32>().value(row)).ok(),
        _ => None,
    }
}

/// The place of a column by its given name, else by the usual names; the error says what is wrong.
fn find_column(
    schema: &Schema,
    setting: &str,
    given: &str,
    usual: &[&str],
    is_needed: bool,
) -> Result<Option<usize>, String> {
    let find = |name: &str| {
        schema
            .fields()
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(name))
    };
    let found = if given.is_empty() {
        usual.iter().find_map(|name| find(name))
    } else {
        find(given)
    };
    let Some(at) = found else {
        if given.is_empty() && !is_needed {
            return Ok(None);
        }
        let wanted = if given.is_empty() {
            usual.join("`, `")
        } else {
            given.to_owned()
        };
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(format!(
            "it has no column for `{setting}` (`{wanted}`), only `{}`",
            names.join("`, `")
        ));
    };
    let field = schema.field(at);
    match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary => Ok(Some(at)),
        // What only goes by a usual name may be something else.
        _ if given.is_empty() && !is_needed => Ok(None),
        other => Err(format!(
            "its column `{}` holds {other}, but must hold text",
            field.name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// A table with rows of page, image and alt, two to a row group.
    fn write(path: &Path, names: [&str; 3], rows: &[(Option<&str>, Option<&str>, Option<&str>)]) {
        let column = |cells: Vec<Option<&str>>| Arc::new(StringArray::from(cells)) as ArrayRef;
        let batch = RecordBatch::try_from_iter_with_nullable([
            (
                "id",
                Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)) as ArrayRef,
                false,
            ),
            (names[0], column(rows.iter().map(|row| row.0).collect()), true),
            (
                names[1],
                Arc::new(BinaryArray::from_iter(rows.iter().map(|row| row.1.map(str::as_bytes)))) as ArrayRef,
                true,
            ),
            (names[2], column(rows.iter().map(|row| row.2).collect()), true),
        ]);
        let batch = batch.unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
        let file = fs_err::File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn read_all(path: &Path, rows: Range<u64>, config: &InputConfig) -> Vec<String> {
        let mut lines = Vec::new();
        let mut each = |record| {
            lines.push(match record {
                Record::Page(page) => {
                    let alts: Vec<&str> = page.images.iter().map(|image| image.alt.as_str()).collect();
                    format!("{}: {}", page.url, alts.join(" "))
                }
                Record::Rejected { item, reason } => format!("{item}: {}", reason.0),
                other => panic!("{other:?}"),
            });
            Ok(())
        };
        read("links", path, Some(rows), config, &mut each).unwrap();
        lines
    }

    const PAGE: Option<&str> = Some("http://p.org/");
    const OTHER: Option<&str> = Some("http://q.org/");

    #[test]
    fn rows_become_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.parquet");
        let long = "x".repeat(9000);
        let rows = [
            (PAGE, Some("a.png"), Some("one")),
            (OTHER, Some("http://q.org/b.png"), None),
            (PAGE, Some("//r.org/c.png"), Some("two")),
            (None, Some("d.png"), Some("no")),
            (PAGE, None, Some("no")),
            (PAGE, Some("data:image/png,x"), Some("no")),
            (Some("mailto:me"), Some("e.png"), Some("no")),
            (PAGE, Some(&long), Some("no")),
            (PAGE, Some(" "), Some("no")),
        ];
        write(&path, ["Page_URL", "image", "caption"], &rows);
        let expected = [
            "links row 3: row without a page",
            "links row 4: without an address",
            "links row 5: not a web address",
            "links row 6: not a web address",
            "links row 7: address too long",
            "links row 8: without an address",
            "http://p.org/: one two",
            "http://q.org/: ",
        ];
        assert_eq!(read_all(&path, 0..9, &InputConfig::default()), expected);
        let mut urls = Vec::new();
        let mut each = |record| {
            if let Record::Page(page) = record {
                urls.extend(page.images.into_iter().map(|image| image.url));
            }
            Ok(())
        };
        read("links", &path, None, &InputConfig::default(), &mut each).unwrap();
        assert_eq!(urls, ["http://p.org/a.png", "http://r.org/c.png", "http://q.org/b.png"]);
    }

    #[test]
    fn ranges_do_not_cut_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.parquet");
        let third = Some("http://r.org/");
        let pages = [PAGE, PAGE, OTHER, OTHER, OTHER, OTHER, OTHER, third, PAGE];
        let names: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let rows: Vec<_> = pages
            .iter()
            .zip(&names)
            .map(|(page, name)| (*page, Some(name.as_str()), Some(name.as_str())))
            .collect();
        write(&path, ["page", "src", "alt"], &rows);
        for rows_per_shard in 1..=10 {
            let config = InputConfig {
                rows_per_shard,
                ..InputConfig::default()
            };
            let ranges = row_ranges("links", &path, &config).unwrap();
            assert_eq!(ranges.len() as u64, 9u64.div_ceil(rows_per_shard));
            let found: Vec<String> = ranges
                .into_iter()
                .flat_map(|rows| read_all(&path, rows, &config))
                .collect();
            // A page whose rows lie apart is one only within a range.
            let expected: &[&str] = if rows_per_shard < 9 {
                &[
                    "http://p.org/: 0 1",
                    "http://q.org/: 2 3 4 5 6",
                    "http://r.org/: 7",
                    "http://p.org/: 8",
                ]
            } else {
                &["http://p.org/: 0 1 8", "http://q.org/: 2 3 4 5 6", "http://r.org/: 7"]
            };
            assert_eq!(found, expected, "{rows_per_shard} rows a shard");
        }
    }

    #[test]
    fn a_page_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.parquet");
        write(
            &path,
            ["page", "src", "alt"],
            &[
                (PAGE, Some("1"), Some("ä1")),
                (PAGE, Some("2"), Some("2")),
                (PAGE, Some("3"), Some("3")),
            ],
        );
        let config = InputConfig {
            max_images_per_page: 2,
            max_text_bytes: 1,
            ..InputConfig::default()
        };
        assert_eq!(
            read_all(&path, 0..3, &config),
            ["links row 2: too many pictures on the page", "http://p.org/:  2"]
        );
    }

    #[test]
    fn columns_can_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.parquet");
        write(&path, ["where", "what", "words"], &[(PAGE, Some("a.png"), Some("one"))]);
        let columns = |page: &str, image: &str, alt: &str| Columns {
            page: page.to_owned(),
            image: image.to_owned(),
            alt: alt.to_owned(),
            ..Columns::default()
        };
        let check = |columns: Columns, expected: &str| {
            let config = InputConfig {
                columns,
                ..InputConfig::default()
            };
            let error = row_ranges("links", &path, &config)
                .map(|_| String::new())
                .unwrap_or_else(|error| error.to_string());
            assert!(
                error.contains(expected) && error.is_empty() == expected.is_empty(),
                "{error}"
            );
        };
        check(columns("where", "what", "words"), "");
        check(columns("where", "what", ""), "");
        check(Columns::default(), "it has no column for `page` (`page`, `page_url`");
        check(
            columns("where", "what", "alt"),
            "it has no column for `alt` (`alt`), only `id`, `where`, `what`, `words`",
        );
        check(
            columns("where", "id", ""),
            "its column `id` holds Int64, but must hold text",
        );
    }

    #[test]
    fn damaged_tables_are_refused_or_give_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.parquet");
        let rows: Vec<_> = (0..8).map(|_| (PAGE, Some("a.png"), Some("alt"))).collect();
        write(&path, ["page", "src", "alt"], &rows);
        let whole = fs_err::read(&path).unwrap();
        for (at, bit) in (0..whole.len()).step_by(3).zip((0..8).cycle()) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fs_err::write(&path, &bytes).unwrap();
            let mut count = 0;
            let mut each = |_| {
                count += 1;
                Ok(())
            };
            // Whatever is wrong, there is an error or there are records.
            assert!(
                read("links", &path, Some(0..8), &InputConfig::default(), &mut each).is_err() || 0 < count,
                "byte {at}"
            );
        }
        fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = row_ranges("links", &path, &InputConfig::default()).unwrap_err();
        assert!(matches!(error, InputError::BadTable { .. }), "{error}");
    }
}
