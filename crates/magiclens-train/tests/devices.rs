//! Towers on several devices give the bits of one, and every GPU that is found gives what the CPU gives, within rounding. Says which
//! GPUs it found, or that there is none:
//!
//! ```text
//! cargo test -p magiclens-train --features magiclens-model/wgpu --test devices -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]

mod toy;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use image::RgbImage;
use magiclens_model::checkpoint::NamedWeights;
use magiclens_model::device::{Backend, DeviceError};
use magiclens_model::{DeviceName, Embedder};
use magiclens_train::learner::Learner;
use magiclens_train::run::{Measurement, Observer, StepMetrics, train};
use magiclens_train::trained::TrainedTowers;
use magiclens_train::{TrainConfig, TrainError};
use toy::Toy;

const GPUS: [Backend; 5] = [
    Backend::Cuda,
    Backend::Rocm,
    Backend::Metal,
    Backend::Vulkan,
    Backend::Wgpu,
];

/// The GPUs of the backends that this test was built with, by name.
fn gpus() -> Vec<(DeviceName, Device)> {
    let mut found = Vec::new();
    for backend in GPUS {
        let count = match backend.devices() {
            Ok(devices) => devices.len(),
            Err(error) => {
                say(&error.to_string());
                continue;
            }
        };
        say(&format!("`{backend}` finds {count} devices"));
        for index in 0..count {
            let name = DeviceName { backend, index };
            found.push((name, name.open().unwrap()));
        }
    }
    found
}

#[expect(clippy::print_stderr, reason = "a test that finds no GPU says so")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Fails after a step, where it is told to.
#[derive(Default)]
struct Watcher {
    losses: Vec<f32>,
    fail_at: Option<usize>,
}

impl Observer for Watcher {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        self.losses.push(metrics.losses.loss);
    }

    fn measure(&mut self, step: usize, _learner: &Learner) -> Result<Measurement, TrainError> {
        match self.fail_at == Some(step) {
            true => Err(std::io::Error::other("told to fail").into()),
            false => Ok(Measurement {
                mean_recall_at_10: 0.0,
                line: serde_json::Value::Null,
            }),
        }
    }

    fn chosen(&mut self, _step: usize, _best: usize) {}
}

/// Trains both towers.
fn run(toy: &Toy, devices: &[Device], dir: &Path, watcher: &mut Watcher) -> Result<NamedWeights, TrainError> {
    let config = TrainConfig {
        trained_towers: TrainedTowers::Both,
        tower_rows: 3,
        feature_noise: 0.0,
        steps: 8,
        save_every: 4,
        measure_every: 6,
        ..toy::train_config()
    };
    let learner = toy.learner(config.trained_towers).on(devices.to_vec());
    Ok(train(&config, learner, &toy.data(), dir, watcher)?.tensors())
}

/// The losses of a run that is stopped after six steps and goes on from the fourth, and its weights.
fn stopped_run(toy: &Toy, devices: &[Device]) -> (Vec<f32>, NamedWeights) {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Watcher {
        fail_at: Some(6),
        ..Watcher::default()
    };
    run(toy, devices, dir.path(), &mut first).unwrap_err();
    let mut rest = Watcher::default();
    let weights = run(toy, devices, dir.path(), &mut rest).unwrap();
    assert_eq!((first.losses.len(), rest.losses.len()), (6, 4));
    first.losses.truncate(4);
    first.losses.extend(rest.losses);
    (first.losses, weights)
}

#[test]
fn towers_on_several_devices_give_the_bits_of_one() {
    let toy = Toy::with_towers();
    let one = stopped_run(&toy, &[Device::flex()]);
    assert_eq!(
        stopped_run(&toy, &[Device::flex(), Device::flex(), Device::flex()]),
        one
    );
}

#[test]
fn a_backend_that_is_not_there_is_refused_by_its_name() {
    for backend in GPUS {
        let name = DeviceName { backend, index: 99 };
        let error = name.open().unwrap_err();
        let is_known = matches!(
            error,
            DeviceError::NotBuilt(_) | DeviceError::NoDriver { .. } | DeviceError::NotFound { .. }
        );
        let told = error.to_string();
        assert!(is_known && told.contains(backend.name()), "{told}");
        assert!(told.contains("hint: "), "{told}");
    }
}

#[test]
fn every_gpu_trains_towers_as_the_cpu_does() {
    let toy = Toy::with_towers();
    let (losses, weights) = stopped_run(&toy, &[Device::flex()]);
    for (name, gpu) in gpus() {
        // Alone, and beside the CPU.
        for devices in [vec![gpu.clone()], vec![gpu.clone(), Device::flex()]] {
            let (found, trained) = stopped_run(&toy, &devices);
            let furthest = furthest(&found, &losses);
            say(&format!("`{name}`: losses within {furthest:.1e} of the CPU's"));
            assert!(furthest < 1e-3, "`{name}`: {found:?} instead of {losses:?}");
            let of = |weights: &NamedWeights| weights.values().flat_map(|one| one.values.clone()).collect::<Vec<_>>();
            // AdamW moves a weight by about the learning rate, 3e-3 here, whatever its slope: where that is rounding, so is the way.
            let moved: f32 = of(&trained).iter().zip(of(&weights)).map(|(a, b)| (a - b).abs()).sum();
            let mean = moved / of(&weights).len() as f32;
            assert!(mean < 1e-3, "`{name}`: weights are {mean} from the CPU's");
        }
    }
}

#[test]
fn every_gpu_embeds_as_the_cpu_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let images =
        [0, 90].map(|n: u8| RgbImage::from_fn(70, 50, |x, y| image::Rgb([(x * 3) as u8 ^ n, (y * 5) as u8, n])));
    let texts = ["", "the same building at night", "red"];
    let models: [PathBuf; 2] = [root.join("fixtures/clip/hf"), root.join("weights/small.safetensors")];
    for model in models {
        let cpu = Embedder::load(&model).unwrap();
        let embedded = |embedder: &Embedder| {
            let [a, b]: [Vec<f32>; 2] = embedder.encode_images(&images).unwrap().try_into().unwrap();
            let said = embedder.encode_texts(&texts).unwrap();
            let rows = [a.clone(), a.clone(), b.clone()];
            let mut fused = embedder.fuse(&rows, &said).unwrap();
            if let Some(beside) = embedder.texts_beside(&said[1..2], &[b]).unwrap() {
                fused.extend(embedder.fuse(&[a], &beside).unwrap());
            }
            let fused = fused.iter().flat_map(|row| row.as_slice().to_vec());
            [rows.concat(), said.concat(), fused.collect()]
        };
        let expected = embedded(&cpu);
        for (name, gpu) in gpus() {
            let found = embedded(&Embedder::load_on(&model, gpu).unwrap());
            for (found, expected) in found.iter().zip(&expected) {
                let (furthest, size) = (furthest(found, expected), size(expected));
                say(&format!(
                    "`{name}`, {}: within {furthest:.1e} of {size:.1}",
                    model.display()
                ));
                assert!(furthest < 1e-3 * size, "`{name}`: {furthest} of {size}");
            }
        }
    }
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn size(values: &[f32]) -> f32 {
    values.iter().copied().map(f32::abs).fold(0.0, f32::max)
}
