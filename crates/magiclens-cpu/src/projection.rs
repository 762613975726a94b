//! The projection of a pretrained trunk's features: a layer norm and a linear layer.

use crate::block::{Run, linear, load};
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::precision::Precision;
use crate::rows::Rows;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// burn's epsilon of a layer norm.
const EPSILON: f64 = 1e-5;

/// A layer norm and a linear layer.
#[derive(Debug)]
pub(crate) struct Projection {
    norm: LayerNorm,
    linear: Linear,
    width: usize,
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
            width,
        })
    }

    /// `[rows, width]` -> `[rows, dim]`
    pub(crate) fn apply(&self, simd: Simd, features: &[f32]) -> Vec<f32> {
        let run = Run { simd, threads: 1 };
        let mut features = features.to_vec();
        self.norm.apply(simd, &mut features);
        let (mut rows, mut out) = (Rows::default(), Vec::new());
        load(run, self.linear.precision(), &mut rows, &features, self.width);
        crate::block::apply(run, &self.linear, &rows, &features, &mut out);
        out
    }
}
