//! A head of a few numbers and settings, shared by the unit tests.

use magiclens_model::ModelConfig;
use magiclens_model::fusion::FusionConfig;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{EfficientNetLiteConfig, MiniLmConfig, TextConfig, VisionConfig};

use crate::TrainConfig;
use crate::config::{Optimizer, Schedule};
use crate::head::Head;

/// Two trunks with projections, and a fusion without parameters.
pub(crate) fn model_config() -> ModelConfig {
    let (dim, image_px) = (4, 32);
    let taps = Vec::new();
    ModelConfig {
        name: "toy".into(),
        dim,
        preprocess: PreprocessConfig::Clip { size_px: 32 },
        vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig { image_px, taps }),
        text: TextConfig::MiniLm(MiniLmConfig {
            width: 4,
            layers: 1,
            heads: 1,
            feed_forward: 4,
            vocabulary: 10,
            max_positions: 8,
        }),
        fusion: FusionConfig::Sum,
    }
}

/// The projections and the temperature.
pub(crate) fn head() -> Head {
    Head::of(&model_config().init_seeded(1))
}

/// Settings without any of those that have a default.
pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        seed: 1,
        image_px: None,
        steps: 30,
        batch_size: 8,
        optimizer: Optimizer::AdamW,
        learning_rate: 3e-3,
        pretrained_rate: 1.0,
        warmup_steps: 3,
        schedule: Schedule::Cosine,
        final_rate: None,
        weight_decay: 0.01,
        max_gradient_norm: 1.0,
        temperature: None,
        max_temperature: None,
        learn_temperature: true,
        ema_decay: None,
        patience: None,
        query_negatives: true,
        caption_weight: 0.2,
        feature_noise: 0.1,
        pieces: 2,
        save_every: 4,
        measure_every: 10,
    }
}
