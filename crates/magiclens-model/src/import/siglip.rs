//! SigLIP and SigLIP2 of one resolution, from a folder of Hugging Face `transformers`.
//!
//! Source: transformers `models/siglip/configuration_siglip.py`, `modeling_siglip.py`, `image_processing_pil_siglip.py`.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::clip_folder::{CONFIG, bad_json, folder_arrays, merge, read_json, unknown};
use super::error::{ClipError, ImportError};
use super::places::{Change, Table, take};
use super::siglip_image::read_preprocess;
use crate::ModelError;
use crate::array::{NamedArrays, NamedWeights};
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::towers::siglip_vit::SIGLIP_NORM_EPS;
use crate::towers::{SiglipTextConfig, SiglipVitConfig, TextConfig, VisionConfig};

/// The `model_type` of folders that [`read_siglip`] reads.
pub(super) const MODEL_TYPE: &str = "siglip";

/// `config.json` of transformers.
#[derive(Deserialize)]
struct HfConfig {
    text_config: HfTower,
    vision_config: HfTower,
}

/// A tower's part of `config.json`; sizes of the other tower are 0.
#[derive(Deserialize)]
struct HfTower {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    #[serde(default)]
    vocab_size: usize,
    #[serde(default)]
    max_position_embeddings: usize,
    projection_size: Option<usize>,
    #[serde(default)]
    image_size: usize,
    #[serde(default)]
    patch_size: usize,
    vision_use_head: Option<bool>,
}

/// The values of transformers for what `config.json` leaves out.
const DEFAULTS: &str = r#"{
    "text_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "vocab_size": 32000, "max_position_embeddings": 64
    },
    "vision_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "image_size": 224, "patch_size": 16
    }
}"#;

/// Tensors that are no weights: positions counted up.
const BUFFERS: [&str; 2] = [
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
];

/// Reads a folder of transformers with the `model_type` `siglip`.
///
/// # Errors
/// A file that cannot be read; sizes that are not known; a tensor that is missing, extra, misshapen or no float.
pub fn read_siglip(folder: &Path) -> Result<(ModelConfig, NamedWeights), ModelError> {
    let towers = folder_towers(folder)?;
    let config = towers.to_model(folder)?;
    config.check()?;
    let mut arrays = folder_arrays(folder)?;
    arrays.retain(|name, _| !BUFFERS.contains(&name.as_str()));
    let arrays = split_probe(arrays, &towers.vision, &config.name)?;
    let tensors = towers.table().convert(arrays, &config.name)?;
    Ok((config, tensors))
}

/// The sizes of both towers.
struct Towers {
    vision: SiglipVitConfig,
    text: SiglipTextConfig,
    dim: usize,
}

fn folder_towers(folder: &Path) -> Result<Towers, ImportError> {
    let mut values: Value = serde_json::from_str(DEFAULTS).expect("the defaults are JSON");
    merge(&mut values, read_json(folder, CONFIG)?);
    let config: HfConfig = serde_json::from_value(values).map_err(|error| bad_json(folder, CONFIG, &error))?;
    config.towers().map_err(ImportError::at(folder))
}

impl HfConfig {
    fn towers(&self) -> Result<Towers, ClipError> {
        let (vision, text) = (&self.vision_config, &self.text_config);
        vision.check()?;
        text.check()?;
        Ok(Towers {
            vision: SiglipVitConfig {
                width: vision.hidden_size,
                layers: vision.num_hidden_layers,
                heads: vision.num_attention_heads,
                feed_forward: vision.intermediate_size,
                patch_px: vision.patch_size,
                image_px: vision.image_size,
            },
            text: SiglipTextConfig {
                width: text.hidden_size,
                layers: text.num_hidden_layers,
                heads: text.num_attention_heads,
                feed_forward: text.intermediate_size,
                vocabulary: text.vocab_size,
                context_length: text.max_position_embeddings,
            },
            dim: text.projection_size.unwrap_or(text.hidden_size),
        })
    }
}

impl HfTower {
    /// Refuses what our towers do not compute.
    fn check(&self) -> Result<(), ClipError> {
        const ACTIVATION: &str = "gelu_pytorch_tanh";
        if self.hidden_act != ACTIVATION {
            return Err(unknown(
                CONFIG,
                "hidden_act",
                &self.hidden_act,
                &format!("{ACTIVATION:?}"),
            ));
        }
        if self.layer_norm_eps != SIGLIP_NORM_EPS {
            let found = self.layer_norm_eps;
            return Err(unknown(
                CONFIG,
                "layer_norm_eps",
                &found,
                &format!("{SIGLIP_NORM_EPS:e}"),
            ));
        }
        match self.vision_use_head {
            Some(false) => Err(unknown(CONFIG, "vision_use_head", &false, &true)),
            _ => Ok(()),
        }
    }
}

impl Towers {
    fn to_model(&self, folder: &Path) -> Result<ModelConfig, ImportError> {
        let (vision, text) = (&self.vision, &self.text);
        let size_px = u32::try_from(vision.image_px).unwrap_or(u32::MAX);
        Ok(ModelConfig {
            name: format!("siglip-{}-{}-{}", vision.width, vision.patch_px, vision.image_px),
            dim: self.dim,
            preprocess: read_preprocess(folder, size_px)?,
            vision: VisionConfig::SiglipVit(vision.clone()),
            text: TextConfig::SiglipText(text.clone()),
            fusion: FusionConfig::Sum,
        })
    }

    /// Every tensor.
    fn table(&self) -> Table {
        let mut table = Table::new('.');
        table.add("logit_scale", &[1], "logit_scale", Change::Same);
        table.add("logit_bias", &[1], "logit_bias", Change::Same);
        table.within("vision_model", "vision", |table| vision_places(table, &self.vision));
        table.within("text_model", "text", |table| text_places(table, &self.text, self.dim));
        table
    }
}

fn vision_places(table: &mut Table, vision: &SiglipVitConfig) {
    let (width, patch, inner) = (vision.width, vision.patch_px, vision.feed_forward);
    let (kernel, positions) = ([width, 3, patch, patch], [vision.tokens(), width]);
    table.within("embeddings", "", |table| {
        table.add(
            "patch_embedding.weight",
            &kernel,
            "patch_embedding.weight",
            Change::Patches,
        );
        table.add("patch_embedding.bias", &[width], "patch_embedding.bias", Change::Same);
        table.add(
            "position_embedding.weight",
            &positions,
            "position_embedding",
            Change::Same,
        );
    });
    let fill = |table: &mut Table| block(table, width, inner);
    table.each(vision.layers, "encoder.layers.", "blocks.", fill);
    table.torch_norm("post_layernorm", width, "post_norm");
    table.within("head", "pooling", |table| {
        table.add("probe", &[1, 1, width], "probe", Change::JoinLeading);
        attention(table, "attention", width);
        table.torch_norm("layernorm", width, "norm");
        feed_forward(table, width, inner);
    });
}

fn text_places(table: &mut Table, text: &SiglipTextConfig, dim: usize) {
    let width = text.width;
    let (tokens, positions) = ([text.vocabulary, width], [text.context_length, width]);
    table.within("embeddings", "", |table| {
        table.add(
            "token_embedding.weight",
            &tokens,
            "token_embedding.weight",
            Change::Same,
        );
        table.add(
            "position_embedding.weight",
            &positions,
            "position_embedding",
            Change::Same,
        );
    });
    let fill = |table: &mut Table| block(table, width, text.feed_forward);
    table.each(text.layers, "encoder.layers.", "blocks.", fill);
    table.torch_norm("final_layer_norm", width, "final_norm");
    table.torch_linear("head", [width, dim], "projection");
}

fn block(table: &mut Table, width: usize, inner: usize) {
    table.torch_norm("layer_norm1", width, "attention_norm");
    table.torch_norm("layer_norm2", width, "feed_forward_norm");
    attention(table, "self_attn", width);
    feed_forward(table, width, inner);
}

fn attention(table: &mut Table, theirs: &str, width: usize) {
    const PARTS: [(&str, &str); 4] = [
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "output"),
    ];
    table.within(theirs, "attention", |table| {
        for (theirs, ours) in PARTS {
            table.torch_linear(theirs, [width, width], ours);
        }
    });
}

fn feed_forward(table: &mut Table, width: usize, inner: usize) {
    table.torch_linear("mlp.fc1", [width, inner], "feed_forward_in");
    table.torch_linear("mlp.fc2", [inner, width], "feed_forward_out");
}

/// Queries, keys and values of the pooling lie in one tensor, one below the other; here each gets a name of its own.
fn split_probe(mut arrays: NamedArrays, vision: &SiglipVitConfig, model: &str) -> Result<NamedArrays, ModelError> {
    const ATTENTION: &str = "vision_model.head.attention";
    let width = vision.width;
    for (kind, shape) in [("weight", &[3 * width, width][..]), ("bias", &[3 * width])] {
        let packed = take(&mut arrays, &format!("{ATTENTION}.in_proj_{kind}"), shape, model)?;
        for (part, array) in ["q", "k", "v"].into_iter().zip(packed.split_rows(3)) {
            arrays.insert(format!("{ATTENTION}.{part}_proj.{kind}"), array);
        }
    }
    Ok(arrays)
}
