//! Layer norms.

use rayon::prelude::*;

use crate::packed::Numbers;
use crate::run::Run;
use crate::simd::vectorized;
use crate::tensors::{MissingTensor, Tensors};

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` of each row.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    gamma: Numbers<f32>,
    beta: Numbers<f32>,
    epsilon: f32,
}

impl LayerNorm {
    pub(crate) fn new(tensors: &Tensors<'_>, width: usize, epsilon: f64) -> Result<Self, MissingTensor> {
        Ok(Self {
            gamma: tensors.tensor("gamma", width)?,
            beta: tensors.tensor("beta", width)?,
            epsilon: epsilon as f32,
        })
    }

    /// The norm of every row of `rows`.
    pub(crate) fn apply(&self, run: Run, rows: &mut [f32]) {
        let chunk = run.share(rows.len() / self.gamma.len()) * self.gamma.len();
        match run.threads {
            0 | 1 => normalize(run.simd, self, rows),
            _ => rows
                .par_chunks_mut(chunk)
                .for_each(|rows| normalize(run.simd, self, rows)),
        }
    }

    /// The norm of every row of `rows`, elsewhere.
    pub(crate) fn apply_to(&self, run: Run, rows: &[f32], out: &mut Vec<f32>) {
        let chunk = run.share(rows.len() / self.gamma.len()) * self.gamma.len();
        out.resize(rows.len(), 0.0);
        match run.threads {
            0 | 1 => normalize_to(run.simd, self, rows, out),
            _ => rows
                .par_chunks(chunk)
                .zip(out.par_chunks_mut(chunk))
                .for_each(|(rows, out)| normalize_to(run.simd, self, rows, out)),
        }
    }

    /// Mean and factor of a row.
    #[inline(always)]
    fn measure(&self, row: &[f32]) -> (f32, f32) {
        let width = row.len() as f32;
        let mean = sum(row, |value| value) / width;
        let variance = sum(row, |value| (value - mean) * (value - mean)) / width;
        (mean, (variance + self.epsilon).sqrt().recip())
    }
}

/// Sums side by side, which become one vector.
const LANES: usize = 16;

#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += term(*value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| term(*value)).sum::<f32>()
}

vectorized! {
    fn normalize(norm: &LayerNorm, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(norm.gamma.len()) {
            let (mean, factor) = norm.measure(row);
            let scales = norm.gamma.iter().zip(&*norm.beta);
            for (value, (gamma, beta)) in row.iter_mut().zip(scales) {
                *value = crate::math::mul_add::<FMA>((*value - mean) * factor, *gamma, *beta);
            }
        }
    }
}

vectorized! {
    fn normalize_to(norm: &LayerNorm, rows: &[f32], out: &mut [f32]) {
        let width = norm.gamma.len();
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, factor) = norm.measure(row);
            let scales = norm.gamma.iter().zip(&*norm.beta);
            for ((out, value), (gamma, beta)) in out.iter_mut().zip(row).zip(scales) {
                *out = crate::math::mul_add::<FMA>((*value - mean) * factor, *gamma, *beta);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Simd, Width};

    #[test]
    fn rows_get_mean_and_deviation() {
        for width in [Width::Portable, Width::Avx2, Width::Avx512] {
            let norm = LayerNorm {
                gamma: Numbers::Owned(vec![2.0; 37]),
                beta: Numbers::Owned(vec![0.5; 37]),
                epsilon: 0.0,
            };
            let mut rows: Vec<f32> = (0..74).map(|at| (at * at % 23) as f32).collect();
            let simd = Simd::detect(width);
            norm.apply(Run { simd, threads: 2 }, &mut rows);
            for row in rows.chunks_exact(37) {
                let mean: f32 = row.iter().sum::<f32>() / 37.0;
                let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 37.0;
                assert!(
                    (mean - 0.5).abs() < 1e-5 && (variance - 4.0).abs() < 1e-4,
                    "{mean} {variance}"
                );
            }
        }
    }
}
