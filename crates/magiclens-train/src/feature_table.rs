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

    /// [`FeatureTable::tensor`] with every number multiplied by 1 + noise of this standard deviation (even, not
    /// normal). The noise follows from the seed alone, whichever thread makes it.
    pub fn noisy_tensor(&self, rows: impl Iterator<Item = usize>, noise: f64, seed: u64, device: &Device) -> Tensor<2> {
        let clean = self.tensor(rows, device);
        if noise == 0.0 {
            return clean;
        }
        let [count, width] = clean.dims();
        let mut rng = Random::seed_from_u64(seed);
        let reach = (noise * 3f64.sqrt()) as f32;
        let factors: Vec<f32> = (0..count * width)
            .map(|_| 1.0 + reach * rng.between(-1.0, 1.0))
            .collect();
        clean * Tensor::from_data(TensorData::new(factors, [count, width]), device)
    }

    /// The rows chosen, as `[rows, width]` on a device.
    pub fn tensor(&self, rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = rows
            .flat_map(|row| self.values[row * self.width..(row + 1) * self.width].iter().copied())
            .collect();
        let count = values.len() / self.width;
        Tensor::from_data(TensorData::new(values, [count, self.width]), device)
    }
}
