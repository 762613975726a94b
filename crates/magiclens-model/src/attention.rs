//! Multi-head attention, the one layer that both towers, the fusion and the pooler share.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Tensor};

/// Sizes of an [`Attention`] layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// Width of the tokens that go in and come out.
    pub dim: usize,
    /// Width of queries, keys and values over all heads.
    pub inner_dim: usize,
    /// Number of heads; divides `inner_dim`.
    pub heads: usize,
    /// Logits become `cap * tanh(logits / cap)`; `None` leaves them as they are.
    pub logit_cap: Option<f64>,
    /// True if a learned scale for each dimension of a head replaces `1 / sqrt(head_dim)`.
    pub per_dim_scale: bool,
}

impl AttentionConfig {
    /// Plain attention: inner width equals the token width, no cap.
    pub fn plain(dim: usize, heads: usize) -> Self {
        Self {
            dim,
            inner_dim: dim,
            heads,
            logit_cap: None,
            per_dim_scale: false,
        }
    }

    /// Builds the layer with random weights.
    pub fn init(&self, device: &Device) -> Attention {
        self.init_across(self.dim, device)
    }

    /// [`AttentionConfig::init`] for queries that look at tokens of another width.
    pub(crate) fn init_across(&self, token_dim: usize, device: &Device) -> Attention {
        let project = |dim| LinearConfig::new(dim, self.inner_dim).init(device);
        Attention {
            query: project(self.dim),
            key: project(token_dim),
            value: project(token_dim),
            output: LinearConfig::new(self.inner_dim, self.dim).init(device),
            // softplus(0) * 1 / ln 2 = 1: the start is the usual 1 / sqrt(head_dim).
            per_dim_scale: self
                .per_dim_scale
                .then(|| Param::from_tensor(Tensor::zeros([self.inner_dim / self.heads], device))),
            heads: self.heads,
            logit_cap: self.logit_cap.unwrap_or(0.0),
        }
    }
}

/// Multi-head attention with an optional logit cap and an optional learned scale for each head dimension.
#[derive(Module, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    per_dim_scale: Option<Param<Tensor<1>>>,
    output: Linear,
    heads: usize,
    /// Zero means no cap.
    logit_cap: f64,
}

/// The output of an attention layer: the tokens, and the probabilities for tests.
#[derive(Debug)]
pub struct Attended {
    /// `[batch, queries, dim]`
    pub tokens: Tensor<3>,
    /// `[batch, heads, queries, keys]`
    pub probabilities: Tensor<4>,
}

impl Attention {
    /// `queries`: `[batch, queries, dim]`, `tokens`: `[batch, keys, dim]`, `allowed`: `[batch, 1, queries, keys]`, true
    /// where a query may look -> `[batch, queries, dim]`.
    pub fn forward(&self, queries: Tensor<3>, tokens: Tensor<3>, allowed: Option<Tensor<4, Bool>>) -> Tensor<3> {
        self.attend(queries, tokens, allowed).tokens
    }

    /// [`Attention::forward`] with the probabilities beside the tokens.
    pub fn attend(&self, queries: Tensor<3>, tokens: Tensor<3>, allowed: Option<Tensor<4, Bool>>) -> Attended {
        let [batch, query_count, _dim] = queries.dims();
        let query = self.split_heads(self.query.forward(queries)); // [batch, heads, queries, head_dim]
        let key = self.split_heads(self.key.forward(tokens.clone())); // [batch, heads, keys, head_dim]
        let value = self.split_heads(self.value.forward(tokens)); // [batch, heads, keys, head_dim]

        let mut logits = self.scale(query).matmul(key.swap_dims(2, 3)); // [batch, heads, queries, keys]
        if self.logit_cap > 0.0 {
            logits = logits.div_scalar(self.logit_cap).tanh().mul_scalar(self.logit_cap);
        }
        if let Some(allowed) = allowed {
            let [_, heads, _, keys] = logits.dims();
            logits = logits.mask_fill(allowed.expand([batch, heads, query_count, keys]).bool_not(), f32::MIN);
        }
        let probabilities = softmax(logits, 3); // [batch, heads, queries, keys]
        let mixed = probabilities.clone().matmul(value); // [batch, heads, queries, head_dim]
        let [_, heads, _, head_dim] = mixed.dims();
        let joined = mixed.swap_dims(1, 2).reshape([batch, query_count, heads * head_dim]);
        Attended {
            tokens: self.output.forward(joined),
            probabilities,
        }
    }

    /// `[batch, heads, queries, head_dim]` -> the same, scaled for the dot product.
    fn scale(&self, query: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head_dim] = query.dims();
        let usual = (head_dim as f64).sqrt().recip();
        match &self.per_dim_scale {
            None => query.mul_scalar(usual),
            // The reference (praxis `PerDimScale`) multiplies by 1 / softplus(0), written as 1.442695041.
            Some(scale) => {
                let scale =
                    burn::tensor::activation::softplus(scale.val(), 1.0).mul_scalar(std::f64::consts::LOG2_E * usual);
                query * scale.reshape([1, 1, 1, head_dim])
            }
        }
    }

    /// `[batch, tokens, inner_dim]` -> `[batch, heads, tokens, head_dim]`.
    fn split_heads(&self, tokens: Tensor<3>) -> Tensor<4> {
        let [batch, count, inner_dim] = tokens.dims();
        tokens
            .reshape([batch, count, self.heads, inner_dim / self.heads])
            .swap_dims(1, 2)
    }
}
