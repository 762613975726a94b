//! Products of matrices that change at every step: packed when they are used, and multiplied by one thread.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::{self, COLUMNS, Panel, ROWS, RowWords, Tile};
use crate::lines::Lines;
use crate::simd::{Simd, vectorized};

/// Most rows of a panel: 96 KiB, beside which eight rows of the left side stay in the first-level cache.
const DEPTH: usize = 512;

/// Some columns of a matrix whose rows lie one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a> {
    pub(crate) values: &'a [f32],
    /// Numbers of a whole row.
    pub(crate) width: usize,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> Columns<'a> {
    /// All columns.
    pub(crate) fn all(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            width,
            first: 0,
            count: width,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.width + self.first..][..self.count]
    }
}

/// [`Columns`] that are written.
#[derive(Debug)]
pub(crate) struct ColumnsMut<'a> {
    pub(crate) values: &'a mut [f32],
    /// Numbers of a whole row.
    pub(crate) width: usize,
    pub(crate) first: usize,
}

impl<'a> ColumnsMut<'a> {
    /// All columns.
    pub(crate) fn all(values: &'a mut [f32], width: usize) -> Self {
        Self {
            values,
            width,
            first: 0,
        }
    }
}

/// The way of a product into its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'a> {
    /// True if it is added to what is there.
    pub(crate) adds: bool,
    /// Added to every row.
    pub(crate) bias: Option<&'a [f32]>,
    /// True if negative numbers become zero.
    pub(crate) relu: bool,
}

impl Finish<'_> {
    pub(crate) const STORE: Self = Self {
        adds: false,
        bias: None,
        relu: false,
    };
    pub(crate) const ADD: Self = Self {
        adds: true,
        bias: None,
        relu: false,
    };
}

/// The right side of a product, `[depth, columns]`, in panels of columns, those of one part of the depth after those of another.
#[derive(Debug, Default)]
pub(crate) struct Right {
    depth: usize,
    columns: usize,
    words: Lines,
}

impl Right {
    /// A matrix as it is.
    pub(crate) fn of(matrix: Columns<'_>) -> Self {
        let mut right = Self::default();
        let panels = right.begin(matrix.rows(), matrix.count);
        panels.into_par_iter().for_each(|panel| panel.copy(matrix));
        right
    }

    /// A matrix with rows and columns exchanged.
    pub(crate) fn of_transposed(matrix: Columns<'_>) -> Self {
        let mut right = Self::default();
        let panels = right.begin(matrix.count, matrix.rows());
        panels.into_par_iter().for_each(|panel| {
            let rows = panel.columns.zip(0..).map(|(row, column)| (matrix.row(row), column));
            for (row, column) in rows {
                let words = panel.words.iter_mut().skip(column).step_by(COLUMNS);
                let values = row[panel.rows.clone()].iter();
                values.zip(words).for_each(|(value, word)| *word = value.to_bits());
            }
        });
        right
    }

    /// Becomes a matrix as it is.
    pub(crate) fn load(&mut self, matrix: Columns<'_>) {
        let panels = self.begin(matrix.rows(), matrix.count);
        panels.into_iter().for_each(|panel| panel.copy(matrix));
    }

    /// Takes the size of a matrix; gives panels whose places beyond the columns are zero.
    fn begin(&mut self, depth: usize, columns: usize) -> Vec<PanelMut<'_>> {
        (self.depth, self.columns) = (depth, columns);
        let across = columns.next_multiple_of(COLUMNS);
        self.words.resize(depth * across);
        let (mut words, mut panels) = (&mut self.words[..], Vec::new());
        for rows in parts(depth) {
            for first in (0..columns).step_by(COLUMNS) {
                let (panel, rest) = words.split_at_mut(rows.len() * COLUMNS);
                words = rest;
                let columns = first..columns.min(first + COLUMNS);
                if columns.len() < COLUMNS {
                    panel.fill(0);
                }
                panels.push(PanelMut {
                    rows: rows.clone(),
                    columns,
                    words: panel,
                });
            }
        }
        panels
    }

    fn panel(&self, part: &Range<usize>, first: usize) -> Panel<'_> {
        let across = self.columns.next_multiple_of(COLUMNS);
        Panel {
            words: &self.words[part.start * across + first * part.len()..][..part.len() * COLUMNS],
            start: &[],
        }
    }
}

/// A panel that is filled.
struct PanelMut<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    /// `[rows, COLUMNS]`
    words: &'a mut [u32],
}

impl PanelMut<'_> {
    fn copy(self, matrix: Columns<'_>) {
        for (row, words) in self.rows.zip(self.words.chunks_exact_mut(COLUMNS)) {
            let values = &matrix.row(row)[self.columns.clone()];
            values
                .iter()
                .zip(words)
                .for_each(|(value, word)| *word = value.to_bits());
        }
    }
}

/// Parts of a depth, of nearly one size, none above [`DEPTH`].
fn parts(depth: usize) -> impl Iterator<Item = Range<usize>> {
    let size = depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1);
    (0..depth).step_by(size).map(move |from| from..depth.min(from + size))
}

/// `left * right` into the rows of `out`.
pub(crate) fn multiply(simd: Simd, left: Columns<'_>, right: &Right, out: &mut ColumnsMut<'_>, finish: Finish<'_>) {
    assert_eq!(
        left.count, right.depth,
        "columns of the left side are rows of the right side"
    );
    let mut tile = Tile::new();
    let words = RowWords::of_f32(left.values, left.width);
    for part in parts(right.depth) {
        for first in (0..right.columns).step_by(COLUMNS) {
            let panel = right.panel(&part, first);
            let columns = COLUMNS.min(right.columns - first);
            let finish = Finish {
                adds: finish.adds || part.start > 0,
                bias: finish
                    .bias
                    .filter(|_| part.start == 0)
                    .map(|bias| &bias[first..first + columns]),
                relu: finish.relu && part.end == right.depth,
            };
            for row in (0..left.rows()).step_by(ROWS) {
                let count = ROWS.min(left.rows() - row);
                let rows = words.from(row, left.first + part.start);
                let at = row * out.width + out.first + first;
                let places = &out.values[at..out.values.len().min(at + count * out.width)];
                kernels::fetch(places, out.width, columns);
                kernels::multiply_columns(simd, rows, count, panel, columns, &mut tile);
                finish_tile(simd, &tile, [count, columns], &mut out.values[at..], out.width, finish);
            }
        }
    }
}

vectorized! {
    /// A tile's rows and columns into `out`, whose rows lie `width` apart.
    fn finish_tile(tile: &Tile, size: [usize; 2], out: &mut [f32], width: usize, finish: Finish<'_>) {
        let [rows, columns] = size;
        for row in 0..rows {
            let out = &mut out[row * width..][..columns];
            match (out.first_chunk_mut::<COLUMNS>(), tile.row(row).first_chunk::<COLUMNS>()) {
                // Of a length that is known, so that it becomes vectors.
                (Some(out), Some(sums)) => finish_row(sums, out, finish),
                _ => finish_row(&tile.row(row)[..columns], out, finish),
            }
        }
    }
}

#[inline(always)]
fn finish_row(sums: &[f32], out: &mut [f32], finish: Finish<'_>) {
    match finish.adds {
        true => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
        false => out.copy_from_slice(sums),
    }
    if let Some(bias) = finish.bias {
        out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
    }
    if finish.relu {
        out.iter_mut()
            .for_each(|out| *out = if *out > 0.0 { *out } else { 0.0 });
    }
}

/// Memory of [`add_outer`].
#[derive(Debug, Default)]
pub(crate) struct OuterScratch {
    transposed: Vec<f32>,
    right: Right,
}

/// Adds `left^T * right`, `[left columns, right columns]`, to `out`: the sum over rows of their outer products.
pub(crate) fn add_outer(
    simd: Simd,
    scratch: &mut OuterScratch,
    left: Columns<'_>,
    right: Columns<'_>,
    out: &mut [f32],
) {
    let rows = left.rows();
    assert_eq!(rows, right.rows(), "as many rows on both sides");
    scratch.transposed.resize(left.count * rows, 0.0);
    transpose(simd, left, &mut scratch.transposed);
    scratch.right.load(right);
    let left = Columns::all(&scratch.transposed, rows);
    multiply(
        simd,
        left,
        &scratch.right,
        &mut ColumnsMut::all(out, right.count),
        Finish::ADD,
    );
}

/// Rows and columns of a block that is transposed at once.
const BLOCK: usize = 16;

vectorized! {
    /// Rows become columns of `out`, `[columns, rows]`.
    fn transpose(matrix: Columns<'_>, out: &mut [f32]) {
        let rows = matrix.rows();
        for first in (0..rows).step_by(BLOCK) {
            for column in (0..matrix.count).step_by(BLOCK) {
                let (count, columns) = (BLOCK.min(rows - first), BLOCK.min(matrix.count - column));
                // Of a size that is known, so that it becomes vectors.
                let mut block = [[0.0_f32; BLOCK]; BLOCK];
                for (row, block) in (first..first + count).zip(&mut block) {
                    let values = &matrix.row(row)[column..column + columns];
                    match values.first_chunk() {
                        Some(values) => *block = *values,
                        None => block[..columns].copy_from_slice(values),
                    }
                }
                for at in 0..columns {
                    let turned = block.map(|row| row[at]);
                    let out = &mut out[(column + at) * rows + first..][..count];
                    match out.first_chunk_mut() {
                        Some(out) => *out = turned,
                        None => out.copy_from_slice(&turned[..count]),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Width;
    use crate::testing::noise;

    /// Rows, depth and columns beside tiles, panels and parts.
    const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [9, 48, 48], [13, 97, 50], [8, 1100, 49], [17, 600, 7]];

    fn at(values: &[f32], width: usize, row: usize, column: usize) -> f64 {
        f64::from(values[row * width + column])
    }

    fn check(found: &[f32], width: usize, expected: impl Fn(usize, usize) -> f64) {
        for (place, found) in found.iter().enumerate() {
            let expected = expected(place / width, place % width);
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-4, "{found} for {expected} at {place}");
        }
    }

    fn everywhere(check: impl Fn(Simd)) {
        [Width::Portable, Width::Avx2, Width::Avx512]
            .map(Simd::detect)
            .into_iter()
            .for_each(check);
    }

    #[test]
    fn products_are_their_definition() {
        everywhere(|simd| {
            for [rows, depth, columns] in SIZES {
                let (x, weights, bias) = (noise(rows * depth, 1), noise(depth * columns, 2), noise(columns, 3));
                let product = |row, column| -> f64 {
                    (0..depth)
                        .map(|k| at(&x, depth, row, k) * at(&weights, columns, k, column))
                        .sum()
                };
                let right = Right::of(Columns::all(&weights, columns));
                let mut out = vec![7.0; rows * columns];
                let left = Columns::all(&x, depth);
                let finish = Finish {
                    bias: Some(&bias),
                    relu: true,
                    ..Finish::STORE
                };
                multiply(simd, left, &right, &mut ColumnsMut::all(&mut out, columns), finish);
                let with_bias = |row, column: usize| product(row, column) + f64::from(bias[column]);
                check(&out, columns, |row, column| with_bias(row, column).max(0.0));
                let finish = Finish {
                    bias: Some(&bias),
                    ..Finish::ADD
                };
                multiply(simd, left, &right, &mut ColumnsMut::all(&mut out, columns), finish);
                check(&out, columns, |row, column| {
                    with_bias(row, column).max(0.0) + with_bias(row, column)
                });
            }
        });
    }

    #[test]
    fn transposed_and_outer_products_are_their_definition() {
        everywhere(|simd| {
            for [rows, depth, columns] in SIZES {
                let (x, weights) = (noise(rows * depth, 1), noise(columns * depth, 2));
                let right = Right::of_transposed(Columns::all(&weights, depth));
                let mut out = vec![7.0; rows * columns];
                let left = Columns::all(&x, depth);
                multiply(
                    simd,
                    left,
                    &right,
                    &mut ColumnsMut::all(&mut out, columns),
                    Finish::STORE,
                );
                check(&out, columns, |row, column| {
                    (0..depth)
                        .map(|k| at(&x, depth, row, k) * at(&weights, depth, column, k))
                        .sum()
                });

                let slopes = noise(rows * columns, 4);
                let mut sums = vec![1.0; depth * columns];
                let both = (left, Columns::all(&slopes, columns));
                add_outer(simd, &mut OuterScratch::default(), both.0, both.1, &mut sums);
                check(&sums, columns, |row, column| {
                    1.0 + (0..rows)
                        .map(|k| at(&x, depth, k, row) * at(&slopes, columns, k, column))
                        .sum::<f64>()
                });
            }
        });
    }

    #[test]
    fn columns_of_wider_matrices_are_read_and_written() {
        let simd = Simd::get();
        let (x, weights) = (noise(9 * 7, 1), noise(3 * 10, 2));
        let left = Columns {
            values: &x,
            width: 7,
            first: 2,
            count: 3,
        };
        let right = Right::of(Columns {
            values: &weights,
            width: 10,
            first: 4,
            count: 5,
        });
        let mut out = vec![7.0; 9 * 8];
        multiply(
            simd,
            left,
            &right,
            &mut ColumnsMut {
                values: &mut out,
                width: 8,
                first: 1,
            },
            Finish::STORE,
        );
        check(&out, 8, |row, column| match column {
            1..6 => (0..3)
                .map(|k| at(&x, 7, row, 2 + k) * at(&weights, 10, k, 3 + column))
                .sum(),
            _ => 7.0,
        });
    }
}
