//! Fusion: an image vector and a text vector become one embedding.

pub mod attention;
pub mod config;
pub mod pooler;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

pub use attention::{AttentionFusion, FusionTrace};
pub use config::{AttentionFusionConfig, FusionConfig};

impl FusionConfig {
    /// Builds the fusion with random weights.
    pub fn init(&self, dim: usize, device: &Device) -> Fusion {
        match self {
            Self::Attention(config) => Fusion::Attention(AttentionFusion::init(config, dim, device)),
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

    /// Text tokens and those of second images, `[batch, dim]` -> the tokens of texts that are about those, too; the texts' own where the
    /// fusion has no place for a second image.
    pub fn beside(&self, texts: Tensor<2>, seconds: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Attention(fusion) => fusion.beside(texts, seconds),
            Self::Sum(_) => texts,
        }
    }
}

/// `[batch, dim]` -> the same directions with length 1.
pub fn unit(rows: Tensor<2>) -> Tensor<2> {
    let norms = rows.clone().powi_scalar(2).sum_dim(1).sqrt(); // [batch, 1]
    rows / norms
}
