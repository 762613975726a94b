//! Rows of length 1.

use super::vector::dot;
use crate::simd::{Simd, vectorized};

/// Rows of length 1, and what each was divided by.
#[derive(Debug, Default)]
pub struct Units {
    width: usize,
    /// `[rows, width]`
    pub rows: Vec<f32>,
    lengths: Vec<f32>,
}

impl Units {
    /// Divides rows by their lengths.
    pub fn of(mut rows: Vec<f32>, width: usize) -> Self {
        let mut lengths = vec![0.0; rows.len() / width];
        divide(Simd::get(), &mut rows, &mut lengths);
        Self { width, rows, lengths }
    }

    /// Turns slopes of the units into those of the rows before.
    pub fn backward(&self, slopes: &mut [f32]) {
        turn(Simd::get(), self, slopes);
    }
}

vectorized! {
    fn divide(rows: &mut [f32], lengths: &mut [f32]) {
        let width = rows.len() / lengths.len().max(1);
        for (row, length) in rows.chunks_exact_mut(width.max(1)).zip(lengths) {
            *length = dot::<FMA>(row, row).sqrt();
            row.iter_mut().for_each(|value| *value /= *length);
        }
    }
}

vectorized! {
    /// `(slope - unit * (unit . slope)) / length`
    fn turn(units: &Units, slopes: &mut [f32]) {
        let rows = units.rows.chunks_exact(units.width).zip(&units.lengths);
        for ((unit, length), slopes) in rows.zip(slopes.chunks_exact_mut(units.width)) {
            let along = dot::<FMA>(unit, slopes);
            slopes.iter_mut().zip(unit).for_each(|(slope, unit)| *slope = (*slope - unit * along) / length);
        }
    }
}
