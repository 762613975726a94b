//! A training from towers without a trunk: a tiny CLIP and a tiny CoCa get a fusion, learn, and are one checkpoint after.
#![allow(clippy::unwrap_used)]

mod squares;
mod toy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::checkpoint::{Checkpoint, NamedWeights};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::import::open::open_model;
use magiclens_model::{Embedder, ModelConfig};
use magiclens_train::dev::DevScores;
use magiclens_train::pipeline::{Listener, Pipeline};
use magiclens_train::run::StepMetrics;
use magiclens_train::{TrainConfig, TrainError};
use squares::collection;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

struct Silent;

impl Listener for Silent {
    fn begin(&mut self, _what: &str, _count: usize) {}
    fn advance(&mut self, _count: usize) {}
    fn step(&mut self, _metrics: &StepMetrics) {}
    fn measured(&mut self, _step: usize, _scores: &BTreeMap<&str, DevScores>) {}
    fn chosen(&mut self, _step: usize, _best: usize) {}
}

fn config(image_px: Option<usize>) -> TrainConfig {
    TrainConfig {
        seed: 4,
        image_px,
        steps: 6,
        batch_size: 6,
        learning_rate: 1e-3,
        warmup_steps: 2,
        save_every: 3,
        measure_every: 3,
        ..toy::train_config()
    }
}

/// Trains in `folder`, which holds the collection, and reads what was written.
fn trained(folder: &Path, name: &str, start: &Path, image_px: Option<usize>) -> Result<Checkpoint, TrainError> {
    trained_with(config(image_px), folder, name, start)
}

fn trained_with(config: TrainConfig, folder: &Path, name: &str, start: &Path) -> Result<Checkpoint, TrainError> {
    let weights = folder.join(format!("{name}.safetensors"));
    let pipeline = Pipeline {
        config,
        data: folder.to_owned(),
        added: Vec::new(),
        repeat_added: 1,
        start: start.to_owned(),
        out: folder.join(name),
        weights: weights.clone(),
        cache: None,
    };
    pipeline.run(&mut Silent)?;
    Ok(Checkpoint::read(&weights)?)
}

fn fusion_of(tensors: &NamedWeights) -> NamedWeights {
    let of_fusion = |(name, _): &(&String, _)| name.starts_with("fusion.");
    let tensors = tensors.iter().filter(of_fusion);
    tensors.map(|(name, weights)| (name.clone(), weights.clone())).collect()
}

#[test]
fn clip_gets_a_fusion_and_keeps_its_towers() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let start = open_model(&fixture("clip/hf")).unwrap();
    let found = trained(folder.path(), "clip", &fixture("clip/hf"), None).unwrap();

    let dim = start.config.dim;
    let expected = ModelConfig {
        fusion: FusionConfig::Attention(AttentionFusionConfig::reference(dim, 1)),
        ..start.config
    };
    assert_eq!(found.config, expected);
    // The towers are 16 bits a number in the fixture and in the result.
    for (name, weights) in start.tensors.iter().filter(|(name, _)| *name != "logit_scale") {
        assert_eq!(&found.tensors[name], weights, "`{name}`");
    }
    let random = magiclens_model::checkpoint::tensors_of(&expected.init_fusion_seeded(4));
    let fusion = fusion_of(&found.tensors);
    assert_eq!(fusion.len(), random.len());
    let moved = |(name, weights): (&String, _)| &fusion[&format!("fusion.{name}")] != weights;
    assert!(random.iter().any(moved));

    let embedder = Embedder::load(&folder.path().join("clip.safetensors")).unwrap();
    let image = read_rgb(&folder.path().join("train-3.png"), &Limits::default()).unwrap();
    let images = embedder.encode_images(&[image]).unwrap();
    let query = embedder.embed_query(&images[0], "a shade 4 one").unwrap();
    assert!(query.dot(&embedder.embed_targets(&images).unwrap()[0]) < 0.9999);
}

#[test]
fn the_same_run_gives_the_same_weights_and_another_start_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let first = trained(folder.path(), "a", &fixture("clip/hf"), None).unwrap();
    let second = trained(folder.path(), "b", &fixture("clip/hf"), None).unwrap();
    assert_eq!(first.tensors, second.tensors);
    let error = trained(folder.path(), "a", &fixture("coca/coca"), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("another configuration or other data"), "{error}");
    // The fusion goes on from a trained one, and is not made anew.
    let start = folder.path().join("a.safetensors");
    let third = trained(folder.path(), "c", &start, None).unwrap();
    assert_eq!(third.config, first.config);
    assert_ne!(fusion_of(&third.tensors), fusion_of(&first.tensors));
}

#[test]
fn coca_is_trained_at_another_image_size() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let found = trained(folder.path(), "coca", &fixture("coca/coca"), Some(48)).unwrap();
    assert_eq!(found.config.vision.image_px(), 48);
    let positions = &found.tensors["vision.vit.position_embedding"];
    assert_eq!(positions.shape, [1 + 6 * 6, 16]);
    Embedder::load(&folder.path().join("coca.safetensors")).unwrap();

    let error = trained(folder.path(), "cut", &fixture("coca/coca"), Some(50))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not divide `image_px` 50"), "{error}");
}

#[test]
fn a_rate_for_projections_is_refused_where_towers_have_none() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let slow = TrainConfig {
        pretrained_rate: 0.1,
        ..config(None)
    };
    let told = trained_with(slow, folder.path(), "slow", &fixture("clip/hf")).unwrap_err();
    let told = told.to_string();
    assert!(
        told.contains("`pretrained_rate` is 0.1") && told.contains("hint"),
        "{told}"
    );
}
