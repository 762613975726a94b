//! MagicLens' fusion: pre-norm self-attention layers over the two tokens [image; text], then attention pooling.
//! Source: google-deepmind/magiclens `layers.py`, `model.py`. There are no positions: the order of the two tokens
//! cannot be seen in the result.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use magiclens_cpu::FusionSizes;

use super::config::AttentionFusionConfig;
use super::pooler::AttentionPooler;
use crate::attention::{Attended, Attention, AttentionConfig};

/// Self-attention over [image; text] and attention pooling.
#[derive(Module, Debug)]
pub struct AttentionFusion {
    layers: Vec<FusionLayer>,
    pooler: AttentionPooler,
    /// The token of a second image, on its way into the text's.
    second: Option<Linear>,
    #[module(skip)]
    sizes: FusionSizes,
}

/// Values inside of an [`AttentionFusion`], for parity tests.
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
    /// Builds the fusion with random weights.
    pub(super) fn init(config: &AttentionFusionConfig, dim: usize, device: &Device) -> Self {
        Self {
            layers: (0..config.layers)
                .map(|_| FusionLayer::init(config, dim, device))
                .collect(),
            pooler: AttentionPooler::init(config, dim, device),
            second: config.second.then(|| LinearConfig::new(dim, dim).init(device)),
            sizes: config.sizes(dim),
        }
    }

    /// The sizes of the fusion.
    pub fn sizes(&self) -> FusionSizes {
        self.sizes
    }

    /// Text tokens and those of second images, `[batch, dim]` -> the tokens of texts that are about those, too; the texts' own where the
    /// fusion has no place for them.
    pub fn beside(&self, texts: Tensor<2>, seconds: Tensor<2>) -> Tensor<2> {
        match &self.second {
            Some(second) => texts + second.forward(seconds),
            None => texts,
        }
    }

    /// `images`, `texts`: `[batch, dim]`, not normalized -> `[batch, dim]`, not normalized.
    pub fn forward(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        self.trace(images, texts).embedding
    }

    /// [`AttentionFusion::forward`], keeping the output of every part.
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
