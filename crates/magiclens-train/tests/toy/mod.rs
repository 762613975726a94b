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
            sentence: None,
        }),
        text: TextConfig::MiniLm(MiniLmConfig {
            width: 12,
            layers: 1,
            heads: 2,
            feed_forward: 8,
            vocabulary: 10,
            max_positions: 8,
            sentence: false,
        }),
        fusion: FusionConfig::Attention(fusion),
    }
}

/// The sizes of [`config`] with another width of embeddings and of the text trunk, and four heads.
pub(crate) fn wide_config(dim: usize) -> ModelConfig {
    let small = config();
    let TextConfig::MiniLm(text) = small.text else {
        panic!("the toy's text trunk is MiniLM")
    };
    let fusion = AttentionFusionConfig {
        layers: 2,
        feed_forward: 100,
        pooler_inner: 2 * dim,
        logit_cap: 1.5,
        ..AttentionFusionConfig::reference(dim, 4)
    };
    ModelConfig {
        dim,
        text: TextConfig::MiniLm(MiniLmConfig { width: 20, ..text }),
        fusion: FusionConfig::Attention(fusion),
        ..small
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
        Self::of(IMAGES, 40, [1280, 12])
    }

    /// Features of other widths, of images and texts.
    pub(crate) fn of(image_count: usize, triplets: usize, [image_width, text_width]: [usize; 2]) -> Self {
        let mut rng = Random::seed_from_u64(5);
        let mut table = |rows: usize, width: usize| FeatureTable {
            width,
            values: (0..rows * width).map(|_| rng.between(-1.0, 1.0)).collect(),
        };
        let (images, texts, captions) = (
            table(image_count, image_width),
            table(4, text_width),
            table(6, text_width),
        );
        let rows = (0..triplets).map(|at| {
            let query = at % image_count;
            let targets = vec![(query + 1 + at % 3) % image_count, (query + 7) % image_count];
            Row {
                query,
                instruction: 1 + at % 3,
                targets,
                hard_negatives: vec![(query + 11) % image_count, (query + 13) % image_count],
            }
        });
        let captioned = (0..image_count).map(|image| CaptionRow {
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
