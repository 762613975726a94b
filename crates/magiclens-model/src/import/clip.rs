//! CLIP's weights as others publish them: a folder of Hugging Face `transformers`, or a state dictionary in the names of
//! OpenAI and open_clip. Vision transformers only.
//!
//! Source: transformers `models/clip/modeling_clip.py`, `configuration_clip.py`; openai/CLIP `clip/model.py`, `build_model`;
//! open_clip `model.py`, `build_vision_tower`, and its `model_configs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use safetensors::SafeTensors;

use super::clip_folder::{check_preprocessor, folder_arrays, folder_config};
use super::clip_table::{OPENAI, TRANSFORMERS, table, towers};
use super::places::{self, without_prefix};
use super::torch::{Within, read_torch_bytes};
use super::{Array, Dtype, ImportError};
use crate::ModelError;
use crate::checkpoint::NamedWeights;
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::preprocess::PreprocessConfig;
use crate::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, TextConfig, VisionConfig};

/// What a state dictionary in OpenAI's names does not say of itself. A folder with a `config.json` needs none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawClip {
    /// OpenAI's weights were trained with QuickGELU, open_clip's with GELU but for those named `-quickgelu`.
    pub activation: Option<ClipActivation>,
    /// Heads of the image tower; the width over 64 where it is left out, for widths up to 1024.
    pub vision_heads: Option<usize>,
    /// Heads of the text tower; the width over 64 where it is left out.
    pub text_heads: Option<usize>,
}

/// Why a file or folder is no CLIP that we can build.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClipError {
    /// The image tower is a ResNet.
    #[error(
        "its image tower is a ResNet; only vision transformers are known\nhint: take a model with `ViT` in its name"
    )]
    ResNet,
    /// The names are those of transformers, but the sizes are not at hand.
    #[error("it has the names of Hugging Face transformers\nhint: name the folder that holds it and its `config.json`")]
    NeedsFolder,
    /// The folder lacks the weights.
    #[error("the folder holds neither `model.safetensors` nor `model.safetensors.index.json` nor `pytorch_model.bin`")]
    NoWeights,
    /// `config.json`, or the index of the weights, does not parse.
    #[error("`{file}`: {reason}")]
    BadJson {
        /// The file in the folder.
        file: &'static str,
        /// Where and why.
        reason: String,
    },
    /// A value of the configuration that our model does not have.
    #[error("`{file}` says `{field}` = {found}, but only {expected} is known")]
    Unknown {
        /// The file in the folder.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// The activation is not known.
    #[error(
        "a state dictionary does not say which activation it was trained with\nhint: add `--activation quick_gelu` for \
         OpenAI's weights and open_clip's `-quickgelu` models, `--activation gelu` for the others"
    )]
    NoActivation,
    /// The number of heads is not known.
    #[error(
        "a state dictionary does not say how many heads the {tower} tower has, and for the width {width} there is no \
         rule\nhint: add `--{tower}-heads N`; the image towers of open_clip's ViT-H, ViT-g and ViT-bigG have 16"
    )]
    NoHeads {
        /// `vision` or `text`.
        tower: &'static str,
        /// Width of its tokens.
        width: usize,
    },
    /// The positions of the image tower are those of no square.
    #[error("`visual.positional_embedding` has {0} rows, which is not one more than a square")]
    NoSquare(usize),
}

/// Reads CLIP from a folder of transformers, or from a state dictionary (safetensors or torch) in OpenAI's names.
///
/// # Errors
/// A file that cannot be read; sizes that are not known; a tensor that is missing, extra, misshapen or no float.
pub fn read_clip(path: &Path, raw: &RawClip) -> Result<(ModelConfig, NamedWeights), ModelError> {
    let at = |reason| ImportError::Clip {
        path: path.into(),
        reason,
    };
    let (config, names, arrays) = if path.is_dir() {
        let config = folder_config(path)?.to_model().map_err(at)?;
        check_preprocessor(path)?;
        (config, &TRANSFORMERS, folder_arrays(path)?)
    } else {
        let arrays = without_prefix(file_arrays(path, Within::KeyOrRoot("state_dict"))?);
        let config = raw_config(&arrays, raw, path)?;
        config.check()?;
        let arrays = split_packed(arrays, &config)?;
        (config, &OPENAI, arrays)
    };
    config.check()?;
    let arrays = arrays.into_iter().filter(|(name, _)| !is_buffer(name)).collect();
    let tensors = places::convert(arrays, table(&config, names), &config.name)?;
    Ok((config, tensors))
}

/// The sizes that the shapes tell, and the rest from `raw`.
fn raw_config(arrays: &BTreeMap<String, Array>, raw: &RawClip, path: &Path) -> Result<ModelConfig, ModelError> {
    let refuse = |reason| {
        let path = path.into();
        Err(ImportError::Clip { path, reason }.into())
    };
    if arrays.keys().any(|name| name.starts_with("visual.layer1.")) {
        return refuse(ClipError::ResNet);
    }
    if arrays
        .keys()
        .any(|name| name.starts_with("vision_model.") || name.starts_with("text_model."))
    {
        return refuse(ClipError::NeedsFolder);
    }
    let [width, _, patch_px, _] = shape(arrays, "visual.conv1.weight")?;
    let [positions, _] = shape(arrays, "visual.positional_embedding")?;
    let [_, dim] = shape(arrays, "visual.proj")?;
    let [vocabulary, text_width] = shape(arrays, "token_embedding.weight")?;
    let [context_length, _] = shape(arrays, "positional_embedding")?;
    let [feed_forward, _] = shape(arrays, "visual.transformer.resblocks.0.mlp.c_fc.weight")?;
    let [text_feed_forward, _] = shape(arrays, "transformer.resblocks.0.mlp.c_fc.weight")?;
    let side = positions.saturating_sub(1).isqrt();
    if side == 0 || side * side + 1 != positions {
        return refuse(ClipError::NoSquare(positions));
    }
    let Some(activation) = raw.activation else {
        return refuse(ClipError::NoActivation);
    };
    let heads = |given: Option<usize>, tower, width, largest| match given {
        Some(heads) => Ok(heads),
        None if width <= largest && width >= 64 && width % 64 == 0 => Ok(width / 64),
        None => Err(ImportError::Clip {
            path: path.into(),
            reason: ClipError::NoHeads { tower, width },
        }),
    };
    let vision = ClipVitConfig {
        width,
        layers: layers(arrays, "visual.transformer.resblocks."),
        // Wider towers of open_clip have heads of 80, 88 or 104 dimensions.
        heads: heads(raw.vision_heads, "vision", width, 1024)?,
        patch_px,
        image_px: side.saturating_mul(patch_px),
        feed_forward: Some(feed_forward),
        activation,
    };
    let text = ClipTextConfig {
        width: text_width,
        layers: layers(arrays, "transformer.resblocks."),
        heads: heads(raw.text_heads, "text", text_width, usize::MAX)?,
        vocabulary,
        context_length,
        feed_forward: Some(text_feed_forward),
        activation,
        mask: ClipTextMask::Causal,
    };
    Ok(model_config(dim, vision, text))
}

/// The shape of a tensor that decides sizes.
fn shape<const N: usize>(arrays: &BTreeMap<String, Array>, name: &str) -> Result<[usize; N], ModelError> {
    let array = arrays.get(name).ok_or_else(|| missing(name, "clip"))?;
    array.shape().try_into().map_err(|_| ModelError::WrongRank {
        name: name.into(),
        found: array.shape().to_vec(),
        axes: N,
    })
}

/// How many blocks have names that start with `prefix`.
fn layers(arrays: &BTreeMap<String, Array>, prefix: &str) -> usize {
    let blocks = arrays
        .keys()
        .filter_map(|name| name.strip_prefix(prefix)?.split('.').next());
    blocks.collect::<BTreeSet<_>>().len()
}

/// Queries, keys and values lie in one tensor, one below the other; here each gets a name of its own.
fn split_packed(
    mut arrays: BTreeMap<String, Array>,
    config: &ModelConfig,
) -> Result<BTreeMap<String, Array>, ModelError> {
    let (vision, text) = towers(config);
    let towers = [
        (OPENAI.vision_blocks, vision.layers, vision.width),
        (OPENAI.text_blocks, text.layers, text.width),
    ];
    for (blocks, layers, width) in towers {
        for layer in 0..layers {
            for (kind, expected) in [("weight", vec![3 * width, width]), ("bias", vec![3 * width])] {
                let attention = format!("{blocks}.{layer}.attn");
                let name = format!("{attention}.in_proj_{kind}");
                let array = arrays.remove(&name).ok_or_else(|| missing(&name, &config.name))?;
                let parts = array.split_rows(3).filter(|_| array.shape() == expected);
                let parts = parts.ok_or_else(|| ModelError::WrongShape {
                    name,
                    found: array.shape().to_vec(),
                    expected,
                    model: config.name.clone(),
                })?;
                for (part, array) in ["q", "k", "v"].into_iter().zip(parts) {
                    arrays.insert(format!("{attention}.{part}_proj.{kind}"), array);
                }
            }
        }
    }
    Ok(arrays)
}

fn missing(name: &str, model: &str) -> ModelError {
    ModelError::MissingTensor {
        name: name.into(),
        missing: 1,
        model: model.into(),
    }
}

/// CLIP with these towers.
pub(super) fn model_config(dim: usize, vision: ClipVitConfig, text: ClipTextConfig) -> ModelConfig {
    // The usual widths are left out, as in the configurations of the official sizes.
    let usual = |given: Option<usize>, width: usize| given.filter(|&inner| Some(inner) != width.checked_mul(4));
    let vision = ClipVitConfig {
        feed_forward: usual(vision.feed_forward, vision.width),
        ..vision
    };
    let text = ClipTextConfig {
        feed_forward: usual(text.feed_forward, text.width),
        ..text
    };
    ModelConfig {
        name: format!("clip-vit-{}-{}-{}", vision.width, vision.patch_px, vision.image_px),
        dim,
        preprocess: PreprocessConfig::Clip {
            size_px: u32::try_from(vision.image_px).unwrap_or(u32::MAX),
        },
        vision: VisionConfig::ClipVit(vision),
        text: TextConfig::ClipText(text),
        fusion: FusionConfig::Sum,
    }
}

/// Tensors that are no weights: positions counted up, the causal mask, and the sizes in OpenAI's own files.
fn is_buffer(name: &str) -> bool {
    const BUFFERS: [&str; 6] = [
        "text_model.embeddings.position_ids",
        "vision_model.embeddings.position_ids",
        "attn_mask",
        "input_resolution",
        "context_length",
        "vocab_size",
    ];
    BUFFERS.contains(&name)
}

/// The tensors of a safetensors file or a torch checkpoint.
pub(super) fn file_arrays(path: &Path, within: Within<'_>) -> Result<BTreeMap<String, Array>, ModelError> {
    let file = Bytes::from(fs_err::read(path)?);
    if super::foreign_kind(&file) == Some(super::SAFETENSORS) {
        return safetensors_arrays(path, &file);
    }
    Ok(read_torch_bytes(path, &file, within)?)
}

fn safetensors_arrays(path: &Path, file: &Bytes) -> Result<BTreeMap<String, Array>, ModelError> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| ModelError::NotSafetensors {
        path: path.into(),
        reason: error.to_string(),
    })?;
    let array = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let wrong = || ModelError::WrongDtype {
            name: name.into(),
            dtype: format!("{:?}", view.dtype()),
        };
        let dtype = dtype(view.dtype()).ok_or_else(wrong)?;
        let array = Array::new(view.shape().to_vec(), dtype, file.slice_ref(view.data()));
        Ok((name.to_owned(), array.ok_or_else(wrong)?))
    };
    tensors.iter().map(array).collect()
}

fn dtype(found: safetensors::Dtype) -> Option<Dtype> {
    Some(match found {
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I64 => Dtype::I64,
        _ => return None,
    })
}
