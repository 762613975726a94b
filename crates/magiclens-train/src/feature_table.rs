//! Rows of frozen features.

use burn::tensor::{Device, Tensor, TensorData};
use magiclens_metrics::Random;

/// Rows of features, `[rows, width]`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    /// Numbers of a row.
    pub width: usize,
    /// All rows, one after the other.
    pub values: Vec<f32>,
}

impl FeatureTable {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds the rows of another table.
    pub(crate) fn extend(&mut self, width: usize, values: Vec<f32>) {
        self.width = width;
        self.values.extend(values);
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// [`FeatureTable::row`] behind what `out` has, with every number multiplied by 1 + noise of this standard deviation
    /// (even, not normal), which follows from the seed alone.
    pub fn push_noisy(&self, row: usize, noise: f64, seed: u64, out: &mut Vec<f32>) {
        let row = self.row(row);
        if noise == 0.0 {
            out.extend_from_slice(row);
            return;
        }
        let mut rng = Random::seed_from_u64(seed);
        let reach = (noise * 3f64.sqrt()) as f32;
        out.extend(row.iter().map(|value| value * (1.0 + reach * rng.between(-1.0, 1.0))));
    }

    /// The rows chosen, as `[rows, width]` on a device.
    pub fn tensor(&self, rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = rows.flat_map(|row| self.row(row).iter().copied()).collect();
        let count = values.len() / self.width;
        Tensor::from_data(TensorData::new(values, [count, self.width]), device)
    }
}
