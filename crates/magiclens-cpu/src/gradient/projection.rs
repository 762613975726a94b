//! The projection of a trunk's features with its gradient: a layer norm and a linear layer.

use super::named::NamedGradients;
use super::norm::Normed;
use super::normed_linear::NormedLinear;
use super::product::{Columns, OuterScratch};
use super::slots::Slots;
use crate::projection::EPSILON;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// A projection with its weights packed for a step.
#[derive(Debug)]
pub struct ProjectionGradient {
    simd: Simd,
    layer: NormedLinear,
}

/// What the way back through a projection needs, for some rows.
#[derive(Debug, Default)]
pub struct ProjectionTape(Normed);

/// Memory of the way back.
#[derive(Debug, Default)]
pub struct ProjectionScratch(OuterScratch);

impl ProjectionGradient {
    /// Packs the tensors of a projection of `width` features to `dim`.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(tensors: &Tensors<'_>, [width, dim]: [usize; 2], slots: &mut Slots) -> Result<Self, MissingTensor> {
        Ok(Self {
            simd: Simd::get(),
            layer: NormedLinear::named(tensors, "norm", &["linear"], [width, dim], EPSILON, slots)?,
        })
    }

    /// Numbers of a row that comes out.
    pub fn dim(&self) -> usize {
        self.layer.linear.outputs
    }

    /// `[rows, width]` -> `[rows, dim]`.
    pub fn forward(&self, features: &[f32], tape: &mut ProjectionTape) -> Vec<f32> {
        let mut out = Vec::new();
        tape.0
            .load(self.simd, features, self.layer.linear.inputs, self.layer.epsilon);
        self.layer.linear.forward(self.simd, &tape.0.units, &mut out);
        out
    }

    /// The way back from the slopes of what [`ProjectionGradient::forward`] gave: adds to the sums of the weights.
    pub fn backward(&self, tape: &ProjectionTape, scratch: &mut ProjectionScratch, slopes: &[f32], sums: &mut [f32]) {
        let slopes = Columns::all(slopes, self.layer.linear.outputs);
        self.layer
            .linear
            .add_sums(self.simd, &mut scratch.0, &tape.0.units, slopes, sums);
    }

    /// Slopes of the features, `[rows, width]`, from the slopes of what [`ProjectionGradient::forward`] gave.
    pub fn feature_slopes(&self, tape: &ProjectionTape, slopes: &[f32]) -> Vec<f32> {
        let mut of_units = Vec::new();
        let slopes = Columns::all(slopes, self.layer.linear.outputs);
        self.layer.linear.backward(self.simd, slopes, &mut of_units);
        let mut out = vec![0.0; of_units.len()];
        tape.0.add_backward(self.simd, &of_units, &mut out);
        out
    }

    /// The gradients of all tensors.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn gradients(
        &self,
        tensors: &Tensors<'_>,
        sums: &[f32],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        self.layer.gradients(tensors, sums, out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const WIDTH: usize = 20;
    const DIM: usize = 7;
    const ROWS: usize = 3;

    /// Numbers between -1 and 1 that follow from `seed`.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 37 + seed * 101) as f32 * 0.7).sin())
            .collect()
    }

    /// The sum of all outputs, each times its slope.
    fn weighted(projection: &ProjectionGradient, features: &[f32], slopes: &[f32]) -> f64 {
        let out = projection.forward(features, &mut ProjectionTape::default());
        out.iter().zip(slopes).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn slopes_of_features_are_those_of_finite_differences() {
        let tensors = BTreeMap::from([
            ("norm.gamma", numbers(WIDTH, 1)),
            ("norm.beta", numbers(WIDTH, 2)),
            ("linear.weight", numbers(WIDTH * DIM, 3)),
            ("linear.bias", numbers(DIM, 4)),
        ]);
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        let projection = ProjectionGradient::new(&Tensors::new(&find), [WIDTH, DIM], &mut Slots::default()).unwrap();
        let (features, slopes) = (numbers(ROWS * WIDTH, 5), numbers(ROWS * DIM, 6));
        let mut tape = ProjectionTape::default();
        projection.forward(&features, &mut tape);
        let found = projection.feature_slopes(&tape, &slopes);
        assert_eq!(found.len(), features.len());
        for (at, found) in found.iter().enumerate() {
            let moved = |by: f32| {
                let mut features = features.clone();
                features[at] += by;
                weighted(&projection, &features, &slopes)
            };
            let step = 1e-2;
            let measured = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!(
                (measured - f64::from(*found)).abs() < 2e-3,
                "{at}: {found}, measured {measured}"
            );
        }
    }
}
