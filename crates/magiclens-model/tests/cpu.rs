//! The forward pass for the CPU beside the modules that define each tower, on the same weights.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use common::fixture;
use image::RgbImage;
use magiclens_model::checkpoint::{Checkpoint, StoredFloat, write_checkpoint};
use magiclens_model::fusion::Fusion;
use magiclens_model::import::open::{folder_of, open_model};
use magiclens_model::rows::to_rows;
use magiclens_model::{Embedder, Precision};

/// Largest share of the length of a vector by which a precision may turn it.
const TURNS: [(Precision, f32); 3] = [(Precision::F32, 1e-5), (Precision::Bf16, 0.03), (Precision::Int8, 0.08)];

fn images() -> Vec<RgbImage> {
    let image = |n: u8| RgbImage::from_fn(60, 50, |x, y| image::Rgb([(x * 4) as u8 ^ n, (y * 5) as u8, n]));
    [0, 60, 200].map(image).to_vec()
}

const TEXTS: [&str; 4] = [
    "a",
    "the same building, at night",
    "red !-- blue",
    "another animal in this style",
];

/// [`TEXTS`], and some that fill all places, with an id of zero (`!`) at each of the last ones.
fn texts() -> Vec<String> {
    let full = (66..76).map(|words| format!("{} !-- red blue", "a ".repeat(words)));
    TEXTS.into_iter().map(str::to_owned).chain(full).collect()
}

fn embedder(checkpoint: &Checkpoint, source: &Path, precision: Precision) -> Embedder {
    Embedder::with_precision(checkpoint.clone(), folder_of(source), Device::flex(), precision).unwrap()
}

/// The modules' outputs for images.
fn expected_images(embedder: &Embedder) -> Vec<Vec<f32>> {
    let (config, side) = (embedder.config(), embedder.config().vision.image_px());
    let images = images();
    let pixels: Vec<f32> = images.iter().flat_map(|image| config.preprocess.apply(image)).collect();
    let data = TensorData::new(pixels, [images.len(), 3, side, side]);
    to_rows(
        embedder
            .model()
            .unwrap()
            .vision
            .forward(Tensor::from_data(data, &Device::flex())),
    )
}

/// The modules' outputs for texts.
fn expected_texts(embedder: &Embedder, source: &Path, texts: &[&str]) -> Vec<Vec<f32>> {
    let tokenizer = embedder.config().text.tokenizer(folder_of(source)).unwrap();
    let ids = tokenizer.encode_batch(texts).unwrap();
    let forward = |ids: &Vec<u32>| to_rows(embedder.model().unwrap().text.forward(&[ids.as_slice()])).remove(0);
    ids.iter().map(forward).collect()
}

/// The length of the difference as a share of the length.
fn turn(found: &[f32], expected: &[f32]) -> f32 {
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    (difference / expected.iter().map(|value| value.powi(2)).sum::<f32>()).sqrt()
}

#[track_caller]
fn check(source: &Path) {
    let checkpoint = open_model(source).unwrap();
    let reference = embedder(&checkpoint, source, Precision::F32);
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected = [expected_images(&reference), expected_texts(&reference, source, &texts)];
    for (precision, most) in TURNS {
        let embedder = embedder(&checkpoint, source, precision);
        let found = [
            embedder.encode_images(&images()).unwrap(),
            embedder.encode_texts(&texts).unwrap(),
        ];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            let turn = turn(found, expected);
            assert!(turn < most, "{} {precision}: {turn}", source.display());
            // bf16 and bytes round, so that it is really they that were multiplied; `small` takes bf16 for bytes. Where the CPU has
            // no bf16, f32 takes its place.
            let must_round = match precision {
                Precision::Int8 if source.ends_with("small.safetensors") => Precision::Bf16.here() == Precision::Bf16,
                other => other.here() != Precision::F32,
            };
            assert!(!must_round || turn > 1e-5, "{precision}: {turn}");
        }
    }
}

#[test]
fn clip() {
    check(&fixture("clip/hf"));
}

#[test]
fn siglip() {
    check(&fixture("siglip/siglip"));
    check(&fixture("siglip/siglip2"));
}

#[test]
fn small() {
    check(&fixture("../weights/small.safetensors"));
}

#[test]
fn coca() {
    check(&fixture("coca/coca"));
}

#[test]
fn fusion() {
    let source = fixture("../weights/small.safetensors");
    let checkpoint = open_model(&source).unwrap();
    let number = |at: usize| ((at * at % 101) as f32 - 50.0) / 50.0;
    for (precision, most) in [(Precision::F32, 1e-5), (Precision::Bf16, 0.03), (Precision::Int8, 0.03)] {
        let embedder = embedder(&checkpoint, &source, precision);
        let (dim, width) = (embedder.dim(), embedder.row_width());
        let rows = |from: usize| -> Vec<Vec<f32>> {
            let row = |at: usize| (0..width).map(|column| number(from + at * width + column)).collect();
            (0..70).map(row).collect()
        };
        let (images, texts) = (rows(0), rows(7));
        // The fusion takes the end of a row.
        let tensor = |rows: &[Vec<f32>]| {
            let values: Vec<f32> = rows.iter().flat_map(|row| &row[width - dim..]).copied().collect();
            Tensor::<2>::from_data(TensorData::new(values, [rows.len(), dim]), &Device::flex())
        };
        let expected = to_rows(
            embedder
                .model()
                .unwrap()
                .fusion
                .forward(tensor(&images), tensor(&texts)),
        );
        let found = embedder.fuse(&images, &texts).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            let turn = turn(found.as_slice(), expected);
            assert!(turn < most, "{precision}: {turn}");
        }
        assert_eq!(
            embedder.fuse(&images[3..4], &texts[3..4]).unwrap()[0],
            found[3],
            "{precision}"
        );
        assert!(embedder.fuse(&[], &[]).unwrap().is_empty());
        let Fusion::Attention(modules) = &embedder.model().unwrap().fusion else {
            panic!("`small` has attention")
        };
        let expected = to_rows(modules.beside(tensor(&texts), tensor(&images)));
        let beside = embedder.texts_beside(&texts, &images).unwrap().unwrap();
        for ((found, text), expected) in beside.iter().zip(&texts).zip(&expected) {
            let turn = turn(&found[width - dim..], expected);
            assert!(turn < most, "{precision}: {turn}");
            assert_eq!(found[..width - dim], text[..width - dim], "sentences stay");
            assert_ne!(found[width - dim..], text[width - dim..]);
        }
        let error = embedder.texts_beside(&texts, &images[1..]).unwrap_err().to_string();
        assert!(error.contains("69") && error.contains("70"), "{error}");
        let wide = [vec![1.0; width + 1]];
        let error = embedder.fuse(&wide, &texts[..1]).unwrap_err().to_string();
        assert!(error.contains(&format!("row 0 has {} numbers", width + 1)), "{error}");
    }
}

#[test]
fn few_and_many_images_and_texts_give_the_same() {
    let source = fixture("clip/hf");
    let checkpoint = open_model(&source).unwrap();
    for precision in Precision::ALL {
        let embedder = embedder(&checkpoint, &source, precision);
        let images: Vec<RgbImage> = images().into_iter().cycle().take(13).collect();
        let together = embedder.encode_images(&images).unwrap();
        assert_eq!(together[..1], embedder.encode_images(&images[..1]).unwrap());
        assert_eq!(together[..3], together[3..6]);
        let texts: Vec<&str> = TEXTS.into_iter().cycle().take(90).collect();
        let together = embedder.encode_texts(&texts).unwrap();
        assert_eq!(together[..4], together[84..88]);
        for (text, expected) in TEXTS.iter().zip(&together) {
            assert_eq!(embedder.encode_texts(&[text]).unwrap()[0], *expected, "{precision}");
        }
        assert!(embedder.encode_images(&images[..0]).unwrap().is_empty());
        assert!(embedder.encode_texts(&[]).unwrap().is_empty());
    }
}

#[test]
fn modules_are_read_when_they_are_asked_for_and_must_be_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.safetensors");
    let checkpoint = open_model(&fixture("clip/hf")).unwrap();
    let write = |tensors| write_checkpoint(&path, &checkpoint.config, tensors, StoredFloat::F32, &[]).unwrap();
    write(&checkpoint.tensors);
    let embedder = Embedder::load(&path).unwrap();
    let expected = embedder.encode_images(&images()).unwrap();
    let found = expected_images(&embedder);
    assert!(turn(&found[0], &expected[0]) < 1e-5);

    let embedder = Embedder::load(&path).unwrap();
    let mut other = checkpoint.tensors.clone();
    other.get_mut("logit_scale").unwrap().values[0] += 1.0;
    write(&other);
    assert_eq!(embedder.encode_images(&images()).unwrap(), expected);
    let error = embedder.model().unwrap_err().to_string();
    assert!(error.contains("holds another model"), "{error}");
}

#[test]
fn packed_weights_are_kept_and_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed");
    let clip = folder.path().join("clip.safetensors");
    let checkpoint = open_model(&fixture("clip/hf")).unwrap();
    write_checkpoint(&clip, &checkpoint.config, &checkpoint.tensors, StoredFloat::F32, &[]).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for source in [
        clip.clone(),
        fixture("coca/coca"),
        fixture("siglip/siglip2"),
        fixture("../weights/small.safetensors"),
    ] {
        for precision in Precision::ALL {
            let vectors = |embedder: &Embedder| {
                let images = embedder.encode_images(&images()).unwrap();
                let targets = embedder.embed_targets(&images).unwrap();
                (targets, images, embedder.encode_texts(&texts).unwrap())
            };
            let expected = Embedder::load_with(&source, precision).unwrap();
            // Packs, then maps.
            for _ in 0..2 {
                let found = Embedder::load_packed(&source, precision, &packed, true).unwrap();
                assert_eq!(found.model_id(), expected.model_id());
                assert_eq!(vectors(&found), vectors(&expected), "{} {precision}", source.display());
            }
        }
    }
    let precisions = 2 + usize::from(Precision::Bf16.here() == Precision::Bf16);
    let files = || {
        fs_err::read_dir(&packed)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    assert_eq!(files().len(), 4 * precisions);

    // A model that was replaced is packed anew, and so is a file that is damaged.
    let mut other = checkpoint.tensors.clone();
    other.get_mut("logit_scale").unwrap().values[0] += 1.0;
    write_checkpoint(&clip, &checkpoint.config, &other, StoredFloat::F32, &[]).unwrap();
    let expected = Embedder::load(&clip).unwrap();
    let load = || Embedder::load_packed(&clip, Precision::F32, &packed, true);
    assert_eq!(load().unwrap().model_id(), expected.model_id());
    for file in files() {
        let bytes = fs_err::read(&file).unwrap();
        fs_err::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(
        load().unwrap().encode_texts(&TEXTS).unwrap(),
        expected.encode_texts(&TEXTS).unwrap()
    );
    assert_eq!(files().len(), 4 * precisions);

    // What is there is used and nothing is written, unless it is asked for.
    let elsewhere = folder.path().join("elsewhere");
    for place in [&packed, &elsewhere] {
        let found = Embedder::load_packed(&clip, Precision::F32, place, false).unwrap();
        assert_eq!(
            found.encode_texts(&TEXTS).unwrap(),
            expected.encode_texts(&TEXTS).unwrap()
        );
    }
    assert!(!elsewhere.exists());

    let no_folder = folder.path().join("clip.safetensors/packed");
    let error = Embedder::load_packed(&clip, Precision::F32, &no_folder, true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("packed weights cannot be written"), "{error}");
}
