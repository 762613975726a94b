//! Every tensor of CLIP under the names of transformers and of OpenAI, and where it goes in our model.

use super::places::{Change, Place};
use crate::config::ModelConfig;
use crate::towers::{ClipTextConfig, ClipVitConfig, TextConfig, VisionConfig};

/// The parts of a tower under the names of one program.
pub(super) struct Names {
    class: &'static str,
    patches: &'static str,
    vision_positions: &'static str,
    pre_norm: &'static str,
    pub(super) vision_blocks: &'static str,
    post_norm: &'static str,
    vision_projection: &'static str,
    tokens: &'static str,
    text_positions: &'static str,
    pub(super) text_blocks: &'static str,
    final_norm: &'static str,
    text_projection: &'static str,
    /// Whether the projections are linear layers, `[out, in]`, and not plain matrices, `[in, out]`.
    linear_projections: bool,
    /// Within a block: our name and theirs.
    norms: [(&'static str, &'static str); 2],
    attention: [(&'static str, &'static str); 4],
    feed_forward: [&'static str; 2],
}

pub(super) const TRANSFORMERS: Names = Names {
    class: "vision_model.embeddings.class_embedding",
    patches: "vision_model.embeddings.patch_embedding.weight",
    vision_positions: "vision_model.embeddings.position_embedding.weight",
    pre_norm: "vision_model.pre_layrnorm",
    vision_blocks: "vision_model.encoder.layers",
    post_norm: "vision_model.post_layernorm",
    vision_projection: "visual_projection.weight",
    tokens: "text_model.embeddings.token_embedding.weight",
    text_positions: "text_model.embeddings.position_embedding.weight",
    text_blocks: "text_model.encoder.layers",
    final_norm: "text_model.final_layer_norm",
    text_projection: "text_projection.weight",
    linear_projections: true,
    norms: [("attention_norm", "layer_norm1"), ("feed_forward_norm", "layer_norm2")],
    attention: [
        ("query", "self_attn.q_proj"),
        ("key", "self_attn.k_proj"),
        ("value", "self_attn.v_proj"),
        ("output", "self_attn.out_proj"),
    ],
    feed_forward: ["mlp.fc1", "mlp.fc2"],
};

/// OpenAI's and open_clip's, with queries, keys and values already parted.
pub(super) const OPENAI: Names = Names {
    class: "visual.class_embedding",
    patches: "visual.conv1.weight",
    vision_positions: "visual.positional_embedding",
    pre_norm: "visual.ln_pre",
    vision_blocks: "visual.transformer.resblocks",
    post_norm: "visual.ln_post",
    vision_projection: "visual.proj",
    tokens: "token_embedding.weight",
    text_positions: "positional_embedding",
    text_blocks: "transformer.resblocks",
    final_norm: "ln_final",
    text_projection: "text_projection",
    linear_projections: false,
    norms: [("attention_norm", "ln_1"), ("feed_forward_norm", "ln_2")],
    attention: [
        ("query", "attn.q_proj"),
        ("key", "attn.k_proj"),
        ("value", "attn.v_proj"),
        ("output", "attn.out_proj"),
    ],
    feed_forward: ["mlp.c_fc", "mlp.c_proj"],
};

/// Every tensor of a configuration.
pub(super) fn table(config: &ModelConfig, names: &Names) -> Vec<Place> {
    let (vision, text) = towers(config);
    let mut table = Table(Vec::new());
    table.add("logit_scale", &[], "logit_scale", Change::Flat);

    let (width, patch) = (vision.width, vision.patch_px);
    table.add(names.class, &[width], "vision.class_embedding", Change::Same);
    let kernel = [width, 3, patch, patch];
    table.add(names.patches, &kernel, "vision.patch_embedding.weight", Change::Patches);
    let positions = [vision.tokens(), width];
    table.add(
        names.vision_positions,
        &positions,
        "vision.position_embedding",
        Change::Same,
    );
    table.norm(names.pre_norm, width, "vision.pre_norm");
    for layer in 0..vision.layers {
        let (theirs, ours) = (
            format!("{}.{layer}", names.vision_blocks),
            format!("vision.blocks.{layer}"),
        );
        table.block(names, &theirs, [width, vision.feed_forward()], &ours);
    }
    table.norm(names.post_norm, width, "vision.post_norm");
    table.projection(names, names.vision_projection, [width, config.dim], "vision.projection");

    let width = text.width;
    table.add(
        names.tokens,
        &[text.vocabulary, width],
        "text.token_embedding.weight",
        Change::Same,
    );
    let positions = [text.context_length, width];
    table.add(
        names.text_positions,
        &positions,
        "text.position_embedding",
        Change::Same,
    );
    for layer in 0..text.layers {
        let (theirs, ours) = (format!("{}.{layer}", names.text_blocks), format!("text.blocks.{layer}"));
        table.block(names, &theirs, [width, text.feed_forward()], &ours);
    }
    table.norm(names.final_norm, width, "text.final_norm");
    table.projection(names, names.text_projection, [width, config.dim], "text.projection");
    table.0
}

/// The towers of a configuration that was made here.
pub(super) fn towers(config: &ModelConfig) -> (&ClipVitConfig, &ClipTextConfig) {
    match (&config.vision, &config.text) {
        (VisionConfig::ClipVit(vision), TextConfig::ClipText(text)) => (vision, text),
        _ => unreachable!("this importer makes towers of CLIP only"),
    }
}

struct Table(Vec<Place>);

impl Table {
    fn add(&mut self, theirs: &str, shape: &[usize], ours: &str, change: Change) {
        self.0.push(Place {
            theirs: theirs.into(),
            shape: shape.to_vec(),
            ours: ours.into(),
            change,
        });
    }

    fn norm(&mut self, theirs: &str, width: usize, ours: &str) {
        self.add(
            &format!("{theirs}.weight"),
            &[width],
            &format!("{ours}.gamma"),
            Change::Same,
        );
        self.add(
            &format!("{theirs}.bias"),
            &[width],
            &format!("{ours}.beta"),
            Change::Same,
        );
    }

    fn linear(&mut self, theirs: &str, [input, output]: [usize; 2], ours: &str) {
        let weight = format!("{ours}.weight");
        self.add(
            &format!("{theirs}.weight"),
            &[output, input],
            &weight,
            Change::Transpose,
        );
        self.add(
            &format!("{theirs}.bias"),
            &[output],
            &format!("{ours}.bias"),
            Change::Same,
        );
    }

    fn projection(&mut self, names: &Names, theirs: &str, [input, output]: [usize; 2], ours: &str) {
        let ours = format!("{ours}.weight");
        if names.linear_projections {
            self.add(theirs, &[output, input], &ours, Change::Transpose);
        } else {
            self.add(theirs, &[input, output], &ours, Change::Same);
        }
    }

    fn block(&mut self, names: &Names, theirs: &str, [width, inner]: [usize; 2], ours: &str) {
        for (part, name) in names.norms {
            self.norm(&format!("{theirs}.{name}"), width, &format!("{ours}.{part}"));
        }
        for (part, name) in names.attention {
            let ours = format!("{ours}.attention.{part}");
            self.linear(&format!("{theirs}.{name}"), [width, width], &ours);
        }
        let [up, down] = names.feed_forward;
        self.linear(
            &format!("{theirs}.{up}"),
            [width, inner],
            &format!("{ours}.feed_forward_in"),
        );
        self.linear(
            &format!("{theirs}.{down}"),
            [inner, width],
            &format!("{ours}.feed_forward_out"),
        );
    }
}
