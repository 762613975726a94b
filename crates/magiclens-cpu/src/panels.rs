//! Weights as the kernels read them: panels of columns, cut along the depth so that one stays in the cache.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::{self, COLUMNS, Panel, ROWS, RowWords, Tile};
use crate::lines::Lines;
use crate::packed::Numbers;
use crate::precision::{Precision, to_bf16};
use crate::simd::{Simd, vectorized};
use crate::tensors::{MissingTensor, Tensors};

/// Most words of a panel along the depth: 192 KiB, beside which the rows of an image fit into a second-level cache.
const DEPTH_WORDS: usize = 1024;

/// A matrix of weights, `[depth, columns]`, in panels: those of one part of the depth after those of another.
#[derive(Debug)]
pub(crate) struct Panels {
    precision: Precision,
    depth: usize,
    columns: usize,
    /// `[parts, panels, words deep, COLUMNS]`
    words: Numbers<u32>,
    /// `[parts, panels, COLUMNS]`, of bytes: minus the middle of rows times the sum of a column.
    starts: Numbers<i32>,
    /// Of bytes: the number that each column's whole numbers are multiplied by, `[columns]`.
    pub(crate) scales: Numbers<f32>,
}

/// Bytes of rows are this much above the number that they stand for.
pub(crate) const MIDDLE: i32 = 128;
/// The largest whole number of 8 bits that is used.
pub(crate) const LARGEST: f32 = 127.0;

/// A place in a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TilePlace {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) column: usize,
    pub(crate) columns: usize,
    /// True for the first part of the depth, whose sums are the first to arrive at their place.
    pub(crate) is_first: bool,
    /// True for the last one.
    pub(crate) is_last: bool,
}

impl Panels {
    /// Panels of a matrix, `[depth, columns]`, whose numbers `weights` gives where they are not packed yet.
    pub(crate) fn new<'a>(
        precision: Precision,
        tensors: &Tensors<'_>,
        [depth, columns]: [usize; 2],
        weights: impl FnOnce() -> Result<Cow<'a, [f32]>, MissingTensor>,
    ) -> Result<Self, MissingTensor> {
        let mut made = match tensors.is_packed() {
            true => Self::empty(precision, [depth, columns]),
            false => Self::pack(precision, [depth, columns], &weights()?),
        };
        let bytes = usize::from(precision == Precision::Int8);
        let words = precision.words(depth);
        let panels = columns.div_ceil(COLUMNS) * COLUMNS;
        let counts = [words * panels, bytes * parts(words).len() * panels, bytes * columns];
        made.words = tensors.keep("words", made.words, counts[0])?;
        made.starts = tensors.keep("starts", made.starts, counts[1])?;
        made.scales = tensors.keep("scales", made.scales, counts[2])?;
        Ok(made)
    }

    fn empty(precision: Precision, [depth, columns]: [usize; 2]) -> Self {
        Self {
            precision,
            depth,
            columns,
            words: Numbers::default(),
            starts: Numbers::default(),
            scales: Numbers::default(),
        }
    }

    fn pack(precision: Precision, [depth, columns]: [usize; 2], weights: &[f32]) -> Self {
        let scales = match precision {
            Precision::Int8 => column_scales(weights, columns),
            _ => Vec::new(),
        };
        let (simd, panels) = (Simd::get(), columns.div_ceil(COLUMNS));
        let rows_of_word = precision.per_word();
        let mut words = Lines::zeros(precision.words(depth) * panels * COLUMNS);
        let mut all_starts = Vec::new();
        for part in parts(precision.words(depth)) {
            let words = &mut words[part.start * panels * COLUMNS..part.end * panels * COLUMNS];
            let panels = words.par_chunks_exact_mut(part.len() * COLUMNS).enumerate();
            panels.for_each(|(panel, words)| {
                let at = panel * COLUMNS..columns.min((panel + 1) * COLUMNS);
                let scales = scales.get(at.clone()).unwrap_or_default();
                let rows = weights[part.start * rows_of_word * columns..].chunks(rows_of_word * columns);
                for (rows, words) in rows.zip(words.chunks_exact_mut(COLUMNS)) {
                    let mut rows = rows.chunks_exact(columns).map(|row| &row[at.clone()]);
                    let mut row = || rows.next().unwrap_or_default();
                    pack(simd, precision, scales, [row(), row(), row(), row()], words);
                }
            });
            if precision == Precision::Int8 {
                all_starts.extend(starts(words, part.len()));
            }
        }
        Self {
            words: Numbers::Lines(words),
            starts: Numbers::Owned(all_starts),
            scales: Numbers::Owned(scales),
            ..Self::empty(precision, [depth, columns])
        }
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The product of `count` rows with some columns of the matrix, which begin with a panel, a tile at a time: `each` takes the
    /// sums over a part of the depth.
    pub(crate) fn multiply(
        &self,
        simd: Simd,
        rows: RowWords<'_>,
        count: usize,
        columns: Range<usize>,
        mut each: impl FnMut(TilePlace, &Tile),
    ) {
        let mut tile = Tile::new();
        let words = self.precision.words(self.depth);
        for (number, part) in parts(words).enumerate() {
            for column in columns.clone().step_by(COLUMNS) {
                let panel = self.panel(number, &part, column / COLUMNS);
                for row in (0..count).step_by(ROWS) {
                    let place = TilePlace {
                        row,
                        rows: ROWS.min(count - row),
                        column,
                        columns: COLUMNS.min(columns.end - column),
                        is_first: number == 0,
                        is_last: part.end == words,
                    };
                    let rows = rows.from(row, part.start);
                    kernels::multiply(simd, self.precision, rows, place.rows, panel, &mut tile);
                    each(place, &tile);
                }
            }
        }
    }

    /// A panel of a part of the depth.
    fn panel(&self, number: usize, part: &Range<usize>, panel: usize) -> Panel<'_> {
        let panels = self.columns.div_ceil(COLUMNS);
        let from = (part.start * panels + panel * part.len()) * COLUMNS;
        Panel {
            words: &self.words[from..][..part.len() * COLUMNS],
            start: match self.starts.is_empty() {
                true => &[],
                false => &self.starts[(number * panels + panel) * COLUMNS..][..COLUMNS],
            },
        }
    }
}

/// Parts of a depth in words, of nearly one size, none above [`DEPTH_WORDS`].
fn parts(words: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let size = words.div_ceil(words.div_ceil(DEPTH_WORDS).max(1)).max(1);
    (0..words).step_by(size).map(move |from| from..words.min(from + size))
}

/// For each column the number that whole numbers up to [`LARGEST`] are multiplied by to give its largest one.
fn column_scales(weights: &[f32], columns: usize) -> Vec<f32> {
    let mut largest = vec![0.0_f32; columns];
    for row in weights.chunks_exact(columns) {
        let sizes = row.iter().map(|weight| weight.abs());
        let both = largest.iter_mut().zip(sizes);
        both.for_each(|(largest, size)| *largest = if size > *largest { size } else { *largest });
    }
    let scale = |largest: f32| if largest > 0.0 { largest / LARGEST } else { 1.0 };
    largest.into_iter().map(scale).collect()
}

vectorized! {
    /// The words of some columns: as many rows as a word holds, of which those beyond the depth are empty.
    fn pack(precision: Precision, scales: &[f32], rows: [&[f32]; 4], words: &mut [u32]) {
        let of = |row: usize, column: usize| rows[row].get(column).copied().unwrap_or(0.0);
        let words = words.iter_mut().zip(0..rows[0].len());
        match precision {
            Precision::F32 => words.zip(rows[0]).for_each(|((word, _), weight)| *word = weight.to_bits()),
            Precision::Bf16 => words.for_each(|(word, column)| {
                *word = u32::from(to_bf16(of(0, column))) | u32::from(to_bf16(of(1, column))) << 16;
            }),
            Precision::Int8 => words.zip(scales).for_each(|((word, column), scale)| {
                let byte = |row: usize| (of(row, column) / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8 as u8;
                *word = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
            }),
        }
    }
}

/// The starts that take the middle of rows off the sums of each column.
fn starts(words: &[u32], words_deep: usize) -> Vec<i32> {
    let panels = words.chunks_exact(words_deep * COLUMNS);
    let of_column = |panel: &[u32], column: usize| -> i32 {
        let weights = panel.iter().skip(column).step_by(COLUMNS);
        let sum: i32 = weights
            .flat_map(|word| word.to_le_bytes())
            .map(|byte| i32::from(byte as i8))
            .sum();
        -MIDDLE * sum
    };
    panels
        .flat_map(|panel| (0..COLUMNS).map(move |column| of_column(panel, column)))
        .collect()
}
