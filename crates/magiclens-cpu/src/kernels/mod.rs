//! Products of some rows with one panel of weights: the only loops that are written for an instruction set.
//!
//! Rows and panels are words of 32 bits: one f32, two bf16 or four bytes each, along the depth of the product. A kernel adds up
//! `row word x panel word` over the depth, for up to [`ROWS`] rows and the [`COLUMNS`] columns of a panel, in the order of the
//! depth, so that every instruction set gives the same sums of f32 and of bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::precision::Precision;
use crate::simd::{Simd, Width};

/// Most rows of a tile.
pub(crate) const ROWS: usize = 8;
/// Columns of a panel, and of a tile.
pub(crate) const COLUMNS: usize = 48;

/// Sums of a tile, a row after another.
#[repr(align(64))]
pub(crate) struct Tile(pub(crate) [f32; ROWS * COLUMNS]);

impl Tile {
    pub(crate) fn new() -> Self {
        Self([0.0; ROWS * COLUMNS])
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.0[row * COLUMNS..][..COLUMNS]
    }
}

/// Rows of words, some of them apart.
#[derive(Clone, Copy)]
pub(crate) struct RowWords<'a> {
    words: &'a [u32],
    /// Words from one row to the next.
    stride: usize,
}

impl<'a> RowWords<'a> {
    pub(crate) fn new(words: &'a [u32], stride: usize) -> Self {
        Self { words, stride }
    }

    pub(crate) fn of_f32(values: &'a [f32], stride: usize) -> Self {
        // SAFETY: both types have 4 bytes and the same alignment, and any bits are a value of `u32`.
        let words = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u32>(), values.len()) };
        Self { words, stride }
    }

    /// The rows from `row` on, from word `word` on.
    pub(crate) fn from(self, row: usize, word: usize) -> Self {
        Self {
            words: &self.words[row * self.stride + word..],
            ..self
        }
    }
}

/// One panel of weights, and the sums that its columns begin with.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// `[depth, COLUMNS]`
    pub(crate) words: &'a [u32],
    /// `[COLUMNS]`, of bytes only.
    pub(crate) start: &'a [i32],
}

impl Panel<'_> {
    fn depth(&self) -> usize {
        self.words.len() / COLUMNS
    }
}

/// A kernel: rows, words from one to the next, panel, its depth, starts of columns of bytes, tile.
type Kernel = unsafe fn(*const u32, usize, *const u32, usize, *const i32, *mut f32);

/// Computes a tile: the products of the first `count` rows with a panel.
pub(crate) fn multiply(
    simd: Simd,
    precision: Precision,
    rows: RowWords<'_>,
    count: usize,
    panel: Panel<'_>,
    tile: &mut Tile,
) {
    run(kernel(simd, precision, count), precision, rows, count, panel, tile);
}

/// [`multiply`] of f32 for the first columns of a panel alone; the tile's other columns are not to be read.
pub(crate) fn multiply_columns(
    simd: Simd,
    rows: RowWords<'_>,
    count: usize,
    panel: Panel<'_>,
    columns: usize,
    tile: &mut Tile,
) {
    let kernel = narrow_kernel(simd, count, columns);
    run(kernel, Precision::F32, rows, count, panel, tile);
}

/// Calls a kernel of this precision and number of rows, after checks of what it reads.
fn run(kernel: Kernel, precision: Precision, rows: RowWords<'_>, count: usize, panel: Panel<'_>, tile: &mut Tile) {
    let depth = panel.depth();
    assert!((1..=ROWS).contains(&count), "{count} rows for a tile");
    assert!(
        (count - 1) * rows.stride + depth <= rows.words.len(),
        "rows are too short"
    );
    assert!(
        precision != Precision::Int8 || panel.start.len() == COLUMNS,
        "columns of bytes need a start"
    );
    // SAFETY: the rows hold `depth` words each within the slice, as was just checked; the panel holds `depth * COLUMNS` words,
    // and `COLUMNS` starts where they are read; the tile holds `ROWS * COLUMNS` numbers. Both callers choose a kernel of `count`
    // rows whose instructions their `Simd` has.
    unsafe {
        kernel(
            rows.words.as_ptr(),
            rows.stride,
            panel.words.as_ptr(),
            depth,
            panel.start.as_ptr(),
            tile.0.as_mut_ptr(),
        );
    }
}

fn kernel(simd: Simd, precision: Precision, count: usize) -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = simd.width == Width::Avx512;
        match precision {
            Precision::F32 if wide => return avx512::F32[count - 1],
            Precision::Bf16 if simd.bf16 => return avx512::BF16[count - 1],
            Precision::Int8 if simd.vnni => return avx512::INT8[count - 1],
            _ => {}
        }
        match precision {
            Precision::F32 if simd.width >= Width::Avx2 => return avx2::F32[count - 1],
            Precision::Int8 if simd.width >= Width::Avx2 => return avx2::INT8[count - 1],
            _ => {}
        }
    }
    match precision {
        Precision::F32 => portable::F32[count - 1],
        Precision::Bf16 => portable::BF16[count - 1],
        Precision::Int8 => portable::INT8[count - 1],
    }
}

/// The kernel of f32 for some columns of a panel.
fn narrow_kernel(simd: Simd, count: usize, columns: usize) -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if simd.width == Width::Avx512
        && let Some(kernels) = avx512::F32_NARROW.get(columns.div_ceil(COLUMNS / 3) - 1)
    {
        return kernels[count - 1];
    }
    kernel(simd, Precision::F32, count)
}

/// Brings the places of a tile near, before its product is known: rows of `columns` numbers that lie `width` apart.
pub(crate) fn fetch(places: &[f32], width: usize, columns: usize) {
    /// Numbers of a cache line.
    const LINE: usize = 16;
    for row in places.chunks(width) {
        for place in row[..columns.min(row.len())].iter().step_by(LINE) {
            fetch_line(place);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn fetch_line(place: &f32) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: fetching changes nothing, and every x86-64 has the instruction.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch_line(_place: &f32) {}

/// A kernel for each number of rows.
macro_rules! for_each_count {
    ($kernel:ident) => {
        [
            $kernel::<1>,
            $kernel::<2>,
            $kernel::<3>,
            $kernel::<4>,
            $kernel::<5>,
            $kernel::<6>,
            $kernel::<7>,
            $kernel::<8>,
        ]
    };
}
pub(crate) use for_each_count;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::to_bf16;

    fn noise(seed: u32) -> impl FnMut() -> u32 {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        }
    }

    fn small(bits: u32) -> f32 {
        (bits >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A word of random numbers.
    fn word(precision: Precision, next: &mut impl FnMut() -> u32) -> u32 {
        match precision {
            Precision::F32 => small(next()).to_bits(),
            Precision::Bf16 => u32::from(to_bf16(small(next()))) | u32::from(to_bf16(small(next()))) << 16,
            Precision::Int8 => next(),
        }
    }

    /// The product of two words by definition.
    fn dot(precision: Precision, row: u32, panel: u32) -> f64 {
        let half = |word: u32, shift: u32| f64::from(f32::from_bits(word >> shift << 16));
        match precision {
            Precision::F32 => f64::from(f32::from_bits(row)) * f64::from(f32::from_bits(panel)),
            Precision::Bf16 => half(row, 0) * half(panel, 0) + half(row, 16) * half(panel, 16),
            Precision::Int8 => {
                let products = row.to_le_bytes().into_iter().zip(panel.to_le_bytes());
                products.map(|(a, b)| f64::from(a) * f64::from(b as i8)).sum()
            }
        }
    }

    fn widths() -> Vec<Simd> {
        let widths = [Width::Portable, Width::Avx2, Width::Avx512];
        widths.map(Simd::detect).to_vec()
    }

    #[test]
    fn every_kernel_adds_up_what_it_should() {
        for precision in Precision::ALL {
            for (count, depth) in [(1, 1), (2, 7), (3, 64), (4, 33), (5, 200), (6, 1), (7, 100), (8, 769)] {
                let stride = depth + 3;
                let mut next = noise(count as u32 * 1000 + depth as u32);
                let rows: Vec<u32> = (0..count * stride).map(|_| word(precision, &mut next)).collect();
                let panel: Vec<u32> = (0..depth * COLUMNS).map(|_| word(precision, &mut next)).collect();
                let start: Vec<i32> = (0..COLUMNS).map(|_| (next() >> 12) as i32 - 500_000).collect();
                let panel = Panel {
                    words: &panel,
                    start: &start,
                };
                let mut tiles = widths().into_iter().map(|simd| {
                    let mut tile = Tile::new();
                    multiply(simd, precision, RowWords::new(&rows, stride), count, panel, &mut tile);
                    (simd, tile)
                });
                let (_, portable) = tiles.next().unwrap();
                for row in 0..count {
                    for (column, start) in start.iter().enumerate() {
                        let products = (0..depth)
                            .map(|at| dot(precision, rows[row * stride + at], panel.words[at * COLUMNS + column]));
                        let begun = f64::from(u8::from(precision == Precision::Int8)) * f64::from(*start);
                        let expected = begun + products.sum::<f64>();
                        let found = f64::from(portable.row(row)[column]);
                        let tolerance = 1e-5 * (depth as f64).sqrt() + expected.abs() * 1e-6;
                        assert!(
                            (found - expected).abs() <= tolerance,
                            "{precision:?} {found} {expected}"
                        );
                    }
                }
                for (simd, tile) in tiles {
                    for row in 0..count {
                        for (found, expected) in tile.row(row).iter().zip(portable.row(row)) {
                            let tolerance = match precision {
                                Precision::Int8 => 0.0,
                                _ => 1e-5 * (depth as f32).sqrt(),
                            };
                            assert!(
                                (found - expected).abs() <= tolerance,
                                "{simd} {precision:?} {found} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn wide_and_half_vectors_give_the_same_bits() {
        let (avx2, avx512) = (Simd::detect(Width::Avx2), Simd::detect(Width::Avx512));
        let mut next = noise(7);
        let rows: Vec<u32> = (0..ROWS * 300).map(|_| word(Precision::F32, &mut next)).collect();
        let panel: Vec<u32> = (0..300 * COLUMNS).map(|_| word(Precision::F32, &mut next)).collect();
        let panel = Panel {
            words: &panel,
            start: &[],
        };
        let tile = |simd| {
            let mut tile = Tile::new();
            multiply(simd, Precision::F32, RowWords::new(&rows, 300), ROWS, panel, &mut tile);
            tile.0.map(f32::to_bits)
        };
        assert_eq!(tile(avx2), tile(avx512));
    }

    #[test]
    fn narrow_kernels_give_the_first_columns() {
        let mut next = noise(8);
        let mut words = |count: usize| {
            (0..count)
                .map(|_| word(Precision::F32, &mut next))
                .collect::<Vec<u32>>()
        };
        let (rows, panel) = (words(ROWS * 100), words(100 * COLUMNS));
        let (rows, panel) = (
            RowWords::new(&rows, 100),
            Panel {
                words: &panel,
                start: &[],
            },
        );
        for simd in widths() {
            for (count, columns) in [(8, 1), (3, 16), (8, 17), (1, 32), (5, 33), (8, 48)] {
                let (mut whole, mut narrow) = (Tile::new(), Tile::new());
                multiply(simd, Precision::F32, rows, count, panel, &mut whole);
                multiply_columns(simd, rows, count, panel, columns, &mut narrow);
                for row in 0..count {
                    assert_eq!(
                        whole.row(row)[..columns],
                        narrow.row(row)[..columns],
                        "{simd} {count} {columns}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows are too short")]
    fn rows_beyond_their_slice_are_refused() {
        let panel = Panel {
            words: &[0; 4 * COLUMNS],
            start: &[],
        };
        let rows = RowWords::new(&[0; 11], 4);
        multiply(Simd::PORTABLE, Precision::F32, rows, 3, panel, &mut Tile::new());
    }
}
