//! CLIP's weights as others publish them: a folder of Hugging Face `transformers`, or a state dictionary in the names of
//! OpenAI and open_clip. Vision transformers only.
//!
//! Source: transformers `models/clip/modeling_clip.py`, `configuration_clip.py`; openai/CLIP `clip/model.py`, `build_model`;
//! open_clip `model.py`, `build_vision_tower`, and its `model_configs`.

use std::path::Path;

use super::arrays::read_arrays;
use super::clip_folder::{folder_arrays, folder_config};
use super::clip_state::{RawClip, split_packed, state_config};
use super::clip_table::{OPENAI, TRANSFORMERS, table};
use super::places::without_prefix;
use super::torch::Within;
use crate::ModelError;
use crate::array::NamedWeights;
use crate::config::ModelConfig;

/// Tensors that are no weights: positions counted up, the causal mask, and the sizes in OpenAI's own files.
pub(super) const BUFFERS: [&str; 6] = [
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
    "attn_mask",
    "input_resolution",
    "context_length",
    "vocab_size",
];

/// Reads CLIP from a folder of transformers, or from a state dictionary (safetensors or torch) in OpenAI's names.
///
/// # Errors
/// A file that cannot be read; sizes that are not known; a tensor that is missing, extra, misshapen or no float.
pub fn read_clip(path: &Path, raw: &RawClip) -> Result<(ModelConfig, NamedWeights), ModelError> {
    let (config, names, mut arrays) = if path.is_dir() {
        (folder_config(path)?, &TRANSFORMERS, folder_arrays(path)?)
    } else {
        let arrays = without_prefix(read_arrays(path, Within::KeyOrRoot("state_dict"))?);
        let config = state_config(&arrays, raw, path)?;
        config.check()?;
        let arrays = split_packed(arrays, &config)?;
        (config, &OPENAI, arrays)
    };
    config.check()?;
    arrays.retain(|name, _| !BUFFERS.contains(&name.as_str()));
    let tensors = table(&config, names).convert(arrays, &config.name)?;
    Ok((config, tensors))
}
