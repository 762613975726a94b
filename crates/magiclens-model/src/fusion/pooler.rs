//! Pools the fused tokens into one vector: a learned query attends over all tokens.
//! Source: google-deepmind/magiclens `layers.py`, `AttenTokenPoolingLayer`.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{Device, Distribution, Tensor};

use super::config::AttentionFusionConfig;
use crate::attention::{Attended, Attention, AttentionConfig};

/// A learned query over all tokens, with a learned scale for each head dimension, and a layer norm after.
#[derive(Module, Debug)]
pub struct AttentionPooler {
    /// `[1, dim]`
    query: Param<Tensor<2>>,
    attention: Attention,
    norm: LayerNorm,
}

impl AttentionPooler {
    pub(super) fn init(config: &AttentionFusionConfig, dim: usize, device: &Device) -> Self {
        let attention = AttentionConfig {
            dim,
            inner_dim: config.pooler_inner,
            heads: config.heads,
            logit_cap: Some(config.logit_cap),
            per_dim_scale: true,
        };
        Self {
            query: Param::from_tensor(Tensor::random([1, dim], Distribution::Normal(0.0, 1.0), device)),
            attention: attention.init(device),
            norm: config.norm(dim, device),
        }
    }

    /// `[batch, tokens, dim]` -> `[batch, 1, dim]`, before the layer norm.
    pub(super) fn attend(&self, tokens: Tensor<3>) -> Attended {
        let [batch, _, dim] = tokens.dims();
        let query = self.query.val().reshape([1, 1, dim]).expand([batch, 1, dim]);
        self.attention.attend(query, tokens, None)
    }

    /// `[batch, 1, dim]` -> `[batch, dim]`, after the layer norm.
    pub(super) fn read_out(&self, pooled: Tensor<3>) -> Tensor<2> {
        self.norm.forward(pooled).squeeze_dim(1)
    }
}
