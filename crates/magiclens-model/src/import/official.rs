//! The official MagicLens checkpoints: names and shapes of every tensor, and where each goes in our model.
//! Source: google-deepmind/magiclens `model.py`, `layers.py`; google-research/scenic `projects/baselines/clip`.

use std::collections::BTreeMap;
use std::path::Path;

use super::Array;
use super::places::{Change, Place};
use crate::ModelError;
use crate::checkpoint::NamedWeights;
use crate::config::{ModelConfig, OfficialConfig};

/// Reads an official checkpoint (a pickle of Flax msgpack, never executed) as tensors of our model.
///
/// # Errors
/// A file that cannot be read, or a tensor that is missing, extra, misshapen or no float.
pub fn read_official(path: &Path, config: &OfficialConfig) -> Result<(ModelConfig, NamedWeights), ModelError> {
    config.check()?;
    let arrays = super::flax::read_official_pickle(path)?;
    Ok((config.to_model(), convert(arrays, config)?))
}

/// Renames and reshapes the official tensors; strict in both directions.
///
/// # Errors
/// A tensor that is missing, extra, misshapen or no float.
pub fn convert(arrays: BTreeMap<String, Array>, config: &OfficialConfig) -> Result<NamedWeights, ModelError> {
    super::places::convert(arrays, places(config), &config.name)
}

/// Every tensor of a configuration.
fn places(config: &OfficialConfig) -> Vec<Place> {
    let (clip, magiclens) = (&config.clip, &config.magiclens);
    let dim = clip.embed_dim;
    let mut places = Places(Vec::new());
    places.add("clip/logit_scale", &[], "logit_scale", Change::Flat);

    let patches = (clip.image_resolution / clip.vision_patch_size.max(1)).pow(2);
    let (width, patch) = (clip.vision_features, clip.vision_patch_size);
    let heads = width / clip.vision_head_dim.max(1);
    places.add(
        "clip/visual/class_embedding",
        &[width],
        "vision.class_embedding",
        Change::Same,
    );
    places.add(
        "clip/visual/conv1/kernel",
        &[patch, patch, 3, width],
        "vision.patch_embedding.weight",
        Change::JoinLeading,
    );
    places.norm("clip/visual/ln_pre", width, "vision.pre_norm", Change::Same);
    places.norm("clip/visual/ln_post", width, "vision.post_norm", Change::Same);
    places.add(
        "clip/visual/positional_embedding",
        &[patches + 1, width],
        "vision.position_embedding",
        Change::Same,
    );
    places.add(
        "clip/visual/proj/kernel",
        &[width, dim],
        "vision.projection.weight",
        Change::Same,
    );
    for layer in 0..clip.vision_num_layers {
        let official = format!("clip/visual/transformer/resblocks_{layer}");
        places.clip_block(&official, width, heads, &format!("vision.blocks.{layer}"));
    }

    let (width, heads) = (clip.text_features, clip.text_num_heads);
    let tokens = [clip.vocab_size, width];
    places.add(
        "clip/text/token_embedding/embedding",
        &tokens,
        "text.token_embedding.weight",
        Change::Same,
    );
    let positions = [clip.max_text_length, width];
    places.add(
        "clip/text/positional_embedding",
        &positions,
        "text.position_embedding",
        Change::Same,
    );
    places.norm("clip/text/ln_final", width, "text.final_norm", Change::Same);
    places.add(
        "clip/text/text_projection/kernel",
        &[width, dim],
        "text.projection.weight",
        Change::Same,
    );
    for layer in 0..clip.text_num_layers {
        let official = format!("clip/text/transformer/resblocks_{layer}");
        places.clip_block(&official, width, heads, &format!("text.blocks.{layer}"));
    }

    let heads = magiclens.num_heads;
    for layer in 0..magiclens.num_layers {
        let official = format!("multimodal_encoder/x_layers_{layer}");
        places.fusion_layer(
            &official,
            dim,
            heads,
            magiclens.ff_hidden_size,
            &format!("fusion.layers.{layer}"),
        );
    }
    let pooler = "contrastive_multimodal_pooler";
    let head_dim = 4 * dim / heads;
    places.add(
        &format!("{pooler}/pooling_attn_query"),
        &[1, dim],
        "fusion.pooler.query",
        Change::Same,
    );
    places.fusion_attention(
        &format!("{pooler}/pool_attn"),
        dim,
        heads,
        head_dim,
        "fusion.pooler.attention",
    );
    let scale = format!("{pooler}/pool_attn/per_dim_scale/per_dim_scale");
    places.add(
        &scale,
        &[head_dim],
        "fusion.pooler.attention.per_dim_scale",
        Change::Same,
    );
    places.norm(
        &format!("{pooler}/pool_attn_ln"),
        dim,
        "fusion.pooler.norm",
        Change::OnePlus,
    );
    places.0
}

struct Places(Vec<Place>);

impl Places {
    fn add(&mut self, official: &str, shape: &[usize], ours: &str, change: Change) {
        self.0.push(Place {
            theirs: format!("params/{official}"),
            shape: shape.to_vec(),
            ours: ours.into(),
            change,
        });
    }

    fn norm(&mut self, official: &str, width: usize, ours: &str, scale: Change) {
        self.add(&format!("{official}/scale"), &[width], &format!("{ours}.gamma"), scale);
        self.add(
            &format!("{official}/bias"),
            &[width],
            &format!("{ours}.beta"),
            Change::Same,
        );
    }

    fn clip_block(&mut self, official: &str, width: usize, heads: usize, ours: &str) {
        let head_dim = width / heads.max(1);
        self.norm(
            &format!("{official}/ln_1"),
            width,
            &format!("{ours}.attention_norm"),
            Change::Same,
        );
        self.norm(
            &format!("{official}/ln_2"),
            width,
            &format!("{ours}.feed_forward_norm"),
            Change::Same,
        );
        for part in ["query", "key", "value"] {
            let (official, ours) = (format!("{official}/attn/{part}"), format!("{ours}.attention.{part}"));
            self.add(
                &format!("{official}/kernel"),
                &[width, heads, head_dim],
                &format!("{ours}.weight"),
                Change::JoinTrailing,
            );
            self.add(
                &format!("{official}/bias"),
                &[heads, head_dim],
                &format!("{ours}.bias"),
                Change::Flat,
            );
        }
        let out = format!("{ours}.attention.output");
        self.add(
            &format!("{official}/attn/out/kernel"),
            &[heads, head_dim, width],
            &format!("{out}.weight"),
            Change::JoinLeading,
        );
        self.add(
            &format!("{official}/attn/out/bias"),
            &[width],
            &format!("{out}.bias"),
            Change::Same,
        );
        for (part, sizes, ours) in [
            ("c_fc", [width, 4 * width], format!("{ours}.feed_forward_in")),
            ("c_proj", [4 * width, width], format!("{ours}.feed_forward_out")),
        ] {
            self.add(
                &format!("{official}/mlp/{part}/kernel"),
                &sizes,
                &format!("{ours}.weight"),
                Change::Same,
            );
            self.add(
                &format!("{official}/mlp/{part}/bias"),
                &sizes[1..],
                &format!("{ours}.bias"),
                Change::Same,
            );
        }
    }

    fn fusion_layer(&mut self, official: &str, dim: usize, heads: usize, hidden: usize, ours: &str) {
        self.norm(
            &format!("{official}/layer_norm"),
            dim,
            &format!("{ours}.attention_norm"),
            Change::OnePlus,
        );
        let head_dim = dim / heads.max(1);
        self.fusion_attention(
            &format!("{official}/self_attention"),
            dim,
            heads,
            head_dim,
            &format!("{ours}.attention"),
        );
        let official = format!("{official}/ff_layer");
        self.norm(
            &format!("{official}/layer_norm"),
            dim,
            &format!("{ours}.feed_forward_norm"),
            Change::OnePlus,
        );
        for (part, sizes, ours) in [
            ("ffn_layer1", [dim, hidden], format!("{ours}.feed_forward_in")),
            ("ffn_layer2", [hidden, dim], format!("{ours}.feed_forward_out")),
        ] {
            self.add(
                &format!("{official}/{part}/linear/w"),
                &sizes,
                &format!("{ours}.weight"),
                Change::Same,
            );
            self.add(
                &format!("{official}/{part}/bias/b"),
                &sizes[1..],
                &format!("{ours}.bias"),
                Change::Same,
            );
        }
    }

    fn fusion_attention(&mut self, official: &str, dim: usize, heads: usize, head_dim: usize, ours: &str) {
        for part in ["query", "key", "value"] {
            let (official, ours) = (format!("{official}/{part}"), format!("{ours}.{part}"));
            self.add(
                &format!("{official}/w"),
                &[dim, heads, head_dim],
                &format!("{ours}.weight"),
                Change::JoinTrailing,
            );
            self.add(
                &format!("{official}/b"),
                &[heads, head_dim],
                &format!("{ours}.bias"),
                Change::Flat,
            );
        }
        self.add(
            &format!("{official}/post/w"),
            &[dim, heads, head_dim],
            &format!("{ours}.output.weight"),
            Change::Transpose,
        );
        self.add(
            &format!("{official}/post/b"),
            &[dim],
            &format!("{ours}.output.bias"),
            Change::Same,
        );
    }
}
