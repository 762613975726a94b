//! The projection of a pretrained trunk's features: a layer norm and a linear layer.

use crate::block::linear;
use crate::linear::{Epilogue, Linear};
use crate::norm::LayerNorm;
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// burn's epsilon of a layer norm.
pub(crate) const EPSILON: f64 = 1e-5;

/// A layer norm and a linear layer.
#[derive(Debug)]
pub(crate) struct Projection {
    norm: LayerNorm,
    linear: Linear,
}

impl Projection {
    pub(crate) fn new(
        precision: Precision,
        tensors: &Tensors<'_>,
        [width, dim]: [usize; 2],
    ) -> Result<Self, MissingTensor> {
        Ok(Self {
            norm: LayerNorm::new(&tensors.within("norm"), width, EPSILON)?,
            linear: linear(precision, tensors, "linear", [width, dim])?,
        })
    }

    /// `[rows, width]` -> `[rows, dim]`
    pub(crate) fn apply(&self, features: &[f32]) -> Vec<f32> {
        let (run, mut features) = (Run::on(1), features.to_vec());
        self.norm.apply(run, &mut features);
        let (mut rows, mut out) = (Rows::default(), Vec::new());
        self.linear.fill(run, &mut rows, &features, &mut out, Epilogue::STORE);
        out
    }
}
