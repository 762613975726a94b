//! A head of a few hundred numbers and made-up features, shared by the tests.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use magiclens_metrics::Random;
use magiclens_model::checkpoint::{fill, tensors_of};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{
    ClipActivation, ClipVitConfig, EfficientNetLiteConfig, MiniLmConfig, TextConfig, TextTower, VisionConfig,
    VisionTower,
};
use magiclens_model::{MagicLens, ModelConfig};
use magiclens_train::TrainConfig;
use magiclens_train::batches::{Row, TripletTable};
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, Frozen};
use magiclens_train::inputs::{ImageFiles, TextIds, TowerInputs};
use magiclens_train::learner::Learner;
use magiclens_train::run::TrainingData;
use magiclens_train::trained::TrainedTowers;

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
        second: true,
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
        second: true,
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

/// Two kinds of towers as small as they go: one is trained as a whole, the other below a projection.
pub(crate) fn tower_config() -> ModelConfig {
    let vision = VisionConfig::ClipVit(ClipVitConfig {
        width: 8,
        layers: 2,
        heads: 2,
        patch_px: 16,
        image_px: 32,
        feed_forward: None,
        activation: ClipActivation::QuickGelu,
    });
    ModelConfig { vision, ..config() }
}

/// Features and triplets that go with [`model`].
pub(crate) struct Toy {
    pub(crate) images: FeatureTable,
    pub(crate) texts: FeatureTable,
    pub(crate) captions: FeatureTable,
    pub(crate) captioned: Vec<CaptionRow>,
    pub(crate) triplets: TripletTable,
    /// Of a toy whose towers can be trained.
    pub(crate) towers: Option<TowerToy>,
}

/// Towers, and what goes through them.
pub(crate) struct TowerToy {
    pub(crate) model: MagicLens,
    files: ImageFiles,
    ids: TextIds,
    folder: tempfile::TempDir,
}

impl TowerToy {
    /// Random images, and random texts of the lengths that the tower takes. To a sum the empty text adds nothing.
    fn new(config: &ModelConfig, image_count: usize, [texts, captions]: [usize; 2]) -> Self {
        let mut rng = Random::seed_from_u64(11);
        let folder = tempfile::tempdir().unwrap();
        let paths = (0..image_count).map(|at| folder.path().join(format!("{at}.png")));
        let paths: Vec<PathBuf> = paths.collect();
        for path in &paths {
            let pixels = (0..20 * 24 * 3).map(|_| rng.below(256) as u8).collect();
            RgbImage::from_raw(20, 24, pixels).unwrap().save(path).unwrap();
        }
        let length = |at: usize| match &config.text {
            TextConfig::ClipText(text) => text.context_length,
            _ => 2 + at % 3,
        };
        let mut text = |at: usize| (0..length(at)).map(|_| rng.below(10) as u32).collect();
        let mut ids = TextIds {
            texts: (0..texts).map(&mut text).collect(),
            captions: (0..captions).map(&mut text).collect(),
        };
        if config.fusion == FusionConfig::Sum {
            ids.texts[0].clear();
        }
        Self {
            model: config.init_seeded(3),
            files: ImageFiles::new(paths, config.preprocess),
            ids,
            folder,
        }
    }
}

impl TowerToy {
    /// Makes a tensor of the model no number.
    pub(crate) fn spoil(&mut self, name: &str) {
        let mut tensors = tensors_of(&self.model);
        tensors.get_mut(name).unwrap().values.fill(f32::NAN);
        self.model = fill(self.model.clone(), tensors, "toy").unwrap();
    }

    /// Deletes the files of the images.
    pub(crate) fn lose_images(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
    }

    /// `[images, features]`
    pub(crate) fn image_features(&self, tower: &VisionTower, images: &[usize], device: &Device) -> Tensor<2> {
        let pixels = images.iter().flat_map(|at| self.files.pixels(*at).unwrap());
        let side = self.files.size_px();
        let data = TensorData::new(pixels.collect::<Vec<f32>>(), [images.len(), 3, side, side]);
        let pixels = Tensor::<4>::from_data(data, device);
        tower.features(pixels.clone()).unwrap_or_else(|| tower.forward(pixels))
    }

    /// `[texts, features]` of instructions, then of captions, a text at a time.
    pub(crate) fn all_text_features(&self, tower: &TextTower, device: &Device) -> [Tensor<2>; 2] {
        let one = |ids: &[u32]| tower.features(&[ids]).unwrap_or_else(|| tower.forward(&[ids]));
        let [_, width] = one(&self.ids.captions[0]).dims();
        [&self.ids.texts, &self.ids.captions].map(|all| {
            let rows = all.iter().map(|ids| match ids.is_empty() {
                true => Tensor::zeros([1, width], device),
                false => one(ids),
            });
            Tensor::cat(rows.collect(), 0)
        })
    }
}

impl Toy {
    /// [`Toy::new`] on towers that can be trained, of [`tower_config`].
    pub(crate) fn with_towers() -> Self {
        Self::on_towers(&tower_config(), Self::of(IMAGES, 40, [8, 12]))
    }

    /// A toy with towers; frozen features are what they give at the start.
    pub(crate) fn on_towers(config: &ModelConfig, toy: Self) -> Self {
        let towers = TowerToy::new(config, toy.images.len(), [toy.texts.len(), toy.captions.len()]);
        let device = Device::flex();
        let table = |rows: Vec<Tensor<2>>| {
            let [_, width] = rows[0].dims();
            let values = Tensor::cat(rows, 0).into_data().try_to_vec().unwrap();
            FeatureTable { width, values }
        };
        let image = |at: usize| towers.image_features(&towers.model.vision, &[at], &device);
        let images = table((0..toy.images.len()).map(image).collect());
        let [texts, captions] = towers
            .all_text_features(&towers.model.text, &device)
            .map(|rows| table(vec![rows]));
        Self {
            images,
            texts,
            captions,
            towers: Some(towers),
            ..toy
        }
    }

    /// Inputs of all towers that can be trained.
    pub(crate) fn inputs(&self) -> TowerInputs {
        let Some(towers) = &self.towers else {
            return TowerInputs::default();
        };
        TowerInputs {
            images: Some(towers.files.clone()),
            texts: Some(towers.ids.clone()),
        }
    }

    /// The start of a run.
    pub(crate) fn learner(&self, trained: TrainedTowers) -> Learner {
        match &self.towers {
            Some(towers) => Learner::of(&towers.model, trained),
            None => Learner::of(&model(), trained),
        }
    }

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
                second: at.is_multiple_of(3).then_some((query + 5) % image_count),
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
            towers: None,
        }
    }

    /// All that a run is given.
    pub(crate) fn data(&self) -> TrainingData<'_> {
        TrainingData {
            triplets: &self.triplets,
            frozen: self.frozen(),
            inputs: self.inputs(),
            captioned: &self.captioned,
            digest: "toy".into(),
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
