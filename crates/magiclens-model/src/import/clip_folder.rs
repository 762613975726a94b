//! A folder of Hugging Face `transformers`: CLIP's sizes in `config.json`, and the weights in one file or several.
//!
//! Source: transformers `models/clip/configuration_clip.py`, `image_processing_clip.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::arrays::read_arrays;
use super::clip_table::model_config;
use super::error::{ClipError, ImportError};
use super::folder_json::{CONFIG, read_json, read_over, unknown};
use super::hf_preprocess::clip_preprocess;
use super::torch::Within;
use crate::ModelError;
use crate::array::NamedArrays;
use crate::config::ModelConfig;
use crate::towers::clip_block::CLIP_NORM_EPS;
use crate::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig};

/// `config.json` of transformers.
#[derive(Deserialize)]
struct HfConfig {
    model_type: String,
    projection_dim: usize,
    text_config: HfTower,
    vision_config: HfTower,
}

/// A tower's part of `config.json`, of CLIP or SigLIP; sizes of the other tower are 0.
#[derive(Deserialize)]
pub(super) struct HfTower {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) hidden_act: String,
    pub(super) layer_norm_eps: f64,
    #[serde(default)]
    pub(super) vocab_size: usize,
    #[serde(default)]
    pub(super) max_position_embeddings: usize,
    #[serde(default)]
    pub(super) image_size: usize,
    #[serde(default)]
    pub(super) patch_size: usize,
    /// SigLIP's text tower alone may project to another width.
    pub(super) projection_size: Option<usize>,
    /// SigLIP's image tower may come without its pooling.
    pub(super) vision_use_head: Option<bool>,
}

/// The values of transformers for what `config.json` leaves out.
const DEFAULTS: &str = r#"{
    "model_type": "",
    "projection_dim": 512,
    "text_config": {
        "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "vocab_size": 49408, "max_position_embeddings": 77
    },
    "vision_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "image_size": 224, "patch_size": 32
    }
}"#;

const INDEX: &str = "model.safetensors.index.json";

impl HfConfig {
    /// The model of these sizes.
    fn to_model(&self) -> Result<ModelConfig, ClipError> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        if self.model_type != "clip" {
            return Err(unknown(CONFIG, "model_type", &self.model_type, &"\"clip\""));
        }
        for eps in [text.layer_norm_eps, vision.layer_norm_eps] {
            if eps != CLIP_NORM_EPS {
                return Err(unknown(CONFIG, "layer_norm_eps", &eps, &CLIP_NORM_EPS));
            }
        }
        Ok(model_config(
            self.projection_dim,
            ClipVitConfig {
                width: vision.hidden_size,
                layers: vision.num_hidden_layers,
                heads: vision.num_attention_heads,
                patch_px: vision.patch_size,
                image_px: vision.image_size,
                feed_forward: Some(vision.intermediate_size),
                activation: activation(&vision.hidden_act)?,
            },
            ClipTextConfig {
                width: text.hidden_size,
                layers: text.num_hidden_layers,
                heads: text.num_attention_heads,
                vocabulary: text.vocab_size,
                context_length: text.max_position_embeddings,
                feed_forward: Some(text.intermediate_size),
                activation: activation(&text.hidden_act)?,
                mask: ClipTextMask::Causal,
            },
        ))
    }
}

fn activation(name: &str) -> Result<ClipActivation, ClipError> {
    match name {
        "quick_gelu" => Ok(ClipActivation::QuickGelu),
        "gelu" => Ok(ClipActivation::Gelu),
        _ => Err(unknown(CONFIG, "hidden_act", &name, &"\"quick_gelu\" or \"gelu\"")),
    }
}

/// The configuration that a folder tells.
pub(super) fn folder_config(folder: &Path) -> Result<ModelConfig, ImportError> {
    let config: HfConfig = read_over(folder, CONFIG, DEFAULTS)?;
    let size_px = u32::try_from(config.vision_config.image_size).unwrap_or(u32::MAX);
    Ok(ModelConfig {
        preprocess: clip_preprocess(folder, size_px)?,
        ..config.to_model().map_err(ImportError::at(folder))?
    })
}

/// The list of the files that large weights are divided into.
#[derive(Deserialize)]
struct HfIndex {
    weight_map: BTreeMap<String, String>,
}

/// Weights in one file.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// True for a folder with weights under the names of transformers.
pub(super) fn has_weights(folder: &Path) -> bool {
    let mut files = WEIGHTS.into_iter().chain([INDEX]);
    files.any(|file| folder.join(file).exists())
}

/// The tensors of `model.safetensors`, `pytorch_model.bin`, or of the files that the index names.
pub(super) fn folder_arrays(folder: &Path) -> Result<NamedArrays, ModelError> {
    for file in WEIGHTS {
        let path = folder.join(file);
        if path.exists() {
            return read_arrays(&path, Within::Root);
        }
    }
    if !folder.join(INDEX).exists() {
        return Err(ImportError::at(folder)(ClipError::NoWeights).into());
    }
    let index: HfIndex = read_json(folder, INDEX)?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let mut arrays = NamedArrays::new();
    for file in files {
        // Only the file name counts: an index cannot name files elsewhere.
        let name = Path::new(&file).file_name().unwrap_or_default();
        arrays.extend(read_arrays(&folder.join(name), Within::Root)?);
    }
    Ok(arrays)
}
