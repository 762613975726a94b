//! Every parameter gets its gradient, and pieces side by side give the gradient of the plain batch.
#![allow(clippy::unwrap_used)]

mod toy;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use magiclens_metrics::Random;
use magiclens_model::checkpoint::{NamedWeights, fill, tensors_of};
use magiclens_train::batches::{BatchSettings, batch};
use magiclens_train::gradients::{CaptionRow, StepGradients, StepSettings, gradients};
use magiclens_train::head::Head;
use toy::Toy;

const CAPTION_WEIGHT: f64 = 0.3;

fn step(head: &Head, toy: &Toy, pieces: usize) -> StepGradients {
    let settings = BatchSettings {
        size: 10,
        query_negatives: true,
        hard_negatives: 1,
    };
    let batch = batch(&toy.triplets, 1, 0, settings);
    let captions: Vec<CaptionRow> = (0..8)
        .map(|image| CaptionRow {
            image,
            caption: image % 6,
        })
        .collect();
    let settings = StepSettings {
        pieces,
        caption_weight: CAPTION_WEIGHT,
        feature_noise: 0.0,
        noise_seed: 0,
        max_temperature: 100.0,
    };
    gradients(
        head,
        &toy.frozen(),
        &batch,
        &captions,
        settings,
        &Device::flex().autodiff(),
    )
}

fn head() -> Head {
    Head::of(&toy::model()).train()
}

/// Gradients by parameter path, in the order of `tensors_of`.
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
        let path: Vec<&str> = self
            .path
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found
                .insert(path.join("."), gradient.into_data().try_to_vec().unwrap());
        }
    }
}

fn by_path(head: &Head, gradients: &GradientsParams) -> BTreeMap<String, Vec<f32>> {
    let mut collector = Collector {
        path: Vec::new(),
        gradients,
        found: BTreeMap::new(),
    };
    head.visit(&mut collector);
    collector.found
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn loss_at(head: &Head, tensors: NamedWeights, toy: &Toy) -> f64 {
    let found = step(&fill(head.clone(), tensors, "toy").unwrap(), toy, 1);
    f64::from(found.losses.loss) + CAPTION_WEIGHT * f64::from(found.losses.caption_loss)
}

/// For each parameter tensor: the slope of the loss along a direction, once from the gradient and once by going a little
/// way forth and back. The direction leans towards the gradient, so that the slope stands out from rounding.
#[test]
fn finite_differences_agree_for_every_parameter() {
    let (head, toy) = (head(), Toy::new());
    let gradients = by_path(&head, &step(&head, &toy, 1).gradients);
    let tensors = tensors_of(&head);
    assert_eq!(
        gradients.keys().collect::<Vec<_>>(),
        tensors.keys().collect::<Vec<_>>(),
        "a parameter got no gradient"
    );
    let mut rng = Random::seed_from_u64(9);
    for (name, gradient) in &gradients {
        let size = norm(gradient);
        assert!(size > 1e-6, "`{name}` has a gradient of {size:e}");
        let random: Vec<f32> = gradient.iter().map(|_| rng.between(-1.0, 1.0)).collect();
        let random_size = norm(&random);
        let mut direction: Vec<f32> = gradient
            .iter()
            .zip(&random)
            .map(|(g, r)| (f64::from(*g) / size + 0.5 * f64::from(*r) / random_size) as f32)
            .collect();
        let length = norm(&direction);
        direction.iter_mut().for_each(|value| *value /= length as f32);

        let slope: f64 = gradient
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(*g) * f64::from(*d))
            .sum();
        let step = (2e-3 / size).clamp(1e-3, 3e-2);
        let moved = |sign: f64| {
            let mut tensors = tensors.clone();
            for (value, d) in tensors.get_mut(name).unwrap().values.iter_mut().zip(&direction) {
                *value += (sign * step * f64::from(*d)) as f32;
            }
            loss_at(&head, tensors, &toy)
        };
        let measured = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let limit = 0.03 * slope.abs() + 4e-7 / step;
        assert!(
            (measured - slope).abs() <= limit,
            "`{name}`: measured {measured:e}, gradient says {slope:e}"
        );
    }
}

#[test]
fn pieces_side_by_side_give_the_gradient_of_the_plain_batch() {
    let (head, toy) = (head(), Toy::new());
    let plain = step(&head, &toy, 1);
    let expected = by_path(&head, &plain.gradients);
    for pieces in [2, 3, 7] {
        let pieced = step(&head, &toy, pieces);
        assert!((pieced.losses.loss - plain.losses.loss).abs() < 1e-5);
        for (name, found) in by_path(&head, &pieced.gradients) {
            let difference: Vec<f32> = found.iter().zip(&expected[&name]).map(|(a, b)| a - b).collect();
            assert!(
                norm(&difference) <= 1e-4 * norm(&expected[&name]) + 1e-7,
                "`{name}` in {pieces} pieces"
            );
        }
    }
}
