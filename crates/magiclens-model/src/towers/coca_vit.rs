//! CoCa's image tower: CLIP's vision transformer, whose tokens a learned query pools.
//! Source: open_clip `transformer.py`, `AttentionalPooler` and `VisionTransformer._pool`, where `attentional_pool` is true.
//! The original has some hundred queries for its caption decoder; the contrastive vector is the output of the first one
//! alone, and queries do not see each other, so only that one is kept.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::{ImageNetwork, MissingTensor, Precision, ProbeSizes, Reading, Tensors, Vit};
use serde::{Deserialize, Serialize};

use super::clip_block::clip_norm;
use super::clip_vit::{ClipVit, ClipVitConfig};
use super::tower::{ImageTower, ImageTowerConfig, Tower, check_size, divides};
use crate::attention::{Attention, AttentionConfig};

/// Sizes of a [`CocaVit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CocaVitConfig {
    /// The transformer below the pooling.
    pub vit: ClipVitConfig,
    /// The pooling.
    pub pooler: CocaPoolerConfig,
}

/// Sizes of the pooling of a [`CocaVit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CocaPoolerConfig {
    /// Width of the query and of what is pooled.
    pub width: usize,
    /// Heads of the attention.
    pub heads: usize,
}

impl ImageTowerConfig for CocaVitConfig {
    type Tower = CocaVit;

    fn image_px(&self) -> usize {
        self.vit.image_px()
    }

    fn check(&self) -> Result<(), String> {
        self.vit.check()?;
        let CocaPoolerConfig { width, heads } = self.pooler;
        check_size("pooler width", width)?;
        match divides(heads, width) {
            true => Ok(()),
            false => Err(format!("pooler `heads` {heads} do not divide `width` {width}")),
        }
    }

    fn init(&self, dim: usize, device: &Device) -> CocaVit {
        let CocaPoolerConfig { width, heads } = self.pooler;
        let query = Tensor::random([1, width], Distribution::Normal(0.0, 1.0), device);
        CocaVit {
            vit: self.vit.init_read_out(width, dim, device),
            pooler: CocaPooler {
                query: Param::from_tensor(query),
                query_norm: clip_norm(width, device),
                token_norm: clip_norm(self.vit.width, device),
                attention: AttentionConfig::plain(width, heads).init_across(self.vit.width, device),
            },
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn ImageNetwork>, MissingTensor> {
        let CocaPoolerConfig { width, heads } = self.pooler;
        let query = ProbeSizes {
            tokens: self.vit.width,
            width,
            inner: width,
            heads,
            logit_cap: None,
        };
        let sizes = self.vit.sizes(dim, Reading::Query(query));
        Ok(Box::new(Vit::new(precision, tower, sizes)?))
    }
}

/// CoCa's vision transformer with attentional pooling and a projection into the shared space.
#[derive(Module, Debug)]
pub struct CocaVit {
    vit: ClipVit,
    pooler: CocaPooler,
}

/// A learned query over all tokens, both behind a layer norm.
#[derive(Module, Debug)]
struct CocaPooler {
    /// `[1, width]`
    query: Param<Tensor<2>>,
    query_norm: LayerNorm,
    token_norm: LayerNorm,
    attention: Attention,
}

impl CocaPooler {
    /// `[batch, tokens, token width]` -> `[batch, width]`.
    fn forward(&self, tokens: Tensor<3>) -> Tensor<2> {
        let [batch, _, _] = tokens.dims();
        let query = self.query_norm.forward(self.query.val()); // [1, width]
        let [_, width] = query.dims();
        let queries = query.reshape([1, 1, width]).expand([batch, 1, width]);
        let pooled = self.attention.forward(queries, self.token_norm.forward(tokens), None); // [batch, 1, width]
        pooled.squeeze_dim(1)
    }
}

impl Tower for CocaVit {}

impl ImageTower for CocaVit {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let tokens = self.vit.tokens(images); // [batch, tokens, width]
        self.vit.read_out(self.pooler.forward(tokens))
    }
}
