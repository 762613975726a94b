//! Sizes of a fusion.

use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::Device;
use magiclens_cpu::{Activation, BlockSizes, FusionSizes, NormOrder};
use serde::{Deserialize, Serialize};

use crate::towers::tower::divides;

/// Kind and sizes of a fusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FusionConfig {
    /// MagicLens: self-attention over [image; text], then attention pooling.
    Attention(AttentionFusionConfig),
    /// BGE-VL: image + text.
    Sum,
}

impl FusionConfig {
    /// Whether an instruction may be about a second image.
    pub fn takes_second_image(&self) -> bool {
        matches!(self, Self::Attention(sizes) if sizes.second)
    }

    /// Refuses sizes that cannot be built.
    pub(crate) fn check(&self, dim: usize) -> Result<(), String> {
        match self {
            Self::Attention(sizes) if !(divides(sizes.heads, dim) && divides(sizes.heads, sizes.pooler_inner)) => {
                let heads = sizes.heads;
                Err(format!("`heads` {heads} do not divide `dim` {dim} and `pooler_inner`"))
            }
            _ => Ok(()),
        }
    }
}

/// Sizes of an `AttentionFusion`.
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
    /// Whether an instruction may be about a second image, whose token a linear layer brings into the text's. Ours: the reference has one image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second: bool,
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
            second: false,
        }
    }

    /// The same for the CPU.
    pub(crate) fn sizes(&self, dim: usize) -> FusionSizes {
        FusionSizes {
            block: BlockSizes {
                width: dim,
                heads: self.heads,
                feed_forward: self.feed_forward,
                activation: Activation::Relu,
                epsilon: self.norm_eps,
                logit_cap: Some(self.logit_cap),
                order: NormOrder::Before,
                causal: false,
            },
            layers: self.layers,
            pooler_inner: self.pooler_inner,
            second: self.second,
        }
    }

    pub(super) fn norm(&self, dim: usize, device: &Device) -> LayerNorm {
        LayerNormConfig::new(dim).with_epsilon(self.norm_eps).init(device)
    }
}
