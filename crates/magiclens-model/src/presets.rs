//! The sizes of models by name.

use crate::config::ModelConfig;
use crate::fusion::{AttentionFusionConfig, FusionConfig};
use crate::official_config::OfficialConfig;
use crate::preprocess::PreprocessConfig;
use crate::towers::{EfficientNetLiteConfig, MiniLmConfig, SentenceConfig, TextConfig, VisionConfig};

impl ModelConfig {
    /// The official `base`: CLIP ViT-B/16, 166,433,025 parameters.
    pub fn base() -> Self {
        OfficialConfig::base().to_model()
    }

    /// The official `large`: CLIP ViT-L/14, 465,417,665 parameters.
    pub fn large() -> Self {
        OfficialConfig::large().to_model()
    }

    /// Our own `small`: EfficientNet-Lite0 at 160 px with its classifier, MiniLM-L6, all as wide as MiniLM's sentences.
    /// Two layers of fusion, where the reference has four: better on the dev part (docs/decisions.md).
    pub fn small() -> Self {
        let text = MiniLmConfig {
            sentence: true,
            ..MiniLmConfig::L6
        };
        let dim = text.width;
        let image_px = 160;
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
                sentence: Some(SentenceConfig {
                    classes: 1000,
                    best: 50,
                    softness: 2,
                    width: dim,
                }),
            }),
            text: TextConfig::MiniLm(text),
            fusion: FusionConfig::Attention(AttentionFusionConfig {
                layers: 2,
                second: true,
                ..AttentionFusionConfig::reference(dim, 6)
            }),
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
