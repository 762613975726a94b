//! Weights as the kernels read them: panels of columns, cut along the depth so that one stays in the cache.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::{self, COLUMNS, Panel, ROWS, RowWords, Tile};
use crate::precision::{Precision, to_bf16};
use crate::simd::Simd;

/// Most words of a panel along the depth: 192 KiB, beside which the rows of an image fit into a second-level cache.
const DEPTH_WORDS: usize = 1024;

/// A matrix of weights, `[depth, columns]`, in panels.
#[derive(Debug)]
pub(crate) struct Panels {
    precision: Precision,
    columns: usize,
    /// Along the depth.
    blocks: Vec<Block>,
    /// Of bytes: the number that each column's whole numbers are multiplied by, `[columns]`.
    pub(crate) scales: Vec<f32>,
}

/// Panels of one part of the depth.
#[derive(Debug)]
struct Block {
    /// The first word of rows that it multiplies.
    first_word: usize,
    words_deep: usize,
    /// `[panels, words_deep, COLUMNS]`
    words: Vec<u32>,
    /// `[panels, COLUMNS]`, of bytes: minus the middle of rows times the sum of a column.
    starts: Vec<i32>,
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
    /// Panels of a matrix, whose numbers `weight(depth, column)` gives.
    pub(crate) fn new(
        precision: Precision,
        depth: usize,
        columns: usize,
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let scales = match precision {
            Precision::Int8 => column_scales(depth, columns, &weight),
            _ => Vec::new(),
        };
        let per_word = precision.per_word();
        let word = |at: usize, column: usize| {
            pack(precision, scales.get(column).copied(), |part| {
                let at = at * per_word + part;
                if at < depth { weight(at, column) } else { 0.0 }
            })
        };
        let all_words = precision.words(depth);
        let block_words = even_blocks(all_words);
        let blocks = (0..all_words).step_by(block_words);
        let blocks = blocks.map(|first_word| {
            let words_deep = block_words.min(all_words - first_word);
            let mut words = vec![0; columns.div_ceil(COLUMNS) * words_deep * COLUMNS];
            let panels = words.par_chunks_exact_mut(words_deep * COLUMNS).enumerate();
            panels.for_each(|(panel, words)| {
                let first = panel * COLUMNS;
                for (at, words) in words.chunks_exact_mut(COLUMNS).enumerate() {
                    for (words, column) in words.iter_mut().zip(first..columns) {
                        *words = word(first_word + at, column);
                    }
                }
            });
            Block {
                first_word,
                words_deep,
                starts: match precision {
                    Precision::Int8 => starts(&words, words_deep),
                    _ => Vec::new(),
                },
                words,
            }
        });
        Self {
            precision,
            columns,
            blocks: blocks.collect(),
            scales,
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
        for (number, block) in self.blocks.iter().enumerate() {
            for column in columns.clone().step_by(COLUMNS) {
                let panel = block.panel(column / COLUMNS);
                for row in (0..count).step_by(ROWS) {
                    let place = TilePlace {
                        row,
                        rows: ROWS.min(count - row),
                        column,
                        columns: COLUMNS.min(columns.end - column),
                        is_first: number == 0,
                        is_last: number + 1 == self.blocks.len(),
                    };
                    let rows = rows.from(row, block.first_word);
                    kernels::multiply(simd, self.precision, rows, place.rows, panel, &mut tile);
                    each(place, &tile);
                }
            }
        }
    }
}

impl Block {
    fn panel(&self, number: usize) -> Panel<'_> {
        let size = self.words_deep * COLUMNS;
        Panel {
            words: &self.words[number * size..][..size],
            start: match self.starts.is_empty() {
                true => &[],
                false => &self.starts[number * COLUMNS..][..COLUMNS],
            },
        }
    }
}

/// The depth of blocks of nearly one size, none above [`DEPTH_WORDS`].
fn even_blocks(words: usize) -> usize {
    words.div_ceil(words.div_ceil(DEPTH_WORDS).max(1)).max(1)
}

/// For each column the number that whole numbers up to [`LARGEST`] are multiplied by to give its largest one.
fn column_scales(depth: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut largest = vec![0.0_f32; columns];
    for at in 0..depth {
        let columns = largest.iter_mut().enumerate();
        columns.for_each(|(column, largest)| *largest = largest.max(weight(at, column).abs()));
    }
    let scale = |largest: f32| if largest > 0.0 { largest / LARGEST } else { 1.0 };
    largest.into_iter().map(scale).collect()
}

/// A word of the numbers that `part` gives.
fn pack(precision: Precision, scale: Option<f32>, part: impl Fn(usize) -> f32) -> u32 {
    match precision {
        Precision::F32 => part(0).to_bits(),
        Precision::Bf16 => u32::from(to_bf16(part(0))) | u32::from(to_bf16(part(1))) << 16,
        Precision::Int8 => {
            let scale = scale.unwrap_or(1.0);
            let byte = |at: usize| (part(at) / scale).round().clamp(-LARGEST, LARGEST) as i8 as u8;
            u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
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
