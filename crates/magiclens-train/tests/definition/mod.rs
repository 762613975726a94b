//! The gradient of one step by burn's modules and burn's differentiation, the whole batch at once: the definition.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use magiclens_model::fusion::unit;
use magiclens_train::batches::Batch;
use magiclens_train::feature_table::FeatureTable;
use magiclens_train::gradients::{CaptionRow, Frozen, StepSettings};
use magiclens_train::head::Head;

/// Losses and gradients by name.
pub(crate) struct Defined {
    pub(crate) loss: f32,
    pub(crate) caption_loss: f32,
    pub(crate) gradients: BTreeMap<String, Vec<f32>>,
}

pub(crate) fn gradients(
    head: &Head,
    frozen: &Frozen,
    batch: &Batch,
    captions: &[CaptionRow],
    settings: StepSettings,
) -> Defined {
    let device = Device::flex().autodiff();
    let head = head.clone().fork(&device);
    let candidates = batch.images.iter().map(|image| (*image, 0));
    let rows: Vec<(usize, usize)> = batch.queries.iter().copied().chain(candidates).collect();
    let images = noisy(frozen.images, rows.iter().map(|row| row.0), settings, |at| {
        settings.noise_seed.wrapping_add(at)
    });
    let texts = frozen.texts.tensor(rows.iter().map(|row| row.1), &device);
    let count = batch.queries.len();
    let texts = beside(&head, frozen, batch, settings, texts);
    let embeddings = head.fuse(head.project_images(images), texts);
    let columns: Vec<i64> = batch.columns.iter().map(|place| (count + place) as i64).collect();
    let columns: Tensor<1, Int> = Tensor::from_data(TensorData::new(columns, [batch.columns.len()]), &device);
    let candidates = embeddings.clone().select(0, columns);
    let temperature = head.temperature(settings.max_temperature);
    let also_right = TensorData::new(batch.also_right.clone(), [count, batch.columns.len()]);
    let also_right = Tensor::from_data(also_right, &device);
    let loss = contrastive(embeddings.narrow(0, 0, count), candidates, temperature, also_right);
    let caption_loss = caption_loss(&head, frozen, captions, settings, &device);
    let total = loss.clone() + caption_loss.clone().mul_scalar(settings.caption_weight);
    Defined {
        loss: loss.into_scalar::<f32>(),
        caption_loss: caption_loss.into_scalar::<f32>(),
        gradients: by_path(&head, &GradientsParams::from_grads(total.backward(), &head)),
    }
}

/// Tower outputs of texts, of the first of which some are about second images.
fn beside(head: &Head, frozen: &Frozen, batch: &Batch, settings: StepSettings, texts: Tensor<2>) -> Tensor<2> {
    let [rows, _] = texts.dims();
    let seed = |at| settings.noise_seed.wrapping_add(rows as u64 + at);
    let images = noisy(frozen.images, second_rows(batch, rows).into_iter(), settings, seed);
    said_beside(head, batch, head.project_texts(texts), head.project_images(images))
}

/// The image beside each row's text: all have one, of which [`said_beside`] takes most away again.
pub(crate) fn second_rows(batch: &Batch, rows: usize) -> Vec<usize> {
    seconds(batch, rows).map(Option::unwrap_or_default).collect()
}

/// Tower outputs of texts and of the images of [`second_rows`] -> those of texts, some of which are about a second image.
pub(crate) fn said_beside(head: &Head, batch: &Batch, texts: Tensor<2>, images: Tensor<2>) -> Tensor<2> {
    let [rows, dim] = texts.dims();
    let mask: Vec<f32> = seconds(batch, rows).map(|second| f32::from(second.is_some())).collect();
    let mask: Tensor<2> = Tensor::from_data(TensorData::new(mask, [rows, 1]), &texts.device());
    let said = head.texts_beside(texts.clone(), images) - texts.clone();
    texts + said * mask.expand([rows, dim])
}

fn seconds(batch: &Batch, rows: usize) -> impl Iterator<Item = Option<usize>> {
    batch.seconds.iter().copied().chain(std::iter::repeat(None)).take(rows)
}

/// `queries`: `[batch, dim]`, `candidates`: `[columns, dim]`, own targets first; `also_right`: `[batch, columns]` -> `[1]`.
pub(crate) fn contrastive(
    queries: Tensor<2>,
    candidates: Tensor<2>,
    temperature: Tensor<1>,
    also_right: Tensor<2, Bool>,
) -> Tensor<1> {
    let device = queries.device();
    let [batch, _dim] = queries.dims();
    let logits = queries.matmul(candidates.transpose()) * temperature.unsqueeze(); // [batch, columns]
    let labels: Tensor<1, Int> = Tensor::arange(0..batch as i64, &device);
    let logits = logits.mask_fill(also_right, -1e4);
    CrossEntropyLossConfig::new().init(&device).forward(logits, labels)
}

fn caption_loss(
    head: &Head,
    frozen: &Frozen,
    rows: &[CaptionRow],
    settings: StepSettings,
    device: &Device,
) -> Tensor<1> {
    let images = noisy(frozen.images, rows.iter().map(|row| row.image), settings, |at| {
        (!settings.noise_seed).wrapping_sub(at)
    });
    let images = unit(head.project_images(images));
    let captions = rows.iter().map(|row| row.caption);
    let captions = unit(head.project_texts(frozen.captions.tensor(captions, device)));
    let count = rows.len();
    let same = |at: usize| at / count != at % count && rows[at / count].caption == rows[at % count].caption;
    let also_right: Vec<bool> = (0..count * count).map(same).collect();
    let also_right: Tensor<2, Bool> = Tensor::from_data(TensorData::new(also_right, [count, count]), device);
    let temperature = head.temperature(settings.max_temperature);
    let forth = contrastive(
        images.clone(),
        captions.clone(),
        temperature.clone(),
        also_right.clone(),
    );
    let back = contrastive(captions, images, temperature, also_right.transpose());
    (forth + back) / 2.0
}

/// Rows with noise, each by a seed of its own.
fn noisy(
    table: &FeatureTable,
    rows: impl Iterator<Item = usize>,
    settings: StepSettings,
    seed: impl Fn(u64) -> u64,
) -> Tensor<2> {
    let (mut values, mut count) = (Vec::new(), 0);
    for (at, row) in (0..).zip(rows) {
        table.push_noisy(row, settings.feature_noise, seed(at), &mut values);
        count += 1;
    }
    Tensor::from_data(
        TensorData::new(values, [count, table.width]),
        &Device::flex().autodiff(),
    )
}

/// Gradients by parameter path, in the order of `tensors_of`.
pub(crate) fn by_path<M: Module>(module: &M, gradients: &GradientsParams) -> BTreeMap<String, Vec<f32>> {
    let mut collector = Collector {
        path: Vec::new(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut collector);
    collector.found
}

struct Collector<'a> {
    path: Vec<String>,
    gradients: &'a GradientsParams,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        // Variants of an enum are no part of a path, as in a checkpoint.
        self.path.push(if container_type.starts_with("Enum:") {
            String::new()
        } else {
            name.to_string()
        });
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parts = self.path.iter().map(String::as_str);
        let path: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            assert_eq!(gradient.dims(), param.val().dims());
            let values = gradient.into_data().try_to_vec().unwrap();
            self.found.insert(path.join("."), values);
        }
    }
}
