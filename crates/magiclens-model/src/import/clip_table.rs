//! Every tensor of CLIP under the names of transformers and of OpenAI, and of CoCa under those of open_clip, and its place in
//! our model.

use super::places::{Change, Table};
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::preprocess::PreprocessConfig;
use crate::towers::{ClipTextConfig, ClipVitConfig, CocaPoolerConfig, TextConfig, VisionConfig};

/// The parts of a tower under the names of one program.
pub(crate) struct Names {
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
    /// True if the projections are linear layers, `[out, in]`, and not plain matrices, `[in, out]`.
    linear_projections: bool,
    /// Within a block, in the order of ours.
    norms: [&'static str; 2],
    attention: &'static str,
    feed_forward: [&'static str; 2],
}

pub(crate) const TRANSFORMERS: Names = Names {
    class: "vision_model.embeddings.class_embedding",
    patches: "vision_model.embeddings.patch_embedding.weight",
    vision_positions: "vision_model.embeddings.position_embedding.weight",
    pre_norm: "vision_model.pre_layrnorm",
    vision_blocks: "vision_model.encoder.layers.",
    post_norm: "vision_model.post_layernorm",
    vision_projection: "visual_projection.weight",
    tokens: "text_model.embeddings.token_embedding.weight",
    text_positions: "text_model.embeddings.position_embedding.weight",
    text_blocks: "text_model.encoder.layers.",
    final_norm: "text_model.final_layer_norm",
    text_projection: "text_projection.weight",
    linear_projections: true,
    norms: ["layer_norm1", "layer_norm2"],
    attention: "self_attn",
    feed_forward: ["mlp.fc1", "mlp.fc2"],
};

/// OpenAI's and open_clip's, with queries, keys and values already parted.
pub(super) const OPENAI: Names = Names {
    class: "visual.class_embedding",
    patches: "visual.conv1.weight",
    vision_positions: "visual.positional_embedding",
    pre_norm: "visual.ln_pre",
    vision_blocks: "visual.transformer.resblocks.",
    post_norm: "visual.ln_post",
    vision_projection: "visual.proj",
    tokens: "token_embedding.weight",
    text_positions: "positional_embedding",
    text_blocks: "transformer.resblocks.",
    final_norm: "ln_final",
    text_projection: "text_projection",
    linear_projections: false,
    norms: ["ln_1", "ln_2"],
    attention: "attn",
    feed_forward: ["mlp.c_fc", "mlp.c_proj"],
};

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

/// Every tensor of a configuration.
pub(crate) fn table(config: &ModelConfig, names: &Names) -> Table {
    let (vision, text) = towers(config);
    let pooler = pooler(config);
    let mut table = Table::new('.');
    table.add("logit_scale", &[], "logit_scale", Change::Flat);
    let ours = if pooler.is_some() { "vision.vit" } else { "vision" };
    let read = pooler.map_or(vision.width, |pooler| pooler.width);
    table.within("", ours, |table| {
        let (width, patch) = (vision.width, vision.patch_px);
        let (kernel, positions) = ([width, 3, patch, patch], [vision.tokens(), width]);
        table.add(names.class, &[width], "class_embedding", Change::Same);
        table.add(names.patches, &kernel, "patch_embedding.weight", Change::Patches);
        table.add(names.vision_positions, &positions, "position_embedding", Change::Same);
        table.torch_norm(names.pre_norm, width, "pre_norm");
        let fill = |table: &mut Table| block(table, names, width, vision.feed_forward());
        table.each(vision.layers, names.vision_blocks, "blocks.", fill);
        table.torch_norm(names.post_norm, read, "post_norm");
        projection(table, names, names.vision_projection, [read, config.dim]);
    });
    if let Some(pooler) = pooler {
        table.within("visual.attn_pool", "vision.pooler", |table| {
            pooling(table, vision.width, pooler.width)
        });
    }
    let class_token = matches!(config.text, TextConfig::CocaText(_));
    if class_token {
        table.add("cls_emb", &[text.width], "text.class_embedding", Change::Same);
    }
    table.within("", if class_token { "text.transformer" } else { "text" }, |table| {
        let width = text.width;
        let (tokens, positions) = ([text.vocabulary, width], [text.context_length, width]);
        table.add(names.tokens, &tokens, "token_embedding.weight", Change::Same);
        table.add(names.text_positions, &positions, "position_embedding", Change::Same);
        let fill = |table: &mut Table| block(table, names, width, text.feed_forward());
        table.each(text.layers, names.text_blocks, "blocks.", fill);
        table.torch_norm(names.final_norm, width, "final_norm");
        projection(table, names, names.text_projection, [width, config.dim]);
    });
    table
}

/// The transformers of a configuration that was made here.
pub(super) fn towers(config: &ModelConfig) -> (&ClipVitConfig, &ClipTextConfig) {
    let vision = match &config.vision {
        VisionConfig::ClipVit(vision) => vision,
        VisionConfig::CocaVit(vision) => &vision.vit,
        _ => unreachable!("this importer makes towers of CLIP and CoCa only"),
    };
    let text = match &config.text {
        TextConfig::ClipText(text) => text,
        TextConfig::CocaText(text) => &text.transformer,
        _ => unreachable!("this importer makes towers of CLIP and CoCa only"),
    };
    (vision, text)
}

/// The attentional pooling, where the image tower has one.
pub(super) fn pooler(config: &ModelConfig) -> Option<CocaPoolerConfig> {
    match &config.vision {
        VisionConfig::CocaVit(vision) => Some(vision.pooler),
        _ => None,
    }
}

fn pooling(table: &mut Table, token_width: usize, width: usize) {
    table.add("query", &[1, width], "query", Change::Same);
    table.torch_norm("ln_q", width, "query_norm");
    table.torch_norm("ln_k", token_width, "token_norm");
    attention(table, "attn", [token_width, width]);
}

fn projection(table: &mut Table, names: &Names, theirs: &str, [input, output]: [usize; 2]) {
    match names.linear_projections {
        true => table.add(theirs, &[output, input], "projection.weight", Change::Transpose),
        false => table.add(theirs, &[input, output], "projection.weight", Change::Same),
    }
}

pub(super) fn block(table: &mut Table, names: &Names, width: usize, inner: usize) {
    table.torch_norm(names.norms[0], width, "attention_norm");
    table.torch_norm(names.norms[1], width, "feed_forward_norm");
    attention(table, names.attention, [width, width]);
    feed_forward(table, names, width, inner);
}

/// An attention whose keys and values come from tokens of another width, or of the same.
pub(super) fn attention(table: &mut Table, theirs: &str, [tokens, width]: [usize; 2]) {
    table.within(theirs, "attention", |table| {
        for (theirs, from, ours) in [
            ("q_proj", width, "query"),
            ("k_proj", tokens, "key"),
            ("v_proj", tokens, "value"),
            ("out_proj", width, "output"),
        ] {
            table.torch_linear(theirs, [from, width], ours);
        }
    });
}

pub(super) fn feed_forward(table: &mut Table, names: &Names, width: usize, inner: usize) {
    table.torch_linear(names.feed_forward[0], [width, inner], "feed_forward_in");
    table.torch_linear(names.feed_forward[1], [inner, width], "feed_forward_out");
}
