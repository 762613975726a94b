//! Everything that all runs share: triplets, labels, frozen features, the test part.

use std::path::PathBuf;

use burn::tensor::Device;
use magiclens_collection::{Collection, LabeledImage, Split, images_path, read_labeled_images, triplets_path};
use magiclens_data::{Digest, Image, Triplet, read_triplets};
use magiclens_model::ModelConfig;
use magiclens_train::TrainConfig;
use magiclens_train::batches::TripletTable;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::features::{View, image_features};
use magiclens_train::gradients::{CaptionRow, Frozen};
use magiclens_train::head::Head;
use magiclens_train::inputs::TowerInputs;
use magiclens_train::learner::Learner;
use magiclens_train::pipeline::{captions, retain_learnable};
use magiclens_train::run::{Observer, TrainingData, train};
use magiclens_train::start::Start;

use crate::ExperimentError;
use crate::agreement::{Agreement, agreement};
use crate::condition::Condition;
use crate::features::TextFeatures;
use crate::measure::TestPart;
use crate::setup::{Listener, Setup};

/// The shared things of an experiment.
pub(crate) struct Bench {
    /// The file of the triplets, for messages.
    file: PathBuf,
    triplets: Vec<Triplet>,
    labels: Vec<LabeledImage>,
    plain: Vec<Image>,
    images: FeatureTable,
    captioned: Vec<CaptionRow>,
    captions: FeatureTable,
    /// Names start model, triplets, and the test part that values of queries are of: a run is not continued with others.
    digest: String,
    pub(crate) texts: TextFeatures,
    pub(crate) test: TestPart,
}

impl Bench {
    /// Reads the collection and the start model, and computes the features that the cache lacks.
    pub(crate) fn open(setup: &Setup, listener: &mut dyn Listener) -> Result<Self, ExperimentError> {
        let cache = setup.cache.clone().unwrap_or_else(|| setup.data.join("features"));
        // With a fusion, as it is trained: a model without one has nothing beside the image in its targets.
        let Start { embedder, .. } = Start::read(&setup.start, &setup.settings.train, Device::flex())?;
        let file = triplets_path(&setup.data, Split::Train);
        let mut triplets = read_triplets(&file)?;
        retain_learnable(
            &mut triplets,
            &embedder.config().fusion,
            setup.settings.train.trained_head,
        );
        let mut labels = read_labeled_images(images_path(&setup.data))?;
        labels.retain(|image| image.split == Split::Train);
        let plain: Vec<Image> = labels.iter().map(|labeled| labeled.image.clone()).collect();
        let digest = format!(
            "start {} triplets {} test {} images {}",
            embedder.model_id(),
            Digest::of_file(&file)?,
            Digest::of_file(&triplets_path(&setup.data, Split::Test))?,
            Digest::of_file(&images_path(&setup.data))?
        );
        let collection = Collection::read(&setup.data, Split::Test)?;
        let mut of_images = |images: Vec<&Image>| {
            listener.begin("images through the frozen tower", images.len());
            image_features(&embedder, &setup.data, &images, View::Plain, &cache, &mut |count| {
                listener.advance(count)
            })
        };
        let images = of_images(plain.iter().collect())?;
        let of_test = of_images(collection.images.iter().map(|labeled| &labeled.image).collect())?;
        let mut texts = TextFeatures::new(embedder, cache);
        let (captioned, known) = captions(&plain);
        let captions = shown_texts(&mut texts, &known, listener)?;
        let mut bench = Self {
            test: TestPart::load(&setup.data, collection, of_test)?,
            file,
            triplets,
            labels,
            images,
            captioned,
            captions,
            digest,
            texts,
            plain,
        };
        bench.prepare_instructions(listener)?;
        Ok(bench)
    }

    /// Those of all triplets and of the test part, which nearly every run needs.
    fn prepare_instructions(&mut self, listener: &mut dyn Listener) -> Result<(), ExperimentError> {
        // The list and so the shards of `magiclens train`.
        let known = TripletTable::new(&self.triplets, &self.plain, &self.file)?.texts;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        shown_texts(&mut self.texts, &known, listener)?;
        let asked = self.test.texts();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        shown_texts(&mut self.texts, &asked, listener)?;
        Ok(())
    }

    /// A head with random weights of the seed.
    pub(crate) fn head(&self, condition: &Condition, seed: u64) -> Result<Head, ExperimentError> {
        let start = self.texts.embedder();
        let config: ModelConfig = condition.model(start.config())?;
        let model = config.init_seeded(seed);
        let (vision, text) = (model.vision.projection(), model.text.projection());
        if config.dim != start.config().dim && (vision.is_none() || text.is_none()) {
            return Err(ExperimentError::Settings {
                path: format!("condition {}", condition.name).into(),
                reason: format!(
                    "the towers of `{}` give {} numbers and have no projection to train, so a head cannot be {} wide",
                    config.name,
                    start.config().dim,
                    config.dim
                ),
            });
        }
        Ok(Head::of(&model))
    }

    /// Trains a run, or goes on with it.
    pub(crate) fn train(
        &mut self,
        condition: &Condition,
        config: &TrainConfig,
        dir: &std::path::Path,
        observer: &mut dyn Observer,
    ) -> Result<Head, ExperimentError> {
        let head = self.head(condition, config.seed)?;
        let triplets = self.triplets_of(condition, config.seed)?;
        let table = TripletTable::new(&triplets, &self.plain, &self.file)?;
        let texts: Vec<&str> = table.texts.iter().map(String::as_str).collect();
        let texts = self.texts.of(&texts, &mut |_| ())?;
        let data = TrainingData {
            triplets: &table,
            frozen: Frozen {
                images: &self.images,
                texts: &texts,
                captions: &self.captions,
            },
            inputs: TowerInputs::default(),
            captioned: &self.captioned,
            digest: format!("{} {:?} {:?}", self.digest, condition.triplets, condition.head),
        };
        Ok(train(config, Learner::frozen(head), &data, dir, observer)?.head)
    }

    /// The triplets of a condition.
    fn triplets_of(&self, condition: &Condition, seed: u64) -> Result<Vec<Triplet>, ExperimentError> {
        let triplets = condition.triplets.of(&self.triplets, &self.labels, seed);
        match triplets.is_empty() {
            false => Ok(triplets),
            true => Err(ExperimentError::NothingLeft {
                condition: condition.name,
                file: self.file.clone(),
            }),
        }
    }

    /// The agreement of a condition's instructions with the changes that they ask for.
    pub(crate) fn agreement(&mut self, condition: &Condition, seed: u64) -> Result<Agreement, ExperimentError> {
        let triplets = self.triplets_of(condition, seed)?;
        let before = self.triplets.iter().map(|triplet| triplet.instruction.as_str());
        let is_damaged: Vec<bool> = match triplets.len() == self.triplets.len() {
            true => before
                .zip(&triplets)
                .map(|(before, after)| before != after.instruction)
                .collect(),
            false => vec![false; triplets.len()],
        };
        let table = TripletTable::new(&triplets, &self.plain, &self.file)?;
        let texts: Vec<&str> = table.texts.iter().map(String::as_str).collect();
        let texts = self.texts.of(&texts, &mut |_| ())?;
        Ok(agreement(&table.rows, &self.images, &texts, &is_damaged))
    }
}

fn shown_texts(
    texts: &mut TextFeatures,
    asked: &[&str],
    listener: &mut dyn Listener,
) -> Result<FeatureTable, ExperimentError> {
    listener.begin("texts through the frozen tower", asked.len());
    texts.of(asked, &mut |count| listener.advance(count))
}
