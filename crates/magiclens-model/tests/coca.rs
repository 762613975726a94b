//! Folders of open_clip, CoCa and plain CLIP: the same numbers as open_clip, and strict.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Device;
use common::{Golden, assert_close, fixture, json, named};
use image::RgbImage;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::checkpoint::{Checkpoint, StoredFloat, write_checkpoint};
use magiclens_model::import::open::open_model;
use magiclens_model::import::open_clip::read_open_clip;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::tokenizer::coca::CocaTokenizer;
use magiclens_model::{Embedder, ModelConfig};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// Two float32 programs that sum in different orders, behind two blocks and a pooling; measured: 3.8146973e-6.
const TOLERANCE: f32 = 2e-5;

const CONFIG: &str = "open_clip_config.json";
const WEIGHTS: &str = "open_clip_model.safetensors";

fn strings(key: &str) -> Vec<String> {
    serde_json::from_value(json("coca/cases.json")[key].clone()).unwrap()
}

fn images() -> Vec<RgbImage> {
    let read = |name: &String| read_rgb(&fixture("preprocess").join(name), &Limits::default()).unwrap();
    strings("images").iter().map(read).collect()
}

fn encode_texts(embedder: &Embedder) -> Vec<Vec<f32>> {
    // A sum leaves out the empty text, which the reference has: it goes through the tower as white space.
    let texts = strings("texts");
    let texts: Vec<&str> = texts
        .iter()
        .map(|text| if text.is_empty() { " " } else { text })
        .collect();
    embedder.encode_texts(&texts).unwrap()
}

/// Loaded from the folder, and from a checkpoint that was written from it.
fn both_ways(source: &Path) -> [Embedder; 2] {
    let Checkpoint { config, tensors, .. } = open_model(source).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_checkpoint(&path, &config, &tensors, StoredFloat::F32, &[]).unwrap();
    [Embedder::load(source).unwrap(), Embedder::load(&path).unwrap()]
}

fn check(source: &Path, names: [&str; 2]) {
    let golden = Golden::read("coca/golden.safetensors");
    for embedder in both_ways(source) {
        let found = [embedder.encode_images(&images()).unwrap(), encode_texts(&embedder)];
        for (name, found) in names.into_iter().zip(found) {
            let expected = golden.tensor(name).values;
            assert_close(name, &found.concat(), &expected, TOLERANCE);
        }
    }
}

#[test]
fn coca_gives_the_numbers_of_open_clip() {
    check(&fixture("coca/coca"), ["images", "texts"]);
    let golden = Golden::read("coca/golden.safetensors");
    for embedder in both_ways(&fixture("coca/coca")) {
        let images = embedder.encode_images(&images()).unwrap();
        let texts = encode_texts(&embedder);
        let fused = embedder.fuse(&images, &texts[..images.len()]).unwrap();
        let fused: Vec<f32> = fused.iter().flat_map(|row| row.as_slice()).copied().collect();
        assert_close("fused", &fused, &golden.tensor("fused").values, TOLERANCE);
    }
}

#[test]
fn clip_gives_the_numbers_of_open_clip_without_flags() {
    let folder = Folder::new("coca/clip");
    fs_err::copy(
        fixture("clip/open_clip.pt"),
        folder.path().join("open_clip_pytorch_model.bin"),
    )
    .unwrap();
    check(folder.path(), ["clip_images", "clip_texts"]);
}

#[test]
fn the_square_is_the_one_that_torchvision_cuts() {
    let golden = Golden::read("coca/golden.safetensors");
    let (config, _) = read_open_clip(&fixture("coca/coca")).unwrap();
    let PreprocessConfig::OpenClip { mean, std, .. } = config.preprocess else {
        panic!("{:?}", config.preprocess)
    };
    let pixels = |size_px: u32| {
        let config = PreprocessConfig::OpenClip { size_px, mean, std };
        images()
            .iter()
            .flat_map(|image| config.apply(image))
            .collect::<Vec<f32>>()
    };
    // Normalized in two steps by torchvision.
    assert_close("pixels", &pixels(32), &golden.tensor("pixels").values, 2e-6);
    for side in serde_json::from_value::<Vec<u32>>(json("coca/cases.json")["sides"].clone()).unwrap() {
        let (expected, plane) = (golden.bytes(&format!("pixels_{side}")), (side * side) as usize);
        for (at, (found, expected)) in pixels(side).iter().zip(&expected).enumerate() {
            let channel = at / plane % 3;
            let byte = (found * std[channel] + mean[channel]) * 255.0;
            assert_eq!(byte.round() as u8, *expected, "side {side}, sample {at}");
        }
    }
}

#[test]
fn ids_are_those_of_open_clip() {
    let expected = Golden::read("coca/golden.safetensors").integers("ids");
    let tokenizer = CocaTokenizer::new();
    let found: Vec<u32> = strings("texts")
        .iter()
        .flat_map(|text| tokenizer.encode(text))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn positions_are_interpolated_as_open_clip_does() {
    let golden = Golden::read("coca/golden.safetensors");
    for side in [48, 24] {
        let checkpoint = open_model(&fixture("coca/coca")).unwrap().with_image_px(side).unwrap();
        let positions = &named(&checkpoint.tensors, "vision.vit.position_embedding").values;
        // Single steps of float32 in torch, double precision here.
        assert_close(
            "positions",
            positions,
            &golden.tensor(&format!("positions_{side}")).values,
            1e-6,
        );
        let embedder = Embedder::new(checkpoint, Path::new(""), Device::flex()).unwrap();
        let found = embedder.encode_images(&images()).unwrap().concat();
        let expected = golden.tensor(&format!("images_{side}")).values;
        assert_close("images", &found, &expected, TOLERANCE);
    }
    let start = open_model(&fixture("coca/coca")).unwrap();
    assert_eq!(start.clone().with_image_px(32).unwrap().digest, start.digest);
    assert_ne!(start.clone().with_image_px(24).unwrap().digest, start.digest);
    let error = start.with_image_px(20).unwrap_err().to_string();
    assert!(error.contains("`patch_px` 8 does not divide `image_px` 20"), "{error}");
    let small = Checkpoint {
        config: ModelConfig::small(),
        ..open_model(&fixture("coca/coca")).unwrap()
    };
    let error = small.with_image_px(64).unwrap_err().to_string();
    assert!(error.contains("images of one size only"), "{error}");
}

// ---- Strictness ----

/// A copy of a folder's configuration, to be filled and changed.
struct Folder(tempfile::TempDir, Value);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap(), json(&format!("{name}/{CONFIG}")));
        folder.write_config(&folder.1);
        folder
    }

    /// CoCa with weights.
    fn coca() -> Self {
        let folder = Self::new("coca/coca");
        fs_err::copy(fixture("coca/coca").join(WEIGHTS), folder.path().join(WEIGHTS)).unwrap();
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write_config(&self, config: &Value) {
        fs_err::write(self.path().join(CONFIG), config.to_string()).unwrap();
    }

    fn refusal(&self) -> String {
        read_open_clip(self.path()).unwrap_err().to_string()
    }

    /// The error with a field set.
    fn refusal_with(&self, part: &str, field: &str, value: Value) -> String {
        let mut config = self.1.clone();
        config.pointer_mut(part).unwrap()[field] = value;
        self.write_config(&config);
        self.refusal()
    }
}

#[test]
fn fields_that_ask_for_something_else_are_named() {
    let folder = Folder::coca();
    let (vision, text) = ("/model_cfg/vision_cfg", "/model_cfg/text_cfg");
    for (part, field, value) in [
        ("/preprocess_cfg", "resize_mode", json!("squash")),
        ("/preprocess_cfg", "resize_mode", json!("longest")),
        ("/preprocess_cfg", "interpolation", json!("bilinear")),
        ("/preprocess_cfg", "size", json!(64)),
        ("/preprocess_cfg", "sharpen", json!(1)),
        ("/model_cfg", "init_logit_bias", json!(-10)),
        ("/model_cfg", "surprise", json!(true)),
        (vision, "timm_model_name", json!("vit_base_patch16_siglip_224")),
        (vision, "attentional_pool", json!("parallel")),
        (vision, "pool_type", json!("avg")),
        (vision, "image_size", json!([32, 48])),
        (vision, "no_ln_pre", json!(true)),
        (vision, "ls_init_value", json!(0.1)),
        (vision, "block_type", json!("custom")),
        (text, "hf_model_name", json!("roberta-base")),
        (text, "hf_tokenizer_name", json!("timm/ViT-B-16-SigLIP")),
        (text, "no_causal_mask", json!(true)),
        (text, "pool_type", json!("last")),
        (text, "proj_bias", json!(true)),
        (text, "pad_id", json!(1)),
        (text, "norm_kwargs", json!({"eps": 1e-6})),
    ] {
        let error = folder.refusal_with(part, field, value);
        assert!(
            error.contains(&format!("`{field}`")) && error.contains(CONFIG),
            "{error}"
        );
    }
    for (part, field, value, told) in [
        (vision, "layers", json!([3, 4, 6, 3]), "is a ResNet"),
        (vision, "head_width", json!(0), "vision `heads` 0 do not divide"),
        (vision, "attn_pooler_heads", json!(5), "pooler `heads` 5 do not divide"),
        (
            vision,
            "attn_pooler_queries",
            json!(u64::MAX),
            "`visual.attn_pool.query`",
        ),
        (vision, "attentional_pool", json!(false), "visual.ln_post"),
        (vision, "width", json!(-1), CONFIG),
        (vision, "mlp_ratio", json!(1e300), "more than any model has"),
        (text, "context_length", json!(77), "`context_length` 78"),
        (text, "embed_cls", json!(false), "`context_length` 76"),
        (text, "vocab_size", json!(64000), "`vocabulary` 64000"),
        ("/model_cfg", "multimodal_cfg", json!(null), "`text_decoder."),
        ("/preprocess_cfg", "std", json!([0.0, 1.0, 1.0]), "must be finite"),
    ] {
        let error = folder.refusal_with(part, field, value);
        assert!(error.contains(told), "{field}: {error}");
    }
    for text in ["", "[]", "{}", r#"{"model_cfg": 3}"#] {
        fs_err::write(folder.path().join(CONFIG), text).unwrap();
        assert!(folder.refusal().contains(CONFIG), "{text}");
    }
}

#[test]
fn fields_without_a_meaning_at_work_are_passed_over() {
    let folder = Folder::coca();
    let whole = read_open_clip(folder.path()).unwrap();
    let mut config = folder.1.clone();
    config["model_cfg"]["vision_cfg"]["patch_dropout"] = json!(0.5);
    config["model_cfg"]["vision_cfg"]["timm_model_name"] = json!(null);
    config["model_cfg"]["text_cfg"]["hf_pooler_type"] = json!("mean_pooler");
    config["model_cfg"]["init_logit_bias"] = json!(null);
    config["preprocess_cfg"]["size"] = json!([32, 32]);
    folder.write_config(&config);
    assert_eq!(read_open_clip(folder.path()).unwrap(), whole);
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn tensors() -> Tensors {
    let file = fs_err::read(fixture("coca/coca").join(WEIGHTS)).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let parts = tensors.iter();
    parts
        .map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

fn write(folder: &Folder, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(safetensors::Dtype::F16, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None::<HashMap<String, String>>).unwrap();
    fs_err::write(folder.path().join(WEIGHTS), file).unwrap();
}

#[test]
fn every_tensor_but_those_of_the_decoder_is_needed() {
    let folder = Folder::new("coca/coca");
    let all = tensors();
    write(&folder, &all);
    let whole = read_open_clip(folder.path()).unwrap();
    assert!(all.keys().any(|name| name.starts_with("text_decoder.")));
    for name in all.keys() {
        let mut fewer = all.clone();
        fewer.remove(name);
        write(&folder, &fewer);
        match name.starts_with("text_decoder.") {
            true => assert_eq!(read_open_clip(folder.path()).unwrap(), whole),
            false => {
                let error = folder.refusal();
                let short = name.strip_prefix("text.").unwrap_or(name);
                assert!(error.contains("missing") && error.contains(short), "{name}: {error}");
            }
        }
    }
    let mut more = all.clone();
    more.insert("visual.attn_pool.surprise".into(), (vec![1], vec![0; 2]));
    write(&folder, &more);
    assert!(folder.refusal().contains("no place for it"));
}

#[test]
fn a_pooling_whose_weights_torch_joins_is_read() {
    let golden = Golden::read("coca/golden.safetensors");
    let folder = Folder::new("coca/coca");
    let mut all = tensors();
    all.retain(|name, _| !name.starts_with("visual."));
    // The text tower's projection, too, goes to the wider space.
    let width = 16;
    all.insert("text.text_projection".into(), (vec![4, width], vec![0; 2 * 4 * width]));
    for name in golden.names() {
        if let Some(short) = name.strip_prefix("joined.") {
            let weights = golden.tensor(&name);
            let bytes = weights
                .values
                .iter()
                .flat_map(|value| half::f16::from_f32(*value).to_le_bytes());
            all.insert(short.into(), (weights.shape.clone(), bytes.collect()));
        }
    }
    assert!(all.contains_key("visual.attn_pool.attn.in_proj_weight"));
    write(&folder, &all);
    let mut config = folder.1.clone();
    config["model_cfg"]["embed_dim"] = json!(width);
    config["model_cfg"]["vision_cfg"]["attn_pooler_heads"] = json!(4);
    folder.write_config(&config);
    let found = Embedder::load(folder.path()).unwrap().encode_images(&images()).unwrap();
    assert_close(
        "joined",
        &found.concat(),
        &golden.tensor("joined_images").values,
        TOLERANCE,
    );
}

#[test]
fn the_configuration_of_transformers_goes_first_where_it_has_weights() {
    let folder = Folder::coca();
    let config = |path: &Path| open_model(path).unwrap().config;
    let coca = config(folder.path());
    assert!(coca.name.starts_with("coca-"));
    // As hubs hold both: the one without weights is passed over.
    fs_err::copy(fixture("clip/hf/config.json"), folder.path().join("config.json")).unwrap();
    assert_eq!(config(folder.path()), coca);
    fs_err::copy(
        fixture("clip/hf/model.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .unwrap();
    assert_eq!(config(folder.path()), config(&fixture("clip/hf")));

    let empty = Folder::new("coca/coca");
    let error = open_model(empty.path()).unwrap_err().to_string();
    assert!(error.contains("neither `open_clip_model.safetensors`"), "{error}");
}
