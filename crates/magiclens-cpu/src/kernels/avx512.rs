//! Kernels of AVX-512: eight rows by three vectors of sums, in 24 of the 32 registers.

use std::arch::x86_64::*;

use super::{COLUMNS, for_each_count};

/// The kernels, by number of rows.
pub(super) const F32: [super::Kernel; 8] = for_each_count!(f32_rows);
/// The kernels of one and of two vectors of columns, by number of rows.
pub(super) const F32_NARROW: [[super::Kernel; 8]; 2] = [for_each_count!(f32_one), for_each_count!(f32_two)];
/// As above, for CPUs with AVX-512 BF16.
pub(super) const BF16: [super::Kernel; 8] = for_each_count!(bf16_rows);
/// As above, for CPUs with AVX-512 VNNI.
pub(super) const INT8: [super::Kernel; 8] = for_each_count!(int8_rows);

/// Numbers in a vector.
const LANES: usize = 16;
/// Vectors across a panel.
const VECTORS: usize = COLUMNS / LANES;

/// Fetches the words of a panel that are needed soon: it does not fit into the first-level cache.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch_ahead(panel: *const u32) {
    /// Places along the depth.
    const AHEAD: usize = 24;
    for vector in 0..VECTORS {
        // Beyond the panel nothing happens.
        let words = panel.wrapping_add(AHEAD * COLUMNS + vector * LANES);
        _mm_prefetch::<_MM_HINT_T0>(words.cast());
    }
}

/// A kernel whose sums are f32.
macro_rules! f32_sums {
    ($name:ident, $vectors:expr, $features:literal, |$sum:ident, $value:ident, $weights:ident| $dot:expr) => {
        /// # Safety
        /// As `super::Kernel` is called, on a CPU with these features.
        #[target_feature(enable = $features)]
        unsafe fn $name<const COUNT: usize>(
            rows: *const u32,
            stride: usize,
            panel: *const u32,
            depth: usize,
            _start: *const i32,
            tile: *mut f32,
        ) {
            let mut sums = [[_mm512_setzero_ps(); $vectors]; COUNT];
            for at in 0..depth {
                // SAFETY: the caller gives a panel of `depth` words for each column, and `COUNT` rows of `depth` words.
                let (panel, rows) = unsafe { (panel.add(at * COLUMNS), rows.add(at)) };
                let load = |vector: usize| {
                    // SAFETY: as above.
                    unsafe { _mm512_loadu_si512(panel.add(vector * LANES).cast()) }
                };
                fetch_ahead(panel);
                let mut weights = [_mm512_setzero_si512(); $vectors];
                for (vector, weights) in weights.iter_mut().enumerate() {
                    *weights = load(vector);
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let $value = unsafe { _mm512_set1_epi32(*rows.add(row * stride) as i32) };
                    for (sum, $weights) in sums.iter_mut().zip(weights) {
                        let $sum = *sum;
                        *sum = $dot;
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sums) in sums.into_iter().enumerate() {
                    // SAFETY: the tile has `COUNT` rows of `COLUMNS` numbers at least.
                    unsafe { _mm512_storeu_ps(tile.add(row * COLUMNS + vector * LANES), sums) };
                }
            }
        }
    };
}

/// The kernel of f32 for some vectors of a panel's columns.
macro_rules! f32_kernel {
    ($name:ident, $vectors:expr) => {
        f32_sums!($name, $vectors, "avx512f", |sum, value, weights| _mm512_fmadd_ps(
            _mm512_castsi512_ps(value),
            _mm512_castsi512_ps(weights),
            sum
        ));
    };
}

f32_kernel!(f32_rows, VECTORS);
f32_kernel!(f32_two, 2);
f32_kernel!(f32_one, 1);

f32_sums!(bf16_rows, VECTORS, "avx512f,avx512bf16", |sum, value, weights| {
    _mm512_dpbf16_ps(sum, as_bf16(value), as_bf16(weights))
});

/// The same bits as 32 bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn as_bf16(bits: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits, of which all are numbers.
    unsafe { std::mem::transmute(bits) }
}

/// # Safety
/// As `super::Kernel` is called, on a CPU with these features.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn int8_rows<const COUNT: usize>(
    rows: *const u32,
    stride: usize,
    panel: *const u32,
    depth: usize,
    start: *const i32,
    tile: *mut f32,
) {
    let begin = |vector: usize| {
        // SAFETY: the caller gives `COLUMNS` starts.
        unsafe { _mm512_loadu_si512(start.add(vector * LANES).cast()) }
    };
    let mut sums = [[begin(0), begin(1), begin(2)]; COUNT];
    for at in 0..depth {
        // SAFETY: the caller gives a panel of `depth` words for each column, and `COUNT` rows of `depth` words.
        let (panel, rows) = unsafe { (panel.add(at * COLUMNS), rows.add(at)) };
        let load = |vector: usize| {
            // SAFETY: as above.
            unsafe { _mm512_loadu_si512(panel.add(vector * LANES).cast()) }
        };
        fetch_ahead(panel);
        let weights = [load(0), load(1), load(2)];
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let value = unsafe { _mm512_set1_epi32(*rows.add(row * stride) as i32) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbusd_epi32(*sum, value, weights);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        for (vector, sums) in sums.into_iter().enumerate() {
            let sums = _mm512_cvtepi32_ps(sums);
            // SAFETY: the tile has `COUNT` rows of `COLUMNS` numbers at least.
            unsafe { _mm512_storeu_ps(tile.add(row * COLUMNS + vector * LANES), sums) };
        }
    }
}
