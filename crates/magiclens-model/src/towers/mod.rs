//! The towers: an image or a text goes in, a vector of the fusion width comes out, not normalized.

pub mod clip_block;
pub mod clip_text;
pub mod clip_vit;
pub mod efficientnet_lite;
pub mod minilm;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use clip_block::ClipActivation;
pub use clip_text::{ClipText, ClipTextConfig, ClipTextMask};
pub use clip_vit::{ClipVit, ClipVitConfig};
pub use efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig};
pub use minilm::{MiniLm, MiniLmConfig};

/// Which image tower, and its sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VisionConfig {
    /// CLIP's vision transformer.
    ClipVit(ClipVitConfig),
    /// EfficientNet-Lite0 and a learned projection.
    EfficientNetLite(EfficientNetLiteConfig),
}

/// Which text tower, and its sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextConfig {
    /// CLIP's text transformer.
    ClipText(ClipTextConfig),
    /// MiniLM and a learned projection.
    MiniLm(MiniLmConfig),
}

/// An image tower.
#[derive(Module, Debug)]
pub enum VisionTower {
    /// CLIP's vision transformer.
    ClipVit(ClipVit),
    /// EfficientNet-Lite0 and a learned projection.
    EfficientNetLite(Projected<EfficientNetLite>),
}

/// A text tower.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has one text tower; boxing would only hide it from burn's derive"
)]
pub enum TextTower {
    /// CLIP's text transformer.
    ClipText(ClipText),
    /// MiniLM and a learned projection.
    MiniLm(Projected<MiniLm>),
}

/// A pretrained trunk, and the layer norm and projection that bring its features into the fusion width.
#[derive(Module, Debug)]
pub struct Projected<M: Module> {
    /// The pretrained network.
    pub trunk: M,
    /// Features to fusion width.
    pub projection: FeatureProjection,
}

/// Layer norm and linear map of a trunk's features.
#[derive(Module, Debug)]
pub struct FeatureProjection {
    norm: LayerNorm,
    linear: Linear,
}

impl FeatureProjection {
    fn init(feature_dim: usize, dim: usize, device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(feature_dim).init(device),
            linear: LinearConfig::new(feature_dim, dim).init(device),
        }
    }

    /// `[batch, features]` -> `[batch, dim]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(self.norm.forward(features))
    }
}

impl VisionConfig {
    /// Side of the square input in pixels.
    pub fn image_px(&self) -> usize {
        match self {
            Self::ClipVit(config) => config.image_px,
            Self::EfficientNetLite(config) => config.image_px,
        }
    }

    /// Builds the tower with random weights, projecting to `dim`.
    pub fn init(&self, dim: usize, device: &Device) -> VisionTower {
        match self {
            Self::ClipVit(config) => VisionTower::ClipVit(config.init(dim, device)),
            Self::EfficientNetLite(config) => VisionTower::EfficientNetLite(Projected {
                trunk: config.init(device),
                projection: FeatureProjection::init(config.feature_dim(), dim, device),
            }),
        }
    }
}

impl TextConfig {
    /// Builds the tower with random weights, projecting to `dim`.
    pub fn init(&self, dim: usize, device: &Device) -> TextTower {
        match self {
            Self::ClipText(config) => TextTower::ClipText(config.init(dim, device)),
            Self::MiniLm(config) => TextTower::MiniLm(Projected {
                trunk: config.init(device),
                projection: FeatureProjection::init(config.width, dim, device),
            }),
        }
    }
}

impl VisionTower {
    /// `images`: `[batch, 3, image_px, image_px]`, preprocessed -> `[batch, dim]`, not normalized.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::ClipVit(tower) => tower.forward(images),
            Self::EfficientNetLite(tower) => tower.projection.forward(tower.trunk.forward(images)),
        }
    }
}
