//! Kernels of AVX2 and FMA: up to four rows by two vectors of sums, in 8 of the 16 registers; a panel is three parts. With a third
//! vector of sums the compiler keeps one of them in memory, which halves the speed.

use std::arch::x86_64::*;

use super::{COLUMNS, for_each_count};

/// The kernels, by number of rows.
pub(super) const F32: [super::Kernel; 8] = for_each_count!(f32_rows);
/// As above.
pub(super) const INT8: [super::Kernel; 8] = for_each_count!(int8_rows);

/// Numbers in a vector.
const LANES: usize = 8;
/// Vectors across a part of a panel.
const VECTORS: usize = 2;
/// Columns of a part of a panel.
const PART: usize = VECTORS * LANES;

/// A kernel of up to eight rows from one of up to four rows and a part of a panel.
macro_rules! in_blocks {
    ($name:ident, $block:ident) => {
        /// # Safety
        /// As `super::Kernel` is called, on a CPU with AVX2 and FMA.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name<const COUNT: usize>(
            rows: *const u32,
            stride: usize,
            panel: *const u32,
            depth: usize,
            start: *const i32,
            tile: *mut f32,
        ) {
            for part in (0..COLUMNS).step_by(PART) {
                for first in (0..COUNT).step_by(4) {
                    let block = match COUNT - first {
                        1 => $block::<1>,
                        2 => $block::<2>,
                        3 => $block::<3>,
                        _ => $block::<4>,
                    };
                    // SAFETY: the rows from `first` on and the columns from `part` on, of all that the caller gives.
                    unsafe {
                        block(
                            rows.add(first * stride),
                            stride,
                            panel.add(part),
                            depth,
                            start.wrapping_add(part),
                            tile.add(first * COLUMNS + part),
                        );
                    }
                }
            }
        }
    };
}

in_blocks!(f32_rows, f32_block);
in_blocks!(int8_rows, int8_block);

/// # Safety
/// The panel has [`PART`] words at each of `depth` places that lie [`COLUMNS`] words apart.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load(panel: *const u32, depth: usize) -> [__m256i; VECTORS] {
    let load = |vector: usize| {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(panel.add(depth * COLUMNS + vector * LANES).cast()) }
    };
    [load(0), load(1)]
}

/// # Safety
/// The tile has [`PART`] numbers in each of `COUNT` rows that lie [`COLUMNS`] numbers apart.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn store<const COUNT: usize>(sums: [[__m256; VECTORS]; COUNT], tile: *mut f32) {
    for (row, sums) in sums.into_iter().enumerate() {
        for (vector, sums) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_ps(tile.add(row * COLUMNS + vector * LANES), sums) };
        }
    }
}

/// # Safety
/// As `super::Kernel` is called, for a part of a panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn f32_block<const COUNT: usize>(
    rows: *const u32,
    stride: usize,
    panel: *const u32,
    depth: usize,
    _start: *const i32,
    tile: *mut f32,
) {
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; COUNT];
    for at in 0..depth {
        // SAFETY: the caller gives a panel of this depth.
        let weights = unsafe { load(panel, at) };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller gives `COUNT` rows of this depth.
            let value = unsafe { _mm256_set1_epi32(*rows.add(row * stride + at) as i32) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm256_fmadd_ps(_mm256_castsi256_ps(value), _mm256_castsi256_ps(weights), *sum);
            }
        }
    }
    // SAFETY: the caller gives a tile of `COUNT` rows.
    unsafe { store(sums, tile) };
}

/// # Safety
/// As `super::Kernel` is called, for a part of a panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn int8_block<const COUNT: usize>(
    rows: *const u32,
    stride: usize,
    panel: *const u32,
    depth: usize,
    start: *const i32,
    tile: *mut f32,
) {
    // Bytes become halves of 16 bits, whose sums of two products never overflow: those at even and those at odd places.
    let even_values = |words| _mm256_and_si256(words, _mm256_set1_epi16(0xff));
    let odd_values = |words| _mm256_srli_epi16(words, 8);
    let even_weights = |words| _mm256_srai_epi16(_mm256_slli_epi16(words, 8), 8);
    let odd_weights = |words| _mm256_srai_epi16(words, 8);
    let begin = |vector: usize| {
        // SAFETY: the caller gives a start for each column.
        unsafe { _mm256_loadu_si256(start.add(vector * LANES).cast()) }
    };
    let mut sums = [[begin(0), begin(1)]; COUNT];
    for at in 0..depth {
        // SAFETY: the caller gives a panel of this depth.
        let weights = unsafe { load(panel, at) };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller gives `COUNT` rows of this depth.
            let value = unsafe { _mm256_set1_epi32(*rows.add(row * stride + at) as i32) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                let even = _mm256_madd_epi16(even_values(value), even_weights(weights));
                let odd = _mm256_madd_epi16(odd_values(value), odd_weights(weights));
                *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(even, odd));
            }
        }
    }
    // SAFETY: the caller gives a tile of `COUNT` rows.
    unsafe { store(sums.map(|sums| sums.map(|sums| _mm256_cvtepi32_ps(sums))), tile) };
}
