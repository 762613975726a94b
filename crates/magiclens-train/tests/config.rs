//! Settings of a run: what is refused, what is left out, and the committed ones.
#![allow(clippy::unwrap_used)]

mod toy;

use std::path::{Path, PathBuf};

use magiclens_train::TrainConfig;
use magiclens_train::config::{NewFusion, Optimizer, Schedule};
use magiclens_train::trained::TrainedTowers;

fn presets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/train")
}

fn read(text: &str) -> Result<TrainConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    let told = |error: magiclens_train::TrainError| {
        let told = error.to_string();
        assert!(told.contains("run.toml"), "{told}");
        told
    };
    TrainConfig::read(&path).map_err(told)
}

#[test]
fn settings_that_make_no_sense_are_refused_by_the_fields_name() {
    let good = EARLIER;
    read(good).unwrap();
    for (from, to, named) in [
        ("batch_size = 512", "batch_size = 1", "`batch_size`"),
        ("pieces = 4", "pieces = 0", "`pieces`"),
        ("seed = 1", "sed = 1", "`sed`"),
        ("caption_weight = 0.2", "caption_weight = -1.0", "`caption_weight`"),
        ("learning_rate = 0.001", "learning_rate = nan", "`learning_rate`"),
    ] {
        assert!(good.contains(from), "no `{from}`");
        let told = read(&good.replace(from, to)).unwrap_err();
        assert!(told.contains(named), "{told}");
    }
    for (added, named) in [
        ("optimizer = \"sgd\"", "`sgd`"),
        ("schedule = \"step\"", "`step`"),
        ("final_rate = 1.5", "`final_rate`"),
        ("final_rate = -0.1", "`final_rate`"),
        ("schedule = \"constant\"\nfinal_rate = 0.1", "`final_rate`"),
        ("pretrained_rate = 0.0", "`pretrained_rate`"),
        ("pretrained_rate = 2.0", "`pretrained_rate`"),
        ("temperature = 0.0", "`temperature`"),
        ("temperature = 101.0", "`temperature`"),
        ("max_temperature = 50.0\ntemperature = 51.0", "`temperature`"),
        ("max_temperature = inf", "`max_temperature`"),
        ("max_temperature = 0.0", "`max_temperature`"),
        ("learn_temperature = 1", "boolean"),
        ("ema_decay = 1.0", "`ema_decay`"),
        ("ema_decay = 0.0", "`ema_decay`"),
        ("hard_negatives = -1", "integer"),
        ("patience = 0", "`patience`"),
        ("trained_towers = \"all\"", "`all`"),
        ("trained_towers = \"image\"", "`feature_noise` is 0.5"),
        ("trained_towers = \"both\"", "`feature_noise` is 0.5"),
        ("trained_towers = \"text\"\ntower_rows = 0", "`tower_rows`"),
        ("tower_rows = 16", "`tower_rows`"),
        ("fusion = \"sum\"", "`fusion`"),
        ("fusion = \"mean\"", "`mean`"),
        ("trained_head = \"fusion\"", "`fusion`"),
        (
            "trained_head = \"second\"\ntrained_towers = \"text\"",
            "`trained_towers` has no use",
        ),
        ("trained_head = \"second\"\npatience = 2", "`patience` has no use"),
        ("trained_head = \"second\"", "`caption_weight` has no use"),
        ("relation_weights = { style = -1.0 }", "`style`"),
        ("relation_weights = { style = nan }", "`style`"),
        ("patiense = 3", "`patiense`"),
    ] {
        let told = read(&format!("{good}{added}\n")).unwrap_err();
        assert!(told.contains(named), "{added}: {told}");
    }
}

#[test]
fn every_option_is_read() {
    let added = "optimizer = \"adafactor\"\nschedule = \"linear\"\nfinal_rate = 0.0\npretrained_rate = 0.1\n\
                 temperature = 20\nmax_temperature = 50\nlearn_temperature = false\nema_decay = 0.999\npatience = 3\n\
                 hard_negatives = 4\ntrained_towers = \"text\"\ntower_rows = 16\nfusion = \"sum\"\n\
                 relation_weights = { style = 0.5, color = 0 }\n";
    let expected = TrainConfig {
        optimizer: Optimizer::Adafactor,
        schedule: Schedule::Linear,
        final_rate: Some(0.0),
        pretrained_rate: 0.1,
        temperature: Some(20.0),
        max_temperature: Some(50.0),
        learn_temperature: false,
        ema_decay: Some(0.999),
        patience: Some(3),
        hard_negatives: 4,
        trained_towers: TrainedTowers::Text,
        tower_rows: 16,
        fusion: NewFusion::Sum,
        relation_weights: [("style".to_owned(), 0.5), ("color".to_owned(), 0.0)].into(),
        ..read(EARLIER).unwrap()
    };
    let found = read(&format!("{EARLIER}{added}")).unwrap();
    assert_eq!(found, expected);
    // Written into a run's folder and read back.
    assert_eq!(read(&toml::to_string(&found).unwrap()).unwrap(), found);
}

/// The `config.toml` that the run of `small.toml` had before there were options.
const EARLIER: &str = "\
seed = 1
steps = 600
batch_size = 512
learning_rate = 0.001
warmup_steps = 50
weight_decay = 0.1
max_gradient_norm = 1.0
query_negatives = true
caption_weight = 0.2
feature_noise = 0.5
pieces = 4
save_every = 100
measure_every = 100
";

#[test]
fn the_folder_of_an_earlier_run_is_recognized() {
    let small = read(EARLIER).unwrap();
    assert_eq!(toml::to_string(&small).unwrap(), EARLIER);
    // Options without a value are the defaults that the docs name.
    let defaults = TrainConfig {
        seed: 1,
        steps: 600,
        batch_size: 512,
        learning_rate: 1e-3,
        warmup_steps: 50,
        weight_decay: 0.1,
        feature_noise: 0.5,
        pieces: 4,
        save_every: 100,
        measure_every: 100,
        ..toy::train_config()
    };
    assert_eq!(small, defaults);
    assert_eq!(small.max_temperature(), 100.0);
}

#[test]
fn every_preset_is_valid() {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(presets()).unwrap() {
        let path = entry.unwrap().path();
        TrainConfig::read(&path).unwrap();
        names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    names.sort();
    let expected = [
        "bge-vl-base",
        "clip-base",
        "clip-large",
        "coca-base",
        "coca-large",
        "small",
        "small-second",
    ];
    assert_eq!(names, expected);
}
