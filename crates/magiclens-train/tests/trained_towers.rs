//! The gradient of a step through head and trained towers is that of burn's differentiation of the whole model and of finite
//! differences, however the batch is cut.
#![allow(clippy::unwrap_used)]

mod definition;
mod toy;

use std::collections::BTreeMap;
use std::sync::Mutex;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use magiclens_metrics::Random;
use magiclens_model::ModelConfig;
use magiclens_model::checkpoint::{NamedWeights, fill, tensors_of};
use magiclens_model::fusion::{FusionConfig, unit};
use magiclens_model::towers::{
    ClipActivation, ClipTextConfig, ClipTextMask, EfficientNetLiteConfig, MiniLmConfig, SentenceConfig, TextConfig,
    VisionConfig,
};
use magiclens_train::batches::{Batch, BatchSettings, batch};
use magiclens_train::config::TrainedHead;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, StepMemory, StepSettings, same_caption};
use magiclens_train::head::Head;
use magiclens_train::learner::{Learner, Towers};
use magiclens_train::tower_step::{LearnerGradients, learner_gradients};
use magiclens_train::trained::TrainedTowers;
use toy::Toy;

const CAPTION_WEIGHT: f64 = 0.3;

const SETTINGS: StepSettings = StepSettings {
    pieces: 3,
    kept_rows: 1000,
    caption_weight: CAPTION_WEIGHT,
    feature_noise: 0.0,
    noise_seed: 7,
    max_temperature: 100.0,
    trained_head: TrainedHead::All,
    trained: TrainedTowers::Both,
    tower_rows: 3,
};

const ALL: [TrainedTowers; 3] = [TrainedTowers::Text, TrainedTowers::Image, TrainedTowers::Both];

/// A model, what it is trained on, and the batch of a step.
struct Case {
    toy: Toy,
    batch: Batch,
    captions: Vec<CaptionRow>,
    memory: Mutex<StepMemory>,
}

type Gradients = BTreeMap<String, Vec<f32>>;

impl Case {
    fn new(config: &ModelConfig, images: usize, triplets: usize, size: usize) -> Self {
        let toy = Toy::on_towers(config, Toy::of(images, triplets, [1, 1]));
        let settings = BatchSettings {
            size,
            query_negatives: true,
            hard_negatives: 1,
            mirrored: 0,
        };
        Self {
            batch: batch(&toy.triplets, 1, 0, settings),
            captions: toy.captioned[..size - 2].to_vec(),
            memory: Mutex::default(),
            toy,
        }
    }

    /// CLIP's image tower, and MiniLM with a projection.
    fn mixed() -> Self {
        Self::new(&toy::tower_config(), 24, 40, 10)
    }

    /// EfficientNet-Lite0 with a projection, and CLIP's text tower.
    fn other_mixed() -> Self {
        let config = ModelConfig {
            text: clip_text(),
            ..toy::config()
        };
        Self::new(&config, 8, 8, 4)
    }

    /// The towers of `small` with their reading as sentences.
    fn sentences() -> Self {
        let config = toy::config();
        let TextConfig::MiniLm(text) = config.text else {
            panic!("the toy's text trunk is MiniLM")
        };
        let sentence = SentenceConfig {
            classes: 5,
            best: 3,
            softness: 2,
            width: config.dim,
        };
        let config = ModelConfig {
            vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig {
                image_px: 32,
                taps: vec![2],
                sentence: Some(sentence),
            }),
            text: TextConfig::MiniLm(MiniLmConfig {
                width: config.dim,
                sentence: true,
                ..text
            }),
            ..config
        };
        Self::new(&config, 8, 8, 4)
    }

    /// BGE-VL: the sum of CLIP's towers, to which the empty text adds nothing.
    fn sum() -> Self {
        let config = ModelConfig {
            text: clip_text(),
            fusion: FusionConfig::Sum,
            ..toy::tower_config()
        };
        Self::new(&config, 24, 40, 10)
    }

    fn step_of(&self, learner: &Learner, settings: StepSettings) -> LearnerGradients {
        let given = (self.toy.frozen(), &self.toy.inputs());
        let mut memory = self.memory.lock().unwrap();
        learner_gradients(learner, given, &self.batch, &self.captions, settings, &mut memory).unwrap()
    }

    fn step(&self, settings: StepSettings) -> (f64, Gradients) {
        let learner = self.toy.learner(settings.trained);
        let found = self.step_of(&learner, settings);
        let mut gradients = definition::by_path(&learner.head, &found.head);
        for of_tower in found.towers.iter().flatten() {
            gradients.extend(definition::by_path(&learner.towers, of_tower));
        }
        (total(&found), gradients)
    }

    /// The loss with other weights of the model.
    fn loss_at(&self, tensors: NamedWeights) -> f64 {
        let model = fill(self.toy.towers.as_ref().unwrap().model.clone(), tensors, "toy").unwrap();
        total(&self.step_of(&Learner::of(&model, SETTINGS.trained), SETTINGS))
    }

    /// Loss and gradients by burn, the whole batch at once.
    fn defined(&self, settings: StepSettings) -> (f64, Gradients) {
        let (device, towers) = (Device::flex().autodiff(), self.toy.towers.as_ref().unwrap());
        let model = towers.model.clone().train();
        let head = Head::of(&model);
        let all = |table: &FeatureTable| table.tensor(0..table.len(), &device);
        let images: Vec<usize> = (0..self.toy.images.len()).collect();
        let images = match settings.trained.image() {
            true => towers.image_features(&model.vision, &images, &device),
            false => all(&self.toy.images),
        };
        let [texts, captions] = match settings.trained.text() {
            true => towers.all_text_features(&model.text, &device),
            false => [all(&self.toy.texts), all(&self.toy.captions)],
        };
        let total = self.loss(&head, &images, &texts) + self.caption_loss(&head, &images, &captions) * CAPTION_WEIGHT;
        let mut gradients = total.clone().backward();
        let towers = Towers {
            image_tower: settings.trained.image().then(|| model.vision.clone()),
            text_tower: settings.trained.text().then(|| model.text.clone()),
        };
        // First the head, which takes the projections away.
        let of_head = GradientsParams::from_module(&mut gradients, &head);
        let mut by_path = definition::by_path(&head, &of_head);
        let of_towers = GradientsParams::from_module(&mut gradients, &towers);
        by_path.extend(definition::by_path(&towers, &of_towers));
        (f64::from(total.into_scalar::<f32>()), by_path)
    }

    fn loss(&self, head: &Head, images: &Tensor<2>, texts: &Tensor<2>) -> Tensor<1> {
        let (device, count) = (images.device(), self.batch.queries.len());
        let candidates = self.batch.images.iter().map(|image| (*image, 0));
        let rows: Vec<(usize, usize)> = self.batch.queries.iter().copied().chain(candidates).collect();
        let of = |table: &Tensor<2>, rows: Vec<usize>| table.clone().select(0, indexes(rows, &device));
        let seconds = of(images, definition::second_rows(&self.batch, rows.len()));
        let texts = head.project_texts(of(texts, rows.iter().map(|row| row.1).collect()));
        let texts = definition::said_beside(head, &self.batch, texts, head.project_images(seconds));
        let images = of(images, rows.iter().map(|row| row.0).collect());
        let embeddings = head.fuse(head.project_images(images), texts);
        let columns = self.batch.columns.iter().map(|place| count + place).collect();
        let candidates = of(&embeddings, columns);
        let also_right = TensorData::new(self.batch.also_right.clone(), [count, self.batch.columns.len()]);
        definition::contrastive(
            embeddings.narrow(0, 0, count),
            candidates,
            head.temperature(SETTINGS.max_temperature),
            Tensor::from_data(also_right, &device),
        )
    }

    fn caption_loss(&self, head: &Head, images: &Tensor<2>, captions: &Tensor<2>) -> Tensor<1> {
        let (device, count) = (images.device(), self.captions.len());
        let of = |table: &Tensor<2>, rows: Vec<usize>| table.clone().select(0, indexes(rows, &device));
        let images = of(images, self.captions.iter().map(|row| row.image).collect());
        let captions = of(captions, self.captions.iter().map(|row| row.caption).collect());
        let (images, captions) = (unit(head.project_images(images)), unit(head.project_texts(captions)));
        let same = TensorData::new(same_caption(&self.captions), [count, count]);
        let same: Tensor<2, Bool> = Tensor::from_data(same, &device);
        let temperature = head.temperature(SETTINGS.max_temperature);
        let forth = definition::contrastive(images.clone(), captions.clone(), temperature.clone(), same.clone());
        let back = definition::contrastive(captions, images, temperature, same.transpose());
        (forth + back) / 2.0
    }
}

fn total(found: &LearnerGradients) -> f64 {
    f64::from(found.losses.loss) + CAPTION_WEIGHT * f64::from(found.losses.caption_loss)
}

fn indexes(rows: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

fn clip_text() -> TextConfig {
    TextConfig::ClipText(ClipTextConfig {
        width: 8,
        layers: 1,
        heads: 2,
        vocabulary: 10,
        context_length: 4,
        feed_forward: None,
        activation: ClipActivation::QuickGelu,
        mask: ClipTextMask::default(),
    })
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Norm of the difference of two gradients, as a share of that of the second.
fn difference(found: &Gradients, expected: &Gradients) -> f64 {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let all = |gradients: &Gradients| gradients.values().flatten().copied().collect::<Vec<f32>>();
    let (found, expected) = (all(found), all(expected));
    let apart: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    norm(&apart) / norm(&expected)
}

#[test]
fn the_gradient_is_that_of_the_whole_model() {
    for (name, case) in [
        ("mixed", Case::mixed()),
        ("other", Case::other_mixed()),
        ("sentences", Case::sentences()),
        ("sum", Case::sum()),
    ] {
        for trained in ALL {
            let settings = StepSettings { trained, ..SETTINGS };
            let (found, expected) = (case.step(settings), case.defined(settings));
            let has = |part: &str| found.1.keys().any(|name| name.starts_with(part));
            assert_eq!(
                (has("image_tower."), has("text_tower.")),
                (trained.image(), trained.text())
            );
            let apart = difference(&found.1, &expected.1);
            assert!(apart < 1e-5, "{name}, {trained:?}: {apart:e} of the gradient's norm");
            assert!(
                (found.0 - expected.0).abs() < 1e-5,
                "{name}: {} for {}",
                found.0,
                expected.0
            );
        }
    }
}

#[test]
fn pieces_of_any_size_have_the_gradient_of_the_plain_batch_on_any_threads() {
    let case = Case::mixed();
    let (_, plain) = case.defined(SETTINGS);
    for tower_rows in [1, 2, 5, 100] {
        for pieces in [1, 2, 7] {
            let settings = StepSettings {
                tower_rows,
                pieces,
                kept_rows: 0,
                ..SETTINGS
            };
            let (_, found) = case.step(settings);
            let apart = difference(&found, &plain);
            assert!(
                apart < 1e-5,
                "{tower_rows} rows, {pieces} pieces: {apart:e} of the gradient's norm"
            );
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (_, again) = pool.install(|| case.step(settings));
                assert!(found == again, "{tower_rows} rows, {pieces} pieces, {threads} threads");
            }
        }
    }
}

/// For each tensor of both towers: the slope of the loss along the gradient, and by going a little way forth and back.
#[test]
fn finite_differences_agree_for_every_tensor_of_the_towers() {
    let case = Case::mixed();
    let (_, gradients) = case.step(SETTINGS);
    let tensors = tensors_of(&case.toy.towers.as_ref().unwrap().model);
    let mut rng = Random::seed_from_u64(9);
    let mut seen = 0;
    for (name, gradient) in &gradients {
        let renamed = [("image_tower.", "vision."), ("text_tower.", "text.")];
        let renamed = renamed
            .iter()
            .find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
        let (Some(model_name), size) = (renamed, norm(gradient)) else {
            continue;
        };
        // A key's bias moves all logits of a query alike, so that the loss does not depend on it.
        if size < 1e-6 {
            assert!(name.ends_with("key.bias"), "`{name}` has a gradient of {size:e}");
            continue;
        }
        seen += 1;
        let direction: Vec<f64> = gradient
            .iter()
            .map(|g| f64::from(*g) / size + 0.2 * f64::from(rng.between(-1.0, 1.0)) / (gradient.len() as f64).sqrt())
            .collect();
        let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * d).sum();
        let step = (2e-3 / size).clamp(1e-3, 3e-2);
        let moved = |sign: f64| {
            let mut tensors = tensors.clone();
            let values = &mut tensors.get_mut(&model_name).unwrap().values;
            for (value, d) in values.iter_mut().zip(&direction) {
                *value += (sign * step * d) as f32;
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
    assert!(seen > 40, "{seen} tensors");
}
