//! `magiclens train`: triplets to weights.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use magiclens_data::{Image, Split, Triplet, read_images, read_triplets};
use magiclens_eval::collection::Collection;
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{Checkpoint, Precision, TowerFile, tensors_of, write_checkpoint};
use magiclens_train::batches::TripletTable;
use magiclens_train::dev::Dev;
use magiclens_train::features::{image_features, text_features};
use magiclens_train::gradients::{CaptionRows, FeatureTable, Frozen};
use magiclens_train::head::Head;
use magiclens_train::run::{Observer, StepMetrics, TrainingData, train};
use magiclens_train::{TrainConfig, TrainError};

use crate::progress::{bar, tell};

/// Train a model on the triplets of a collection; goes on where it was cut off
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Settings of the run, TOML
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// The collection, made by `magiclens collection build`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// More to train on, beside the collection: folders written by `magiclens mine collect`
    #[arg(long, value_name = "DIR")]
    add: Vec<PathBuf>,
    /// How often each triplet of the added folders counts: small additions drown otherwise
    #[arg(long, value_name = "N", default_value_t = 1, requires = "add")]
    repeat_added: usize,
    /// The checkpoint to start from, made by `magiclens import towers`
    #[arg(long, value_name = "FILE")]
    start: PathBuf,
    /// Folder of the run: configuration, metrics, saved states
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The trained checkpoint; it stands beside the tower files of the start
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Folder for the frozen features, which are computed once for all runs [default: `features` in the collection]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Features, then training, then the weights.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let config = TrainConfig::read(&args.config)?;
    let checkpoint = Checkpoint::read(&args.start)?;
    let towers = checkpoint.towers.clone();
    let folder = args.start.parent().unwrap_or(Path::new(""));
    let weights_folder = args.weights.parent().unwrap_or(Path::new(""));
    ensure!(
        towers.iter().all(|tower| weights_folder.join(&tower.file).is_file()),
        "`{}` would not lie beside the tower files of `{}`\nhint: give `--weights` in the folder of `--start`",
        args.weights.display(),
        args.start.display()
    );
    let embedder = Embedder::new(checkpoint, folder, Default::default())?;
    let dev = Collection::read(&args.data, Split::Dev)?;
    let sources = sources(&args)?;
    let train_images: Vec<Image> = sources.iter().flat_map(|source| source.images.clone()).collect();
    let triplets: Vec<Triplet> = sources.iter().flat_map(|source| source.triplets.clone()).collect();
    let train_file = args.data.join(TRAIN_FILE);
    let table = TripletTable::new(&triplets, &train_images, &train_file)?;

    let cache = args.cache.clone().unwrap_or_else(|| args.data.join("features"));
    let bar = bar(
        train_images.len() + dev.images.len(),
        "pictures through the frozen tower",
    );
    let mut images = FeatureTable {
        width: 0,
        values: Vec::new(),
    };
    for source in &sources {
        let more = image_features(&embedder, source.folder, &source.images, &cache, &|n| bar.inc(n as u64))?;
        images.width = images.width.max(more.width);
        images.values.extend(more.values);
    }
    let dev_images = image_features(&embedder, &args.data, &dev.images, &cache, &|n| bar.inc(n as u64))?;
    bar.finish();
    let texts: Vec<&str> = table.texts.iter().map(String::as_str).collect();
    let (captioned, captions) = captions(&train_images);
    let dev_texts = Dev::texts(&dev.triplets);
    let bar = self::bar(
        texts.len() + captions.len() + dev_texts.len(),
        "texts through the frozen tower",
    );
    let advance = |count: usize| bar.inc(count as u64);
    let text_rows = text_features(&embedder, &texts, &cache, &advance)?;
    let caption_rows = text_features(&embedder, &captions, &cache, &advance)?;
    let dev_text_rows = text_features(&embedder, &dev_texts, &cache, &advance)?;
    bar.finish();

    let data = TrainingData {
        triplets: &table,
        frozen: Frozen {
            images: &images,
            texts: &text_rows,
            captions: &caption_rows,
        },
        captioned: &captioned,
        digest: digest(&args.start, &sources, args.repeat_added)?,
    };
    let mut watch = Watch {
        bar: self::bar(config.steps, "steps"),
        dev: Dev::new(dev.triplets, dev_images, dev_text_rows),
    };
    let no_trunk = || TrainError::NoTrunk {
        model: embedder.config().name.clone(),
    };
    let head = Head::of(embedder.model()).ok_or_else(no_trunk)?;
    let head = train(&config, head, &data, &args.out, &mut watch)?;
    watch.bar.finish();
    write_weights(&args.weights, &embedder, head, &towers)?;
    tell(&format!("wrote `{}`", args.weights.display()));
    Ok(())
}

const TRAIN_FILE: &str = "triplets-train.parquet";

/// A folder that is trained on.
struct Source<'a> {
    folder: &'a Path,
    images: Vec<Image>,
    triplets: Vec<Triplet>,
}

/// The collection, then what is added to it.
fn sources(args: &Args) -> anyhow::Result<Vec<Source<'_>>> {
    ensure!(args.repeat_added > 0, "`--repeat-added` must be at least 1");
    let added = args.add.iter().map(|folder| (folder.as_path(), args.repeat_added));
    let all = std::iter::once((args.data.as_path(), 1)).chain(added);
    all.map(|(folder, repeat)| {
        let mut images = read_images(folder.join("pictures.parquet"))?;
        images.retain(|image| image.split == Split::Train);
        let triplets = read_triplets(folder.join(TRAIN_FILE))?;
        Ok(Source {
            folder,
            images,
            triplets: std::iter::repeat_n(triplets, repeat).flatten().collect(),
        })
    })
    .collect()
}

/// Names the start weights and the triplets.
fn digest(start: &Path, sources: &[Source<'_>], repeat_added: usize) -> anyhow::Result<String> {
    let name = |path: &Path| anyhow::Ok(magiclens_data::ImageId::of_bytes(&fs_err::read(path)?).to_string());
    let mut digest = format!("start {} triplets", name(start)?);
    for (at, source) in sources.iter().enumerate() {
        let times = if at == 0 { 1 } else { repeat_added };
        write!(digest, " {}", name(&source.folder.join(TRAIN_FILE))?)?;
        if times > 1 {
            write!(digest, " x {times}")?;
        }
    }
    Ok(digest)
}

fn write_weights(path: &Path, embedder: &Embedder, head: Head, towers: &[TowerFile]) -> anyhow::Result<()> {
    let model = head.into_model(embedder.model().clone());
    let model = model.context("the model has no place for what was trained")?;
    let mut tensors = tensors_of(&model);
    if !towers.is_empty() {
        tensors.retain(|name, _| !name.contains(".trunk."));
    }
    Ok(write_checkpoint(
        path,
        embedder.config(),
        &tensors,
        Precision::F16,
        towers,
    )?)
}

/// Each image and its caption's row; each different caption once.
fn captions(images: &[Image]) -> (CaptionRows, Vec<&str>) {
    let mut texts: Vec<&str> = images
        .iter()
        .map(|image| image.caption.as_str())
        .filter(|c| !c.is_empty())
        .collect();
    texts.sort_unstable();
    texts.dedup();
    let mut rows = CaptionRows {
        images: Vec::new(),
        captions: Vec::new(),
    };
    for (row, image) in images.iter().enumerate() {
        if let Ok(caption) = texts.binary_search(&image.caption.as_str()) {
            rows.images.push(row);
            rows.captions.push(caption);
        }
    }
    (rows, texts)
}

/// Shows the run, and measures it on the dev split.
struct Watch {
    bar: ProgressBar,
    dev: Dev,
}

impl Observer for Watch {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        self.bar.set_position(metrics.step as u64);
        self.bar.set_message(format!(
            "steps, loss {:.3}, in-batch accuracy {:.2}, {:.2} s a step",
            metrics.loss, metrics.batch_accuracy, metrics.seconds
        ));
    }

    fn measure(&mut self, step: usize, head: &Head) -> Result<serde_json::Value, TrainError> {
        let figures = self.dev.figures(head);
        let shown: Vec<String> = figures
            .iter()
            .map(|(relation, found)| {
                let (first, ten) = (100.0 * found.recall_at_1, 100.0 * found.recall_at_10);
                format!("{relation} {first:.1} / {ten:.1}")
            })
            .collect();
        self.bar
            .suspend(|| tell(&format!("step {step}, dev R@1 / R@10: {}", shown.join(", "))));
        Ok(serde_json::json!(figures))
    }
}
