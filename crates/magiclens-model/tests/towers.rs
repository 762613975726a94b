//! The pretrained towers of `small`, as committed in `weights/`, against torch and transformers on recorded images
//! and strings (`scripts/fixtures/towers.py` made the fixtures).
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use common::{Golden, cosine, fixture};
use magiclens_model::checkpoint::{Checkpoint, NamedWeights, fill, read_weights};
use magiclens_model::tokenizer::Tokenizer;
use magiclens_model::tokenizer::wordpiece::MiniLmTokenizer;
use magiclens_model::towers::{EfficientNetLiteConfig, MiniLmConfig, SentenceConfig};

/// Asked for by the fixtures.
const LEAST_COSINE: f64 = 0.9999;
/// For averages of single blocks: positive and negative numbers cancel in them, so the rounding of the stored weights to f16
/// shows more than in the features; so it does in shares of classes, which are exponents of sums.
const LEAST_BLOCK_COSINE: f64 = 0.9995;
/// Width of a sentence.
const WIDTH: usize = 384;
/// As in `small`.
const SENTENCE: SentenceConfig = SentenceConfig {
    classes: 1000,
    best: 50,
    softness: 2,
    width: WIDTH,
};

fn weights(file: &str, prefix: &str) -> NamedWeights {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights").join(file);
    let tensors = read_weights(&path, &[]).unwrap();
    tensors
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix(prefix).unwrap().to_string(), tensor))
        .collect()
}

#[test]
fn efficientnet_lite0_gives_torchs_features() {
    let device = Device::flex();
    let config = EfficientNetLiteConfig {
        image_px: 128,
        taps: Vec::new(),
        sentence: Some(SENTENCE),
    };
    let tensors = weights("efficientnet-lite0.safetensors", "vision.trunk.");
    let network = fill(config.init_trunk(&device), tensors, "efficientnet-lite0").unwrap();
    let golden = Golden::read("towers/efficientnet_lite0.safetensors");
    let sentences = Golden::read("towers/sentences.safetensors");
    for size in [128usize, 224] {
        let images = golden.bytes(&format!("{size}.input_u8"));
        let count = images.len() / (size * size * 3);
        let pixels: Vec<f32> = (0..count * 3 * size * size)
            .map(|at| {
                let (image, rest) = (at / (3 * size * size), at % (3 * size * size));
                let (color, place) = (rest / (size * size), rest % (size * size));
                (f32::from(images[(image * size * size + place) * 3 + color]) - 127.0) / 128.0
            })
            .collect();
        let trace = network.trace(Tensor::from_data(
            TensorData::new(pixels, [count, 3, size, size]),
            &device,
        ));
        let check = |name: String, found: Tensor<2>, least: f64| {
            let (found, expected) = (found.into_data().try_to_vec::<f32>().unwrap(), golden.tensor(&name));
            let width = expected.shape[1];
            assert_eq!(found.len(), expected.values.len(), "{name}");
            for (row, (a, b)) in found.chunks(width).zip(expected.values.chunks(width)).enumerate() {
                let cosine = cosine(a, b);
                assert!(cosine >= least, "{name} of image {row}: cosine {cosine}");
            }
        };
        for (block, pooled) in trace.blocks.into_iter().enumerate() {
            check(format!("{size}.stage_{block}"), pooled, LEAST_BLOCK_COSINE);
        }
        let [_, width] = trace.features.dims();
        check(
            format!("{size}.features"),
            trace.features.clone().narrow(1, 0, width - WIDTH),
            LEAST_COSINE,
        );
        let found = trace.features.narrow(1, width - WIDTH, WIDTH);
        let found = found.into_data().try_to_vec::<f32>().unwrap();
        let expected = sentences.tensor(&format!("{size}.sentence"));
        assert_eq!(found.len(), expected.values.len());
        for (found, expected) in found.chunks(WIDTH).zip(expected.values.chunks(WIDTH)) {
            let cosine = cosine(found, expected);
            assert!(cosine >= LEAST_BLOCK_COSINE, "sentence at {size} px: cosine {cosine}");
        }
    }
}

#[test]
fn each_class_has_the_vector_of_its_words() {
    let tensors = weights("efficientnet-lite0.safetensors", "vision.trunk.");
    let (found, golden) = (
        &tensors["sentence.classes"],
        Golden::read("towers/sentences.safetensors"),
    );
    let expected = golden.tensor("classes");
    for (row, class) in golden.integers("class_numbers").into_iter().enumerate() {
        let cosine = cosine(common::row(found, class as usize), common::row(&expected, row));
        assert!(cosine >= LEAST_COSINE, "class {class}: cosine {cosine}");
    }
}

#[test]
fn minilm_l6_gives_the_ids_and_sentences_of_transformers() {
    let network = fill(
        MiniLmConfig::L6.init_trunk(&Device::flex()),
        weights("minilm-l6.safetensors", "text.trunk."),
        "minilm-l6",
    );
    let network = network.unwrap();
    let tokenizer = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/tokenizer.json")).unwrap();
    let tokenizer = MiniLmTokenizer::from_bytes(&tokenizer).unwrap();
    let golden = Golden::read("towers/minilm_l6.safetensors");
    let strings: Vec<String> = serde_json::from_str(&golden.metadata("strings")).unwrap();
    assert_eq!(strings.len(), 12);
    let texts: Vec<&str> = strings.iter().map(String::as_str).collect();
    let ids = tokenizer.encode_batch(&texts).unwrap();
    let mean = golden.tensor("mean");
    for (at, ids) in ids.iter().enumerate() {
        assert_eq!(ids, &golden.integers(&format!("ids_{at}")), "ids of {:?}", strings[at]);
        let found = network.forward(&[ids]).into_data().try_to_vec::<f32>().unwrap();
        let cosine = cosine(&found, common::row(&mean, at));
        assert!(cosine >= LEAST_COSINE, "{:?}: cosine {cosine}", strings[at]);
    }
}

#[test]
fn the_committed_weights_are_whole_and_name_their_towers() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights");
    let checkpoint = Checkpoint::read(&weights.join("small.safetensors")).unwrap();
    assert_eq!(checkpoint.towers.len(), 2);
    // Recorded by the indexes that were made with it.
    assert_eq!(checkpoint.digest, "077bf94ffa6b9728b3f2bde8acf33364");
    checkpoint.into_model(&Device::flex()).unwrap();

    // A tower of another release is refused by name.
    let folder = tempfile::tempdir().unwrap();
    for file in ["small.safetensors", "minilm-l6.safetensors"] {
        std::fs::copy(weights.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::copy(
        fixture("towers/minilm_l6.safetensors"),
        folder.path().join("efficientnet-lite0.safetensors"),
    )
    .unwrap();
    let told = Checkpoint::read(&folder.path().join("small.safetensors"))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("efficientnet-lite0.safetensors") && told.contains("hint"),
        "{told}"
    );
}
