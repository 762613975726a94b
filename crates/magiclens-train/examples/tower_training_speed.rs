//! Speed and memory of training steps through the towers, with random weights, images and texts.
//!
//! `cargo run -p magiclens-train --example tower_training_speed -- MODEL TOWERS BATCH STEPS TOWER_ROWS`, where MODEL is `small` or `base` and TOWERS is
//! `text`, `image` or `both`, prints one line: seconds a step (the median of the steps but the first), triplets a second, and peak
//! memory of the process in MiB.
//!
//! Every triplet has a query, an instruction and a target of its own, so that nothing of a batch is computed once for several. Query images
//! are negatives, too. A frozen tower has features that are made up.

#![allow(clippy::print_stdout)]

mod watch;

use std::path::{Path, PathBuf};

use image::RgbImage;
use magiclens_metrics::Random;
use magiclens_model::ModelConfig;
use magiclens_model::towers::TextConfig;
use magiclens_train::TrainConfig;
use magiclens_train::batches::{Row, TripletTable};
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::Frozen;
use magiclens_train::inputs::{ImageFiles, TextIds, TowerInputs};
use magiclens_train::learner::Learner;
use magiclens_train::run::{TrainingData, train};
use watch::{Watch, peak_mib};

/// Sides of the images.
const IMAGE_PX: [u32; 2] = [320, 240];
/// Tokens of a text that is not padded.
const TOKENS: usize = 16;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [model, towers, batch, steps, tower_rows] = args[..] else {
        return Err("the head of the file says what it takes".into());
    };
    let model = ModelConfig::preset(model).ok_or("MODEL is `small` or `base`")?;
    let config = config(towers, batch.parse()?, steps.parse()?, tower_rows.parse()?)?;
    measure(&model, &config)
}

/// The settings of `configs/train/clip-base.toml`, with AdamW.
fn config(towers: &str, batch: usize, steps: usize, tower_rows: usize) -> Result<TrainConfig, Failure> {
    let mut config: TrainConfig = toml::from_str(include_str!("../../../configs/train/clip-base.toml"))?;
    config.optimizer = Default::default();
    config.trained_towers = serde_json::from_value(towers.into())?;
    config.learning_rate = 1e-4;
    (config.batch_size, config.tower_rows, config.warmup_steps) = (batch, tower_rows, 1);
    (config.steps, config.save_every, config.measure_every) = (steps.max(2), steps.max(2), steps.max(2));
    Ok(config)
}

fn measure(model: &ModelConfig, config: &TrainConfig) -> Result<(), Failure> {
    let (folder, run) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (count, mut rng) = (config.batch_size, Random::seed_from_u64(1));
    let paths = images(folder.path(), 2 * count, &mut rng)?;
    let learner = Learner::of(&model.init_seeded(1), config.trained_towers);
    let [image_width, text_width] = widths(model);
    let (frozen_images, frozen_texts) = (
        table(2 * count, image_width, &mut rng),
        table(count + 1, text_width, &mut rng),
    );
    let data = TrainingData {
        triplets: &triplets(count),
        frozen: Frozen {
            images: &frozen_images,
            texts: &frozen_texts,
            captions: &FeatureTable::default(),
        },
        inputs: TowerInputs {
            images: Some(ImageFiles::new(paths, model.preprocess)),
            texts: Some(TextIds {
                texts: texts(&model.text, count + 1, &mut rng),
                captions: Vec::new(),
            }),
        },
        captioned: &[],
        digest: "bench".into(),
    };
    let mut watch = Watch::default();
    train(config, learner, &data, run.path(), &mut watch)?;
    let mut seconds = watch.seconds.split_off(1);
    seconds.sort_unstable_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!(
        "{median:.2} s a step, {:.2} triplets/s, {:.0} MiB",
        count as f64 / median,
        peak_mib()?
    );
    Ok(())
}

/// Photograph-sized noise as JPEG files.
fn images(folder: &Path, count: usize, rng: &mut Random) -> Result<Vec<PathBuf>, Failure> {
    let [width, height] = IMAGE_PX;
    let mut write = |number: usize| {
        let path = folder.join(format!("{number}.jpg"));
        let base = [(); 3].map(|()| rng.below(200) as u8);
        let pixel = |x: u32, y: u32| image::Rgb(base.map(|value| value + ((x + y) % 50) as u8));
        RgbImage::from_fn(width, height, pixel).save(&path)?;
        Ok(path)
    };
    (0..count).map(&mut write).collect()
}

/// Ids of texts, padded where the tower wants it.
fn texts(config: &TextConfig, count: usize, rng: &mut Random) -> Vec<Vec<u32>> {
    let (length, vocabulary) = match config {
        TextConfig::ClipText(text) => (text.context_length, text.vocabulary),
        TextConfig::MiniLm(text) => (TOKENS, text.vocabulary),
        _ => (TOKENS, 10),
    };
    let mut text = |_| {
        let ids = (0..length).map(|at| {
            if at < TOKENS {
                1 + rng.below(vocabulary - 1) as u32
            } else {
                0
            }
        });
        ids.collect()
    };
    (0..count).map(&mut text).collect()
}

/// Widths of frozen features.
fn widths(model: &ModelConfig) -> [usize; 2] {
    let built = model.init_seeded(1);
    let width = |projected: Option<usize>| projected.unwrap_or(model.dim);
    [
        width(built.vision.projection().map(|projection| projection.width())),
        width(built.text.projection().map(|projection| projection.width())),
    ]
}

fn table(rows: usize, width: usize, rng: &mut Random) -> FeatureTable {
    let values = (0..rows * width).map(|_| rng.between(-1.0, 1.0)).collect();
    FeatureTable { width, values }
}

fn triplets(count: usize) -> TripletTable {
    let row = |at: usize| Row {
        query: at,
        second: None,
        instruction: 1 + at,
        targets: vec![count + at],
        hard_negatives: Vec::new(),
    };
    TripletTable {
        rows: (0..count).map(row).collect(),
        texts: (0..=count).map(|at| at.to_string()).collect(),
    }
}
