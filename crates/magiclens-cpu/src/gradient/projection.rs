//! The projection of a frozen trunk's features with its gradient: a layer norm and a linear layer.

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
