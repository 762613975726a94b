//! A state dictionary of CLIP in OpenAI's names: the sizes that its shapes tell, and its packed attention.

use std::collections::BTreeSet;
use std::path::Path;

use super::clip_table::{OPENAI, model_config, towers};
use super::error::{ClipError, ImportError};
use super::places::take;
use crate::ModelError;
use crate::array::NamedArrays;
use crate::config::ModelConfig;
use crate::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig};

/// The properties that a state dictionary in OpenAI's names does not tell. A folder with a `config.json` needs none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawClip {
    /// OpenAI's weights were trained with QuickGELU, open_clip's with GELU but for those named `-quickgelu`.
    pub activation: Option<ClipActivation>,
    /// Heads of the image tower; the width over 64 where it is left out, for widths up to 1024.
    pub vision_heads: Option<usize>,
    /// Heads of the text tower; the width over 64 where it is left out.
    pub text_heads: Option<usize>,
}

/// The configuration that the shapes tell, and the rest from `raw`.
pub(super) fn state_config(arrays: &NamedArrays, raw: &RawClip, path: &Path) -> Result<ModelConfig, ModelError> {
    let at = ImportError::at(path);
    check_names(arrays).map_err(&at)?;
    let [width, _, patch_px, _] = shape(arrays, "visual.conv1.weight")?;
    let [positions, _] = shape(arrays, "visual.positional_embedding")?;
    let [_, dim] = shape(arrays, "visual.proj")?;
    let [vocabulary, text_width] = shape(arrays, "token_embedding.weight")?;
    let [context_length, _] = shape(arrays, "positional_embedding")?;
    let [feed_forward, _] = shape(arrays, "visual.transformer.resblocks.0.mlp.c_fc.weight")?;
    let [text_feed_forward, _] = shape(arrays, "transformer.resblocks.0.mlp.c_fc.weight")?;
    let side = positions.saturating_sub(1).isqrt();
    if side == 0 || side * side + 1 != positions {
        return Err(at(ClipError::NoSquare(positions)).into());
    }
    let activation = raw.activation.ok_or(ClipError::NoActivation).map_err(&at)?;
    let vision = ClipVitConfig {
        width,
        layers: layers(arrays, OPENAI.vision_blocks),
        // Wider towers of open_clip have heads of 80, 88 or 104 dimensions.
        heads: heads(raw.vision_heads, "vision", width, 1024).map_err(&at)?,
        patch_px,
        image_px: side.saturating_mul(patch_px),
        feed_forward: Some(feed_forward),
        activation,
    };
    let text = ClipTextConfig {
        width: text_width,
        layers: layers(arrays, OPENAI.text_blocks),
        heads: heads(raw.text_heads, "text", text_width, usize::MAX).map_err(&at)?,
        vocabulary,
        context_length,
        feed_forward: Some(text_feed_forward),
        activation,
        mask: ClipTextMask::Causal,
    };
    Ok(model_config(dim, vision, text))
}

fn check_names(arrays: &NamedArrays) -> Result<(), ClipError> {
    let any = |prefix| arrays.keys().any(|name| name.starts_with(prefix));
    if any("visual.layer1.") {
        return Err(ClipError::ResNet);
    }
    match any("vision_model.") || any("text_model.") {
        true => Err(ClipError::NeedsFolder),
        false => Ok(()),
    }
}

fn heads(given: Option<usize>, tower: &'static str, width: usize, largest: usize) -> Result<usize, ClipError> {
    match given {
        Some(heads) => Ok(heads),
        None if (64..=largest).contains(&width) && width.is_multiple_of(64) => Ok(width / 64),
        None => Err(ClipError::NoHeads { tower, width }),
    }
}

/// The shape of a tensor that decides sizes.
fn shape<const N: usize>(arrays: &NamedArrays, name: &str) -> Result<[usize; N], ModelError> {
    let array = arrays.get(name).ok_or_else(|| ModelError::missing(name, 1, "clip"))?;
    array.shape().try_into().map_err(|_| ModelError::WrongRank {
        name: name.into(),
        found: array.shape().to_vec(),
        axes: N,
    })
}

/// Number of blocks whose names start with `prefix`.
fn layers(arrays: &NamedArrays, prefix: &str) -> usize {
    let blocks = arrays
        .keys()
        .filter_map(|name| name.strip_prefix(prefix)?.split('.').next());
    blocks.collect::<BTreeSet<_>>().len()
}

/// Queries, keys and values lie in one tensor, one below the other; here each gets a name of its own.
pub(super) fn split_packed(mut arrays: NamedArrays, config: &ModelConfig) -> Result<NamedArrays, ModelError> {
    let (vision, text) = towers(config);
    let vision = (OPENAI.vision_blocks, vision.layers, vision.width);
    for (blocks, layers, width) in [vision, (OPENAI.text_blocks, text.layers, text.width)] {
        for layer in 0..layers {
            let attention = format!("{blocks}{layer}.attn");
            for (kind, shape) in [("weight", &[3 * width, width][..]), ("bias", &[3 * width])] {
                split_attention(&mut arrays, &attention, kind, shape, &config.name)?;
            }
        }
    }
    Ok(arrays)
}

/// Queries, keys and values, in the order of torch.
pub(crate) const PARTS: [&str; 3] = ["q", "k", "v"];

/// Parts the weights or the biases of an attention's queries, keys and values, which torch joins.
pub(super) fn split_attention(
    arrays: &mut NamedArrays,
    attention: &str,
    kind: &str,
    shape: &[usize],
    model: &str,
) -> Result<(), ModelError> {
    let joined = take(arrays, &format!("{attention}.in_proj_{kind}"), shape, model)?;
    for (part, array) in PARTS.into_iter().zip(joined.split_rows(3)) {
        arrays.insert(format!("{attention}.{part}_proj.{kind}"), array);
    }
    Ok(())
}
