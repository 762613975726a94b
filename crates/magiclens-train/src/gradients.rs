//! The gradient of one step, by gradient caching (Gao et al. 2021): the loss of the whole batch needs all embeddings, but not
//! what led to them. So rows are embedded in pieces, the slopes of the loss at the embeddings are taken, and the pieces go back
//! one by one, which gives the gradient of the plain batch. Pieces whose tapes were not kept are embedded again before.
//!
//! Of trained towers the slopes at their features are added up, too: the towers' own way back begins there.
//!
//! A batch is cut into shares that run side by side, and a share into pieces of a fixed size. Sums are taken in the order of the
//! shares, so that threads and kept tapes decide nothing.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::optim::GradientsParams;
use magiclens_model::checkpoint::{gradients_of, tensors_of};
use rayon::prelude::*;
use serde::Serialize;

use crate::batches::Batch;
use crate::config::TrainedHead;
use crate::feature_slopes::{FeaturePlaces, FeatureSlopes};
use crate::feature_table::FeatureTable;
use crate::head::{Head, TEMPERATURE};
use crate::loss::{self, Embeddings, Loss};
use crate::passes::{Features, Passes, Projected, Scratch, Side, Tape};
use crate::trained::TrainedTowers;

/// Rows of a piece: enough for products at full speed, few enough for the caches.
const PIECE_ROWS: usize = 128;

/// Features that do not change within a step: a row for each image and for each text.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    /// Image trunk features.
    pub images: &'a FeatureTable,
    /// Text trunk features of instructions; row 0 is the empty text.
    pub texts: &'a FeatureTable,
    /// Text trunk features of captions.
    pub captions: &'a FeatureTable,
}

/// Gradients and losses of one step.
#[derive(Debug)]
pub struct StepGradients {
    /// The gradient of every parameter that is trained.
    pub gradients: GradientsParams,
    /// The losses.
    pub losses: StepLosses,
    /// Slopes at the features of the towers that are trained.
    pub slopes: FeatureSlopes,
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
    /// Shares computed side by side.
    pub pieces: usize,
    /// Rows whose tapes are kept, about.
    pub kept_rows: usize,
    /// Weight of the caption loss.
    pub caption_weight: f64,
    /// Standard deviation of the noise on image features, relative to each feature's own size.
    pub feature_noise: f64,
    /// Seed of the noise: another one each step, a million above the last.
    pub noise_seed: u64,
    /// Highest factor on the cosines.
    pub max_temperature: f32,
    /// The part of the head that is given gradients.
    pub trained_head: TrainedHead,
    /// Towers at whose features slopes are asked for; of the image tower only without noise.
    pub trained: TrainedTowers,
    /// Images or texts that go through a trained tower in one piece.
    pub tower_rows: usize,
}

/// Memory of steps, kept for the next ones.
#[derive(Debug, Default)]
pub struct StepMemory {
    tapes: Mutex<Vec<Tape>>,
    sums: Vec<Vec<f32>>,
}

impl StepMemory {
    /// Zeros.
    fn zeros(&mut self, count: usize) -> Vec<f32> {
        let mut sums = self.sums.pop().unwrap_or_default();
        sums.clear();
        sums.resize(count, 0.0);
        sums
    }

    /// A tape that an earlier piece left, or a new one.
    fn tape(&self) -> Tape {
        self.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, tape: Tape) {
        self.lock().push(tape);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tape>> {
        self.tapes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A captioned image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptionRow {
    /// Row of the image.
    pub image: usize,
    /// Row of its caption.
    pub caption: usize,
}

/// `[rows, rows]`: whether another row has the same caption.
pub fn same_caption(rows: &[CaptionRow]) -> Vec<bool> {
    let count = rows.len();
    let same = |at: usize| at / count != at % count && rows[at / count].caption == rows[at % count].caption;
    (0..count * count).map(same).collect()
}

/// One step at work.
struct Step<'a> {
    frozen: &'a Frozen<'a>,
    settings: StepSettings,
    memory: &'a StepMemory,
    passes: Passes,
    places: FeaturePlaces,
    /// Queries, then candidates with the empty text.
    rows: Vec<Pair>,
}

/// An image and a text; the text may be about a second image, too. All by their rows.
#[derive(Clone, Copy)]
struct Pair {
    image: usize,
    text: usize,
    second: Option<usize>,
}

/// A share of the rows, embedded.
struct Share {
    rows: Range<usize>,
    embeddings: Vec<f32>,
    /// Of the first pieces.
    kept: Vec<Tape>,
}

/// The loss of a batch and its gradient.
pub fn gradients(
    head: &Head,
    frozen: &Frozen,
    batch: &Batch,
    captions: &[CaptionRow],
    settings: StepSettings,
    memory: &mut StepMemory,
) -> StepGradients {
    let weights = tensors_of(head);
    let passes = Passes::new(head, &weights, frozen.images.width, settings.trained);
    let tables = [frozen.images, frozen.texts, frozen.captions];
    let places = FeaturePlaces::new(passes.sums(), tables, settings.trained);
    let at_once = settings.pieces.min(rayon::current_num_threads());
    let mut sums = memory.zeros(places.end());
    let mut parts: Vec<Vec<f32>> = (0..at_once).map(|_| memory.zeros(places.end())).collect();
    let queries = batch.queries.iter().zip(&batch.seconds);
    let queries = queries.map(|(&(image, text), &second)| Pair { image, text, second });
    let candidates = batch.images.iter().map(|&image| Pair {
        image,
        text: 0,
        second: None,
    });
    let step = Step {
        frozen,
        settings,
        memory,
        passes,
        places,
        rows: queries.chain(candidates).collect(),
    };
    let logarithm = weights[TEMPERATURE].values[0];
    let temperature = logarithm.min(settings.max_temperature.ln()).exp();
    let shares = step.embed();
    let (loss, row_slopes) = step.contrastive(batch, &shares, temperature);
    step.carry_back(shares, row_slopes, &mut parts, &mut sums);
    let caption_loss = match settings.caption_weight > 0.0 && captions.len() > 1 {
        true => step.captions(captions, temperature, &mut parts, &mut sums),
        false => Loss::default(),
    };
    let mut gradients = step.passes.gradients(&weights, &sums);
    let slopes = step.places.slopes(&sums);
    memory.sums = parts;
    memory.sums.push(sums);
    let by_temperature = loss.temperature_slope + settings.caption_weight as f32 * caption_loss.temperature_slope;
    // Above its cap a temperature stands still.
    let is_free = logarithm <= settings.max_temperature.ln();
    let by_logarithm = if is_free { by_temperature * temperature } else { 0.0 };
    gradients.insert(TEMPERATURE.to_owned(), vec![by_logarithm]);
    gradients.retain(|name, _| settings.trained_head.trains(name));
    StepGradients {
        gradients: gradients_of(head, gradients),
        losses: StepLosses {
            loss: loss.value,
            caption_loss: caption_loss.value,
            temperature,
            batch_accuracy: loss.accuracy,
        },
        slopes,
    }
}

impl Step<'_> {
    /// All rows, in shares side by side.
    fn embed(&self) -> Vec<Share> {
        let length = self.rows.len().div_ceil(self.settings.pieces).max(1);
        let kept = (self.settings.kept_rows / self.settings.pieces).div_ceil(PIECE_ROWS);
        let share = |first: usize| self.embed_share(first..self.rows.len().min(first + length), kept);
        let starts: Vec<usize> = (0..self.rows.len()).step_by(length).collect();
        starts.into_par_iter().map(share).collect()
    }

    /// A share, whose first `kept` pieces keep their tapes.
    fn embed_share(&self, rows: Range<usize>, kept: usize) -> Share {
        let (mut scratch, mut tape) = (Scratch::default(), self.memory.tape());
        let mut share = Share {
            rows: rows.clone(),
            embeddings: Vec::with_capacity(rows.len() * self.passes.dim),
            kept: Vec::new(),
        };
        for piece in pieces(rows) {
            self.passes.embed(&self.features(piece), &mut tape, &mut scratch);
            share.embeddings.extend_from_slice(tape.embeddings());
            if share.kept.len() < kept {
                share.kept.push(std::mem::replace(&mut tape, self.memory.tape()));
            }
        }
        self.memory.give_back(tape);
        share
    }

    /// Frozen features of some rows, each with noise of its own.
    fn features(&self, rows: Range<usize>) -> Features {
        let (mut features, mut places) = (Features::default(), HashMap::new());
        let StepSettings {
            feature_noise,
            noise_seed,
            ..
        } = self.settings;
        for at in rows.clone() {
            let Pair { image, text, .. } = self.rows[at];
            let seed = noise_seed.wrapping_add(at as u64);
            self.frozen
                .images
                .push_noisy(image, feature_noise, seed, &mut features.images);
            let next = places.len();
            let place = *places.entry(text).or_insert_with(|| {
                features.texts.extend_from_slice(self.frozen.texts.row(text));
                next
            });
            features.text_of.push(place);
        }
        let of_first = rows.start;
        for at in rows.filter(|at| self.rows[*at].second.is_some()) {
            let second = self.rows[at].second.unwrap_or_default();
            let seed = noise_seed.wrapping_add((self.rows.len() + at) as u64);
            let images = &mut features.images;
            self.frozen.images.push_noisy(second, feature_noise, seed, images);
            features.seconds.push(at - of_first);
        }
        features
    }

    /// The contrastive loss, and its slopes at the embeddings of all rows.
    fn contrastive(&self, batch: &Batch, shares: &[Share], temperature: f32) -> (Loss, Vec<f32>) {
        let dim = self.passes.dim;
        let embeddings: Vec<f32> = shares.iter().flat_map(|share| &share.embeddings).copied().collect();
        let (queries, images) = embeddings.split_at(batch.queries.len() * dim);
        let columns = batch.columns.iter().flat_map(|place| &images[place * dim..][..dim]);
        let candidates: Vec<f32> = columns.copied().collect();
        let embeddings = Embeddings {
            dim,
            queries,
            candidates: &candidates,
        };
        let mut loss = loss::contrastive(embeddings, temperature, &batch.also_right, self.settings.pieces);
        let mut slopes = std::mem::take(&mut loss.query_slopes);
        let first = slopes.len();
        slopes.resize(self.rows.len() * dim, 0.0);
        for (place, column) in batch.columns.iter().zip(loss.candidate_slopes.chunks_exact(dim)) {
            let image = &mut slopes[first + place * dim..][..dim];
            image.iter_mut().zip(column).for_each(|(sum, slope)| *sum += slope);
        }
        (loss, slopes)
    }

    /// Adds up d loss / d embedding * d embedding / d parameter over all rows.
    fn carry_back(&self, shares: Vec<Share>, mut slopes: Vec<f32>, parts: &mut [Vec<f32>], sums: &mut [f32]) {
        let length = shares.first().map_or(1, |share| share.rows.len()) * self.passes.dim;
        let shares = shares.into_iter().zip(slopes.chunks_mut(length)).collect();
        let back = |(share, slopes), sums: &mut [f32]| self.carry_share_back(share, slopes, sums);
        add_up(shares, back, parts, sums);
    }

    fn carry_share_back(&self, share: Share, slopes: &mut [f32], sums: &mut [f32]) {
        let (mut scratch, mut kept) = (Scratch::default(), share.kept.into_iter());
        let slopes = slopes.chunks_mut(PIECE_ROWS * self.passes.dim);
        for (rows, slopes) in pieces(share.rows).zip(slopes) {
            let tape = kept.next().unwrap_or_else(|| {
                let mut again = self.memory.tape();
                self.passes
                    .embed(&self.features(rows.clone()), &mut again, &mut scratch);
                again
            });
            let [images, texts] = self.passes.back(&tape, &mut scratch, slopes, sums);
            self.memory.give_back(tape);
            let images_of = rows.clone().map(|at| self.rows[at].image);
            let seconds = rows.clone().filter_map(|at| self.rows[at].second);
            self.places.images.add(images_of.chain(seconds), &images, sums);
            self.places.texts.add(self.distinct_texts(rows), &texts, sums);
        }
    }

    /// The texts of some rows, each once, in the order of [`Step::features`].
    fn distinct_texts(&self, rows: Range<usize>) -> impl Iterator<Item = usize> {
        let mut seen = HashSet::new();
        rows.map(|at| self.rows[at].text).filter(move |text| seen.insert(*text))
    }

    /// CLIP's loss between tower outputs of images and of their captions; its gradient is added to `sums`.
    fn captions(&self, rows: &[CaptionRow], temperature: f32, parts: &mut [Vec<f32>], sums: &mut [f32]) -> Loss {
        let share = rows.len().div_ceil(self.settings.pieces).max(1);
        let shares: Vec<[Projected; 2]> = rows
            .par_chunks(share)
            .enumerate()
            .map(|(at, rows)| self.project_captions(rows, at * share))
            .collect();
        let side = |side: usize| shares.iter().flat_map(move |share| &share[side].units.rows).copied();
        let (images, texts): (Vec<f32>, Vec<f32>) = (side(0).collect(), side(1).collect());
        let embeddings = Embeddings {
            dim: self.passes.dim,
            queries: &images,
            candidates: &texts,
        };
        let mut loss = loss::captions(embeddings, temperature, &same_caption(rows), self.settings.pieces);
        let weight = self.settings.caption_weight as f32;
        let slopes = loss.query_slopes.iter_mut().chain(&mut loss.candidate_slopes);
        slopes.for_each(|slope| *slope *= weight);
        let length = share * self.passes.dim;
        let of_images = loss.query_slopes.chunks_mut(length);
        let slopes = of_images.zip(loss.candidate_slopes.chunks_mut(length));
        let shares = rows.chunks(share).zip(&shares).zip(slopes).collect();
        let back = |((rows, share), slopes), sums: &mut [f32]| self.carry_captions_back(rows, share, slopes, sums);
        add_up(shares, back, parts, sums);
        loss
    }

    fn carry_captions_back(
        &self,
        rows: &[CaptionRow],
        share: &[Projected; 2],
        (images, texts): (&mut [f32], &mut [f32]),
        sums: &mut [f32],
    ) {
        let mut scratch = Scratch::default();
        let sides = [(Side::Vision, &share[0], images), (Side::Text, &share[1], texts)];
        let [images, texts] = sides
            .map(|(side, projected, slopes)| self.passes.project_back(side, projected, &mut scratch, slopes, sums));
        self.places.images.add(rows.iter().map(|row| row.image), &images, sums);
        self.places
            .captions
            .add(rows.iter().map(|row| row.caption), &texts, sums);
    }

    /// Tower outputs of images and captions, the first of which is row `first` of all.
    fn project_captions(&self, rows: &[CaptionRow], first: usize) -> [Projected; 2] {
        let (mut images, mut texts) = (Vec::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            let seed = (!self.settings.noise_seed).wrapping_sub((first + at) as u64);
            let noise = self.settings.feature_noise;
            self.frozen.images.push_noisy(row.image, noise, seed, &mut images);
            texts.extend_from_slice(self.frozen.captions.row(row.caption));
        }
        [
            self.passes.project(Side::Vision, &images),
            self.passes.project(Side::Text, &texts),
        ]
    }
}

fn pieces(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(PIECE_ROWS)
        .map(move |first| first..end.min(first + PIECE_ROWS))
}

/// Adds what each share gives to `sums`, in the order of the shares; as many at once as there are `parts`, which are memory of as
/// many numbers.
fn add_up<T: Send>(mut shares: Vec<T>, back: impl Fn(T, &mut [f32]) + Sync, parts: &mut [Vec<f32>], sums: &mut [f32]) {
    /// Numbers that a thread adds in one go.
    const CHUNK: usize = 1 << 16;
    while !shares.is_empty() {
        let rest = shares.split_off(shares.len().min(parts.len()));
        let parts = &mut parts[..shares.len()];
        shares.into_par_iter().zip(&mut *parts).for_each(|(share, part)| {
            part.fill(0.0);
            back(share, part);
        });
        for part in parts {
            let both = sums.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK));
            both.for_each(|(sums, part)| sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        }
        shares = rest;
    }
}
