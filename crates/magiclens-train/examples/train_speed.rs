//! Speed and memory of training steps on frozen features, with random weights and made-up features.
//!
//! - `cargo run -p magiclens-train --example train_speed -- write DIR`: the weights and features that `scripts/bench/train` trains on:
//!   a head on CLIP ViT-B/16 (`base`) and one of 256 numbers with projections.
//! - `.. -- measure DIR/SIZE BATCH STEPS [KEPT_ROWS]`: one line: triplets a second (the median of the steps but the first) and peak
//!   memory of the process in MiB.
//!
//! Every triplet has a query, an instruction and a target of its own, so that nothing of a batch is computed once for several.

#![allow(clippy::print_stdout)]

mod watch;

use std::path::Path;

use magiclens_metrics::Random;
use magiclens_model::ModelConfig;
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, Weights, fill, read_weights, tensors_of, write_tower};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{
    ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, EfficientNetLiteConfig, MiniLmConfig, TextConfig,
    VisionConfig,
};
use magiclens_train::TrainConfig;
use magiclens_train::batches::{Row, TripletTable};
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, Frozen};
use magiclens_train::head::Head;
use magiclens_train::inputs::TowerInputs;
use magiclens_train::learner::Learner;
use magiclens_train::run::{TrainingData, train};
use watch::{Watch, peak_mib};

/// Triplets there are: the largest batch.
const TRIPLETS: usize = 2048;
/// Weight of the caption loss of a head with projections, as in `scripts/bench/train_peer.py`.
const CAPTION_WEIGHT: f64 = 0.2;

type Failure = Box<dyn std::error::Error>;

/// A head to measure, by the name of its folder.
struct Size {
    name: &'static str,
    dim: usize,
    heads: usize,
    /// Widths of frozen features of images and texts.
    features: [usize; 2],
    /// Towers with projections, as those of `small`, and so its noise and caption loss.
    projected: bool,
}

static SIZES: [Size; 2] = [
    Size {
        name: "base",
        dim: 512,
        heads: 8,
        features: [512, 512],
        projected: false,
    },
    Size {
        name: "small",
        dim: 256,
        heads: 4,
        features: [1536, 384],
        projected: true,
    },
];

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", folder] => SIZES
            .iter()
            .try_for_each(|size| write(size, &Path::new(folder).join(size.name))),
        ["measure", folder, batch, steps] => measure(folder.as_ref(), batch.parse()?, steps.parse()?, None),
        ["measure", folder, batch, steps, kept_rows] => measure(
            folder.as_ref(),
            batch.parse()?,
            steps.parse()?,
            Some(kept_rows.parse()?),
        ),
        _ => Err("the head of the file says what it takes".into()),
    }
}

impl Size {
    fn of(folder: &Path) -> Result<&'static Self, Failure> {
        let name = folder.file_name().and_then(|name| name.to_str());
        let found = SIZES.iter().find(|size| Some(size.name) == name);
        found.ok_or_else(|| format!("`{}` is no folder of `write`", folder.display()).into())
    }

    /// Towers of no size beside the head: nothing goes through them.
    fn config(&self) -> ModelConfig {
        let (vision, text) = match self.projected {
            true => small_towers(self.features[1]),
            false => clip_towers(),
        };
        ModelConfig {
            name: self.name.into(),
            dim: self.dim,
            preprocess: PreprocessConfig::Clip { size_px: 32 },
            vision,
            text,
            fusion: FusionConfig::Attention(AttentionFusionConfig::reference(self.dim, self.heads)),
        }
    }
}

fn small_towers(text_width: usize) -> (VisionConfig, TextConfig) {
    let vision = EfficientNetLiteConfig {
        image_px: 32,
        taps: vec![2, 4, 7, 10],
        sentence: None,
    };
    let text = MiniLmConfig {
        width: text_width,
        layers: 1,
        heads: 1,
        feed_forward: 4,
        vocabulary: 10,
        max_positions: 8,
        sentence: false,
    };
    (VisionConfig::EfficientNetLite(vision), TextConfig::MiniLm(text))
}

fn clip_towers() -> (VisionConfig, TextConfig) {
    let (width, layers, heads) = (4, 1, 1);
    let (feed_forward, activation) = (None, ClipActivation::Gelu);
    let vision = ClipVitConfig {
        width,
        layers,
        heads,
        patch_px: 16,
        image_px: 32,
        feed_forward,
        activation,
    };
    let text = ClipTextConfig {
        width,
        layers,
        heads,
        vocabulary: 10,
        context_length: 4,
        feed_forward,
        activation,
        mask: ClipTextMask::default(),
    };
    (VisionConfig::ClipVit(vision), TextConfig::ClipText(text))
}

/// Writes random weights and features.
fn write(size: &Size, folder: &Path) -> Result<(), Failure> {
    fs_err::create_dir_all(folder)?;
    let head = Head::of(&size.config().init_seeded(1));
    write_tower(&folder.join("head.safetensors"), &tensors_of(&head), StoredFloat::F32)?;
    let mut rng = Random::seed_from_u64(1);
    let mut table = |rows: usize, width: usize| Weights {
        shape: vec![rows, width],
        values: (0..rows * width).map(|_| rng.between(-1.0, 1.0)).collect(),
    };
    let images = table(2 * TRIPLETS, size.features[0]);
    let texts = table(TRIPLETS + 1, size.features[1]);
    let features = NamedWeights::from([("images".to_owned(), images), ("texts".to_owned(), texts)]);
    write_tower(&folder.join("features.safetensors"), &features, StoredFloat::F32)?;
    Ok(())
}

fn measure(folder: &Path, batch: usize, steps: usize, kept_rows: Option<usize>) -> Result<(), Failure> {
    let size = Size::of(folder)?;
    let weights = read_weights(&folder.join("head.safetensors"), &[])?;
    let head = fill(Head::of(&size.config().init_seeded(1)), weights, "bench")?;
    let mut features = read_weights(&folder.join("features.safetensors"), &[])?;
    let mut table = |name: &str| {
        let found = features
            .remove(name)
            .ok_or_else(|| format!("no `{name}` among the features"))?;
        Ok::<_, String>(FeatureTable {
            width: found.shape[1],
            values: found.values,
        })
    };
    let (images, texts) = (table("images")?, table("texts")?);
    let captioned: Vec<CaptionRow> = (0..TRIPLETS).map(|at| CaptionRow { image: at, caption: at }).collect();
    let data = TrainingData {
        triplets: &triplets(),
        frozen: Frozen {
            images: &images,
            texts: &texts,
            captions: &texts,
        },
        inputs: TowerInputs::default(),
        captioned: &captioned,
        digest: "bench".into(),
    };
    let dir = tempfile::tempdir()?;
    let mut watch = Watch::default();
    train(
        &config(size, batch, steps, kept_rows)?,
        Learner::frozen(head),
        &data,
        dir.path(),
        &mut watch,
    )?;
    let mut seconds = watch.seconds.split_off(1);
    seconds.sort_unstable_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    println!("{:.1} {:.0}", batch as f64 / median, peak_mib()?);
    Ok(())
}

fn triplets() -> TripletTable {
    let row = |at: usize| Row {
        query: at,
        second: None,
        instruction: 1 + at,
        targets: vec![TRIPLETS + at],
        hard_negatives: Vec::new(),
    };
    TripletTable {
        rows: (0..TRIPLETS).map(row).collect(),
        texts: (0..=TRIPLETS).map(|at| at.to_string()).collect(),
    }
}

/// The settings of `configs/train/small.toml` with a caption loss and without mirrored views; for a head without projections without what acts on
/// those.
fn config(size: &Size, batch: usize, steps: usize, kept_rows: Option<usize>) -> Result<TrainConfig, Failure> {
    let mut config: TrainConfig = toml::from_str(include_str!("../../../configs/train/small.toml"))?;
    config.batch_size = batch;
    (config.steps, config.save_every, config.measure_every) = (steps.max(2), steps.max(2), steps.max(2));
    config.warmup_steps = 1;
    // Made-up features have no mirrored views behind them.
    config.mirrored = false;
    config.caption_weight = CAPTION_WEIGHT;
    if let Some(kept_rows) = kept_rows {
        config.kept_rows = kept_rows;
    }
    if !size.projected {
        (config.caption_weight, config.feature_noise) = (0.0, 0.0);
    }
    Ok(config)
}
