//! The gradient of one step. burn's CPU backend hardly uses a second core inside one operation, so a batch is computed
//! in pieces side by side. The loss still sees the whole batch: its gradient is taken at the embeddings first and then
//! carried back through each piece, which gives the gradient of the plain batch.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use magiclens_metrics::Random;
use magiclens_model::fusion::unit;
use rayon::prelude::*;

use crate::batches::Batch;
use crate::head::Head;
use crate::loss;

/// Rows of a feature table, `[rows, width]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureTable {
    /// Numbers of a row.
    pub width: usize,
    /// All rows, one after the other.
    pub values: Vec<f32>,
}

impl FeatureTable {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// [`FeatureTable::tensor`] with every number multiplied by 1 + noise of this standard deviation (even, not
    /// normal). The noise follows from the seed alone, whichever thread makes it.
    pub fn noisy_tensor(&self, rows: impl Iterator<Item = usize>, noise: f64, seed: u64, device: &Device) -> Tensor<2> {
        let clean = self.tensor(rows, device);
        if noise == 0.0 {
            return clean;
        }
        let [count, width] = clean.dims();
        let mut rng = Random::seed_from_u64(seed);
        let reach = (noise * 3f64.sqrt()) as f32;
        let factors: Vec<f32> = (0..count * width)
            .map(|_| 1.0 + reach * rng.between(-1.0, 1.0))
            .collect();
        clean * Tensor::from_data(TensorData::new(factors, [count, width]), device)
    }

    /// The rows chosen, as `[rows, width]` on a device.
    pub fn tensor(&self, rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = rows
            .flat_map(|row| self.values[row * self.width..(row + 1) * self.width].iter().copied())
            .collect();
        let count = values.len() / self.width;
        Tensor::from_data(TensorData::new(values, [count, self.width]), device)
    }
}

/// Frozen features: a row for each image and for each text.
#[derive(Debug)]
pub struct Frozen<'a> {
    /// Image trunk features.
    pub images: &'a FeatureTable,
    /// Text trunk features of instructions; row 0 is the empty text.
    pub texts: &'a FeatureTable,
    /// Text trunk features of captions, and the row of each image's caption.
    pub captions: &'a FeatureTable,
}

/// What one step found out.
#[derive(Debug)]
pub struct StepGradients {
    /// The gradient of every parameter.
    pub gradients: GradientsParams,
    /// The contrastive loss.
    pub loss: f32,
    /// The caption loss; zero if it has no weight.
    pub caption_loss: f32,
    /// The factor on the cosines.
    pub temperature: f32,
    /// Share of queries whose own target had the highest score among the columns.
    pub batch_accuracy: f32,
}

/// Settings of [`gradients`].
#[derive(Clone, Copy, Debug)]
pub struct StepSettings {
    /// Pieces computed side by side.
    pub pieces: usize,
    /// Weight of the caption loss.
    pub caption_weight: f64,
    /// Standard deviation of the noise on image features, relative to each feature's own size.
    pub feature_noise: f64,
    /// Seed of the noise: another one each step.
    pub noise_seed: u64,
}

/// Images and caption rows of the caption loss.
#[derive(Debug)]
pub struct CaptionRows {
    /// Row of each image.
    pub images: Vec<usize>,
    /// Row of each image's caption.
    pub captions: Vec<usize>,
}

/// Rows that were embedded by a copy of the head.
struct Piece {
    head: Head,
    embeddings: Tensor<2>,
}

/// The loss of a batch and its gradient. `device` has autodiff.
pub fn gradients(
    head: &Head,
    frozen: &Frozen,
    batch: &Batch,
    caption_rows: &CaptionRows,
    settings: StepSettings,
    device: &Device,
) -> StepGradients {
    let rows: Vec<(usize, usize)> = batch
        .queries
        .iter()
        .copied()
        .chain(batch.images.iter().map(|image| (*image, 0)))
        .collect();
    let piece = rows.len().div_ceil(settings.pieces).max(1);
    let pieces: Vec<Piece> = rows
        .par_chunks(piece)
        .enumerate()
        .map(|(at, rows)| {
            // Leaves of its own: backward passes side by side must not share a graph.
            let head = head.clone().fork(device);
            let seed = settings.noise_seed.wrapping_add(at as u64);
            let images = rows.iter().map(|row| row.0);
            let images = frozen.images.noisy_tensor(images, settings.feature_noise, seed, device);
            let texts = frozen.texts.tensor(rows.iter().map(|row| row.1), device);
            let embeddings = head.embed(images, texts); // [rows, dim]
            Piece { head, embeddings }
        })
        .collect();

    // The loss at the embeddings, cut off from how they came about.
    let embeddings = Tensor::cat(
        pieces.iter().map(|piece| piece.embeddings.clone().detach()).collect(),
        0,
    )
    .require_grad();
    let queries = batch.queries.len();
    let columns: Vec<i64> = batch.columns.iter().map(|place| (queries + place) as i64).collect();
    let columns: Tensor<1, Int> = Tensor::from_data(TensorData::new(columns, [batch.columns.len()]), device);
    let also_right = TensorData::new(batch.also_right.clone(), [queries, batch.columns.len()]);
    let query_rows = embeddings.clone().narrow(0, 0, queries);
    let candidate_rows = embeddings.clone().select(0, columns);
    let batch_accuracy = accuracy(query_rows.clone().detach(), candidate_rows.clone().detach());
    let temperature = head.temperature();
    let temperature_value = scalar(temperature.clone());
    let also_right: Tensor<2, Bool> = Tensor::from_data(also_right, device);
    let loss = loss::contrastive(query_rows, candidate_rows, temperature, also_right);
    let loss_value = scalar(loss.clone());
    let mut total = loss;
    let mut caption_loss = 0.0;
    if settings.caption_weight > 0.0 && caption_rows.images.len() > 1 {
        let captions = caption_part(head, frozen, caption_rows, settings, device);
        caption_loss = scalar(captions.clone());
        total = total + captions.mul_scalar(settings.caption_weight);
    }
    let mut tape = total.backward();
    let slopes = embeddings
        .grad_remove(&mut tape)
        .expect("the loss depends on every embedding");
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(head, GradientsParams::from_grads(tape, head));

    // d loss / d parameter = sum over rows of (d loss / d embedding) * (d embedding / d parameter).
    let starts = pieces.iter().scan(0, |at, piece| {
        let start = *at;
        *at += piece.embeddings.dims()[0];
        Some(start)
    });
    let starts: Vec<usize> = starts.collect();
    let parts: Vec<GradientsParams> = starts
        .into_par_iter()
        .zip(pieces)
        .map(|(start, Piece { head, embeddings })| {
            let [count, _dim] = embeddings.dims();
            let slope = Tensor::from_data(slopes.clone().narrow(0, start, count).into_data(), device);
            GradientsParams::from_grads((embeddings * slope).sum().backward(), &head)
        })
        .collect();
    for part in parts {
        sum.accumulate(head, part);
    }
    StepGradients {
        gradients: sum.grads(),
        loss: loss_value,
        caption_loss,
        temperature: temperature_value,
        batch_accuracy,
    }
}

/// CLIP's loss between tower outputs of images and of their captions.
fn caption_part(
    head: &Head,
    frozen: &Frozen,
    rows: &CaptionRows,
    settings: StepSettings,
    device: &Device,
) -> Tensor<1> {
    let images = rows.images.iter().copied();
    let images = frozen
        .images
        .noisy_tensor(images, settings.feature_noise, !settings.noise_seed, device);
    let images = unit(head.project_images(images));
    let texts = unit(head.project_texts(frozen.captions.tensor(rows.captions.iter().copied(), device)));
    let count = rows.captions.len();
    let same = |at: usize| at / count != at % count && rows.captions[at / count] == rows.captions[at % count];
    let also_right: Vec<bool> = (0..count * count).map(same).collect();
    loss::captions(
        images,
        texts,
        head.temperature(),
        Tensor::from_data(TensorData::new(also_right, [count, count]), device),
    )
}

fn accuracy(queries: Tensor<2>, candidates: Tensor<2>) -> f32 {
    let [count, _dim] = queries.dims();
    let best = queries
        .matmul(candidates.transpose())
        .argmax(1)
        .into_data()
        .convert::<i64>();
    let best = best.try_to_vec::<i64>().expect("converted to i64");
    best.iter()
        .enumerate()
        .filter(|(row, best)| *row as i64 == **best)
        .count() as f32
        / count as f32
}

fn scalar(tensor: Tensor<1>) -> f32 {
    tensor.into_scalar::<f32>()
}
