//! An image as a sentence would be: what a classifier finds in it, in the space of a sentence encoder.
//!
//! This is ConSE (Norouzi et al. 2013, arXiv 1312.5650): the mean of the classes' own vectors, weighted by how probable they
//! are. It needs no training.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::SentenceSizes;
use serde::{Deserialize, Serialize};

use super::tower::check_size;

/// Sizes of a [`Sentence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentenceConfig {
    /// Classes of the classifier.
    pub classes: usize,
    /// Classes that count, the most probable ones.
    pub best: usize,
    /// Logits are divided by it before the softmax.
    pub softness: u8,
    /// Width of a sentence.
    pub width: usize,
}

impl SentenceConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        check_size("classes", self.classes)?;
        check_size("width", self.width)?;
        match (1..=self.classes).contains(&self.best) && self.softness > 0 {
            true => Ok(()),
            false => Err("`sentence` has no class that counts, or a `softness` of 0".into()),
        }
    }

    /// Builds it with random weights: `head` numbers go into the classifier.
    pub(super) fn init(&self, head: usize, device: &Device) -> Sentence {
        Sentence {
            classifier: LinearConfig::new(head, self.classes).init(device),
            classes: Param::from_tensor(Tensor::random(
                [self.classes, self.width],
                Distribution::Normal(0.0, 1.0),
                device,
            )),
            best: self.best,
            softness: f64::from(self.softness),
        }
    }

    /// The same for the CPU.
    pub(super) fn sizes(&self) -> SentenceSizes {
        SentenceSizes {
            classes: self.classes,
            best: self.best,
            softness: f32::from(self.softness),
            width: self.width,
        }
    }
}

/// A classifier with the vectors of its classes.
#[derive(Module, Debug)]
pub struct Sentence {
    classifier: Linear,
    /// `[classes, width]`, of unit length.
    classes: Param<Tensor<2>>,
    #[module(skip)]
    best: usize,
    #[module(skip)]
    softness: f64,
}

impl Sentence {
    /// `[batch, head]` -> `[batch, width]`: the classes' vectors, weighted by a softmax over the most probable ones. The shorter, the less
    /// these have in common.
    pub fn forward(&self, head: Tensor<2>) -> Tensor<2> {
        let logits = self.classifier.forward(head); // [batch, classes]
        let least = logits.clone().topk(self.best, 1).narrow(1, self.best - 1, 1); // [batch, 1]
        let others = logits.clone().lower(least);
        let weights = softmax(logits.mask_fill(others, f32::NEG_INFINITY) / self.softness, 1);
        weights.matmul(self.classes.val())
    }
}

/// `[batch, dim]` -> the same directions with length 1; zeros stay zeros.
pub(super) fn direction(rows: Tensor<2>) -> Tensor<2> {
    let lengths = rows.clone().powi_scalar(2).sum_dim(1).sqrt(); // [batch, 1]
    rows / lengths.clamp_min(f32::MIN_POSITIVE)
}
