//! The pre-norm transformer block that CLIP's image and text towers share.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Bool, Device, Tensor};

use crate::attention::{Attention, AttentionConfig};

/// The epsilon of every layer norm of CLIP.
pub(crate) const CLIP_NORM_EPS: f64 = 1e-5;

/// Attention and a feed-forward with QuickGELU, each behind a layer norm and added to its input.
#[derive(Module, Debug)]
pub struct ClipBlock {
    attention_norm: LayerNorm,
    attention: Attention,
    feed_forward_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

impl ClipBlock {
    /// A block of `width` with `heads` heads and random weights.
    pub(crate) fn init(width: usize, heads: usize, device: &Device) -> Self {
        Self {
            attention_norm: clip_norm(width, device),
            attention: AttentionConfig::plain(width, heads).init(device),
            feed_forward_norm: clip_norm(width, device),
            feed_forward_in: LinearConfig::new(width, 4 * width).init(device),
            feed_forward_out: LinearConfig::new(4 * width, width).init(device),
        }
    }

    /// `tokens`: `[batch, seq, width]`, `allowed`: `[batch, 1, seq, seq]` -> `[batch, seq, width]`.
    pub fn forward(&self, tokens: Tensor<3>, allowed: Option<Tensor<4, Bool>>) -> Tensor<3> {
        let normed = self.attention_norm.forward(tokens.clone());
        let tokens = tokens + self.attention.forward(normed.clone(), normed, allowed);
        let hidden = self
            .feed_forward_in
            .forward(self.feed_forward_norm.forward(tokens.clone())); // [batch, seq, 4 * width]
        tokens + self.feed_forward_out.forward(quick_gelu(hidden))
    }
}

/// A layer norm as CLIP has it.
pub(crate) fn clip_norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(CLIP_NORM_EPS).init(device)
}

/// `x * sigmoid(1.702 x)`, CLIP's approximation of GELU.
fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    x.clone() * sigmoid(x.mul_scalar(1.702))
}
