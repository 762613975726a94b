//! Loops over numbers that the compiler makes vectors of, inside of a function compiled for a width.

use crate::simd::vectorized;

/// Sums side by side, which become one vector.
const LANES: usize = 16;

/// The sum of a function of both rows' numbers.
#[inline(always)]
pub(super) fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| term(*a, *b));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

#[inline(always)]
pub(super) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = crate::math::mul_add::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}

/// The largest number; no number counts as the least.
#[inline(always)]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut most = [f32::MIN; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (most, value) in most.iter_mut().zip(chunk) {
            *most = if *value > *most { *value } else { *most };
        }
    }
    most.iter().chain(rest).fold(f32::MIN, |most, value| most.max(*value))
}

/// Adds the sum of two rows, each times its factor, to `out`.
#[inline(always)]
pub(super) fn add_two_scaled<const FMA: bool>(out: &mut [f32], factors: [f32; 2], rows: [&[f32]; 2]) {
    for ((out, a), b) in out.iter_mut().zip(rows[0]).zip(rows[1]) {
        let first = crate::math::mul_add::<FMA>(factors[0], *a, *out);
        *out = crate::math::mul_add::<FMA>(factors[1], *b, first);
    }
}

vectorized! {
    /// Adds all rows of `rows` to `out`.
    pub(super) fn add_rows(rows: &[f32], width: usize, first: usize, out: &mut [f32]) {
        for row in rows.chunks_exact(width) {
            let row = &row[first..first + out.len()];
            out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
        }
    }
}

vectorized! {
    /// Adds numbers one by one.
    pub(super) fn add(out: &mut [f32], values: &[f32]) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
    }
}

vectorized! {
    /// Slopes of a ReLU's inputs from those of what it gave, which is zero where it stopped something.
    pub(super) fn stop_slopes(slopes: &mut [f32], given: &[f32]) {
        for (slope, given) in slopes.iter_mut().zip(given) {
            *slope = if *given > 0.0 { *slope } else { 0.0 };
        }
    }
}
