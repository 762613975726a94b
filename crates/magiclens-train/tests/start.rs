//! A training from towers without a trunk: a tiny CLIP and a tiny CoCa get a fusion, learn, with their towers or without, and are one
//! checkpoint after.
#![allow(clippy::unwrap_used)]

mod squares;
mod toy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::checkpoint::{Checkpoint, NamedWeights, StoredFloat, write_checkpoint, write_tower};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::import::open::open_model;
use magiclens_model::{Embedder, ModelConfig};
use magiclens_train::config::{NewFusion, TrainedHead};
use magiclens_train::dev::DevScores;
use magiclens_train::pipeline::{Listener, Pipeline};
use magiclens_train::run::StepMetrics;
use magiclens_train::trained::TrainedTowers;
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
        caption_weight: 0.0,
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
        devices: Vec::new(),
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
        fusion: FusionConfig::Attention(AttentionFusionConfig {
            second: true,
            ..AttentionFusionConfig::reference(dim, 1)
        }),
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
fn the_layer_of_second_images_is_trained_alone() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let without = TrainConfig {
        relation_weights: [("between".to_owned(), 0.0)].into(),
        weight_decay: 0.0,
        ..config(None)
    };
    let first = trained_with(without, folder.path(), "first", &fixture("clip/hf")).unwrap();
    let second = TrainConfig {
        trained_head: TrainedHead::Second,
        ..config(None)
    };
    let start = folder.path().join("first.safetensors");
    let found = trained_with(second.clone(), folder.path(), "second", &start).unwrap();
    assert_eq!(
        moved(&found, &first, ""),
        ["fusion.second.bias", "fusion.second.weight"]
    );
    // A fusion that was never asked with two images has the layer as it was made.
    let random = magiclens_model::checkpoint::tensors_of(&first.config.init_fusion_seeded(4));
    assert_eq!(first.tensors["fusion.second.bias"], random["second.bias"]);

    // It learns of triplets with a second image alone.
    let none_left = TrainConfig {
        relation_weights: [("between".to_owned(), 0.0)].into(),
        ..second.clone()
    };
    let told = trained_with(none_left, folder.path(), "none-left", &start).unwrap_err();
    assert!(matches!(told, TrainError::NoTriplets { .. }), "{told}");

    let mut config = first.config;
    if let FusionConfig::Attention(fusion) = &mut config.fusion {
        fusion.second = false;
    }
    let mut tensors = first.tensors;
    tensors.retain(|name, _| !name.starts_with("fusion.second."));
    let start = folder.path().join("one.safetensors");
    write_checkpoint(&start, &config, &tensors, StoredFloat::F32, &[]).unwrap();
    let told = trained_with(second, folder.path(), "none", &start);
    let told = told.unwrap_err().to_string();
    assert!(
        told.contains("has no layer of second images") && told.contains("hint: "),
        "{told}"
    );
}

#[test]
fn a_weight_for_an_unknown_relation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let weighted = |weights: &[(&str, f64)]| TrainConfig {
        relation_weights: weights
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect(),
        ..config(None)
    };
    let run =
        |name: &str, weights: &[(&str, f64)]| trained_with(weighted(weights), folder.path(), name, &fixture("clip/hf"));
    let told = run("unknown", &[("colour", 2.0)]).unwrap_err().to_string();
    assert!(told.contains("`colour`") && told.contains("between, color"), "{told}");
    let told = run("nothing", &[("color", 0.0), ("between", 0.0)])
        .unwrap_err()
        .to_string();
    assert!(told.contains("no triplets"), "{told}");
    // Once is how each counts without a weight.
    let once = run("once", &[("color", 1.0)]).unwrap();
    let plain = run("plain", &[]).unwrap();
    let more = run("more", &[("color", 2.5)]).unwrap();
    assert_eq!(once.tensors, plain.tensors);
    assert_ne!(more.tensors, plain.tensors);
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

/// A run of both towers, of one, or of the head alone, long enough to see the loss fall.
fn tower_config(trained_towers: TrainedTowers) -> TrainConfig {
    TrainConfig {
        trained_towers,
        tower_rows: 4,
        steps: 30,
        feature_noise: 0.0,
        save_every: 15,
        measure_every: 15,
        ..config(None)
    }
}

/// Means of the first and of the last losses of a run.
fn losses(run: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let losses: Vec<f64> = lines
        .filter_map(|line: serde_json::Value| line["loss"].as_f64())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (mean(&losses[..3]), mean(&losses[losses.len() - 3..]))
}

/// Tensors of a tower that differ from the start's.
fn moved<'a>(found: &'a Checkpoint, start: &Checkpoint, tower: &str) -> Vec<&'a str> {
    let of_tower = found.tensors.iter().filter(|(name, _)| name.starts_with(tower));
    let moved = of_tower.filter(|(name, weights)| &start.tensors[*name] != *weights);
    moved.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn towers_change_where_they_are_trained_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let start = open_model(&fixture("clip/hf")).unwrap();
    for (name, trained) in [
        ("text", TrainedTowers::Text),
        ("image", TrainedTowers::Image),
        ("both", TrainedTowers::Both),
    ] {
        let found = trained_with(tower_config(trained), folder.path(), name, &fixture("clip/hf")).unwrap();
        for (tower, is_trained) in [("vision.", trained.image()), ("text.", trained.text())] {
            let moved = moved(&found, &start, tower);
            // A locked tower is the start's to the bit.
            assert_eq!(!moved.is_empty(), is_trained, "{name}: {moved:?}");
            let inner = moved.iter().filter(|name| name.contains("feed_forward_in.weight"));
            assert_eq!(inner.count(), if is_trained { 2 } else { 0 }, "{name}: {moved:?}");
        }
        let (first, last) = losses(&folder.path().join(name));
        assert!(last < 0.9 * first, "{name}: {first} to {last}");
        assert!(found.towers.is_empty());
        let embedder = Embedder::load(&folder.path().join(format!("{name}.safetensors"))).unwrap();
        let image = read_rgb(&folder.path().join("train-3.png"), &Limits::default()).unwrap();
        embedder
            .embed_targets(&embedder.encode_images(&[image]).unwrap())
            .unwrap();
        // Frozen features are those of frozen towers alone.
        let cached = folder.path().join("features");
        let shards = std::fs::read_dir(&cached).map_or(0, Iterator::count);
        assert_eq!(shards > 0, trained != TrainedTowers::Both, "{name}");
        std::fs::remove_dir_all(cached).ok();
    }
}

#[test]
fn scores_are_those_of_the_towers_as_trained() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let config = tower_config(TrainedTowers::Both);
    let found = trained_with(config.clone(), folder.path(), "both", &fixture("clip/hf")).unwrap();
    // The same weights as a start, whose frozen features are theirs: a rate of next to nothing leaves them where they are.
    let still = TrainConfig {
        trained_towers: TrainedTowers::None,
        tower_rows: 8,
        steps: 2,
        warmup_steps: 1,
        learning_rate: 1e-12,
        weight_decay: 0.0,
        ..config
    };
    let weights = folder.path().join("both.safetensors");
    trained_with(still, folder.path(), "still", &weights).unwrap();
    let last = |run: &str| {
        let text = std::fs::read_to_string(folder.path().join(run).join("metrics.jsonl")).unwrap();
        let mut lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.rfind(|line| line.get("dev").is_some()).unwrap()["dev"].clone()
    };
    assert_eq!(last("both"), last("still"));
    assert_eq!(found.config, Checkpoint::read(&weights).unwrap().config);
}

#[test]
fn a_sum_is_trained_by_its_towers_alone() {
    let folder = tempfile::tempdir().unwrap();
    collection(folder.path());
    let config = TrainConfig {
        fusion: NewFusion::Sum,
        caption_weight: 0.0,
        temperature: Some(50.0),
        learn_temperature: false,
        query_negatives: false,
        ..tower_config(TrainedTowers::Both)
    };
    let start = open_model(&fixture("clip/hf")).unwrap();
    let found = trained_with(config.clone(), folder.path(), "sum", &fixture("clip/hf")).unwrap();
    assert_eq!(found.config.fusion, FusionConfig::Sum);
    assert!(!moved(&found, &start, "vision.").is_empty() && !moved(&found, &start, "text.").is_empty());
    assert!((found.tensors["logit_scale"].values[0] - 50f32.ln()).abs() < 1e-6);
    let (first, last) = losses(&folder.path().join("sum"));
    assert!(last < 0.9 * first, "{first} to {last}");

    // A start with a fusion of its own cannot become a sum.
    let fused = tower_config(TrainedTowers::Text);
    trained_with(fused, folder.path(), "fused", &fixture("clip/hf")).unwrap();
    let weights = folder.path().join("fused.safetensors");
    let told = trained_with(config, folder.path(), "never", &weights)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("`fusion` is \"sum\"") && told.contains("has a fusion of its own"),
        "{told}"
    );
}

#[test]
fn a_start_in_several_files_becomes_one_file_anywhere() {
    let [data, of_start, out] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    collection(data.path());
    let start = open_model(&fixture("clip/hf")).unwrap();
    let (tower, rest): (NamedWeights, NamedWeights) = start
        .tensors
        .clone()
        .into_iter()
        .partition(|(name, _)| name.starts_with("text."));
    let tower = write_tower(&of_start.path().join("tower.safetensors"), &tower, StoredFloat::F16).unwrap();
    let path = of_start.path().join("start.safetensors");
    write_checkpoint(&path, &start.config, &rest, StoredFloat::F32, &[tower]).unwrap();
    let pipeline = |trained_towers| Pipeline {
        config: TrainConfig {
            trained_towers,
            steps: 3,
            tower_rows: 8,
            ..tower_config(trained_towers)
        },
        data: data.path().to_owned(),
        added: Vec::new(),
        repeat_added: 1,
        start: path.clone(),
        out: out.path().join("run"),
        weights: out.path().join("text.safetensors"),
        cache: None,
        devices: Vec::new(),
    };
    // A frozen tower stays in its file, beside which the weights must lie.
    let told = pipeline(TrainedTowers::None).run(&mut Silent).unwrap_err().to_string();
    assert!(told.contains("would not lie beside the tower files"), "{told}");
    pipeline(TrainedTowers::Text).run(&mut Silent).unwrap();
    let found = Checkpoint::read(&out.path().join("text.safetensors")).unwrap();
    assert!(found.towers.is_empty() && !moved(&found, &start, "text.").is_empty());
    assert!(moved(&found, &start, "vision.").is_empty());
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
    // Of a trained tower it is the rate.
    let trained = TrainConfig {
        pretrained_rate: 0.1,
        steps: 3,
        ..tower_config(TrainedTowers::Text)
    };
    trained_with(trained, folder.path(), "trained", &fixture("clip/hf")).unwrap();
}
