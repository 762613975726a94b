//! A model from where it lies: a checkpoint of ours, a folder of transformers or open_clip, or an official pickle. Nothing is written.

use std::path::Path;

use fs_err::File;
use magiclens_data::DigestBuilder;

use super::clip::read_clip;
use super::clip_folder::has_weights;
use super::clip_state::RawClip;
use super::error::{ClipError, ImportError};
use super::folder_json::{CONFIG, read_json};
use super::official::read_base_or_large;
use super::open_clip::{is_open_clip, read_open_clip};
use super::siglip::{MODEL_TYPE, read_siglip};
use crate::ModelError;
use crate::array::NamedWeights;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;

/// The first byte of every pickle since protocol 2.
const PICKLE: u8 = 0x80;

/// The folder that holds the files beside a model's weights, such as its tokenizer.
pub fn folder_of(model: &Path) -> &Path {
    match model.is_dir() {
        true => model,
        false => model.parent().unwrap_or(Path::new("")),
    }
}

/// Reads a model of any layout that says itself what it is.
///
/// # Errors
/// A file or folder that is missing or no such model.
pub fn open_model(path: &Path) -> Result<Checkpoint, ModelError> {
    if path.is_dir() {
        let (config, tensors) = open_folder(path)?;
        return Ok(identified(config, tensors));
    }
    match starts_as_pickle(path)? {
        true => read_base_or_large(path).map(|(config, tensors)| identified(config, tensors)),
        false => Checkpoint::read(path),
    }
}

fn open_folder(folder: &Path) -> Result<(ModelConfig, NamedWeights), ModelError> {
    let transformers = folder.join(CONFIG).is_file();
    if is_open_clip(folder) && !(transformers && has_weights(folder)) {
        return read_open_clip(folder);
    }
    if !transformers {
        return Err(ImportError::at(folder)(ClipError::NoFolder).into());
    }
    let config: serde_json::Value = read_json(folder, CONFIG)?;
    match config["model_type"].as_str() {
        Some(MODEL_TYPE) => read_siglip(folder),
        Some("siglip2") => Err(ImportError::at(folder)(ClipError::NaFlex).into()),
        _ => read_clip(folder, &RawClip::default()),
    }
}

fn starts_as_pickle(path: &Path) -> Result<bool, ModelError> {
    let mut first = [0];
    let read = std::io::Read::read(&mut File::open(path)?, &mut first)?;
    // The eighth byte of a safetensors file is 0, and its first one may be anything.
    let named = path.extension().is_some_and(|ending| ending == "pkl");
    Ok(named && read == 1 && first[0] == PICKLE)
}

/// The checkpoint with a digest over all that decides its embeddings, in whatever file it came.
fn identified(config: ModelConfig, tensors: NamedWeights) -> Checkpoint {
    let mut digest = DigestBuilder::new();
    digest.update(serde_json::to_vec(&config).expect("plain structs of strings and numbers always serialize"));
    for (name, weights) in &tensors {
        digest.update(format!("\0{name}{:?}", weights.shape));
        for values in weights.values.chunks(1 << 14) {
            digest.update(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        }
    }
    Checkpoint::new(config, tensors, &digest.finish())
}
