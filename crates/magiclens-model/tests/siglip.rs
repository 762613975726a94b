//! SigLIP and SigLIP2 against transformers on random weights: pixels, ids, both towers, embeddings, and strict loading.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::{Golden, assert_close, fixture, json};
use image::RgbImage;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{Checkpoint, StoredFloat, write_checkpoint};
use magiclens_model::import::open::open_model;
use magiclens_model::tokenizer::Tokenizer;
use magiclens_model::tokenizer::siglip::SiglipTokenizer;

/// Unit vectors of 32 numbers.
const TOLERANCE: f32 = 1e-5;
/// Tower outputs before normalization, of up to some tens, relative to the largest.
const TOWER_TOLERANCE: f32 = 1e-5;
/// transformers rescales and normalizes in two steps; values of up to 1.
const PIXEL_TOLERANCE: f32 = 1e-6;
const KINDS: [&str; 2] = ["siglip", "siglip2"];
const CONTEXT_LENGTH: usize = 16;

fn strings(key: &str) -> Vec<String> {
    serde_json::from_value(json("siglip/cases.json")[key].clone()).unwrap()
}

fn images() -> Vec<RgbImage> {
    let names = strings("images");
    let read = |name: &String| read_rgb(&fixture("preprocess").join(name), &Limits::default()).unwrap();
    names.iter().map(read).collect()
}

fn golden(kind: &str) -> Golden {
    Golden::read(&format!("siglip/{kind}.safetensors"))
}

fn embedder(kind: &str) -> Embedder {
    Embedder::load(&fixture("siglip").join(kind)).unwrap()
}

fn assert_relative(what: &str, found: &[f32], expected: &[f32]) {
    let largest = expected
        .iter()
        .fold(1.0, |largest: f32, value| largest.max(value.abs()));
    assert_close(what, found, expected, TOWER_TOLERANCE * largest);
}

#[test]
fn pixels_are_those_of_pillow() {
    for kind in KINDS {
        let (golden, preprocess) = (
            golden(kind),
            open_model(&fixture("siglip").join(kind)).unwrap().config.preprocess,
        );
        let found: Vec<f32> = images().iter().flat_map(|image| preprocess.apply(image)).collect();
        let bytes: Vec<u8> = found
            .iter()
            .map(|value| ((value + 1.0) * 127.5).round() as u8)
            .collect();
        assert!(bytes == golden.bytes("bytes"), "{kind}");
        assert_close(kind, &found, &golden.tensor("pixels").values, PIXEL_TOLERANCE);
    }
}

#[test]
fn ids_are_those_of_transformers() {
    for kind in KINDS {
        let file = fs_err::read(fixture("siglip").join(kind).join("tokenizer.json")).unwrap();
        let tokenizer = SiglipTokenizer::from_bytes(&file, CONTEXT_LENGTH, usize::MAX).unwrap();
        let expected = golden(kind).integers("ids");
        for (text, expected) in strings("texts").iter().zip(expected.chunks(CONTEXT_LENGTH)) {
            assert_eq!(
                tokenizer.encode_batch(&[text.as_str()]).unwrap()[0],
                expected,
                "{kind}: {text:?}"
            );
        }
    }
}

#[test]
fn towers_are_those_of_transformers() {
    for kind in KINDS {
        let (golden, embedder) = (golden(kind), embedder(kind));
        let images = embedder.encode_images(&images()).unwrap().concat();
        assert_relative(kind, &images, &golden.tensor("image").values);
        let texts = strings("texts");
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let texts = embedder.encode_texts(&texts).unwrap().concat();
        assert_relative(kind, &texts, &golden.tensor("text").values);
    }
}

#[test]
fn a_query_is_the_sum_of_both_and_a_target_its_image() {
    for kind in KINDS {
        let (golden, embedder) = (golden(kind), embedder(kind));
        let encoded = embedder.encode_images(&images()).unwrap();
        let (queries, targets) = (golden.tensor("query"), golden.tensor("target"));
        for (row, target) in embedder.embed_targets(&encoded).unwrap().iter().enumerate() {
            let query = embedder.embed_query(&encoded[row], &strings("texts")[row]).unwrap();
            assert_close(kind, query.as_slice(), common::row(&queries, row), TOLERANCE);
            assert_close(kind, target.as_slice(), common::row(&targets, row), TOLERANCE);
        }
    }
}

#[test]
fn a_checkpoint_of_ours_keeps_every_number() {
    let model = open_model(&fixture("siglip/siglip")).unwrap();
    assert!(model.tensors.contains_key("logit_bias"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("siglip.safetensors");
    write_checkpoint(&path, &model.config, &model.tensors, StoredFloat::F32, &[]).unwrap();
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!((read.config, read.tensors), (model.config, model.tensors));
    let error = Embedder::load(&path).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("hint: "), "{error}");
    fs_err::copy(
        fixture("siglip/siglip/tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    Embedder::load(&path).unwrap();
}

// ---- Strictness ----

/// A copy of the folder with another value in one of its files.
fn changed(file: &str, pointer: &str, value: serde_json::Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture("siglip/siglip2");
    for entry in fs_err::read_dir(&source).unwrap() {
        let name = entry.unwrap().file_name();
        fs_err::copy(source.join(&name), folder.path().join(&name)).unwrap();
    }
    let path = folder.path().join(file);
    let mut content: serde_json::Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    content.pointer_mut(parent).unwrap()[key] = value;
    fs_err::write(&path, content.to_string()).unwrap();
    folder
}

fn refusal(folder: &Path) -> String {
    Embedder::load(folder).unwrap_err().to_string()
}

#[test]
fn what_is_not_known_is_named() {
    const CONFIG: &str = "config.json";
    const IMAGE: &str = "preprocessor_config.json";
    for (file, pointer, value, expected) in [
        (CONFIG, "/model_type", "siglip2".into(), "NaFlex"),
        (CONFIG, "/vision_config/hidden_act", "gelu".into(), "hidden_act"),
        (CONFIG, "/text_config/layer_norm_eps", 1e-5.into(), "layer_norm_eps"),
        (
            CONFIG,
            "/vision_config/vision_use_head",
            false.into(),
            "vision_use_head",
        ),
        (CONFIG, "/vision_config/num_hidden_layers", 3.into(), "encoder.layers.2"),
        (CONFIG, "/vision_config/patch_size", 0.into(), "patch_px"),
        (CONFIG, "/text_config/projection_size", 16.into(), "`dim` is 16"),
        (CONFIG, "/text_config/vocab_size", 100.into(), "token_embedding"),
        (
            CONFIG,
            "/text_config/max_position_embeddings",
            0.into(),
            "context_length",
        ),
        (IMAGE, "/resample", 1.into(), "resample"),
        (IMAGE, "/size/height", 64.into(), "size"),
        (IMAGE, "/do_normalize", false.into(), "do_normalize"),
        (IMAGE, "/image_std", serde_json::json!([0.5, 0.0, 0.5]), "std"),
        ("tokenizer.json", "/model/type", "?".into(), "tokenizer.json"),
    ] {
        let folder = changed(file, pointer, value);
        let error = refusal(folder.path());
        assert!(error.contains(expected), "{pointer}: {error}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let file = fs_err::read(fixture("siglip/siglip2/tokenizer.json")).unwrap();
    let error = SiglipTokenizer::from_bytes(&file, CONTEXT_LENGTH, 100).err().unwrap();
    assert!(error.to_string().contains("knows 100 tokens"), "{error}");
    let folder = changed("config.json", "/architectures", serde_json::Value::Null);
    fs_err::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("tokenizer.json") && error.contains("hint: "), "{error}");
}
