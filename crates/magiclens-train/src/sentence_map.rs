//! The map of image features into the space of sentences, fitted on captions. Texts stay where their encoder puts them: a projection of
//! theirs would learn the few thousand captions by heart and lose the rest of the language.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use magiclens_metrics::Random;
use magiclens_model::fusion::unit;
use magiclens_model::rows::to_rows;
use magiclens_model::towers::FeatureProjection;

use crate::batches::sample;
use crate::feature_table::FeatureTable;
use crate::gradients::{CaptionRow, same_caption};
use crate::loss::{self, Embeddings};

/// Passes over the captioned images.
const EPOCHS: usize = 20;
/// Captioned images a step.
const BATCH: usize = 512;
/// Peak of the learning rate, from which it falls by half a cosine.
const RATE: f64 = 1e-3;
const WEIGHT_DECAY: f32 = 0.1;
/// Factor on the cosines.
const TEMPERATURE: f32 = 20.0;
/// Shares of the loss that are computed side by side.
const SHARES: usize = 4;
/// Noise on features, as a share of each.
const NOISE: f64 = 0.25;

/// Captioned images with their features.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captioned<'a> {
    pub(crate) images: &'a FeatureTable,
    /// The captions in the space of sentences.
    pub(crate) captions: &'a FeatureTable,
    pub(crate) rows: &'a [CaptionRow],
    /// How far behind each image's row that of its mirrored view is, which a coin chooses; 0 where there are none.
    pub(crate) mirrored: usize,
}

/// Fits a map of the first features of each image, as many as it takes, by CLIP's loss between images and their captions. `done` is told of
/// each step; the result is a function of its arguments.
pub(crate) fn fit(
    map: FeatureProjection,
    captioned: Captioned<'_>,
    seed: u64,
    done: &mut dyn FnMut(),
) -> FeatureProjection {
    let device = Device::flex().autodiff();
    let mut map = map.fork(&device).train();
    let mut optimizer = AdamWConfig::new().with_weight_decay(WEIGHT_DECAY).init();
    let steps = steps(captioned.rows.len());
    for step in 0..steps {
        let progress = step as f64 / steps as f64;
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        let gradients = step_gradients(&map, captioned, seed, step, &device);
        map = optimizer.step(rate, map, gradients);
        done();
    }
    map.valid()
}

/// Steps of [`fit`] over so many captioned images.
pub(crate) fn steps(captioned: usize) -> usize {
    EPOCHS * captioned.div_ceil(BATCH)
}

fn step_gradients(
    map: &FeatureProjection,
    captioned: Captioned<'_>,
    seed: u64,
    step: usize,
    device: &Device,
) -> GradientsParams {
    let chosen = sample(captioned.rows.len(), BATCH, seed, step);
    let rows: Vec<CaptionRow> = chosen.iter().map(|row| captioned.rows[*row]).collect();
    let images = unit(map.forward(noisy_features(map.width(), captioned, &rows, seed, step, device)));
    let captions = unit(captioned.captions.tensor(rows.iter().map(|row| row.caption), device));
    let [count, dim] = images.dims();
    let (queries, candidates) = (to_rows(images.clone()).concat(), to_rows(captions).concat());
    let embeddings = Embeddings {
        dim,
        queries: &queries,
        candidates: &candidates,
    };
    let loss = loss::captions(embeddings, TEMPERATURE, &same_caption(&rows), SHARES);
    let slopes = Tensor::from_data(TensorData::new(loss.query_slopes, [count, dim]), device);
    GradientsParams::from_grads((images * slopes).sum().backward(), map)
}

/// `[rows, width]`
fn noisy_features(
    width: usize,
    captioned: Captioned<'_>,
    rows: &[CaptionRow],
    seed: u64,
    step: usize,
    device: &Device,
) -> Tensor<2> {
    let images = captioned.images;
    let mut values = Vec::with_capacity(rows.len() * images.width);
    for (at, row) in rows.iter().enumerate() {
        let seed = seed ^ ((step as u64) << 32) ^ ((at as u64) << 1);
        let view = captioned.mirrored * Random::seed_from_u64(!seed).below(2);
        images.push_noisy(row.image + view, NOISE, seed, &mut values);
    }
    let all: Tensor<2> = Tensor::from_data(TensorData::new(values, [rows.len(), images.width]), device);
    all.narrow(1, 0, width)
}

#[cfg(test)]
mod tests {
    use magiclens_model::towers::{SentenceConfig, VisionConfig};

    use super::*;
    use crate::toy;

    /// A map of the averages of a small tower, to four numbers.
    fn map() -> FeatureProjection {
        let mut config = toy::model_config();
        if let VisionConfig::EfficientNetLite(vision) = &mut config.vision {
            vision.sentence = Some(SentenceConfig {
                classes: 3,
                best: 2,
                softness: 2,
                width: 4,
            });
        }
        let mut model = config.init_seeded(1);
        model.vision.sentence_map_mut().unwrap().clone()
    }

    fn table(width: usize, values: Vec<f32>) -> FeatureTable {
        FeatureTable { width, values }
    }

    /// Images of as many features as `map` takes and a sentence of four numbers, and their captions: the first features.
    fn images(count: usize, width: usize) -> (FeatureTable, FeatureTable, Vec<CaptionRow>) {
        let mut rng = Random::seed_from_u64(5);
        let (mut features, mut captions) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let row: Vec<f32> = (0..width + 4).map(|_| rng.between(-1.0, 1.0)).collect();
            captions.extend(&row[..4]);
            features.extend(row);
        }
        let rows = (0..count).map(|image| CaptionRow { image, caption: image });
        (table(width + 4, features), table(4, captions), rows.collect())
    }

    fn mean_cosine(map: &FeatureProjection, captioned: Captioned<'_>) -> f32 {
        let device = Device::flex();
        let rows = captioned.rows.iter();
        let features = captioned.images.tensor(rows.clone().map(|row| row.image), &device);
        let images = unit(map.forward(features.narrow(1, 0, map.width())));
        let captions = unit(captioned.captions.tensor(rows.map(|row| row.caption), &device));
        (images * captions).sum_dim(1).mean().into_scalar::<f32>()
    }

    #[test]
    fn a_fitted_map_brings_images_to_their_captions_and_follows_from_its_arguments() {
        let start = map();
        let (features, captions, rows) = images(300, start.width());
        let captioned = Captioned {
            images: &features,
            captions: &captions,
            rows: &rows,
            mirrored: 0,
        };
        let mut steps_done = 0;
        let fitted = fit(start.clone(), captioned, 1, &mut || steps_done += 1);
        assert_eq!(steps_done, steps(rows.len()));
        let (before, after) = (mean_cosine(&start, captioned), mean_cosine(&fitted, captioned));
        assert!(after > before + 0.3, "{before} -> {after}");
        let again = fit(start.clone(), captioned, 1, &mut || {});
        assert_eq!(mean_cosine(&again, captioned), after);
        assert_ne!(mean_cosine(&fit(start, captioned, 2, &mut || {}), captioned), after);
    }
}
