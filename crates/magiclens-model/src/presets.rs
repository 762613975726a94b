//! The sizes of models by name.

use crate::config::ModelConfig;
use crate::fusion::{AttentionFusionConfig, FusionConfig};
use crate::official_config::OfficialConfig;
use crate::preprocess::PreprocessConfig;
use crate::towers::{EfficientNetLiteConfig, MiniLmConfig, TextConfig, VisionConfig};

impl ModelConfig {
    /// The official `base`: CLIP ViT-B/16, 166,433,025 parameters.
    pub fn base() -> Self {
        OfficialConfig::base().to_model()
    }

    /// The official `large`: CLIP ViT-L/14, 465,417,665 parameters.
    pub fn large() -> Self {
        OfficialConfig::large().to_model()
    }

    /// Our own `small`: EfficientNet-Lite0 at 128 px, MiniLM-L6, fusion width 256.
    pub fn small() -> Self {
        let dim = 256;
        let image_px = 128;
        Self {
            name: "small".into(),
            dim,
            preprocess: PreprocessConfig::Letterbox {
                size_px: image_px as u32,
                mean: [127.0; 3],
                std: [128.0; 3],
                background: [255; 3],
            },
            vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig {
                image_px,
                taps: vec![2, 4, 7, 10],
            }),
            text: TextConfig::MiniLm(MiniLmConfig::L6),
            fusion: FusionConfig::Attention(AttentionFusionConfig::reference(dim, 4)),
        }
    }

    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self::small()),
            "base" => Some(Self::base()),
            "large" => Some(Self::large()),
            _ => None,
        }
    }
}
