//! Towers of CLIP and SigLIP as a folder that transformers opens: the reverse of [`crate::import::open`].

use std::path::Path;

use fs_err as fs;
use magiclens_data::files::write_atomic_bytes;
use serde_json::{Value, json};

use crate::ModelError;
use crate::array::{NamedWeights, Weights};
use crate::checkpoint::{Checkpoint, StoredFloat};
use crate::import::clip_table::{TRANSFORMERS, table};
use crate::import::siglip;
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PillowFilter, PreprocessConfig};
use crate::tensors_file::write_tensors;
use crate::towers::clip_block::CLIP_NORM_EPS;
use crate::towers::siglip_vit::SIGLIP_NORM_EPS;
use crate::towers::{
    ClipActivation, ClipTextConfig, ClipVitConfig, SiglipTextConfig, SiglipVitConfig, TextConfig, VisionConfig,
};

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

/// Writes a `CLIPModel` or `SiglipModel` of transformers: `config.json`, `model.safetensors`, and preprocessing and tokenizer
/// where they are those of such a model. sentence-transformers opens the folder of a CLIP, too. `source` is the folder of the
/// model. Importing the folder gives the same numbers, exactly in f32.
///
/// # Errors
/// Towers other than these, or files that cannot be written.
pub fn export_towers(
    checkpoint: &Checkpoint,
    source: &Path,
    folder: &Path,
    stored: StoredFloat,
) -> Result<NotExported, ModelError> {
    let Foreign {
        tensors,
        fusion_tensors,
        mut config,
        preprocessor,
        is_clip,
    } = Foreign::of(checkpoint)?;
    config["dtype"] = match stored {
        StoredFloat::F32 => "float32".into(),
        StoredFloat::F16 => "float16".into(),
    };
    fs::create_dir_all(folder)?;
    let path = folder.join("model.safetensors");
    write_tensors(&path, &tensors, stored, Some(("format", "pt".to_owned())))?;
    write_json(folder, "config.json", &config)?;
    if let Some(preprocessor) = &preprocessor {
        write_json(folder, "preprocessor_config.json", preprocessor)?;
    }
    if is_clip {
        write_json(folder, "modules.json", &sentence_transformers_modules())?;
    }
    Ok(NotExported {
        fusion_tensors,
        preprocessing: preprocessor.is_none(),
        tokenizer: !copy_tokenizer(source, folder)?,
    })
}

/// A model as transformers has it.
struct Foreign {
    tensors: NamedWeights,
    /// Number of our tensors that are not among them.
    fusion_tensors: usize,
    /// `config.json`
    config: Value,
    /// `preprocessor_config.json`, where the preprocessing is one of transformers'.
    preprocessor: Option<Value>,
    is_clip: bool,
}

impl Foreign {
    fn of(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = &checkpoint.config;
        match (&config.vision, &config.text) {
            (VisionConfig::ClipVit(vision), TextConfig::ClipText(text)) => {
                let (tensors, fusion_tensors) =
                    table(config, &TRANSFORMERS).revert(&checkpoint.tensors, &config.name)?;
                Ok(Self {
                    tensors,
                    fusion_tensors,
                    config: clip_config(config.dim, vision, text),
                    preprocessor: clip_preprocessor(&config.preprocess),
                    is_clip: true,
                })
            }
            (VisionConfig::SiglipVit(vision), TextConfig::SiglipText(text)) => {
                let table = siglip::table(vision, text, config.dim);
                let (mut tensors, fusion_tensors) = table.revert(&checkpoint.tensors, &config.name)?;
                join_attention(&mut tensors, siglip::POOLING_ATTENTION);
                Ok(Self {
                    tensors,
                    fusion_tensors,
                    config: siglip_config(config.dim, vision, text),
                    preprocessor: siglip_preprocessor(&config.preprocess),
                    is_clip: false,
                })
            }
            _ => Err(ModelError::NotExportable {
                name: config.name.clone(),
            }),
        }
    }
}

/// Puts queries, keys and values of an attention into one tensor, as torch has them.
fn join_attention(tensors: &mut NamedWeights, attention: &str) {
    for kind in ["weight", "bias"] {
        let parts = siglip::PARTS.map(|part| tensors.remove(&format!("{attention}.{part}_proj.{kind}")));
        let parts: Vec<Weights> = parts.into_iter().flatten().collect();
        let mut shape = parts[0].shape.clone();
        shape[0] *= parts.len();
        let values = parts.into_iter().flat_map(|part| part.values).collect();
        tensors.insert(format!("{attention}.in_proj_{kind}"), Weights { shape, values });
    }
}

/// Source: sentence-transformers `models/CLIPModel.py`, which lies in the folder itself here.
fn sentence_transformers_modules() -> Value {
    json!([{ "idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.CLIPModel" }])
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
fn clip_config(dim: usize, vision: &ClipVitConfig, text: &ClipTextConfig) -> Value {
    json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": dim,
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

/// Source: transformers `models/siglip/configuration_siglip.py`.
fn siglip_config(dim: usize, vision: &SiglipVitConfig, text: &SiglipTextConfig) -> Value {
    let activation = activation(ClipActivation::GeluTanh);
    json!({
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.feed_forward,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_px,
            "patch_size": vision.patch_px,
            "hidden_act": activation,
            "layer_norm_eps": SIGLIP_NORM_EPS,
        },
        "text_config": {
            "model_type": "siglip_text_model",
            "hidden_size": text.width,
            "intermediate_size": text.feed_forward,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context_length,
            "projection_size": dim,
            "hidden_act": activation,
            "layer_norm_eps": SIGLIP_NORM_EPS,
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
fn clip_preprocessor(config: &PreprocessConfig) -> Option<Value> {
    let PreprocessConfig::Clip { size_px } = config else {
        return None;
    };
    Some(json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": size_px },
        "resample": pillow_number(PillowFilter::Bicubic),
        "do_center_crop": true,
        "crop_size": { "height": size_px, "width": size_px },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    }))
}

/// Source: transformers `models/siglip/image_processing_siglip.py`.
fn siglip_preprocessor(config: &PreprocessConfig) -> Option<Value> {
    let PreprocessConfig::PillowSquash {
        size_px,
        filter,
        mean,
        std,
    } = config
    else {
        return None;
    };
    Some(json!({
        "image_processor_type": "SiglipImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "height": size_px, "width": size_px },
        "resample": pillow_number(*filter),
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": mean.map(|value| value / 255.0),
        "image_std": std.map(|value| value / 255.0),
    }))
}

/// Pillow's number of a filter.
fn pillow_number(filter: PillowFilter) -> u32 {
    match filter {
        PillowFilter::Bilinear => 2,
        PillowFilter::Bicubic => 3,
    }
}
