//! Sums over vectors of f32, added up in f64.

/// The dot product.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The unit vector of a row; `None` where it has no direction.
pub(super) fn unit(row: &[f32]) -> Option<Vec<f32>> {
    let length = dot(row, row).sqrt();
    let usable = length.is_finite() && length > 0.0;
    usable.then(|| row.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}

/// The mean of rows; zeros for no row.
pub(super) fn mean(rows: &[Vec<f32>], dim: usize) -> Vec<f32> {
    let mut sum = Sum::new(dim);
    rows.iter().for_each(|row| sum.add(row));
    sum.mean()
}

/// A sum of rows of one width, with their number.
pub(super) struct Sum {
    values: Vec<f64>,
    count: f64,
}

impl Sum {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            values: vec![0.0; dim],
            count: 0.0,
        }
    }

    pub(super) fn add(&mut self, row: &[f32]) {
        self.count += 1.0;
        let both = self.values.iter_mut().zip(row);
        both.for_each(|(sum, value)| *sum += f64::from(*value));
    }

    /// Zeros if nothing was added.
    pub(super) fn mean(self) -> Vec<f32> {
        let count = self.count.max(1.0);
        self.values.into_iter().map(|sum| (sum / count) as f32).collect()
    }
}

/// `row - mean`.
pub(super) fn subtracted(row: &[f32], mean: &[f32]) -> Vec<f32> {
    row.iter().zip(mean).map(|(value, mean)| value - mean).collect()
}
