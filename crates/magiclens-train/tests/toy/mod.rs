//! A head of a few hundred numbers and made-up features, shared by the tests.
#![allow(clippy::unwrap_used, dead_code)]

use magiclens_metrics::Random;
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{EfficientNetLiteConfig, MiniLmConfig, TextConfig, VisionConfig};
use magiclens_model::{MagicLens, ModelConfig};
use magiclens_train::TrainConfig;
use magiclens_train::batches::{Row, TripletTable};
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, Frozen};

/// Images of the toy collection.
pub(crate) const IMAGES: usize = 24;

/// Sizes as small as they go. The logit cap is low, so that the cap matters: without a cap the loss does not depend on
/// key biases at all.
pub(crate) fn config() -> ModelConfig {
    let dim = 8;
    let fusion = AttentionFusionConfig {
        layers: 2,
        feed_forward: 12,
        logit_cap: 1.5,
        ..AttentionFusionConfig::reference(dim, 2)
    };
    ModelConfig {
        name: "toy".into(),
        dim,
        preprocess: PreprocessConfig::Squash {
            size_px: 32,
            mean: [127.0; 3],
            std: [128.0; 3],
        },
        vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig {
            image_px: 32,
            taps: Vec::new(),
        }),
        text: TextConfig::MiniLm(MiniLmConfig {
            width: 12,
            layers: 1,
            heads: 2,
            feed_forward: 8,
            vocabulary: 10,
            max_positions: 8,
        }),
        fusion: FusionConfig::Attention(fusion),
    }
}

pub(crate) fn model() -> MagicLens {
    config().init_seeded(3)
}

/// Settings of a run of seconds, without any of those that have a default.
pub(crate) fn train_config() -> TrainConfig {
    toml::from_str(include_str!("toy.toml")).unwrap()
}

/// Features and triplets that go with [`model`].
pub(crate) struct Toy {
    pub(crate) images: FeatureTable,
    pub(crate) texts: FeatureTable,
    pub(crate) captions: FeatureTable,
    pub(crate) captioned: Vec<CaptionRow>,
    pub(crate) triplets: TripletTable,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let mut rng = Random::seed_from_u64(5);
        let mut table = |rows: usize, width: usize| FeatureTable {
            width,
            values: (0..rows * width).map(|_| rng.between(-1.0, 1.0)).collect(),
        };
        let (images, texts, captions) = (table(IMAGES, 1280), table(4, 12), table(6, 12));
        let rows = (0..40).map(|at| {
            let query = at % IMAGES;
            let targets = vec![(query + 1 + at % 3) % IMAGES, (query + 7) % IMAGES];
            Row {
                query,
                instruction: 1 + at % 3,
                targets,
                hard_negatives: vec![(query + 11) % IMAGES, (query + 13) % IMAGES],
            }
        });
        let captioned = (0..IMAGES).map(|image| CaptionRow {
            image,
            caption: image % 6,
        });
        let texts_read = ["", "a", "b", "c"].map(String::from).to_vec();
        Self {
            images,
            texts,
            captions,
            captioned: captioned.collect(),
            triplets: TripletTable {
                rows: rows.collect(),
                texts: texts_read,
            },
        }
    }

    pub(crate) fn frozen(&self) -> Frozen<'_> {
        Frozen {
            images: &self.images,
            texts: &self.texts,
            captions: &self.captions,
        }
    }
}
