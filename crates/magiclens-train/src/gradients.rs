//! The gradient of one step. burn's CPU backend hardly uses a second core inside one operation, so a batch is computed
//! in pieces side by side. The loss still sees the whole batch: its gradient is taken at the embeddings first and then
//! carried back through each piece, which gives the gradient of the plain batch.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use magiclens_model::fusion::unit;
use rayon::prelude::*;
use serde::Serialize;

use crate::batches::Batch;
use crate::feature_table::FeatureTable;
use crate::head::Head;
use crate::loss;

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

/// Gradients and losses of one step.
#[derive(Debug)]
pub struct StepGradients {
    /// The gradient of every parameter.
    pub gradients: GradientsParams,
    /// The losses.
    pub losses: StepLosses,
}

/// Losses of one step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepLosses {
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
    /// Highest factor on the cosines.
    pub max_temperature: f32,
}

/// A captioned image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptionRow {
    /// Row of the image.
    pub image: usize,
    /// Row of its caption.
    pub caption: usize,
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
    captions: &[CaptionRow],
    settings: StepSettings,
    device: &Device,
) -> StepGradients {
    let pieces = embed_pieces(head, frozen, batch, settings, device);
    // The loss at the embeddings, cut off from their own graphs.
    let detached = pieces.iter().map(|piece| piece.embeddings.clone().detach());
    let embeddings = Tensor::cat(detached.collect(), 0).require_grad(); // [rows, dim]
    let temperature = head.temperature(settings.max_temperature);
    let (mut total, mut losses) = contrastive_part(embeddings.clone(), temperature, batch, device);
    if settings.caption_weight > 0.0 && captions.len() > 1 {
        let caption_loss = caption_part(head, frozen, captions, settings, device);
        losses.caption_loss = scalar(caption_loss.clone());
        total = total + caption_loss.mul_scalar(settings.caption_weight);
    }
    let mut tape = total.backward();
    let slopes = embeddings
        .grad_remove(&mut tape)
        .expect("the loss depends on every embedding");
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(head, GradientsParams::from_grads(tape, head));
    for part in carry_back(pieces, &slopes, device) {
        sum.accumulate(head, part);
    }
    StepGradients {
        gradients: sum.grads(),
        losses,
    }
}

/// Queries, then candidates with the empty text, embedded in pieces side by side.
fn embed_pieces(head: &Head, frozen: &Frozen, batch: &Batch, settings: StepSettings, device: &Device) -> Vec<Piece> {
    let candidates = batch.images.iter().map(|image| (*image, 0));
    let rows: Vec<(usize, usize)> = batch.queries.iter().copied().chain(candidates).collect();
    let length = rows.len().div_ceil(settings.pieces).max(1);
    let piece = |(at, rows): (usize, &[(usize, usize)])| {
        // Leaves of its own: backward passes side by side must not share a graph.
        let head = head.clone().fork(device);
        let seed = settings.noise_seed.wrapping_add(at as u64);
        let images = rows.iter().map(|row| row.0);
        let images = frozen.images.noisy_tensor(images, settings.feature_noise, seed, device);
        let texts = frozen.texts.tensor(rows.iter().map(|row| row.1), device);
        let embeddings = head.embed(images, texts); // [rows, dim]
        Piece { head, embeddings }
    };
    rows.par_chunks(length).enumerate().map(piece).collect()
}

/// The contrastive loss of embeddings `[rows, dim]`, queries first, at a temperature `[1]`: as a tensor `[1]` and in
/// numbers.
fn contrastive_part(
    embeddings: Tensor<2>,
    temperature: Tensor<1>,
    batch: &Batch,
    device: &Device,
) -> (Tensor<1>, StepLosses) {
    let queries = batch.queries.len();
    let columns: Vec<i64> = batch.columns.iter().map(|place| (queries + place) as i64).collect();
    let columns: Tensor<1, Int> = Tensor::from_data(TensorData::new(columns, [batch.columns.len()]), device);
    let also_right = TensorData::new(batch.also_right.clone(), [queries, batch.columns.len()]);
    let also_right: Tensor<2, Bool> = Tensor::from_data(also_right, device);
    let query_rows = embeddings.clone().narrow(0, 0, queries); // [queries, dim]
    let candidate_rows = embeddings.select(0, columns); // [columns, dim]
    let batch_accuracy = accuracy(query_rows.clone().detach(), candidate_rows.clone().detach());
    let loss = loss::contrastive(query_rows, candidate_rows, temperature.clone(), also_right);
    let losses = StepLosses {
        loss: scalar(loss.clone()),
        caption_loss: 0.0,
        temperature: scalar(temperature),
        batch_accuracy,
    };
    (loss, losses)
}

/// d loss / d parameter = sum over rows of (d loss / d embedding) * (d embedding / d parameter): the parts of the pieces.
fn carry_back(pieces: Vec<Piece>, slopes: &Tensor<2>, device: &Device) -> Vec<GradientsParams> {
    let starts = pieces.iter().scan(0, |at, piece| {
        let start = *at;
        *at += piece.embeddings.dims()[0];
        Some(start)
    });
    let starts: Vec<usize> = starts.collect();
    let part = |(start, Piece { head, embeddings })| {
        let [count, _dim] = embeddings.dims();
        let slope = Tensor::from_data(slopes.clone().narrow(0, start, count).into_data(), device);
        GradientsParams::from_grads((embeddings * slope).sum().backward(), &head)
    };
    starts.into_par_iter().zip(pieces).map(part).collect()
}

/// CLIP's loss between tower outputs of images and of their captions.
fn caption_part(
    head: &Head,
    frozen: &Frozen,
    rows: &[CaptionRow],
    settings: StepSettings,
    device: &Device,
) -> Tensor<1> {
    let images = rows.iter().map(|row| row.image);
    let images = frozen
        .images
        .noisy_tensor(images, settings.feature_noise, !settings.noise_seed, device);
    let images = unit(head.project_images(images)); // [rows, dim]
    let texts = rows.iter().map(|row| row.caption);
    let texts = unit(head.project_texts(frozen.captions.tensor(texts, device))); // [rows, dim]
    let count = rows.len();
    let same = |at: usize| at / count != at % count && rows[at / count].caption == rows[at % count].caption;
    let also_right: Vec<bool> = (0..count * count).map(same).collect();
    let also_right = Tensor::from_data(TensorData::new(also_right, [count, count]), device);
    loss::captions(images, texts, head.temperature(settings.max_temperature), also_right)
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
