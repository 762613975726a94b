//! MagicLens' fusion: pre-norm self-attention layers over the two tokens [image; text], then attention pooling.
//! Source: google-deepmind/magiclens `layers.py`, `model.py`. There are no positions: the order of the two tokens
//! cannot be seen in the result.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::pooler::AttentionPooler;
use crate::attention::{Attended, Attention, AttentionConfig};

/// Sizes of an [`AttentionFusion`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionFusionConfig {
    /// Number of layers.
    pub layers: usize,
    /// Heads of each layer and of the pooler.
    pub heads: usize,
    /// Width of the feed-forward layers.
    pub feed_forward: usize,
    /// Inner width of the pooler; the reference always has 4 * dim.
    pub pooler_inner: usize,
    /// Logits become `cap * tanh(logits / cap)`.
    pub logit_cap: f64,
    /// Epsilon of every layer norm.
    pub norm_eps: f64,
}

impl AttentionFusionConfig {
    /// The reference's proportions for a width: 4 layers, feed-forward and pooler 4 times as wide.
    pub fn reference(dim: usize, heads: usize) -> Self {
        Self {
            layers: 4,
            heads,
            feed_forward: 4 * dim,
            pooler_inner: 4 * dim,
            logit_cap: 50.0,
            norm_eps: 1e-6,
        }
    }

    /// Builds the fusion with random weights.
    pub fn init(&self, dim: usize, device: &Device) -> AttentionFusion {
        AttentionFusion {
            layers: (0..self.layers).map(|_| FusionLayer::init(self, dim, device)).collect(),
            pooler: AttentionPooler::init(self, dim, device),
        }
    }

    pub(super) fn norm(&self, dim: usize, device: &Device) -> LayerNorm {
        LayerNormConfig::new(dim).with_epsilon(self.norm_eps).init(device)
    }
}

/// Self-attention over [image; text] and attention pooling.
#[derive(Module, Debug)]
pub struct AttentionFusion {
    layers: Vec<FusionLayer>,
    pooler: AttentionPooler,
}

/// Where an [`AttentionFusion`] was looked into, for parity tests.
#[derive(Debug)]
pub struct FusionTrace {
    /// Tokens after each layer `[batch, 2, dim]` and that layer's probabilities `[batch, heads, 2, 2]`.
    pub layers: Vec<Attended>,
    /// The pooler's attention output before its layer norm: `[batch, 1, dim]`, and `[batch, heads, 1, 2]`.
    pub pooled: Attended,
    /// `[batch, dim]`, after the pooler's layer norm, not yet of unit length.
    pub embedding: Tensor<2>,
}

impl AttentionFusion {
    /// `images`, `texts`: `[batch, dim]`, not normalized -> `[batch, dim]`, not normalized.
    pub fn forward(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        self.trace(images, texts).embedding
    }

    /// [`AttentionFusion::forward`], keeping what every part gave.
    pub fn trace(&self, images: Tensor<2>, texts: Tensor<2>) -> FusionTrace {
        let mut tokens: Tensor<3> = Tensor::stack(vec![images, texts], 1); // [batch, 2, dim]
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let attended = layer.attend(tokens);
            tokens = attended.tokens.clone();
            layers.push(attended);
        }
        let pooled = self.pooler.attend(tokens);
        let embedding = self.pooler.read_out(pooled.tokens.clone());
        FusionTrace {
            layers,
            pooled,
            embedding,
        }
    }
}

/// Attention and a ReLU feed-forward, each behind a layer norm and added to its input.
#[derive(Module, Debug)]
pub struct FusionLayer {
    attention_norm: LayerNorm,
    attention: Attention,
    feed_forward_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

impl FusionLayer {
    fn init(config: &AttentionFusionConfig, dim: usize, device: &Device) -> Self {
        let attention = AttentionConfig {
            logit_cap: Some(config.logit_cap),
            ..AttentionConfig::plain(dim, config.heads)
        };
        Self {
            attention_norm: config.norm(dim, device),
            attention: attention.init(device),
            feed_forward_norm: config.norm(dim, device),
            feed_forward_in: LinearConfig::new(dim, config.feed_forward).init(device),
            feed_forward_out: LinearConfig::new(config.feed_forward, dim).init(device),
        }
    }

    /// `[batch, 2, dim]` -> `[batch, 2, dim]` and the attention's probabilities.
    fn attend(&self, tokens: Tensor<3>) -> Attended {
        let normed = self.attention_norm.forward(tokens.clone());
        let attended = self.attention.attend(normed.clone(), normed, None);
        let tokens = tokens + attended.tokens;
        let hidden = relu(
            self.feed_forward_in
                .forward(self.feed_forward_norm.forward(tokens.clone())),
        );
        Attended {
            tokens: tokens + self.feed_forward_out.forward(hidden),
            probabilities: attended.probabilities,
        }
    }
}
