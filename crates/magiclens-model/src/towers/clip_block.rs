//! The pre-norm transformer block that CLIP's image and text towers share.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::attention::{Attention, AttentionConfig};

/// The epsilon of every layer norm of CLIP, in scenic, OpenAI's code, open_clip and transformers.
pub(crate) const CLIP_NORM_EPS: f64 = 1e-5;

/// The function between the two linear maps of a feed-forward layer. OpenAI's weights were trained with the first,
/// most of open_clip's with the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipActivation {
    /// `x * sigmoid(1.702 x)`, an approximation of GELU.
    #[default]
    QuickGelu,
    /// `x * Φ(x)`, by the error function.
    Gelu,
}

impl ClipActivation {
    /// True for OpenAI's, which configurations leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn forward(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::QuickGelu => x.clone() * sigmoid(x.mul_scalar(1.702)),
            Self::Gelu => gelu(x),
        }
    }
}

/// Sizes of a [`ClipBlock`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClipBlockConfig {
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) feed_forward: usize,
    pub(crate) activation: ClipActivation,
}

/// Attention and a feed-forward layer, each behind a layer norm and added to its input.
#[derive(Module, Debug)]
pub struct ClipBlock {
    attention_norm: LayerNorm,
    attention: Attention,
    feed_forward_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
    #[module(skip)]
    activation: ClipActivation,
}

impl ClipBlockConfig {
    /// Builds the block with random weights.
    pub(crate) fn init(&self, device: &Device) -> ClipBlock {
        let Self { width, heads, .. } = *self;
        ClipBlock {
            attention_norm: clip_norm(width, device),
            attention: AttentionConfig::plain(width, heads).init(device),
            feed_forward_norm: clip_norm(width, device),
            feed_forward_in: LinearConfig::new(width, self.feed_forward).init(device),
            feed_forward_out: LinearConfig::new(self.feed_forward, width).init(device),
            activation: self.activation,
        }
    }
}

impl ClipBlock {
    /// `tokens`: `[batch, seq, width]`, `allowed`: `[batch, 1, seq, seq]` -> `[batch, seq, width]`.
    pub fn forward(&self, tokens: Tensor<3>, allowed: Option<Tensor<4, Bool>>) -> Tensor<3> {
        let normed = self.attention_norm.forward(tokens.clone());
        let tokens = tokens + self.attention.forward(normed.clone(), normed, allowed);
        let hidden = self
            .feed_forward_in
            .forward(self.feed_forward_norm.forward(tokens.clone())); // [batch, seq, feed_forward]
        tokens + self.feed_forward_out.forward(self.activation.forward(hidden))
    }
}

/// A layer norm as CLIP has it.
pub(crate) fn clip_norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(CLIP_NORM_EPS).init(device)
}
