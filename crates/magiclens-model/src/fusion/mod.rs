//! Fusion: an image vector and a text vector become one embedding.

pub mod attention;
pub mod pooler;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use attention::{AttentionFusion, AttentionFusionConfig, FusionTrace};

/// Which fusion, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FusionConfig {
    /// MagicLens: self-attention over [image; text], then attention pooling.
    Attention(AttentionFusionConfig),
    /// BGE-VL: image + text.
    Sum,
}

impl FusionConfig {
    /// Builds the fusion with random weights.
    pub fn init(&self, dim: usize, device: &Device) -> Fusion {
        match self {
            Self::Attention(config) => Fusion::Attention(config.init(dim, device)),
            Self::Sum => Fusion::Sum(Sum {}),
        }
    }
}

/// A fusion.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has one fusion; boxing would only hide it from burn's derive"
)]
pub enum Fusion {
    /// MagicLens.
    Attention(AttentionFusion),
    /// Image + text.
    Sum(Sum),
}

/// Image + text, without parameters.
#[derive(Module, Debug)]
pub struct Sum {}

impl Fusion {
    /// `images`, `texts`: `[batch, dim]`, not normalized -> `[batch, dim]`, unit length.
    pub fn forward(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        let fused = match self {
            Self::Attention(fusion) => fusion.forward(images, texts),
            Self::Sum(_) => images + texts,
        };
        unit(fused)
    }
}

/// `[batch, dim]` -> the same directions with length 1.
pub fn unit(rows: Tensor<2>) -> Tensor<2> {
    let norms = rows.clone().powi_scalar(2).sum_dim(1).sqrt(); // [batch, 1]
    rows / norms
}
