//! Kernels in plain Rust. The compiler makes vectors of the loops over columns, as wide as its target has them.

use super::{COLUMNS, for_each_count};

/// The kernels, by number of rows.
pub(super) const F32: [super::Kernel; 8] = for_each_count!(f32_rows);
/// As above.
pub(super) const BF16: [super::Kernel; 8] = for_each_count!(bf16_rows);
/// As above.
pub(super) const INT8: [super::Kernel; 8] = for_each_count!(int8_rows);

/// True where a fused multiplication is an instruction of every CPU of the target.
const FMA: bool = cfg!(target_arch = "aarch64") || cfg!(target_feature = "fma");

fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    crate::math::mul_add::<FMA>(a, b, c)
}

/// The words of a panel at one depth.
///
/// # Safety
/// The panel has `COLUMNS` words from there on.
unsafe fn columns<'a>(panel: *const u32, depth: usize) -> &'a [u32; COLUMNS] {
    // SAFETY: the caller's promise; arrays have the alignment of their elements.
    unsafe { &*panel.add(depth * COLUMNS).cast() }
}

/// A kernel whose sums are f32.
macro_rules! f32_sums {
    ($name:ident, |$sum:ident, $value:ident, $weight:ident| $dot:expr) => {
        /// # Safety
        /// As `super::Kernel` is called.
        unsafe fn $name<const COUNT: usize>(
            rows: *const u32,
            stride: usize,
            panel: *const u32,
            depth: usize,
            _start: *const i32,
            tile: *mut f32,
        ) {
            for row in 0..COUNT {
                let mut sums = [0.0_f32; COLUMNS];
                for at in 0..depth {
                    // SAFETY: the caller gives `COUNT` rows and a panel of `depth` words.
                    let ($value, panel) = unsafe { (*rows.add(row * stride + at), columns(panel, at)) };
                    for (sum, &$weight) in sums.iter_mut().zip(panel) {
                        let $sum = *sum;
                        *sum = $dot;
                    }
                }
                // SAFETY: the tile has `COUNT` rows at least.
                unsafe { *tile.add(row * COLUMNS).cast() = sums };
            }
        }
    };
}

f32_sums!(f32_rows, |sum, value, weight| mul_add(
    f32::from_bits(value),
    f32::from_bits(weight),
    sum
));

f32_sums!(bf16_rows, |sum, value, weight| {
    let low = |word: u32| f32::from_bits(word << 16);
    let high = |word: u32| f32::from_bits(word & 0xffff_0000);
    mul_add(low(value), low(weight), mul_add(high(value), high(weight), sum))
});

/// # Safety
/// As `super::Kernel` is called.
unsafe fn int8_rows<const COUNT: usize>(
    rows: *const u32,
    stride: usize,
    panel: *const u32,
    depth: usize,
    start: *const i32,
    tile: *mut f32,
) {
    // Bytes of rows are without a sign, those of weights have one.
    let value = |word: u32, byte: u32| (word >> (8 * byte) & 0xff) as i32;
    let weight = |word: u32, byte: u32| (word << (24 - 8 * byte)) as i32 >> 24;
    for row in 0..COUNT {
        // SAFETY: the caller gives `COLUMNS` starts.
        let mut sums: [i32; COLUMNS] = unsafe { *start.cast() };
        for at in 0..depth {
            // SAFETY: the caller gives `COUNT` rows and a panel of `depth` words.
            let (word, panel) = unsafe { (*rows.add(row * stride + at), columns(panel, at)) };
            for (sum, weights) in sums.iter_mut().zip(panel) {
                for byte in 0..4 {
                    *sum = sum.wrapping_add(value(word, byte) * weight(*weights, byte));
                }
            }
        }
        // SAFETY: the tile has `COUNT` rows at least.
        unsafe { *tile.add(row * COLUMNS).cast() = sums.map(|sum| sum as f32) };
    }
}
