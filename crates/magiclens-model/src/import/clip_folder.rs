//! A folder of Hugging Face `transformers`: CLIP's sizes in `config.json`, and the weights in one file or several.
//!
//! Source: transformers `models/clip/configuration_clip.py`, `image_processing_clip.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::clip::{ClipError, file_arrays, model_config};
use super::torch::Within;
use super::{Array, ImportError};
use crate::ModelError;
use crate::config::ModelConfig;
use crate::preprocess::{CLIP_MEAN, CLIP_STD};
use crate::towers::clip_block::CLIP_NORM_EPS;
use crate::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig};

/// `config.json`; what is left out has transformers' defaults.
#[derive(Deserialize)]
pub(super) struct HfConfig {
    model_type: String,
    #[serde(default = "default_dim")]
    projection_dim: usize,
    #[serde(default)]
    text_config: HfText,
    #[serde(default)]
    vision_config: HfVision,
}

fn default_dim() -> usize {
    512
}

#[derive(Deserialize)]
#[serde(default)]
struct HfText {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for HfText {
    fn default() -> Self {
        Self {
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            vocab_size: 49408,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: CLIP_NORM_EPS,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct HfVision {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for HfVision {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: CLIP_NORM_EPS,
        }
    }
}

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const INDEX: &str = "model.safetensors.index.json";

impl HfConfig {
    /// The model of these sizes.
    pub(super) fn to_model(&self) -> Result<ModelConfig, ClipError> {
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

fn unknown(
    file: &'static str,
    field: &'static str,
    found: &impl std::fmt::Debug,
    expected: &impl std::fmt::Display,
) -> ClipError {
    ClipError::Unknown {
        file,
        field,
        found: format!("{found:?}"),
        expected: expected.to_string(),
    }
}

/// The sizes in `config.json`.
pub(super) fn folder_config(folder: &Path) -> Result<HfConfig, ImportError> {
    read_json(folder, CONFIG)
}

fn read_json<T: serde::de::DeserializeOwned>(folder: &Path, file: &'static str) -> Result<T, ImportError> {
    let text = fs_err::read_to_string(folder.join(file))?;
    serde_json::from_str(&text).map_err(|error| ImportError::Clip {
        path: folder.into(),
        reason: ClipError::BadJson {
            file,
            reason: error.to_string(),
        },
    })
}

/// `preprocessor_config.json`, as far as it could ask for something else than `PreprocessConfig::Clip` does.
#[derive(Deserialize)]
struct HfPreprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    /// Pillow's number of a filter.
    resample: Option<u32>,
}

/// Refuses a `preprocessor_config.json` that asks for something else than we do.
pub(super) fn check_preprocessor(folder: &Path) -> Result<(), ImportError> {
    const BICUBIC: u32 = 3;
    if !folder.join(PREPROCESSOR).exists() {
        return Ok(());
    }
    let found: HfPreprocessor = read_json(folder, PREPROCESSOR)?;
    let problem = match found {
        HfPreprocessor {
            image_mean: Some(mean), ..
        } if mean != CLIP_MEAN => unknown(PREPROCESSOR, "image_mean", &mean, &format!("{CLIP_MEAN:?}")),
        HfPreprocessor {
            image_std: Some(std), ..
        } if std != CLIP_STD => unknown(PREPROCESSOR, "image_std", &std, &format!("{CLIP_STD:?}")),
        HfPreprocessor {
            resample: Some(filter), ..
        } if filter != BICUBIC => unknown(PREPROCESSOR, "resample", &filter, &format!("{BICUBIC}, bicubic")),
        _ => return Ok(()),
    };
    Err(ImportError::Clip {
        path: folder.into(),
        reason: problem,
    })
}

/// The list of the files that large weights are divided into.
#[derive(Deserialize)]
struct HfIndex {
    weight_map: BTreeMap<String, String>,
}

/// The tensors of `model.safetensors`, `pytorch_model.bin`, or of the files that the index names.
pub(super) fn folder_arrays(folder: &Path) -> Result<BTreeMap<String, Array>, ModelError> {
    for file in ["model.safetensors", "pytorch_model.bin"] {
        let path = folder.join(file);
        if path.exists() {
            return file_arrays(&path, Within::Root);
        }
    }
    if !folder.join(INDEX).exists() {
        return Err(ImportError::Clip {
            path: folder.into(),
            reason: ClipError::NoWeights,
        }
        .into());
    }
    let index: HfIndex = read_json(folder, INDEX)?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let mut arrays = BTreeMap::new();
    for file in files {
        // Only the file name counts: an index cannot name files elsewhere.
        let name = Path::new(&file).file_name().unwrap_or_default();
        arrays.extend(file_arrays(&folder.join(name), Within::Root)?);
    }
    Ok(arrays)
}
