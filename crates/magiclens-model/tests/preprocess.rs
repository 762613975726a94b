//! Decoding, resizing and normalizing against numbers recorded from Pillow, JAX and the official code.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::preprocess::{
    CLIP_MEAN, CLIP_STD, FloatImage, PreprocessConfig, PreprocessError, model_preprocess, process_img, resize,
};
use safetensors::SafeTensors;

/// Official numbers in [0, 1]; measured for a float64 program: 2.1e-5.
const UNIT_TOLERANCE: f32 = 5e-5;
/// Official numbers after normalizing; measured for a float64 program: 8.4e-5.
const NORMALIZED_TOLERANCE: f32 = 2e-4;
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/preprocess")
        .join(name)
}

fn files() -> Vec<String> {
    let expected: serde_json::Value = serde_json::from_slice(&fs_err::read(fixture("expected.json")).unwrap()).unwrap();
    expected["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["file"].as_str().unwrap().to_owned())
        .collect()
}

struct Golden(Vec<u8>);

impl Golden {
    fn open(name: &str) -> Self {
        Self(fs_err::read(fixture(name)).unwrap())
    }

    fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.0)
            .unwrap()
            .names()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    fn image(&self, name: &str) -> FloatImage {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let &[height, width, 3] = tensor.shape() else {
            panic!("`{name}` is no image")
        };
        let samples = tensor
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        FloatImage {
            width: width as u32,
            height: height as u32,
            samples,
        }
    }

    fn decoded(&self, file: &str) -> RgbImage {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(&format!("{file}/decoded_u8")).unwrap();
        let &[height, width, 3] = tensor.shape() else {
            panic!("`{file}` is no image")
        };
        RgbImage::from_raw(width as u32, height as u32, tensor.data().to_vec()).unwrap()
    }
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(
        worst <= tolerance && found.iter().all(|value| value.is_finite()),
        "{what}: {worst} apart"
    );
}

fn channels_last(planes: &[f32]) -> Vec<f32> {
    let pixels = planes.len() / 3;
    (0..planes.len())
        .map(|index| planes[index % 3 * pixels + index / 3])
        .collect()
}

#[test]
fn decodes_every_format_as_pillow_does() {
    let golden = Golden::open("expected.safetensors");
    let files = files();
    assert_eq!(files.len(), 22);
    for file in files {
        let found = read_rgb(&fixture(&file), &Limits::default()).unwrap();
        let expected = golden.decoded(&file);
        assert_eq!(found.dimensions(), expected.dimensions(), "{file}");
        assert!(found == expected, "{file}");
    }
}

#[test]
fn process_img_equals_the_official_one() {
    let golden = Golden::open("expected.safetensors");
    let names = golden.names();
    let mut compared = 0;
    for file in files() {
        for size_px in [64, 224] {
            let name = format!("{file}/process_img_{size_px}");
            if names.contains(&name) {
                let found = process_img(&golden.decoded(&file), size_px);
                assert_close(&found.samples, &golden.image(&name).samples, UNIT_TOLERANCE, &name);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 26);
}

#[test]
fn model_preprocessing_equals_the_official_one() {
    let golden = Golden::open("expected.safetensors");
    let names = golden.names();
    let mut compared = 0;
    for file in files() {
        for size_px in [70, 224] {
            let name = format!("{file}/model_preprocess_{size_px}");
            if names.contains(&name) {
                let found = model_preprocess(&FloatImage::from_rgb(&golden.decoded(&file)), size_px);
                assert_close(
                    &channels_last(&found),
                    &golden.image(&name).samples,
                    NORMALIZED_TOLERANCE,
                    &name,
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 24);
}

#[test]
fn resizing_equals_jax() {
    let golden = Golden::open("resize.safetensors");
    let names = golden.names();
    let mut compared = 0;
    for input in names.iter().filter(|name| name.contains("/in_")) {
        let case = input.split('/').next().unwrap();
        let output = names
            .iter()
            .find(|name| name.starts_with(&format!("{case}/out_")))
            .unwrap();
        let expected = golden.image(output);
        let found = resize(&golden.image(input), expected.width, expected.height);
        assert_close(&found.samples, &expected.samples, UNIT_TOLERANCE, input);
        compared += 1;
    }
    assert_eq!(compared, 10);
}

#[test]
fn official_is_process_img_then_the_models_own() {
    let golden = Golden::open("expected.safetensors");
    for file in [
        "dark_max85_w260_h300.png",
        "all_black_30x20.png",
        "jpeg_q75_420_w200_h150.jpg",
    ] {
        let image = golden.decoded(file);
        let steps = model_preprocess(&process_img(&image, 224), 224);
        assert_close(
            &PreprocessConfig::Official { size_px: 224 }.apply(&image),
            &steps,
            1e-5,
            file,
        );
    }
}

#[test]
fn squash_and_letterbox_place_the_image() {
    // A white image, twice as wide as high.
    let image = RgbImage::from_pixel(8, 4, Rgb([255, 255, 255]));
    let (mean, std) = ([127.0; 3], [128.0; 3]);
    let squashed = PreprocessConfig::Squash { size_px: 4, mean, std }.apply(&image);
    assert_close(&squashed, &[1.0; 48], 1e-6, "squash");
    let boxed = PreprocessConfig::Letterbox {
        size_px: 4,
        mean,
        std,
        background: [127, 255, 0],
    }
    .apply(&image);
    let plane = |bar: f32| [[bar; 4], [1.0; 4], [1.0; 4], [bar; 4]].concat();
    assert_close(
        &boxed,
        &[plane(0.0), plane(1.0), plane(-127.0 / 128.0)].concat(),
        1e-6,
        "letterbox",
    );
}

#[test]
fn letterbox_keeps_the_proportions() {
    for (width, height) in [(1, 1), (1, 1000), (1000, 1), (37, 501), (128, 128), (3, 2)] {
        // Each image has one color, on a background of another.
        let image = RgbImage::from_pixel(width, height, Rgb([10, 10, 10]));
        let config = PreprocessConfig::Letterbox {
            size_px: 16,
            mean: [0.0; 3],
            std: [1.0; 3],
            background: [255; 3],
        };
        let found = config.apply(&image);
        assert_eq!(found.len(), 3 * 16 * 16);
        let covered = found.iter().filter(|&&value| (value - 10.0).abs() < 1e-3).count();
        let longest = f64::from(width.max(height));
        let side = |length: u32| (f64::from(length) * 16.0 / longest).round().max(1.0) as usize;
        assert_eq!(covered, 3 * side(width) * side(height), "{width} x {height}");
        assert_eq!(
            found.iter().filter(|&&value| value == 255.0).count(),
            found.len() - covered,
            "{width} x {height}"
        );
    }
}

#[test]
fn a_image_without_pixels_counts_as_black() {
    let (mean, std) = (CLIP_MEAN, CLIP_STD);
    for config in [
        PreprocessConfig::Official { size_px: 3 },
        PreprocessConfig::Squash { size_px: 3, mean, std },
    ] {
        assert_eq!(config.apply(&RgbImage::new(0, 5)), config.apply(&RgbImage::new(1, 1)));
    }
}

#[test]
fn configuration_is_read_strictly() {
    let letterbox =
        r#"{"kind":"letterbox","size_px":128,"mean":[127,127,127],"std":[128,128,128],"background":[255,255,255]}"#;
    let config: PreprocessConfig = serde_json::from_str(letterbox).unwrap();
    assert_eq!(
        serde_json::from_str::<PreprocessConfig>(&serde_json::to_string(&config).unwrap()).unwrap(),
        config
    );
    assert_eq!((config.size_px(), config.check()), (128, Ok(())));
    for wrong in [
        r#"{"kind":"official","size_px":224,"size":3}"#,
        r#"{"kind":"official"}"#,
        r#"{"kind":"crop","size_px":224}"#,
        r#"{"size_px":224}"#,
    ] {
        assert!(serde_json::from_str::<PreprocessConfig>(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        PreprocessConfig::Official { size_px: 0 }.check(),
        Err(PreprocessError::Size(0))
    );
    assert_eq!(
        PreprocessConfig::Official { size_px: u32::MAX }.check(),
        Err(PreprocessError::Size(u32::MAX))
    );
    let (mean, std) = ([0.0; 3], [1.0, 0.0, 1.0]);
    let flat = PreprocessConfig::Squash { size_px: 8, mean, std };
    assert_eq!(flat.check(), Err(PreprocessError::Normalization { mean, std }));
}
