//! From a collection folder to trained weights: frozen features, inputs of trained towers, the run, the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use magiclens_collection::{Collection, Split, images_path, read_training_images, triplets_path};
use magiclens_data::{Image, Triplet, read_triplets};
use magiclens_metrics::Random;
use magiclens_model::checkpoint::{StoredFloat, TowerFile, tensors_of, write_checkpoint};
use magiclens_model::fusion::FusionConfig;
use magiclens_model::import::open::folder_of;
use magiclens_model::{DeviceName, Embedder, MagicLens, ModelConfig, ModelError};

use crate::batches::TripletTable;
use crate::config::TrainedHead;
use crate::dev::{Dev, DevScores, mean_recall_at_10};
use crate::feature_table::FeatureTable;
use crate::features::{View, image_features, text_features};
use crate::gradients::{CaptionRow, Frozen};
use crate::inputs::{ImageFiles, TextIds, TowerInputs, ids_of};
use crate::learner::Learner;
use crate::run::{Measurement, Observer, StepMetrics, TrainingData, train};
use crate::sentence_map::{Captioned, fit, steps};
use crate::start::{Start, short_digest};
use crate::tower_pass::{Features, PieceSettings, all_features};
use crate::{TrainConfig, TrainError};

/// Files and folders of a training.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The settings of the run.
    pub config: TrainConfig,
    /// The collection.
    pub data: PathBuf,
    /// More folders to train on, e.g. of mined triplets.
    pub added: Vec<PathBuf>,
    /// The number of times that each triplet of the added folders counts.
    pub repeat_added: usize,
    /// The model to start from: a checkpoint, or what else [`magiclens_model::import::open::open_model`] reads.
    pub start: PathBuf,
    /// The folder of the run.
    pub out: PathBuf,
    /// The trained checkpoint.
    pub weights: PathBuf,
    /// The folder for frozen features; `None` is `features` in the collection.
    pub cache: Option<PathBuf>,
    /// The devices that towers run on; none is the CPU. Frozen towers run on the first one alone.
    pub devices: Vec<DeviceName>,
}

/// Is told the progress of a training.
pub trait Listener {
    /// Work on so many things begins.
    fn begin(&mut self, what: &str, count: usize);
    /// So many more things are done.
    fn advance(&mut self, count: usize);
    /// A step is done.
    fn step(&mut self, metrics: &StepMetrics);
    /// The scores on the dev part after a step, by relation.
    fn measured(&mut self, step: usize, scores: &BTreeMap<&str, DevScores>);
    /// A run with patience ended after a step; the weights of the best one are the result.
    fn chosen(&mut self, step: usize, best: usize);
}

impl Pipeline {
    /// Computes frozen features, trains or goes on training, and writes the weights.
    ///
    /// # Errors
    /// Inputs that do not go together, files that cannot be read or written, a run that diverges.
    pub fn run(&self, listener: &mut dyn Listener) -> Result<(), TrainError> {
        let devices = self.open_devices()?;
        let start = Start::read(&self.start, &self.config, devices[0].clone())?;
        // Beside trained towers no file of the start holds what they have become.
        let towers = match self.config.trained_towers.any() {
            true => &[][..],
            false => &start.towers[..],
        };
        self.check_folder(towers)?;
        self.check_captions(&start.embedder)?;
        self.check_second(start.embedder.config())?;
        let embedder = &start.embedder;
        let dev = Collection::read(&self.data, Split::Dev)?;
        let sources = self.sources()?;
        let (images, mut triplets) = joined(&sources);
        check_relations(&triplets, &self.config.relation_weights)?;
        retain_learnable(&mut triplets, &embedder.config().fusion, self.config.trained_head);
        let triplets = weighted(triplets, &self.config);
        let table = TripletTable::new(&triplets, &images, &triplets_path(&self.data, Split::Train))?;
        let (captioned, captions) = captions(&images);
        let texts: Vec<&str> = table.texts.iter().map(String::as_str).collect();
        let dev_texts = Dev::texts(&dev.triplets);
        let texts = [&texts[..], &captions, &dev_texts];
        let [images, dev_images, texts_of, captions_of, dev_texts] =
            self.frozen(embedder, (&sources, &dev), texts, listener)?;
        let [inputs, dev_inputs] = self.inputs(embedder, (&sources, &dev), texts)?;
        let data = TrainingData {
            triplets: &table,
            frozen: Frozen {
                images: &images,
                texts: &texts_of,
                captions: &captions_of,
            },
            inputs,
            captioned: &captioned,
            digest: self.digest(&start.digest, &sources)?,
        };
        listener.begin("steps", self.config.steps);
        let learner = Learner::of(embedder.model()?, self.config.trained_towers).on(devices);
        let mut measured = Measured {
            dev: Dev::new(dev.triplets, dev_images, dev_texts),
            inputs: dev_inputs,
            piece: self.piece(),
            listener,
        };
        let learner = train(&self.config, learner, &data, &self.out, &mut measured)?;
        self.bring_tokenizer()?;
        let model = self.finish(embedder, learner, &data, listener)?;
        write_weights(&self.weights, embedder.config(), &model, towers)
    }

    /// At least one.
    fn open_devices(&self) -> Result<Vec<Device>, TrainError> {
        if self.devices.len() > 1 && !self.config.trained_towers.any() {
            return Err(TrainError::NothingToShare);
        }
        let opened = self.devices.iter().map(|device| device.open());
        let devices: Vec<Device> = opened.collect::<Result<_, _>>().map_err(ModelError::from)?;
        match devices.is_empty() {
            true => Ok(vec![Device::flex()]),
            false => Ok(devices),
        }
    }

    /// Features of frozen towers: of training images and dev images, of instructions, captions and instructions of the dev part; empty
    /// tables for trained towers.
    fn frozen(
        &self,
        embedder: &Embedder,
        (sources, dev): (&[Source<'_>], &Collection),
        texts: [&[&str]; 3],
        listener: &mut dyn Listener,
    ) -> Result<[FeatureTable; 5], TrainError> {
        let mut features = FeatureMaker {
            embedder,
            cache: self.cache.clone().unwrap_or_else(|| self.data.join("features")),
            mirrored: self.config.mirrored,
            listener,
        };
        let trained = self.config.trained_towers;
        let (images, dev_images) = match trained.image() {
            true => Default::default(),
            false => features.of_images(sources, dev)?,
        };
        let [texts, captions, dev_texts] = match trained.text() {
            true => Default::default(),
            false => features.of_texts(texts)?,
        };
        Ok([images, dev_images, texts, captions, dev_texts])
    }

    /// Inputs of trained towers: of training, and of the dev part.
    fn inputs(
        &self,
        embedder: &Embedder,
        (sources, dev): (&[Source<'_>], &Collection),
        texts: [&[&str]; 3],
    ) -> Result<[TowerInputs; 2], TrainError> {
        let (config, trained) = (embedder.config(), self.config.trained_towers);
        let [mut training, mut measuring] = [(); 2].map(|()| TowerInputs::default());
        if trained.image() {
            let path = |folder: &Path, image: &Image| folder.join(&image.path);
            let of_source = |source: &Source<'_>| -> Vec<PathBuf> {
                let images = source.images.iter();
                images.map(|image| path(source.folder, image)).collect()
            };
            let files = sources.iter().flat_map(of_source).collect();
            let dev_files = dev.images.iter().map(|labeled| path(&dev.folder, &labeled.image));
            let [files, dev_files] =
                [files, dev_files.collect()].map(|paths| ImageFiles::new(paths, config.preprocess));
            let files = if self.config.mirrored {
                files.with_mirrored()
            } else {
                files
            };
            (training.images, measuring.images) = (Some(files), Some(dev_files));
        }
        if trained.text() {
            let tokenizer = config.text.tokenizer(folder_of(&self.start))?;
            let keeps_empty = config.fusion != FusionConfig::Sum;
            let ids = |texts: &[&str]| ids_of(&*tokenizer, texts, keeps_empty);
            let [texts, captions, dev_texts] = texts;
            let (texts, captions) = (ids(texts)?, ids(captions)?);
            training.texts = Some(TextIds { texts, captions });
            let (texts, captions) = (ids(dev_texts)?, Vec::new());
            measuring.texts = Some(TextIds { texts, captions });
        }
        Ok([training, measuring])
    }

    fn piece(&self) -> PieceSettings {
        PieceSettings {
            rows: self.config.tower_rows,
            side_by_side: self.config.pieces,
        }
    }

    /// The whole model, with the map into the space of sentences fitted where the image tower has one and the whole head is trained.
    fn finish(
        &self,
        embedder: &Embedder,
        learner: Learner,
        data: &TrainingData<'_>,
        listener: &mut dyn Listener,
    ) -> Result<MagicLens, TrainError> {
        let fits_map = self.config.trained_head == TrainedHead::All && embedder.config().vision.shares_sentences();
        let features = match fits_map {
            true => all_features(&learner, &data.inputs, self.piece())?,
            false => Features::default(),
        };
        let model = learner.into_model(embedder.model()?.clone());
        let mut model = model.expect("the learner was taken out of this model");
        if let Some(map) = model.vision.sentence_map_mut().filter(|_| fits_map) {
            let images = features.images.as_ref().unwrap_or(data.frozen.images);
            let captioned = Captioned {
                images,
                captions: features.captions.as_ref().unwrap_or(data.frozen.captions),
                rows: data.captioned,
                mirrored: self.config.mirrored_rows(images.len()),
            };
            listener.begin("steps on captions", steps(captioned.rows.len()));
            *map = fit(map.clone(), captioned, self.config.seed, &mut || listener.advance(1));
        }
        Ok(model)
    }

    /// Puts the tokenizer of the start beside the weights, where the start has one and they have not.
    fn bring_tokenizer(&self) -> Result<(), TrainError> {
        const TOKENIZER: &str = "tokenizer.json";
        let from = folder_of(&self.start).join(TOKENIZER);
        let to = self.weights.parent().unwrap_or(Path::new("")).join(TOKENIZER);
        if from.is_file() && !to.exists() {
            fs_err::copy(from, to)?;
        }
        Ok(())
    }

    fn check_captions(&self, embedder: &Embedder) -> Result<(), TrainError> {
        let (start, trained) = (self.start.clone(), self.config.trained_towers);
        let model = embedder.model()?;
        let learns = trained.any() || model.vision.projection().is_some() || model.text.projection().is_some();
        match self.config.caption_weight > 0.0 {
            true if embedder.config().vision.shares_sentences() => Err(TrainError::NoCaptionLoss { start }),
            true if !learns => Err(TrainError::NothingCaptioned { start }),
            _ => Ok(()),
        }
    }

    fn check_second(&self, config: &ModelConfig) -> Result<(), TrainError> {
        match self.config.trained_head == TrainedHead::Second && !config.fusion.takes_second_image() {
            true => Err(TrainError::NoSecond {
                start: self.start.clone(),
            }),
            false => Ok(()),
        }
    }

    fn check_folder(&self, towers: &[TowerFile]) -> Result<(), TrainError> {
        let folder = self.weights.parent().unwrap_or(Path::new(""));
        match towers.iter().all(|tower| folder.join(&tower.file).is_file()) {
            true => Ok(()),
            false => Err(TrainError::NotBeside {
                weights: self.weights.clone(),
                start: self.start.clone(),
            }),
        }
    }

    /// The collection, then the folders added to it.
    fn sources(&self) -> Result<Vec<Source<'_>>, TrainError> {
        let added = self.added.iter().map(|folder| (folder.as_path(), self.repeat_added));
        let all = std::iter::once((self.data.as_path(), 1)).chain(added);
        let source = |(folder, repeat)| {
            let triplets = read_triplets(triplets_path(folder, Split::Train))?;
            Ok(Source {
                folder,
                images: read_training_images(images_path(folder))?,
                triplets: std::iter::repeat_n(triplets, repeat).flatten().collect(),
            })
        };
        all.map(source).collect()
    }

    /// Names the start weights and the triplets, so that a run is not continued with others.
    fn digest(&self, start: &str, sources: &[Source<'_>]) -> Result<String, TrainError> {
        let mut digest = format!("start {start} triplets");
        for (at, source) in sources.iter().enumerate() {
            digest += &format!(" {}", short_digest(&triplets_path(source.folder, Split::Train))?);
            if at > 0 && self.repeat_added > 1 {
                digest += &format!(" x {}", self.repeat_added);
            }
        }
        Ok(digest)
    }
}

/// A folder that is trained on.
struct Source<'a> {
    folder: &'a Path,
    images: Vec<Image>,
    triplets: Vec<Triplet>,
}

fn joined(sources: &[Source<'_>]) -> (Vec<Image>, Vec<Triplet>) {
    let images = sources.iter().flat_map(|source| source.images.iter().cloned());
    let triplets = sources.iter().flat_map(|source| source.triplets.iter().cloned());
    (images.collect(), triplets.collect())
}

/// Drops the triplets that teach nothing: with a second image, where the fusion has no place for it; with one image, where that place
/// alone is trained.
pub fn retain_learnable(triplets: &mut Vec<Triplet>, fusion: &FusionConfig, head: TrainedHead) {
    triplets.retain(|triplet| match triplet.second {
        Some(_) => fusion.takes_second_image(),
        None => head == TrainedHead::All,
    });
}

/// Refuses a weight for a relation that no triplet has.
fn check_relations(triplets: &[Triplet], weights: &BTreeMap<String, f64>) -> Result<(), TrainError> {
    let has = |relation: &&String| triplets.iter().any(|triplet| triplet.relation == **relation);
    if let Some(relation) = weights.keys().find(|relation| !has(relation)) {
        let known: BTreeSet<&str> = triplets.iter().map(|triplet| triplet.relation.as_str()).collect();
        return Err(TrainError::UnknownRelation {
            relation: relation.clone(),
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    Ok(())
}

/// Each triplet as often as its relation counts; of a broken number the seed decides for each one.
fn weighted(triplets: Vec<Triplet>, config: &TrainConfig) -> Vec<Triplet> {
    let weights = &config.relation_weights;
    let mut rng = Random::seed_from_u64(config.seed);
    let counted = triplets.into_iter().flat_map(|triplet| {
        let weight = weights.get(&triplet.relation).copied().unwrap_or(1.0);
        let more = weight.fract() > 0.0 && f64::from(rng.between(0.0, 1.0)) < weight.fract();
        std::iter::repeat_n(triplet, weight as usize + usize::from(more))
    });
    counted.collect()
}

/// Each image with its caption's row; each different caption once.
pub fn captions(images: &[Image]) -> (Vec<CaptionRow>, Vec<&str>) {
    let captions = images.iter().map(|image| image.caption.as_str());
    let mut texts: Vec<&str> = captions.filter(|caption| !caption.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    let row = |(image, found): (usize, &Image)| {
        let caption = texts.binary_search(&found.caption.as_str()).ok()?;
        Some(CaptionRow { image, caption })
    };
    let rows = images.iter().enumerate().filter_map(row).collect();
    (rows, texts)
}

/// Computes frozen features or finds them in the cache.
struct FeatureMaker<'a> {
    embedder: &'a Embedder,
    cache: PathBuf,
    /// Whether training images are mirrored, too.
    mirrored: bool,
    listener: &'a mut dyn Listener,
}

impl FeatureMaker<'_> {
    /// Of all training images, then of their mirrored views, and of the dev part.
    fn of_images(
        &mut self,
        sources: &[Source<'_>],
        dev: &Collection,
    ) -> Result<(FeatureTable, FeatureTable), TrainError> {
        let count: usize = sources.iter().map(|source| source.images.len()).sum();
        let views: &[View] = match self.mirrored {
            true => &[View::Plain, View::Mirrored],
            false => &[View::Plain],
        };
        let all = count * views.len() + dev.images.len();
        self.listener.begin("images through the frozen tower", all);
        let mut training = FeatureTable::default();
        for view in views {
            for source in sources {
                let images: Vec<&Image> = source.images.iter().collect();
                let table = self.of_folder(source.folder, &images, *view)?;
                training.extend(table.width.max(training.width), table.values);
            }
        }
        let images: Vec<&Image> = dev.images.iter().map(|labeled| &labeled.image).collect();
        let dev = self.of_folder(&dev.folder, &images, View::Plain)?;
        Ok((training, dev))
    }

    fn of_folder(&mut self, folder: &Path, images: &[&Image], view: View) -> Result<FeatureTable, TrainError> {
        let listener = &mut *self.listener;
        image_features(self.embedder, folder, images, view, &self.cache, &mut |count| {
            listener.advance(count)
        })
    }

    fn of_texts<const N: usize>(&mut self, texts: [&[&str]; N]) -> Result<[FeatureTable; N], TrainError> {
        let count = texts.iter().map(|texts| texts.len()).sum();
        self.listener.begin("texts through the frozen tower", count);
        let mut tables = std::array::from_fn(|_| FeatureTable::default());
        for (table, texts) in tables.iter_mut().zip(texts) {
            let listener = &mut *self.listener;
            *table = text_features(self.embedder, texts, &self.cache, &mut |count| listener.advance(count))?;
        }
        Ok(tables)
    }
}

/// Measures a run on the dev part.
struct Measured<'a> {
    dev: Dev,
    /// Of trained towers, whose features are computed anew each time.
    inputs: TowerInputs,
    piece: PieceSettings,
    listener: &'a mut dyn Listener,
}

impl Observer for Measured<'_> {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        self.listener.step(metrics);
    }

    fn measure(&mut self, step: usize, learner: &Learner) -> Result<Measurement, TrainError> {
        let features = all_features(learner, &self.inputs, self.piece)?;
        self.dev.replace(features.images, features.texts);
        let scores = self.dev.scores(&learner.head);
        self.listener.measured(step, &scores);
        Ok(Measurement {
            mean_recall_at_10: mean_recall_at_10(&scores),
            line: serde_json::json!(scores),
        })
    }

    fn chosen(&mut self, step: usize, best: usize) {
        self.listener.chosen(step, best);
    }
}

fn write_weights(path: &Path, config: &ModelConfig, model: &MagicLens, towers: &[TowerFile]) -> Result<(), TrainError> {
    let mut tensors = tensors_of(model);
    if !towers.is_empty() {
        tensors.retain(|name, _| !name.contains(".trunk."));
    }
    // Towers that were frozen in f32 would come out rounded, and answer otherwise than on the dev part.
    let precision = match towers.is_empty() {
        true => StoredFloat::F32,
        false => StoredFloat::F16,
    };
    Ok(write_checkpoint(path, config, &tensors, precision, towers)?)
}
