//! Parquet tables of page, image address and alt text, as web-scale collections are handed on.
//!
//! A table is cut into ranges of rows, and a page into none: the rows of a page that lie together belong to the range of the first
//! of them. Rows of a page that lie apart are put together within a range.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::address::{NO_ADDRESS, NOT_WEB, cut, web_address};
use super::config::{Columns, InputConfig};
use super::error::InputError;
use super::record::Record;
use crate::DropReason;
use crate::page::{Page, PageImage};

const NO_PAGE: DropReason = DropReason("row without a page");
const LONG_ADDRESS: DropReason = DropReason("address too long");
const TOO_MANY: DropReason = DropReason("too many images on the page");
const DAMAGED: DropReason = DropReason("damaged table");

/// Rows that are decoded at once; a batch of long texts stays small.
const BATCH_ROWS: usize = 1024;

/// Even a table of one row again and again takes more: what promises more rows a byte lies.
const MAX_ROWS_A_BYTE: u64 = 1000;
const REWRITE: &str = "the file may be cut off or of another kind; write it again";
const NAME_COLUMNS: &str = "name its columns in the configuration, under `columns`: page, image, alt, title";

/// Usual names of the columns, the best first.
const PAGE_NAMES: &str = "page page_url source_page page_address source_page_url parent_url source_url referrer";
const IMAGE_NAMES: &str = "image image_url src img_url image_src picture picture_url url";
const ALT_NAMES: &str = "alt alt_text caption text description";
const TITLE_NAMES: &str = "title page_title page_name";

/// The rows of a table, cut into ranges. The columns are checked here, before any work is spent.
pub(super) fn row_ranges(name: &str, path: &Path, config: &InputConfig) -> Result<Vec<Range<u64>>, InputError> {
    let rows = Table::open(name, path, &config.columns)?.rows;
    let starts = (0..rows).step_by(usize::try_from(config.rows_per_shard).unwrap_or(usize::MAX));
    let range = |start: u64| start..start.saturating_add(config.rows_per_shard).min(rows);
    Ok(starts.map(range).collect())
}

/// The records of a range of rows: rejected rows as they come, at the end the pages.
pub(super) struct Rows<'a> {
    pages: Pages<'a>,
    /// None when all rows of interest are read.
    batches: Option<ParquetRecordBatchReader>,
    /// Names of the columns: page, image, alt, title.
    columns: [Option<String>; 4],
    next_row: u64,
    ready: VecDeque<Record>,
}

impl<'a> Rows<'a> {
    /// The given rows, or all. `name` stands for the file in what is rejected.
    pub(super) fn open(
        name: &'a str,
        path: &Path,
        rows: Option<Range<u64>>,
        config: &'a InputConfig,
    ) -> Result<Self, InputError> {
        let table = Table::open(name, path, &config.columns)?;
        let range = rows.unwrap_or(0..table.rows);
        let next_row = range.start.saturating_sub(1);
        let name_of = |at: usize| table.builder.schema().field(at).name().clone();
        let columns = table.columns.map(|at| at.map(name_of));
        let batches = catch_unwind(AssertUnwindSafe(|| table.batches(next_row)));
        let mut rows = Self {
            pages: Pages::new(name, config, range),
            batches: None,
            columns,
            next_row,
            ready: VecDeque::new(),
        };
        match batches {
            Ok(Ok(batches)) => rows.batches = Some(batches),
            Ok(Err(_)) | Err(_) => rows.ready.push_back(Record::rejected(name, DAMAGED)),
        }
        Ok(rows)
    }

    /// Takes the next rows in; breaks behind the last of interest.
    fn take_batch(&mut self) -> Result<ControlFlow<()>, ArrowError> {
        let batch: RecordBatch = match self.batches.as_mut().and_then(Iterator::next) {
            Some(batch) => batch?,
            None => return Ok(ControlFlow::Break(())),
        };
        let columns = self
            .columns
            .each_ref()
            .map(|name| batch.column_by_name(name.as_deref()?));
        for at in 0..batch.num_rows() {
            let [page, image, alt, title] = columns.map(|column| text(column?, at));
            let row = self.next_row;
            self.next_row += 1;
            match self.pages.place(row, page) {
                Ordering::Greater => return Ok(ControlFlow::Break(())),
                Ordering::Less => {}
                Ordering::Equal => {
                    if let Err(reason) = self.pages.add(page, image, alt, title) {
                        let item = format!("{} row {row}", self.pages.name);
                        self.ready.push_back(Record::rejected(item, reason));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Iterator for Rows<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while self.ready.is_empty() && self.batches.is_some() {
            // Parquet is decoded by other people's code over other people's files: a panic costs the rest of this range only.
            let taken = catch_unwind(AssertUnwindSafe(|| self.take_batch()));
            if let Ok(Ok(ControlFlow::Continue(()))) = taken {
                continue;
            }
            self.batches = None;
            self.ready.extend(self.pages.pages.drain(..).map(Record::Page));
            if !matches!(taken, Ok(Ok(_))) {
                self.ready.push_back(Record::rejected(self.pages.name, DAMAGED));
            }
        }
        self.ready.pop_front()
    }
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
    /// Places among the pages, by address.
    slots: HashMap<String, usize>,
    pages: Vec<Page>,
}

impl<'a> Pages<'a> {
    fn new(name: &'a str, config: &'a InputConfig, range: Range<u64>) -> Self {
        Self {
            name,
            config,
            range,
            before: None,
            last: None,
            slots: HashMap::new(),
            pages: Vec::new(),
        }
    }

    /// The place of the next row, whose page is given: before, inside or behind the range.
    fn place(&mut self, row: u64, page: Option<&str>) -> Ordering {
        if row < self.range.start {
            self.before = page.map(str::to_owned);
            return Ordering::Less;
        }
        let is_behind = self.range.end <= row;
        if self.before.is_some() {
            if self.before.as_deref() == page {
                return if is_behind { Ordering::Greater } else { Ordering::Less };
            }
            self.before = None;
        }
        if is_behind && (page.is_none() || self.last.as_deref() != page) {
            return Ordering::Greater;
        }
        if row + 1 == self.range.end {
            self.last = page.map(str::to_owned);
        }
        Ordering::Equal
    }

    fn add(
        &mut self,
        page: Option<&str>,
        image: Option<&str>,
        alt: Option<&str>,
        title: Option<&str>,
    ) -> Result<(), DropReason> {
        let (page, image) = (page.ok_or(NO_PAGE)?.trim(), image.ok_or(NO_ADDRESS)?.trim());
        if self.config.max_address_bytes < page.len().max(image.len()) {
            return Err(LONG_ADDRESS);
        }
        let page = web_address(page)?;
        if image.is_empty() {
            return Err(NO_ADDRESS);
        }
        let image = web_address(page.join(image).map_err(|_| NOT_WEB)?.as_str())?;
        let text = |cell: Option<&str>| cut(cell.unwrap_or_default().to_owned(), self.config.max_text_bytes);
        let slot = *self.slots.entry(page.into()).or_insert_with_key(|url| {
            self.pages.push(Page {
                url: url.clone(),
                ..Page::default()
            });
            self.pages.len() - 1
        });
        let page = &mut self.pages[slot];
        if page.title.is_empty() {
            page.title = text(title);
        }
        if self.config.max_images_per_page <= page.images.len() {
            return Err(TOO_MANY);
        }
        page.images.push(PageImage {
            url: image.into(),
            alt: text(alt),
            ..PageImage::default()
        });
        Ok(())
    }
}

/// An open table whose columns are known.
struct Table {
    builder: ParquetRecordBatchReaderBuilder<File>,
    rows: u64,
    /// Places of the columns in the file: page, image, alt, title.
    columns: [Option<usize>; 4],
}

impl Table {
    fn open(name: &str, path: &Path, columns: &Columns) -> Result<Self, InputError> {
        let bad = |problem: String, hint| InputError::BadTable {
            name: name.to_owned(),
            problem,
            hint,
        };
        let file = fs_err::File::open(path)?;
        let bytes = file.metadata()?.len();
        // Without the writer's Arrow schema each text column is plain text, whatever it was in the writer's memory.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = catch_unwind(AssertUnwindSafe(|| {
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.into_file(), options)
        }))
        .map_err(|_| bad("its footer is damaged".to_owned(), REWRITE))?
        .map_err(|error| bad(error.to_string(), REWRITE))?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        if bytes.saturating_mul(MAX_ROWS_A_BYTE) < rows {
            let problem = format!("its footer promises {rows} rows, but it has only {bytes} bytes");
            return Err(bad(problem, REWRITE));
        }
        let columns = find_columns(builder.schema(), columns).map_err(|problem| bad(problem, NAME_COLUMNS))?;
        Ok(Self { builder, rows, columns })
    }

    /// The rows from `start` on.
    fn batches(self, start: u64) -> Result<ParquetRecordBatchReader, ParquetError> {
        let metadata = self.builder.metadata();
        let (mut first_row, mut first_group) = (0u64, 0);
        for group in metadata.row_groups() {
            let end = first_row.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
            if start < end {
                break;
            }
            first_row = end;
            first_group += 1;
        }
        let groups = (first_group..metadata.num_row_groups()).collect();
        let columns = self.columns.iter().copied().flatten();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), columns);
        let offset = usize::try_from(start - first_row.min(start))?;
        self.builder
            .with_row_groups(groups)
            .with_projection(mask)
            .with_offset(offset)
            .with_batch_size(BATCH_ROWS)
            .build()
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

fn is_text(schema: &Schema, at: usize) -> bool {
    matches!(
        schema.field(at).data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary
    )
}

/// The columns by their given names, else by the usual ones; the error is what is wrong with the table.
fn find_columns(schema: &Schema, given: &Columns) -> Result<[Option<usize>; 4], String> {
    let needed = |setting, given: &str, usual| find_column(schema, setting, given, usual).map(Some);
    let optional = |setting, given: &str, usual| match needed(setting, given, usual) {
        // What only goes by a usual name may be something else.
        Err(_) if given.is_empty() => Ok(None),
        found => found,
    };
    Ok([
        needed("page", &given.page, PAGE_NAMES)?,
        needed("image", &given.image, IMAGE_NAMES)?,
        optional("alt", &given.alt, ALT_NAMES)?,
        optional("title", &given.title, TITLE_NAMES)?,
    ])
}

fn find_column(schema: &Schema, setting: &str, given: &str, usual: &str) -> Result<usize, String> {
    let names: Vec<&str> = if given.is_empty() {
        usual.split(' ').collect()
    } else {
        vec![given]
    };
    let place = |name: &&str| {
        schema
            .fields()
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(name))
    };
    let Some(at) = names.iter().find_map(place) else {
        let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let (names, found) = (names.join("`, `"), found.join("`, `"));
        return Err(format!("it has no column for `{setting}` (`{names}`), only `{found}`"));
    };
    if is_text(schema, at) {
        return Ok(at);
    }
    let field = schema.field(at);
    let (name, kind) = (field.name(), field.data_type());
    Err(format!("its column `{name}` holds {kind}, but must hold text"))
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
        let line = |record| match record {
            Record::Page(page) => {
                let alts: Vec<&str> = page.images.iter().map(|image| image.alt.as_str()).collect();
                format!("{}: {}", page.url, alts.join(" "))
            }
            Record::Rejected(rejected) => format!("{}: {}", rejected.item, rejected.reason.0),
            other => panic!("{other:?}"),
        };
        let rows = Rows::open("links", path, Some(rows), config).unwrap();
        rows.map(line).collect()
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
        for record in Rows::open("links", &path, None, &InputConfig::default()).unwrap() {
            if let Record::Page(page) = record {
                urls.extend(page.images.into_iter().map(|image| image.url));
            }
        }
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
            ["links row 2: too many images on the page", "http://p.org/:  2"]
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
            // Whatever is wrong, there is an error or there are records.
            let config = InputConfig::default();
            let count = Rows::open("links", &path, Some(0..8), &config).map(Iterator::count);
            assert!(count.is_err() || count.is_ok_and(|count| 0 < count), "byte {at}");
        }
        fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = row_ranges("links", &path, &InputConfig::default()).unwrap_err();
        assert!(matches!(error, InputError::BadTable { .. }), "{error}");
    }
}
