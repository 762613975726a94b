//! CLIP towers as a folder that transformers opens: the reverse of [`crate::import::clip`].

use std::path::Path;

use fs_err as fs;
use magiclens_data::files::write_atomic_bytes;
use serde_json::{Value, json};

use crate::ModelError;
use crate::checkpoint::{Checkpoint, Precision};
use crate::import::clip_table::{TRANSFORMERS, table};
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PreprocessConfig};
use crate::tensors_file::write_tensors;
use crate::towers::clip_block::CLIP_NORM_EPS;
use crate::towers::{ClipActivation, ClipTextConfig, ClipVitConfig, TextConfig, VisionConfig};

/// Files of a tokenizer that are copied where the model's folder has them.
const TOKENIZER: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

/// The parts of a model that a folder of transformers has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotExported {
    /// Tensors of the fusion.
    pub fusion_tensors: usize,
    /// The preprocessing is none of transformers'.
    pub preprocessing: bool,
    /// The model's folder has no tokenizer; it is that of any CLIP.
    pub tokenizer: bool,
}

/// Writes a `CLIPModel` of transformers: `config.json`, `model.safetensors`, and preprocessing and tokenizer where they are
/// those of CLIP. `source` is the folder of the model. Importing the folder gives the same numbers, exactly in f32.
///
/// # Errors
/// Towers other than CLIP's, or files that cannot be written.
pub fn export_clip(
    checkpoint: &Checkpoint,
    source: &Path,
    folder: &Path,
    precision: Precision,
) -> Result<NotExported, ModelError> {
    let config = &checkpoint.config;
    let (VisionConfig::ClipVit(vision), TextConfig::ClipText(text)) = (&config.vision, &config.text) else {
        return Err(ModelError::NotClip {
            name: config.name.clone(),
        });
    };
    fs::create_dir_all(folder)?;
    let (tensors, fusion_tensors) = table(config, &TRANSFORMERS).revert(&checkpoint.tensors, &config.name)?;
    let path = folder.join("model.safetensors");
    write_tensors(&path, &tensors, precision, Some(("format", "pt".to_owned())))?;
    write_json(folder, "config.json", &clip_config(config.dim, vision, text, precision))?;
    let mut missing = NotExported {
        fusion_tensors,
        ..NotExported::default()
    };
    match config.preprocess {
        PreprocessConfig::Clip { size_px } => write_json(folder, "preprocessor_config.json", &preprocessor(size_px))?,
        _ => missing.preprocessing = true,
    }
    missing.tokenizer = !copy_tokenizer(source, folder)?;
    Ok(missing)
}

fn copy_tokenizer(source: &Path, folder: &Path) -> Result<bool, ModelError> {
    for file in TOKENIZER {
        let path = source.join(file);
        if path.is_file() {
            fs::copy(path, folder.join(file))?;
        }
    }
    Ok(folder.join(TOKENIZER[0]).is_file())
}

fn write_json(folder: &Path, file: &str, value: &Value) -> Result<(), ModelError> {
    Ok(write_atomic_bytes(folder.join(file), format!("{value:#}\n"))?)
}

/// Source: transformers `models/clip/configuration_clip.py`.
fn clip_config(dim: usize, vision: &ClipVitConfig, text: &ClipTextConfig, precision: Precision) -> Value {
    let dtype = match precision {
        Precision::F32 => "float32",
        Precision::F16 => "float16",
    };
    json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": dim,
        "dtype": dtype,
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.feed_forward(),
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_px,
            "patch_size": vision.patch_px,
            "projection_dim": dim,
            "hidden_act": activation(vision.activation),
            "layer_norm_eps": CLIP_NORM_EPS,
        },
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_size": text.width,
            "intermediate_size": text.feed_forward(),
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context_length,
            "projection_dim": dim,
            "hidden_act": activation(text.activation),
            "layer_norm_eps": CLIP_NORM_EPS,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "pad_token_id": 49407,
        },
    })
}

fn activation(activation: ClipActivation) -> &'static str {
    match activation {
        ClipActivation::QuickGelu => "quick_gelu",
        ClipActivation::Gelu => "gelu",
        ClipActivation::GeluTanh => "gelu_pytorch_tanh",
    }
}

/// Source: transformers `models/clip/image_processing_clip.py`.
fn preprocessor(size_px: u32) -> Value {
    const BICUBIC: u32 = 3;
    json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": size_px },
        "resample": BICUBIC,
        "do_center_crop": true,
        "crop_size": { "height": size_px, "width": size_px },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    })
}
