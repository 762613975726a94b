//! CLIP as others publish it: the same numbers as transformers and open_clip, and strict in both directions.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::{Golden, assert_close, fixture, imported_clip, json, max_difference};
use image::RgbImage;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::checkpoint::{StoredFloat, write_checkpoint};
use magiclens_model::import::RawClip;
use magiclens_model::import::clip::read_clip;
use magiclens_model::import::torch::{Within, read_torch};
use magiclens_model::import::{Array, Dtype};
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::tokenizer::clip::ClipTokenizer;
use magiclens_model::towers::{ClipActivation, ClipTextMask, TextConfig};
use magiclens_model::{Embedder, ModelConfig, ModelError};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Two float32 programs that sum in different orders, on outputs of up to 7.4 behind two blocks; measured: 5e-6.
const TOLERANCE: f32 = 2e-5;
/// transformers rescales and normalizes in two steps; values of up to 2.7; measured: 2.4e-7.
const PIXEL_TOLERANCE: f32 = 2e-6;

const RAW: RawClip = RawClip {
    activation: Some(ClipActivation::Gelu),
    vision_heads: Some(2),
    text_heads: Some(2),
};

fn strings(name: &str, key: &str) -> Vec<String> {
    serde_json::from_value(json(name)[key].clone()).unwrap()
}

fn images() -> Vec<RgbImage> {
    let limits = Limits::default();
    strings("clip/cases.json", "pictures")
        .iter()
        .map(|name| read_rgb(&fixture("preprocess").join(name), &limits).unwrap())
        .collect()
}

fn check_towers(embedder: &Embedder, activation: &str) {
    let golden = Golden::read("clip/golden.safetensors");
    let images = embedder.encode_images(&images()).unwrap().concat();
    let expected = golden.tensor(&format!("image_{activation}"));
    assert_close("images", &images, &expected.values, TOLERANCE);
    let texts = strings("clip/cases.json", "texts");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = embedder.encode_texts(&texts).unwrap();
    let expected = golden.tensor(&format!("text_{activation}"));
    for (row, (text, found)) in texts.iter().zip(&found).enumerate() {
        match text.is_empty() {
            // To a sum the empty text adds nothing.
            true => assert!(found.iter().all(|value| *value == 0.0)),
            false => assert_close(
                text,
                found,
                &expected.values[row * found.len()..][..found.len()],
                TOLERANCE,
            ),
        }
    }
}

#[test]
fn the_square_is_the_one_that_pillow_cuts() {
    let golden = Golden::read("clip/golden.safetensors");
    let mean = magiclens_model::preprocess::CLIP_MEAN;
    let std = magiclens_model::preprocess::CLIP_STD;
    for side in [32, 67] {
        for (number, image) in images().iter().enumerate() {
            let found = PreprocessConfig::Clip { size_px: side }.apply(image);
            let expected = golden.bytes(&format!("bytes_{side}_{number}"));
            // Byte for byte: half a step of 1 / 255 apart would already be another byte.
            let pixels = expected.len() / 3;
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let byte = (found * std[at / pixels] + mean[at / pixels]) * 255.0;
                assert_eq!(
                    byte.round() as u8,
                    *expected,
                    "side {side}, image {number}, sample {at}"
                );
            }
        }
    }
}

#[test]
fn pixel_values_are_those_of_transformers() {
    let golden = Golden::read("clip/golden.safetensors");
    let found: Vec<f32> = images()
        .iter()
        .flat_map(|image| PreprocessConfig::Clip { size_px: 32 }.apply(image))
        .collect();
    assert_close("pixels", &found, &golden.tensor("pixel_values").values, PIXEL_TOLERANCE);
}

#[test]
fn ids_are_those_of_open_clip() {
    let golden = Golden::read("clip/golden.safetensors");
    let tokenizer = ClipTokenizer::new();
    let texts = strings("clip/cases.json", "texts");
    let found: Vec<_> = texts.iter().map(|text| tokenizer.encode(text)).collect();
    assert_eq!(found, golden.ids());
}

#[test]
fn a_folder_of_transformers_gives_its_numbers() {
    check_towers(&imported_clip(&fixture("clip/hf"), &RawClip::default()), "quick_gelu");
}

#[test]
fn a_state_dictionary_of_open_clip_gives_its_numbers() {
    check_towers(&imported_clip(&fixture("clip/open_clip.pt"), &RAW), "gelu");
    let quick = RawClip {
        activation: Some(ClipActivation::QuickGelu),
        ..RAW
    };
    check_towers(&imported_clip(&fixture("clip/open_clip.pt"), &quick), "quick_gelu");
}

#[test]
fn both_layouts_are_one_model() {
    let (hf, hf_tensors) = read_clip(&fixture("clip/hf"), &RawClip::default()).unwrap();
    let quick = RawClip {
        activation: Some(ClipActivation::QuickGelu),
        ..RAW
    };
    let (raw, raw_tensors) = read_clip(&fixture("clip/open_clip.pt"), &quick).unwrap();
    assert_eq!((hf, hf_tensors), (raw, raw_tensors));
}

#[test]
fn the_mask_and_the_activation_change_the_numbers() {
    let (config, tensors) = read_clip(&fixture("clip/hf"), &RawClip::default()).unwrap();
    let TextConfig::ClipText(text) = config.text.clone() else {
        panic!("not CLIP")
    };
    let hidden = ModelConfig {
        text: TextConfig::ClipText(magiclens_model::towers::ClipTextConfig {
            mask: ClipTextMask::CausalWithoutZero,
            ..text
        }),
        ..config.clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let encode = |config: &ModelConfig, text: &str| {
        let path = folder.path().join("clip.safetensors");
        write_checkpoint(&path, config, &tensors, StoredFloat::F32, &[]).unwrap();
        Embedder::load(&path).unwrap().encode_texts(&[text]).unwrap().concat()
    };
    // The inner `!` is token 0, which scenic hides; without one both are the same.
    let inner = "red !-- blue";
    assert!(max_difference(&encode(&config, inner), &encode(&hidden, inner)) > 100.0 * TOLERANCE);
    let plain = "red -- blue";
    assert_close("plain", &encode(&config, plain), &encode(&hidden, plain), TOLERANCE);
}

#[test]
fn configurations_from_before_load_as_they_were() {
    let base = ModelConfig::base();
    let written = serde_json::to_value(&base).unwrap();
    for (tower, field) in [
        ("vision", "activation"),
        ("vision", "feed_forward"),
        ("text", "activation"),
        ("text", "feed_forward"),
        ("text", "mask"),
    ] {
        assert!(written[tower].get(field).is_none(), "{tower} {field}");
    }
    assert_eq!(serde_json::from_value::<ModelConfig>(written).unwrap(), base);
    let TextConfig::ClipText(text) = base.text else {
        panic!("not CLIP")
    };
    assert_eq!(text.mask, ClipTextMask::CausalWithoutZero);
}

// ---- Strictness ----

type Arrays = BTreeMap<String, Array>;

fn write_arrays(path: &Path, arrays: &Arrays) {
    let dtype = |array: &Array| match array.dtype() {
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::I64 => safetensors::Dtype::I64,
        other => panic!("{other:?}"),
    };
    let views = arrays.iter().map(|(name, array)| {
        let view = TensorView::new(dtype(array), array.shape().to_vec(), array.data()).unwrap();
        (name.as_str(), view)
    });
    fs_err::write(
        path,
        safetensors::serialize(views, None::<HashMap<String, String>>).unwrap(),
    )
    .unwrap();
}

fn hf_arrays() -> Arrays {
    let file = Bytes::from(fs_err::read(fixture("clip/hf/model.safetensors")).unwrap());
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let array = |view: &TensorView<'_>| Array::new(view.shape().to_vec(), Dtype::F16, file.slice_ref(view.data()));
    tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), array(&view).unwrap()))
        .collect()
}

fn raw_arrays() -> Arrays {
    let arrays = read_torch(&fixture("clip/open_clip.pt"), Within::Key("state_dict")).unwrap();
    arrays
        .into_iter()
        .map(|(name, array)| (name.replace("module.", ""), array))
        .collect()
}

fn numbers(shape: &[usize]) -> Array {
    let bytes = vec![0; 4 * shape.iter().product::<usize>()];
    Array::new(shape.to_vec(), Dtype::F32, bytes.into()).unwrap()
}

/// A copy of the folder with other weights.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::copy(fixture("clip/hf/config.json"), folder.path().join("config.json")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> Result<(ModelConfig, magiclens_model::checkpoint::NamedWeights), ModelError> {
        read_clip(self.0.path(), &RawClip::default())
    }

    /// Changes a field of `config.json` and reads.
    fn refusal_with(&self, tower: &str, field: &str, value: serde_json::Value) -> String {
        let mut config = json("clip/hf/config.json");
        match tower {
            "" => config[field] = value,
            _ => config[tower][field] = value,
        }
        fs_err::write(self.path("config.json"), config.to_string()).unwrap();
        self.read().unwrap_err().to_string()
    }
}

#[test]
fn a_tensor_too_few_too_many_or_of_another_shape_is_named() {
    let folder = Folder::new();
    let hf = |change: &dyn Fn(&mut Arrays)| {
        let mut arrays = hf_arrays();
        change(&mut arrays);
        write_arrays(&folder.path("model.safetensors"), &arrays);
        folder.read().map(drop).map_err(|error| error.to_string())
    };
    let raw = |change: &dyn Fn(&mut Arrays)| {
        let mut arrays = raw_arrays();
        change(&mut arrays);
        let path = folder.path("raw.safetensors");
        write_arrays(&path, &arrays);
        read_clip(&path, &RAW).map(drop).map_err(|error| error.to_string())
    };
    let check = |result: Result<(), String>, parts: [&str; 2]| {
        let error = result.unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    hf(&|_| ()).unwrap();
    raw(&|_| ()).unwrap();

    // Every single tensor is needed, and missed by its own name.
    for name in hf_arrays().into_keys() {
        check(
            hf(&|arrays| drop(arrays.remove(&name))),
            [&format!("`{name}`"), "missing"],
        );
    }
    for name in raw_arrays().into_keys() {
        check(
            raw(&|arrays| drop(arrays.remove(&name))),
            [&format!("`{name}`"), "missing"],
        );
    }
    // One axis longer is another shape; none of them is cut or padded.
    for name in hf_arrays()
        .into_keys()
        .filter(|name| name.contains("layers.1") || name.contains("embeddings"))
    {
        let longer = |arrays: &mut Arrays| {
            let shape = [arrays[&name].shape(), &[1]].concat();
            arrays.insert(name.clone(), numbers(&shape));
        };
        check(hf(&longer), [&format!("`{name}`"), "has shape"]);
    }
    let packed = "transformer.resblocks.1.attn.in_proj_weight";
    let misshapen = |arrays: &mut Arrays| drop(arrays.insert(packed.into(), numbers(&[24, 9])));
    check(raw(&misshapen), [packed, "has shape [24, 9]"]);
    let flat = |arrays: &mut Arrays| drop(arrays.insert("visual.conv1.weight".into(), numbers(&[32])));
    check(raw(&flat), ["visual.conv1.weight", "4 axes"]);
    let oblong = |arrays: &mut Arrays| drop(arrays.insert("visual.positional_embedding".into(), numbers(&[16, 32])));
    check(raw(&oblong), ["16 rows", "not one more than a square"]);

    let more = |arrays: &mut Arrays| drop(arrays.insert("visual.surprise".into(), numbers(&[1])));
    check(hf(&more), ["`visual.surprise`", "no place for it"]);
    check(raw(&more), ["`visual.surprise`", "no place for it"]);
    let integers = |arrays: &mut Arrays| {
        let positions = Array::new(vec![8], Dtype::I64, vec![0; 64].into()).unwrap();
        arrays.insert("ln_final.bias".into(), positions);
    };
    check(raw(&integers), ["`ln_final.bias`", "I64"]);

    // Buffers are no weights.
    let scalar = || Array::new(vec![], Dtype::I64, vec![0; 8].into()).unwrap();
    raw(&|arrays| {
        for name in ["input_resolution", "context_length", "vocab_size"] {
            arrays.insert(name.into(), scalar());
        }
        arrays.insert("attn_mask".into(), numbers(&[77, 77]));
    })
    .unwrap();
    hf(&|arrays| drop(arrays.insert("text_model.embeddings.position_ids".into(), scalar()))).unwrap();
}

#[test]
fn weights_in_several_files_are_joined() {
    let folder = Folder::new();
    let arrays = hf_arrays();
    let (text, rest): (Arrays, Arrays) = arrays
        .clone()
        .into_iter()
        .partition(|(name, _)| name.starts_with("text_"));
    write_arrays(&folder.path("one.safetensors"), &text);
    write_arrays(&folder.path("two.safetensors"), &rest);
    let file = |name: &str| {
        if text.contains_key(name) {
            "one.safetensors"
        } else {
            "../../two.safetensors"
        }
    };
    let map: BTreeMap<&str, &str> = arrays.keys().map(|name| (name.as_str(), file(name))).collect();
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs_err::write(folder.path("model.safetensors.index.json"), index.to_string()).unwrap();
    let whole = read_clip(&fixture("clip/hf"), &RawClip::default()).unwrap();
    assert_eq!(folder.read().unwrap(), whole);
}

#[test]
fn folders_that_are_no_such_clip_are_refused() {
    let folder = Folder::new();
    let error = folder.read().unwrap_err().to_string();
    assert!(error.contains("neither `model.safetensors`"), "{error}");
    // Weights in torch's format are read too; these are under another key.
    fs_err::copy(fixture("clip/open_clip.pt"), folder.path("pytorch_model.bin")).unwrap();
    let error = folder.read().unwrap_err().to_string();
    assert!(
        error.contains("tensor `logit_scale` is missing in the checkpoint"),
        "{error}"
    );
    fs_err::copy(fixture("clip/hf/model.safetensors"), folder.path("model.safetensors")).unwrap();
    folder.read().unwrap();

    let check = |tower: &str, field: &str, value: serde_json::Value, part: &str| {
        let error = folder.refusal_with(tower, field, value);
        assert!(error.contains(part), "{tower} {field}: {error}");
    };
    check("", "model_type", "siglip".into(), "`model_type` = \"siglip\"");
    check("text_config", "hidden_act", "relu".into(), "`hidden_act` = \"relu\"");
    check(
        "vision_config",
        "layer_norm_eps",
        1e-6.into(),
        "`layer_norm_eps` = 1e-6",
    );
    check(
        "text_config",
        "max_position_embeddings",
        64.into(),
        "`context_length` 64",
    );
    check("text_config", "vocab_size", 100.into(), "`vocabulary` 100");
    check(
        "text_config",
        "num_attention_heads",
        3.into(),
        "text `heads` 3 do not divide",
    );
    check(
        "vision_config",
        "num_hidden_layers",
        3.into(),
        "vision_model.encoder.layers.2",
    );
    check(
        "vision_config",
        "num_hidden_layers",
        1.into(),
        "vision_model.encoder.layers.1",
    );
    check(
        "vision_config",
        "hidden_size",
        u64::MAX.into(),
        "more than any model has",
    );
    check(
        "vision_config",
        "num_hidden_layers",
        u64::MAX.into(),
        "more than any model has",
    );
    check("vision_config", "hidden_size", "wide".into(), "`config.json`");
    check(
        "vision_config",
        "image_size",
        48.into(),
        "vision_model.embeddings.position_embedding.weight",
    );

    fs_err::copy(fixture("clip/hf/config.json"), folder.path("config.json")).unwrap();
    let preprocessor = |json: &str| {
        fs_err::write(folder.path("preprocessor_config.json"), json).unwrap();
        folder.read().map(drop).map_err(|error| error.to_string())
    };
    preprocessor(r#"{"image_mean": [0.48145466, 0.4578275, 0.40821073], "resample": 3, "do_resize": true}"#).unwrap();
    let error = preprocessor(r#"{"image_mean": [0.5, 0.5, 0.5]}"#).unwrap_err();
    assert!(error.contains("`image_mean` = [0.5, 0.5, 0.5]"), "{error}");
    let error = preprocessor(r#"{"resample": 2}"#).unwrap_err();
    assert!(error.contains("`resample` = 2"), "{error}");
    // Sizes as older and newer folders state them; another one is not what the tower takes.
    preprocessor(r#"{"size": 32, "crop_size": 32}"#).unwrap();
    preprocessor(r#"{"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}"#).unwrap();
    for (size, field) in [
        (r#"{"size": {"shortest_edge": 36}}"#, "size"),
        (r#"{"size": {"height": 32, "width": 32}}"#, "size"),
        (r#"{"crop_size": {"height": 32, "width": 30}}"#, "crop_size"),
        (r#"{"do_center_crop": false}"#, "do_center_crop"),
    ] {
        let error = preprocessor(size).unwrap_err();
        assert!(error.contains(&format!("`{field}` = ")), "{error}");
    }
    fs_err::remove_file(folder.path("preprocessor_config.json")).unwrap();
    let newer = r#"{"image_processor": {"crop_size": 36}}"#;
    fs_err::write(folder.path("processor_config.json"), newer).unwrap();
    let error = folder.read().map(drop).unwrap_err().to_string();
    assert!(
        error.contains("`processor_config.json`") && error.contains("`crop_size`"),
        "{error}"
    );
}

#[test]
fn state_dictionaries_that_do_not_tell_enough_are_refused() {
    let path = fixture("clip/open_clip.pt");
    let check = |raw: RawClip, part: &str| {
        let error = read_clip(&path, &raw).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check(RawClip::default(), "--activation quick_gelu");
    let heads = |vision_heads, text_heads| RawClip {
        vision_heads,
        text_heads,
        ..RAW
    };
    check(heads(None, Some(2)), "--vision-heads N");
    check(heads(Some(2), None), "--text-heads N");
    check(heads(Some(5), Some(2)), "vision `heads` 5 do not divide");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let refusal = |arrays: &Arrays| {
        write_arrays(&path, arrays);
        read_clip(&path, &RAW).unwrap_err().to_string()
    };
    let mut resnet = raw_arrays();
    resnet.insert("visual.layer1.0.conv1.weight".into(), numbers(&[1]));
    let error = refusal(&resnet);
    assert!(error.contains("is a ResNet"), "{error}");
    let error = refusal(&hf_arrays());
    assert!(error.contains("name the folder"), "{error}");
    let error = read_clip(&fixture("preprocess/exact_224.png"), &RAW)
        .unwrap_err()
        .to_string();
    assert!(error.contains("is a PNG image"), "{error}");
}
