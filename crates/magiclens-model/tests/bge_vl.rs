//! BGE-VL's rule on the tiny CLIP of `fixtures/clip/hf`, which has its shape: transformers' names, half precision. A query is
//! the sum of both projections, a target its image alone. Source: BAAI/BGE-VL-base `modeling_MMRet_CLIP.py`, `encode`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Golden, assert_close, fixture, json};
use image::RgbImage;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::Embedder;

/// Unit vectors of 24 numbers from float32 towers; measured: 6e-7.
const TOLERANCE: f32 = 1e-5;

fn strings(key: &str) -> Vec<String> {
    serde_json::from_value(json("clip/cases.json")[key].clone()).unwrap()
}

fn unit(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let values: Vec<f32> = values.collect();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / norm).collect()
}

#[test]
fn a_query_is_the_sum_of_both_and_a_target_its_image() {
    let embedder = Embedder::load(&fixture("clip/hf")).unwrap();
    let golden = Golden::read("clip/golden.safetensors");
    let (images, texts) = (golden.tensor("image_quick_gelu"), golden.tensor("text_quick_gelu"));
    let pictures: Vec<RgbImage> = strings("pictures")
        .iter()
        .map(|name| read_rgb(&fixture("preprocess").join(name), &Limits::default()).unwrap())
        .collect();
    let encoded = embedder.encode_images(&pictures).unwrap();
    let targets = embedder.embed_targets(&encoded).unwrap();
    let dim = embedder.dim();
    for (row, text) in strings("texts").iter().enumerate() {
        let image = &images.values[row * dim..][..dim];
        let sum = image
            .iter()
            .zip(&texts.values[row * dim..])
            .map(|(image, text)| image + text);
        let alone = unit(image.iter().copied());
        let query = embedder.embed_query(&encoded[row], text).unwrap();
        let expected = if text.is_empty() { alone.clone() } else { unit(sum) };
        assert_close(text, query.as_slice(), &expected, TOLERANCE);
        assert_close("target", targets[row].as_slice(), &alone, TOLERANCE);
        let without_words = embedder.embed_query(&encoded[row], "").unwrap();
        assert_close("query without words", without_words.as_slice(), &alone, TOLERANCE);
    }
}
