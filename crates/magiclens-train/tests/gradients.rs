//! The gradient of a step is that of burn's modules, of torch and of finite differences, however the batch is cut.
#![allow(clippy::unwrap_used)]

mod definition;
mod toy;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use burn::module::Module;
use magiclens_metrics::Random;
use magiclens_model::ModelConfig;
use magiclens_model::checkpoint::{NamedWeights, fill, read_weights, tensors_of};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, TextConfig, VisionConfig};
use magiclens_train::batches::{Batch, BatchSettings, batch};
use magiclens_train::config::TrainedHead;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, Frozen, StepGradients, StepMemory, StepSettings, gradients};
use magiclens_train::head::Head;
use magiclens_train::trained::TrainedTowers;
use toy::Toy;

const CAPTION_WEIGHT: f64 = 0.3;

const SETTINGS: StepSettings = StepSettings {
    pieces: 1,
    kept_rows: 1000,
    caption_weight: CAPTION_WEIGHT,
    feature_noise: 0.0,
    noise_seed: 7,
    max_temperature: 100.0,
    trained_head: TrainedHead::All,
    trained: TrainedTowers::None,
    tower_rows: 8,
};

/// A head, what it is trained on, and the batch of a step.
struct Case {
    head: Head,
    toy: Toy,
    batch: Batch,
    captions: Vec<CaptionRow>,
    /// Steps leave tapes of other pieces in it, which decide nothing.
    memory: Mutex<StepMemory>,
}

impl Case {
    fn new(config: &ModelConfig, toy: Toy, size: usize) -> Self {
        let settings = BatchSettings {
            size,
            query_negatives: true,
            hard_negatives: 1,
            mirrored: 0,
        };
        Self {
            head: Head::of(&config.init_seeded(3)).train(),
            batch: batch(&toy.triplets, 1, 0, settings),
            captions: toy.captioned[..size - 2].to_vec(),
            memory: Mutex::default(),
            toy,
        }
    }

    /// A few numbers.
    fn small() -> Self {
        Self::new(&toy::config(), Toy::new(), 10)
    }

    /// Dimension 64, 64 triplets: about 150 rows, which are two pieces of one share.
    fn wide() -> Self {
        Self::new(&toy::wide_config(64), Toy::of(90, 80, [1280, 20]), 64)
    }

    /// A pooler alone between projections and embeddings.
    fn no_layers() -> Self {
        let mut config = toy::wide_config(64);
        if let FusionConfig::Attention(fusion) = &mut config.fusion {
            fusion.layers = 0;
        }
        Self::new(&config, Toy::of(90, 80, [1280, 20]), 64)
    }

    /// Projections alone.
    fn sum() -> Self {
        let config = ModelConfig {
            fusion: FusionConfig::Sum,
            ..toy::wide_config(64)
        };
        Self::new(&config, Toy::of(90, 80, [1280, 20]), 64)
    }

    /// Towers without projections, and a fusion whose logits have no cap that matters.
    fn frozen_whole() -> Self {
        let dim = 48;
        let config = ModelConfig {
            dim,
            vision: VisionConfig::ClipVit(ClipVitConfig {
                width: 4,
                layers: 1,
                heads: 1,
                patch_px: 16,
                image_px: 32,
                feed_forward: None,
                activation: ClipActivation::Gelu,
            }),
            text: TextConfig::ClipText(ClipTextConfig {
                width: 4,
                layers: 1,
                heads: 1,
                vocabulary: 10,
                context_length: 4,
                feed_forward: None,
                activation: ClipActivation::Gelu,
                mask: ClipTextMask::default(),
            }),
            fusion: FusionConfig::Attention(AttentionFusionConfig {
                second: true,
                ..AttentionFusionConfig::reference(dim, 3)
            }),
            ..toy::config()
        };
        Self::new(&config, Toy::of(90, 80, [dim, dim]), 64)
    }

    fn step(&self, settings: StepSettings) -> StepGradients {
        self.step_of(&self.head, settings)
    }

    fn step_of(&self, head: &Head, settings: StepSettings) -> StepGradients {
        gradients(
            head,
            &self.toy.frozen(),
            &self.batch,
            &self.captions,
            settings,
            &mut self.memory.lock().unwrap(),
        )
    }

    fn by_path(&self, settings: StepSettings) -> BTreeMap<String, Vec<f32>> {
        definition::by_path(&self.head, &self.step(settings).gradients)
    }

    fn loss_at(&self, tensors: NamedWeights) -> f64 {
        let found = self.step_of(&fill(self.head.clone(), tensors, "toy").unwrap(), SETTINGS);
        f64::from(found.losses.loss) + CAPTION_WEIGHT * f64::from(found.losses.caption_loss)
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Norm of the difference of two gradients, as a share of that of the second.
fn difference(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) -> f64 {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let all = |gradients: &BTreeMap<String, Vec<f32>>| gradients.values().flatten().copied().collect::<Vec<f32>>();
    let (found, expected) = (all(found), all(expected));
    let apart: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    norm(&apart) / norm(&expected)
}

/// For each parameter tensor: the slope of the loss along a direction, once from the gradient and once by going a little
/// way forth and back. The direction leans towards the gradient, so that the slope stands out from rounding.
#[test]
fn finite_differences_agree_for_every_parameter() {
    let case = Case::small();
    let gradients = case.by_path(SETTINGS);
    let tensors = tensors_of(&case.head);
    assert_eq!(
        gradients.keys().collect::<Vec<_>>(),
        tensors.keys().collect::<Vec<_>>(),
        "a parameter got no gradient"
    );
    let mut rng = Random::seed_from_u64(9);
    for (name, gradient) in &gradients {
        let size = norm(gradient);
        assert!(size > 1e-6, "`{name}` has a gradient of {size:e}");
        let direction = direction(gradient, &mut rng);
        let slope: f64 = gradient
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(*g) * f64::from(*d))
            .sum();
        let step = (2e-3 / size).clamp(1e-3, 3e-2);
        let moved = |sign: f64| {
            let mut tensors = tensors.clone();
            for (value, d) in tensors.get_mut(name).unwrap().values.iter_mut().zip(&direction) {
                *value += (sign * step * f64::from(*d)) as f32;
            }
            case.loss_at(tensors)
        };
        let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let limit = 0.03 * slope.abs() + 4e-7 / step;
        assert!(
            (measured - slope).abs() <= limit,
            "`{name}`: measured {measured:e}, gradient says {slope:e}"
        );
    }
}

/// Of length 1, half of it towards the gradient.
fn direction(gradient: &[f32], rng: &mut Random) -> Vec<f32> {
    let size = norm(gradient);
    let random: Vec<f32> = gradient.iter().map(|_| rng.between(-1.0, 1.0)).collect();
    let random_size = norm(&random);
    let both = gradient.iter().zip(&random);
    let mut direction: Vec<f32> = both
        .map(|(g, r)| (f64::from(*g) / size + 0.5 * f64::from(*r) / random_size) as f32)
        .collect();
    let length = norm(&direction);
    direction.iter_mut().for_each(|value| *value /= length as f32);
    direction
}

#[test]
fn the_gradient_is_that_of_burns_modules() {
    let noisy = StepSettings {
        feature_noise: 0.4,
        ..SETTINGS
    };
    // A temperature at its cap gets no gradient.
    let capped = StepSettings {
        max_temperature: 5.0,
        ..SETTINGS
    };
    let no_captions = StepSettings {
        caption_weight: 0.0,
        ..noisy
    };
    for (name, case) in [
        ("small", Case::small()),
        ("wide", Case::wide()),
        ("no layers", Case::no_layers()),
        ("sum", Case::sum()),
        ("frozen", Case::frozen_whole()),
    ] {
        for settings in [SETTINGS, noisy, capped, no_captions] {
            let found = case.step(settings);
            let defined = definition::gradients(&case.head, &case.toy.frozen(), &case.batch, &case.captions, settings);
            let losses = [
                (found.losses.loss, defined.loss),
                (found.losses.caption_loss, defined.caption_loss),
            ];
            let by_path = definition::by_path(&case.head, &found.gradients);
            let apart = difference(&by_path, &defined.gradients);
            assert!(apart < 1e-5, "{name}: {apart:e} of the gradient's norm");
            assert!((losses[0].0 - losses[0].1).abs() < 1e-5, "{name}: {losses:?}");
            let caption_loss = if settings.caption_weight > 0.0 {
                losses[1].1
            } else {
                0.0
            };
            assert!((losses[1].0 - caption_loss).abs() < 1e-5, "{name}: {losses:?}");
        }
    }
}

#[test]
fn a_batch_in_pieces_has_the_gradient_of_the_plain_batch() {
    let case = Case::wide();
    let of = |pieces, kept_rows| StepSettings {
        pieces,
        kept_rows,
        feature_noise: 0.4,
        ..SETTINGS
    };
    let plain = definition::gradients(&case.head, &case.toy.frozen(), &case.batch, &case.captions, of(1, 0));
    for pieces in [1, 2, 3, 7, 64] {
        let kept = case.by_path(of(pieces, 1000));
        let apart = difference(&kept, &plain.gradients);
        assert!(apart < 1e-5, "{pieces} pieces: {apart:e} of the gradient's norm");
        // What is kept decides nothing, nor does the number of threads.
        for kept_rows in [0, 100] {
            assert!(
                kept == case.by_path(of(pieces, kept_rows)),
                "{pieces} pieces, {kept_rows} kept"
            );
        }
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| case.by_path(of(pieces, 100)));
            assert!(kept == found, "{pieces} pieces, {threads} threads");
        }
    }
}

/// The batch of `scripts/fixtures/head_gradient.py`.
fn recorded_batch() -> (Batch, Vec<CaptionRow>) {
    let queries = vec![(0, 1), (1, 2), (2, 1), (3, 3), (4, 2)];
    let candidates = [5, 6, 7, 8, 6, 0, 1, 2, 3, 4, 9, 10];
    let mut images = candidates.to_vec();
    images.sort_unstable();
    images.dedup();
    let place = |image: &usize| images.iter().position(|other| other == image).unwrap();
    let mut also_right = vec![false; queries.len() * candidates.len()];
    for (row, column) in [(0, 2), (1, 4), (4, 1), (3, 10)] {
        also_right[row * candidates.len() + column] = true;
    }
    let captions = [(0, 0), (3, 1), (5, 2), (7, 0), (10, 3)];
    let batch = Batch {
        seconds: vec![None; queries.len()],
        queries,
        columns: candidates.iter().map(place).collect(),
        images,
        also_right,
    };
    let caption = |(image, caption)| CaptionRow { image, caption };
    (batch, captions.map(caption).to_vec())
}

#[test]
fn the_gradient_is_that_of_torch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/training/head_gradient.safetensors");
    let recorded = read_weights(&path, &[]).unwrap();
    let below = |part: &str| -> NamedWeights {
        let names = recorded
            .iter()
            .filter_map(|(name, values)| Some((name.strip_prefix(part)?, values)));
        names.map(|(name, values)| (name.to_owned(), values.clone())).collect()
    };
    let table = |name: &str| FeatureTable {
        width: recorded[name].shape[1],
        values: recorded[name].values.clone(),
    };
    let mut config = toy::config();
    let fusion = AttentionFusionConfig {
        layers: 2,
        feed_forward: 12,
        pooler_inner: 16,
        logit_cap: 2.0,
        ..AttentionFusionConfig::reference(8, 2)
    };
    config.fusion = FusionConfig::Attention(fusion);
    let head = fill(Head::of(&config.init_seeded(1)), below("weight."), "fixture").unwrap();
    let (images, texts, captions) = (table("images"), table("texts"), table("captions"));
    let frozen = Frozen {
        images: &images,
        texts: &texts,
        captions: &captions,
    };
    let (batch, caption_rows) = recorded_batch();
    let found = gradients(
        &head,
        &frozen,
        &batch,
        &caption_rows,
        SETTINGS,
        &mut StepMemory::default(),
    );
    for (found, expected) in [found.losses.loss, found.losses.caption_loss]
        .iter()
        .zip(&recorded["losses"].values)
    {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
    let expected = below("gradient.");
    let gradients = definition::by_path(&head, &found.gradients);
    assert_eq!(
        gradients.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, found) in &gradients {
        let expected = &expected[name].values;
        let apart: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let share = norm(&apart) / norm(expected);
        assert!(share < 1e-5, "`{name}`: {share:e} of its norm");
    }
}
