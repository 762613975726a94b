//! A head of a few numbers and settings, shared by the unit tests.

use magiclens_model::ModelConfig;
use magiclens_model::fusion::FusionConfig;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{EfficientNetLiteConfig, MiniLmConfig, TextConfig, VisionConfig};

use crate::TrainConfig;
use crate::head::Head;
use crate::learner::Learner;

/// Two trunks with projections, and a fusion without parameters.
pub(crate) fn model_config() -> ModelConfig {
    let (dim, image_px) = (4, 32);
    let taps = Vec::new();
    ModelConfig {
        name: "toy".into(),
        dim,
        preprocess: PreprocessConfig::Clip { size_px: 32 },
        vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig {
            image_px,
            taps,
            sentence: None,
        }),
        text: TextConfig::MiniLm(MiniLmConfig {
            width: 4,
            layers: 1,
            heads: 1,
            feed_forward: 4,
            vocabulary: 10,
            max_positions: 8,
            sentence: false,
        }),
        fusion: FusionConfig::Sum,
    }
}

/// The projections and the temperature.
pub(crate) fn learner() -> Learner {
    Learner::frozen(Head::of(&model_config().init_seeded(1)))
}

/// Settings without any of those that have a default.
pub(crate) fn config() -> TrainConfig {
    toml::from_str(include_str!("../tests/toy/toy.toml")).unwrap()
}
