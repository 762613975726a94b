//! The official MagicLens checkpoints: names and shapes of every tensor, and its place in our model.
//! Source: google-deepmind/magiclens `model.py`, `layers.py`; google-research/scenic `projects/baselines/clip`.

use std::path::Path;

use super::places::{Change, Table};
use crate::ModelError;
use crate::array::{NamedArrays, NamedWeights};
use crate::config::ModelConfig;
use crate::official_config::{OfficialClip, OfficialConfig};

/// Reads an official checkpoint (a pickle of Flax msgpack, never executed) as tensors of our model.
///
/// # Errors
/// A file that cannot be read, or a tensor that is missing, extra, misshapen or no float.
pub fn read_official(path: &Path, config: &OfficialConfig) -> Result<(ModelConfig, NamedWeights), ModelError> {
    config.check()?;
    let arrays = super::flax::read_official_pickle(path)?;
    Ok((config.to_model(), convert(arrays, config)?))
}

/// Reads the published `base` or `large`, which differ in the file's length by a factor of nearly 3.
///
/// # Errors
/// See [`read_official`]; [`ModelError::OtherSize`] names the size that was taken.
pub fn read_base_or_large(path: &Path) -> Result<(ModelConfig, NamedWeights), ModelError> {
    const BETWEEN: u64 = 1_200_000_000;
    let config = if fs_err::metadata(path)?.len() < BETWEEN {
        OfficialConfig::base()
    } else {
        OfficialConfig::large()
    };
    read_official(path, &config).map_err(|error| ModelError::OtherSize {
        path: path.into(),
        model: config.name,
        source: Box::new(error),
    })
}

/// Renames and reshapes the official tensors; strict in both directions.
///
/// # Errors
/// A tensor that is missing, extra, misshapen or no float.
pub fn convert(arrays: NamedArrays, config: &OfficialConfig) -> Result<NamedWeights, ModelError> {
    let mut table = Table::new('/');
    table.within("params", "", |table| {
        table.add("clip/logit_scale", &[], "logit_scale", Change::Flat);
        table.within("clip/visual", "vision", |table| vision(table, &config.clip));
        table.within("clip/text", "text", |table| text(table, &config.clip));
        table.within("", "fusion", |table| fusion(table, config));
    });
    table.convert(arrays, &config.name)
}

fn vision(table: &mut Table, clip: &OfficialClip) {
    let (width, patch) = (clip.vision_features, clip.vision_patch_size);
    let tokens = (clip.image_resolution / patch.max(1)).pow(2) + 1;
    let kernel = [patch, patch, 3, width];
    let projection = [width, clip.embed_dim];
    table.add("class_embedding", &[width], "class_embedding", Change::Same);
    table.add("conv1/kernel", &kernel, "patch_embedding.weight", Change::JoinLeading);
    table.add(
        "positional_embedding",
        &[tokens, width],
        "position_embedding",
        Change::Same,
    );
    table.add("proj/kernel", &projection, "projection.weight", Change::Same);
    table.norm(["ln_pre/scale", "ln_pre/bias"], width, "pre_norm", Change::Same);
    table.norm(["ln_post/scale", "ln_post/bias"], width, "post_norm", Change::Same);
    let block = |table: &mut Table| clip_block(table, width, clip.vision_head_dim);
    table.each(clip.vision_num_layers, "transformer/resblocks_", "blocks.", block);
}

fn text(table: &mut Table, clip: &OfficialClip) {
    let width = clip.text_features;
    let tokens = [clip.vocab_size, width];
    let positions = [clip.max_text_length, width];
    let projection = [width, clip.embed_dim];
    table.add(
        "token_embedding/embedding",
        &tokens,
        "token_embedding.weight",
        Change::Same,
    );
    table.add("positional_embedding", &positions, "position_embedding", Change::Same);
    table.add("text_projection/kernel", &projection, "projection.weight", Change::Same);
    table.norm(["ln_final/scale", "ln_final/bias"], width, "final_norm", Change::Same);
    let block = |table: &mut Table| clip_block(table, width, width / clip.text_num_heads.max(1));
    table.each(clip.text_num_layers, "transformer/resblocks_", "blocks.", block);
}

fn clip_block(table: &mut Table, width: usize, head_dim: usize) {
    let heads = width / head_dim.max(1);
    let hidden = 4 * width;
    table.norm(["ln_1/scale", "ln_1/bias"], width, "attention_norm", Change::Same);
    table.norm(["ln_2/scale", "ln_2/bias"], width, "feed_forward_norm", Change::Same);
    table.within("attn", "attention", |table| {
        for part in ["query", "key", "value"] {
            let (kernel, bias) = (format!("{part}/kernel"), format!("{part}/bias"));
            let shapes = ([width, heads, head_dim], [heads, head_dim]);
            table.linear((&kernel, &shapes.0), (&bias, &shapes.1), part, Change::JoinTrailing);
        }
        let kernel = ("out/kernel", &[heads, head_dim, width][..]);
        table.linear(kernel, ("out/bias", &[width]), "output", Change::JoinLeading);
    });
    let (up, down) = (&[width, hidden][..], &[hidden, width][..]);
    let bias = ("mlp/c_fc/bias", &[hidden][..]);
    table.linear(("mlp/c_fc/kernel", up), bias, "feed_forward_in", Change::Same);
    let bias = ("mlp/c_proj/bias", &[width][..]);
    table.linear(("mlp/c_proj/kernel", down), bias, "feed_forward_out", Change::Same);
}

fn fusion(table: &mut Table, config: &OfficialConfig) {
    let (dim, heads, hidden) = (
        config.magiclens.embed_dim,
        config.magiclens.num_heads,
        config.magiclens.ff_hidden_size,
    );
    let layer = |table: &mut Table| fusion_layer(table, dim, heads, hidden);
    table.each(
        config.magiclens.num_layers,
        "multimodal_encoder/x_layers_",
        "layers.",
        layer,
    );
    table.within("contrastive_multimodal_pooler", "pooler", |table| {
        let head_dim = 4 * dim / heads;
        table.add("pooling_attn_query", &[1, dim], "query", Change::Same);
        table.norm(
            ["pool_attn_ln/scale", "pool_attn_ln/bias"],
            dim,
            "norm",
            Change::OnePlus,
        );
        table.within("pool_attn", "attention", |table| {
            fusion_attention(table, dim, heads, head_dim);
            table.add(
                "per_dim_scale/per_dim_scale",
                &[head_dim],
                "per_dim_scale",
                Change::Same,
            );
        });
    });
}

fn fusion_layer(table: &mut Table, dim: usize, heads: usize, hidden: usize) {
    const NORM: [&str; 2] = ["layer_norm/scale", "layer_norm/bias"];
    table.norm(NORM, dim, "attention_norm", Change::OnePlus);
    table.within("self_attention", "attention", |table| {
        fusion_attention(table, dim, heads, dim / heads.max(1));
    });
    table.within("ff_layer", "", |table| {
        table.norm(NORM, dim, "feed_forward_norm", Change::OnePlus);
        let (up, down) = (&[dim, hidden][..], &[hidden, dim][..]);
        let bias = ("ffn_layer1/bias/b", &[hidden][..]);
        table.linear(("ffn_layer1/linear/w", up), bias, "feed_forward_in", Change::Same);
        let bias = ("ffn_layer2/bias/b", &[dim][..]);
        table.linear(("ffn_layer2/linear/w", down), bias, "feed_forward_out", Change::Same);
    });
}

fn fusion_attention(table: &mut Table, dim: usize, heads: usize, head_dim: usize) {
    let kernel = [dim, heads, head_dim];
    for part in ["query", "key", "value"] {
        let (weight, bias) = (format!("{part}/w"), format!("{part}/b"));
        let bias_shape = [heads, head_dim];
        table.linear((&weight, &kernel), (&bias, &bias_shape), part, Change::JoinTrailing);
    }
    table.linear(("post/w", &kernel), ("post/b", &[dim]), "output", Change::Transpose);
}
