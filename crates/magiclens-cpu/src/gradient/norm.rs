//! Layer norms without their scales: rows of mean 0 and deviation 1.

use super::vector::{dot, sum_of};
use crate::simd::{Simd, vectorized};

/// Rows of mean 0 and deviation 1, and what each was multiplied by.
#[derive(Debug, Default)]
pub(super) struct Normed {
    /// `[rows, width]`
    pub(super) units: Vec<f32>,
    /// `[rows]`: 1 / sqrt(variance + epsilon).
    factors: Vec<f32>,
}

impl Normed {
    /// Becomes the norm of rows.
    pub(super) fn load(&mut self, simd: Simd, rows: &[f32], width: usize, epsilon: f32) {
        self.units.resize(rows.len(), 0.0);
        self.factors.resize(rows.len() / width, 0.0);
        normalize(simd, rows, width, epsilon, &mut self.units, &mut self.factors);
    }

    /// Adds the slopes of the rows to `out`, from those of the units.
    pub(super) fn add_backward(&self, simd: Simd, slopes: &[f32], out: &mut [f32]) {
        add_backward(simd, self, slopes, out);
    }
}

vectorized! {
    fn normalize(rows: &[f32], width: usize, epsilon: f32, units: &mut [f32], factors: &mut [f32]) {
        let rows = rows.chunks_exact(width).zip(units.chunks_exact_mut(width));
        for ((row, unit), factor) in rows.zip(factors) {
            let mean = sum_of(row, row, |value, _| value) / width as f32;
            let variance = sum_of(row, row, |value, _| (value - mean) * (value - mean)) / width as f32;
            *factor = (variance + epsilon).sqrt().recip();
            unit.iter_mut().zip(row).for_each(|(unit, value)| *unit = (value - mean) * *factor);
        }
    }
}

vectorized! {
    /// `factor * (slope - mean(slope) - unit * mean(slope * unit))` of each row.
    fn add_backward(normed: &Normed, slopes: &[f32], out: &mut [f32]) {
        let width = normed.units.len() / normed.factors.len().max(1);
        let rows = normed.units.chunks_exact(width).zip(&normed.factors);
        for (((unit, factor), slopes), out) in
            rows.zip(slopes.chunks_exact(width)).zip(out.chunks_exact_mut(width))
        {
            let mean = sum_of(slopes, slopes, |slope, _| slope) / width as f32;
            let along = dot::<FMA>(slopes, unit) / width as f32;
            for ((out, slope), unit) in out.iter_mut().zip(slopes).zip(unit) {
                *out += factor * (slope - mean - unit * along);
            }
        }
    }
}
