//! SigLIP and SigLIP2 of one resolution, from a folder of Hugging Face `transformers`.
//!
//! Source: transformers `models/siglip/configuration_siglip.py`, `modeling_siglip.py`, `image_processing_pil_siglip.py`.

use std::path::Path;

use serde::Deserialize;

use super::clip::BUFFERS;
use super::clip_folder::{HfTower, folder_arrays};
use super::clip_state::split_attention;
use super::clip_table::{TRANSFORMERS, attention, block, feed_forward};
use super::error::{ClipError, ImportError};
use super::folder_json::{CONFIG, read_over, unknown};
use super::hf_preprocess::siglip_preprocess;
use super::places::{Change, Table};
use crate::ModelError;
use crate::array::NamedWeights;
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::towers::siglip_vit::SIGLIP_NORM_EPS;
use crate::towers::{SiglipTextConfig, SiglipVitConfig, TextConfig, VisionConfig};

pub(crate) use super::clip_state::PARTS;

/// The attention of the pooling, whose queries, keys and values lie in one tensor.
pub(crate) const POOLING_ATTENTION: &str = "vision_model.head.attention";

/// The `model_type` of folders that [`read_siglip`] reads.
pub(super) const MODEL_TYPE: &str = "siglip";

/// `config.json` of transformers.
#[derive(Deserialize)]
struct HfConfig {
    text_config: HfTower,
    vision_config: HfTower,
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
    let width = towers.vision.width;
    for (kind, shape) in [("weight", &[3 * width, width][..]), ("bias", &[3 * width])] {
        split_attention(&mut arrays, POOLING_ATTENTION, kind, shape, &config.name)?;
    }
    let table = table(&towers.vision, &towers.text, towers.dim);
    let tensors = table.convert(arrays, &config.name)?;
    Ok((config, tensors))
}

/// The sizes of both towers.
struct Towers {
    vision: SiglipVitConfig,
    text: SiglipTextConfig,
    dim: usize,
}

fn folder_towers(folder: &Path) -> Result<Towers, ImportError> {
    let config: HfConfig = read_over(folder, CONFIG, DEFAULTS)?;
    config.towers().map_err(ImportError::at(folder))
}

impl HfConfig {
    fn towers(&self) -> Result<Towers, ClipError> {
        let (vision, text) = (&self.vision_config, &self.text_config);
        check(vision)?;
        check(text)?;
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

/// Refuses what our towers do not compute.
fn check(tower: &HfTower) -> Result<(), ClipError> {
    const ACTIVATION: &str = "gelu_pytorch_tanh";
    if tower.hidden_act != ACTIVATION {
        let expected = format!("{ACTIVATION:?}");
        return Err(unknown(CONFIG, "hidden_act", &tower.hidden_act, &expected));
    }
    if tower.layer_norm_eps != SIGLIP_NORM_EPS {
        let expected = format!("{SIGLIP_NORM_EPS:e}");
        return Err(unknown(CONFIG, "layer_norm_eps", &tower.layer_norm_eps, &expected));
    }
    match tower.vision_use_head {
        Some(false) => Err(unknown(CONFIG, "vision_use_head", &false, &true)),
        _ => Ok(()),
    }
}

impl Towers {
    fn to_model(&self, folder: &Path) -> Result<ModelConfig, ImportError> {
        let (vision, text) = (&self.vision, &self.text);
        let size_px = u32::try_from(vision.image_px).unwrap_or(u32::MAX);
        Ok(ModelConfig {
            name: format!("siglip-{}-{}-{}", vision.width, vision.patch_px, vision.image_px),
            dim: self.dim,
            preprocess: siglip_preprocess(folder, size_px)?,
            vision: VisionConfig::SiglipVit(vision.clone()),
            text: TextConfig::SiglipText(text.clone()),
            fusion: FusionConfig::Sum,
        })
    }
}

/// Every tensor of both towers, with the attention of the pooling parted.
pub(crate) fn table(vision: &SiglipVitConfig, text: &SiglipTextConfig, dim: usize) -> Table {
    let mut table = Table::new('.');
    table.add("logit_scale", &[1], "logit_scale", Change::Same);
    table.add("logit_bias", &[1], "logit_bias", Change::Same);
    table.within("vision_model", "vision", |table| vision_places(table, vision));
    table.within("text_model", "text", |table| text_places(table, text, dim));
    table
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
    let fill = |table: &mut Table| block(table, &TRANSFORMERS, width, inner);
    table.each(vision.layers, "encoder.layers.", "blocks.", fill);
    table.torch_norm("post_layernorm", width, "post_norm");
    table.within("head", "pooling", |table| {
        table.add("probe", &[1, 1, width], "probe", Change::JoinLeading);
        attention(table, "attention", [width, width]);
        table.torch_norm("layernorm", width, "norm");
        feed_forward(table, &TRANSFORMERS, width, inner);
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
    let fill = |table: &mut Table| block(table, &TRANSFORMERS, width, text.feed_forward);
    table.each(text.layers, "encoder.layers.", "blocks.", fill);
    table.torch_norm("final_layer_norm", width, "final_norm");
    table.torch_linear("head", [width, dim], "projection");
}
