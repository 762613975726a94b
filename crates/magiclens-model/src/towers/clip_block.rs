//! The pre-norm transformer block that CLIP's image and text towers share.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::{Bool, Device, Tensor};
use magiclens_cpu::{BlockSizes, NormOrder};
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
    /// GELU with `tanh` in place of the error function: SigLIP's.
    GeluTanh,
}

impl ClipActivation {
    /// True for OpenAI's, which configurations leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn forward(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::QuickGelu => x.clone() * sigmoid(x.mul_scalar(1.702)),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
        }
    }
}

impl From<ClipActivation> for magiclens_cpu::Activation {
    fn from(activation: ClipActivation) -> Self {
        match activation {
            ClipActivation::QuickGelu => Self::QuickGelu,
            ClipActivation::Gelu => Self::Gelu,
            ClipActivation::GeluTanh => Self::GeluTanh,
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
    /// The same for the CPU.
    pub(crate) fn sizes(&self, norm_eps: f64, causal: bool) -> BlockSizes {
        BlockSizes {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward,
            activation: self.activation.into(),
            epsilon: norm_eps,
            logit_cap: None,
            order: NormOrder::Before,
            causal,
        }
    }

    /// Builds the block with random weights.
    pub(crate) fn init(&self, device: &Device) -> ClipBlock {
        self.init_with(CLIP_NORM_EPS, device)
    }

    /// [`ClipBlockConfig::init`] with another epsilon of the layer norms.
    pub(crate) fn init_with(&self, norm_eps: f64, device: &Device) -> ClipBlock {
        let Self { width, heads, .. } = *self;
        let norm = || LayerNormConfig::new(width).with_epsilon(norm_eps).init(device);
        ClipBlock {
            attention_norm: norm(),
            attention: AttentionConfig::plain(width, heads).init(device),
            feed_forward_norm: norm(),
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

/// `x / 2 * (1 + tanh(sqrt(2 / π) (x + 0.044715 x³)))`.
fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    const SQRT_2_OVER_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube.mul_scalar(0.044715)).mul_scalar(SQRT_2_OVER_PI);
    x * inner.tanh().add_scalar(1.0).mul_scalar(0.5)
}

/// A layer norm as CLIP has it.
pub(crate) fn clip_norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(CLIP_NORM_EPS).init(device)
}
