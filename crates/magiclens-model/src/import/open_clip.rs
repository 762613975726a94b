//! A folder of open_clip, as its `push_to_hf_hub` makes them: CLIP and CoCa with vision transformers. CoCa's caption decoder
//! is skipped; all other tensors are needed.
//!
//! Source: open_clip `factory.py`, `load_checkpoint`; `push_to_hf_hub.py`; `transformer.py`.

use std::path::{Path, PathBuf};

use super::arrays::read_arrays;
use super::clip::BUFFERS;
use super::clip_state::{PARTS, split_attention, split_packed};
use super::clip_table::{OPENAI, pooler, table, towers};
use super::error::{ClipError, ImportError};
use super::open_clip_config::{CONFIG, OpenClipModel, open_clip_config};
use super::places::{take, without_prefix};
use super::torch::Within;
use crate::ModelError;
use crate::array::{NamedArrays, NamedWeights};
use crate::config::ModelConfig;
use crate::towers::CocaPoolerConfig;

/// The names of the weights, in the order of preference.
const WEIGHTS: [&str; 3] = [
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
];
/// Prefix of the text tower, where it is a module of its own.
const TEXT: &str = "text.";
/// Prefix of CoCa's caption decoder.
const DECODER: &str = "text_decoder.";
/// CoCa's attentional pooling.
const POOLER: &str = "visual.attn_pool";
/// The attention of it.
const ATTENTION: &str = "visual.attn_pool.attn";
/// True for a folder with a configuration of open_clip.
pub(super) fn is_open_clip(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Reads CLIP or CoCa from a folder of open_clip: `open_clip_config.json`, and `open_clip_model.safetensors` or
/// `open_clip_pytorch_model.bin`.
///
/// # Errors
/// A file that is missing or cannot be read; a field that asks for something else than our towers have; a tensor that is
/// missing, extra, misshapen or no float.
pub fn read_open_clip(folder: &Path) -> Result<(ModelConfig, NamedWeights), ModelError> {
    let OpenClipModel {
        config,
        queries,
        decoder,
    } = open_clip_config(folder)?;
    config.check()?;
    let arrays = without_prefix(read_arrays(&weights(folder)?, Within::KeyOrRoot("state_dict"))?);
    let mut arrays = without_text_prefix(arrays);
    arrays.retain(|name, _| {
        let is_skipped = BUFFERS.contains(&name.as_str()) || (decoder && name.starts_with(DECODER));
        !is_skipped
    });
    let arrays = split_pooler(split_packed(arrays, &config)?, &config, queries)?;
    let tensors = table(&config, &OPENAI).convert(arrays, &config.name)?;
    Ok((config, tensors))
}

fn weights(folder: &Path) -> Result<PathBuf, ImportError> {
    let mut paths = WEIGHTS.iter().map(|name| folder.join(name));
    let found = paths.find(|path| path.is_file());
    found.ok_or_else(|| ImportError::at(folder)(ClipError::NoOpenClipWeights))
}

/// Text towers come as modules of their own or spread over the model, with the same names below.
fn without_text_prefix(arrays: NamedArrays) -> NamedArrays {
    let short = |name: String| name.strip_prefix(TEXT).map(str::to_owned).unwrap_or(name);
    arrays.into_iter().map(|(name, array)| (short(name), array)).collect()
}

/// Gives the queries, keys and values of the attentional pooling names of their own, and keeps the first of its queries.
fn split_pooler(mut arrays: NamedArrays, config: &ModelConfig, queries: usize) -> Result<NamedArrays, ModelError> {
    let Some(CocaPoolerConfig { width, .. }) = pooler(config) else {
        return Ok(arrays);
    };
    let (vision, _) = towers(config);
    let query = format!("{POOLER}.query");
    let all = take(&mut arrays, &query, &[queries, width], &config.name)?;
    arrays.extend(all.split_rows(queries.max(1)).next().map(|first| (query, first)));
    split_attention(&mut arrays, ATTENTION, "bias", &[3 * width], &config.name)?;
    if vision.width == width {
        // torch joins the three where they have one shape.
        split_attention(&mut arrays, ATTENTION, "weight", &[3 * width, width], &config.name)?;
        return Ok(arrays);
    }
    for part in PARTS {
        let name = format!("{ATTENTION}.{part}_proj_weight");
        let array = arrays.remove(&name);
        let array = array.ok_or_else(|| ModelError::missing(&name, 1, &config.name))?;
        arrays.insert(format!("{ATTENTION}.{part}_proj.weight"), array);
    }
    Ok(arrays)
}
