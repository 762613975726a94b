//! Tables whose cells caption each other: which cell has the words for which image.

use super::text::{Span, Text};

/// A cell of an open table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) row: usize,
    pub(super) span: Span,
    pub(super) first_image: usize,
    pub(super) end_image: usize,
}

/// The content of a row of cells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// In each cell one image, or nothing.
    Images,
    /// In each cell a few words, or nothing.
    Words,
    Other,
}

/// Cells with images, each with the cell of its words. `max_chars` is the length up to which words can be a caption.
pub(super) fn captioned(cells: &[Cell], text: &Text, max_chars: usize) -> Vec<(Cell, Cell)> {
    let rows: Vec<&[Cell]> = cells.chunk_by(|a, b| a.row == b.row).collect();
    let kind = |row: &[Cell]| kind_of_row(row, text, max_chars);
    let pairs = columns(&rows, kind).or_else(|| labeled_rows(&rows, kind));
    pairs.unwrap_or_default()
}

/// Rows of images above or below rows of as many words: each image takes the words of its column.
fn columns(rows: &[&[Cell]], kind: impl Fn(&[Cell]) -> Row) -> Option<Vec<(Cell, Cell)>> {
    let kinds: Vec<Row> = rows.iter().map(|row| kind(row)).collect();
    let is_regular = kinds.len().is_multiple_of(2)
        && !kinds.contains(&Row::Other)
        && kinds.windows(2).all(|pair| pair[0] != pair[1])
        && rows.iter().all(|row| row.len() == rows[0].len());
    is_regular.then(|| {
        let pairs = rows.chunks_exact(2).map(|pair| match kinds[0] {
            Row::Images => (pair[0], pair[1]),
            _ => (pair[1], pair[0]),
        });
        pairs
            .flat_map(|(images, words)| images.iter().copied().zip(words.iter().copied()))
            .collect()
    })
}

/// Rows of a name and an image, perhaps under a row of words.
fn labeled_rows(rows: &[&[Cell]], kind: impl Fn(&[Cell]) -> Row) -> Option<Vec<(Cell, Cell)>> {
    let body = match rows {
        [head, body @ ..] if kind(head) == Row::Words => body,
        _ => rows,
    };
    let label = |row: &&[Cell]| match **row {
        [words, image] if kind(&[words]) == Row::Words && kind(&[image]) == Row::Images => Some((image, words)),
        _ => None,
    };
    // A single such row may be anything.
    let pairs = body.iter().map(label).collect::<Option<Vec<_>>>();
    pairs.filter(|pairs| 2 <= pairs.len())
}

fn kind_of_row(row: &[Cell], text: &Text, max_chars: usize) -> Row {
    let images = |cell: &Cell| cell.end_image - cell.first_image;
    let is_blank = |cell: &Cell| text.is_blank(cell.span);
    let is_short = |cell: &Cell| text.short(cell.span, max_chars).is_some() || is_blank(cell);
    if row.iter().all(|cell| images(cell) <= 1 && is_blank(cell)) && row.iter().any(|cell| images(cell) == 1) {
        Row::Images
    } else if row.iter().all(|cell| images(cell) == 0 && is_short(cell)) && !row.iter().all(is_blank) {
        Row::Words
    } else {
        Row::Other
    }
}
