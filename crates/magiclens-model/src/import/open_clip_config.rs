//! The sizes in an `open_clip_config.json`, and a refusal of all that it could ask for and our towers do not have.
//!
//! Source: open_clip `model.py`, `CLIPVisionCfg` and `CLIPTextCfg`; `coca_model.py`; `transform.py`, `PreprocessCfg`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::clip_table::model_config;
use super::error::{ClipError, ImportError};
use super::folder_json::read_over;
use crate::config::ModelConfig;
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PreprocessConfig};
use crate::towers::{
    ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, CocaPoolerConfig, CocaTextConfig, CocaVitConfig,
    TextConfig, VisionConfig,
};

/// The name of the configuration in the folder.
pub(super) const CONFIG: &str = "open_clip_config.json";

/// The sizes of a model, and what its state dictionary holds beside the towers.
pub(super) struct OpenClipModel {
    pub(super) config: ModelConfig,
    /// Queries of the attentional pooling.
    pub(super) queries: usize,
    /// True if there is a caption decoder.
    pub(super) decoder: bool,
}

/// Fields beside those that are read.
type Rest = BTreeMap<String, Value>;

/// `open_clip_config.json`.
#[derive(Deserialize)]
struct OpenClipConfig {
    model_cfg: Model,
    preprocess_cfg: Preprocess,
}

#[derive(Deserialize)]
struct Model {
    embed_dim: usize,
    vision_cfg: Vision,
    text_cfg: Text,
    quick_gelu: bool,
    multimodal_cfg: Value,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Vision {
    layers: Value,
    width: usize,
    head_width: usize,
    mlp_ratio: f64,
    patch_size: Value,
    image_size: Value,
    attentional_pool: Value,
    attn_pooler_queries: usize,
    attn_pooler_heads: usize,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Text {
    context_length: usize,
    vocab_size: usize,
    width: usize,
    heads: usize,
    layers: usize,
    mlp_ratio: f64,
    embed_cls: bool,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Deserialize)]
struct Preprocess {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    size: Value,
    #[serde(flatten)]
    rest: Rest,
}

/// The values of open_clip for what the file leaves out.
const DEFAULTS: &str = r#"{
    "model_cfg": {
        "quick_gelu": false,
        "multimodal_cfg": null,
        "vision_cfg": {
            "layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16, "image_size": 224,
            "attentional_pool": false, "attn_pooler_queries": 256, "attn_pooler_heads": 8
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12, "mlp_ratio": 4.0,
            "embed_cls": false
        }
    },
    "preprocess_cfg": { "mean": null, "std": null, "size": null }
}"#;

/// A part of the file: its fields without a meaning for towers at work, and the only values, as JSON, of others. `null`
/// always means the default.
struct Known {
    part: &'static str,
    ignored: &'static [&'static str],
    values: &'static [Values],
    /// True for a part that [`TRANSFORMER`] holds for, too.
    is_transformer: bool,
}

/// A field, and its values that are known.
type Values = (&'static str, &'static [&'static str]);

/// Fields of both transformers.
const TRANSFORMER: [Values; 10] = [
    ("act_kwargs", &[]),
    ("block_type", &["\"default\""]),
    ("ls_init_value", &[]),
    ("norm_kwargs", &[]),
    ("qk_norm", &["false"]),
    ("scale_attn", &["false"]),
    ("scale_attn_inner", &["false"]),
    ("scale_fc", &["false"]),
    ("scale_heads", &["false"]),
    ("scaled_cosine_attn", &["false"]),
];

const MODEL: Known = Known {
    part: "model_cfg",
    ignored: &["custom_text", "init_logit_scale"],
    values: &[
        ("init_logit_bias", &[]),
        ("nonscalar_logit_scale", &["false"]),
        ("pad_id", &["0"]),
    ],
    is_transformer: false,
};

const VISION: Known = Known {
    part: "vision_cfg",
    ignored: &[
        "final_ln_after_pool",
        "output_tokens",
        "patch_dropout",
        "timm_drop",
        "timm_drop_path",
        "timm_model_pretrained",
        "timm_pool",
        "timm_proj",
        "timm_proj_bias",
    ],
    values: &[
        ("timm_model_name", &["\"\""]),
        ("no_ln_pre", &["false"]),
        ("pool_type", &["\"tok\""]),
        ("pos_embed_type", &["\"learnable\""]),
    ],
    is_transformer: true,
};

const TEXT: Known = Known {
    part: "text_cfg",
    ignored: &[
        "eos_id",
        "final_ln_after_pool",
        "hf_model_pretrained",
        "hf_pooler_type",
        "hf_proj_type",
        "output_tokens",
    ],
    values: &[
        ("hf_model_name", &["\"\""]),
        ("hf_tokenizer_name", &["\"\""]),
        ("no_causal_mask", &["false"]),
        ("pad_id", &["0"]),
        ("pool_type", &["\"argmax\""]),
        ("proj_bias", &["false"]),
        ("proj_type", &["\"linear\""]),
        ("tokenizer_kwargs", &["{}"]),
        ("tokenizer_mode", &[]),
    ],
    is_transformer: true,
};

const PREPROCESS: Known = Known {
    part: "preprocess_cfg",
    ignored: &["fill_color"],
    values: &[
        // At work, open_clip takes `random` for bicubic.
        ("interpolation", &["\"bicubic\"", "\"random\""]),
        ("mode", &["\"RGB\""]),
        ("resize_mode", &["\"shortest\""]),
    ],
    is_transformer: false,
};

impl Known {
    fn values(&self) -> impl Iterator<Item = &Values> {
        let shared = TRANSFORMER.iter().filter(|_| self.is_transformer);
        self.values.iter().chain(shared)
    }

    fn check(&self, rest: &Rest) -> Result<(), ClipError> {
        // In the order of the list: the name of a whole tower before its details.
        for (field, values) in self.values() {
            match rest.get(*field) {
                Some(found) if !found.is_null() && !values.contains(&found.to_string().as_str()) => {
                    return Err(unknown(field, found, values));
                }
                _ => (),
            }
        }
        let known = |field: &str| self.ignored.contains(&field) || self.values().any(|(name, _)| *name == field);
        match rest.keys().find(|field| !known(field)) {
            Some(field) => Err(ClipError::BadJson {
                file: CONFIG,
                reason: format!("`{}` has the unknown field `{field}`", self.part),
            }),
            None => Ok(()),
        }
    }
}

fn unknown(field: &'static str, found: &Value, values: &[&str]) -> ClipError {
    ClipError::Unknown {
        file: CONFIG,
        field,
        found: found.to_string(),
        expected: match values {
            [] => "null".into(),
            _ => values.join(" or "),
        },
    }
}

/// A count, or the refusal of anything else by the field's name.
fn count(field: &'static str, found: &Value) -> Result<usize, ClipError> {
    let number = found.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| unknown(field, found, &["a number"]))
}

/// The configuration in a folder.
pub(super) fn open_clip_config(folder: &Path) -> Result<OpenClipModel, ImportError> {
    let config: OpenClipConfig = read_over(folder, CONFIG, DEFAULTS)?;
    config.to_model().map_err(ImportError::at(folder))
}

impl OpenClipConfig {
    fn to_model(&self) -> Result<OpenClipModel, ClipError> {
        let Model {
            vision_cfg, text_cfg, ..
        } = &self.model_cfg;
        MODEL.check(&self.model_cfg.rest)?;
        VISION.check(&vision_cfg.rest)?;
        TEXT.check(&text_cfg.rest)?;
        let (activation, dim) = (self.model_cfg.activation(), self.model_cfg.embed_dim);
        let mut config = model_config(dim, vision_cfg.sizes(activation)?, text_cfg.sizes(activation));
        config.preprocess = self.preprocess_cfg.to_preprocess(config.vision.image_px())?;
        if vision_cfg.has_pooling()? {
            let heads = vision_cfg.attn_pooler_heads;
            let pooler = CocaPoolerConfig { width: dim, heads };
            config.vision = pooled(config.vision, pooler);
            config.name = config.name.replacen("clip", "coca", 1);
        }
        if text_cfg.embed_cls {
            config.text = with_class_token(config.text);
        }
        Ok(OpenClipModel {
            config,
            queries: vision_cfg.attn_pooler_queries,
            decoder: !self.model_cfg.multimodal_cfg.is_null(),
        })
    }
}

impl Model {
    fn activation(&self) -> ClipActivation {
        match self.quick_gelu {
            true => ClipActivation::QuickGelu,
            false => ClipActivation::Gelu,
        }
    }
}

impl Vision {
    fn sizes(&self, activation: ClipActivation) -> Result<ClipVitConfig, ClipError> {
        if self.layers.is_array() {
            return Err(ClipError::ResNet);
        }
        Ok(ClipVitConfig {
            width: self.width,
            layers: count("layers", &self.layers)?,
            heads: self.width.checked_div(self.head_width).unwrap_or(0),
            patch_px: count("patch_size", &self.patch_size)?,
            image_px: count("image_size", &self.image_size)?,
            feed_forward: Some(times(self.width, self.mlp_ratio)),
            activation,
        })
    }

    fn has_pooling(&self) -> Result<bool, ClipError> {
        match &self.attentional_pool {
            Value::Bool(pooled) => Ok(*pooled),
            other => Err(unknown("attentional_pool", other, &["true", "false"])),
        }
    }
}

impl Text {
    fn sizes(&self, activation: ClipActivation) -> ClipTextConfig {
        ClipTextConfig {
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            vocabulary: self.vocab_size,
            context_length: self.context_length.saturating_add(usize::from(self.embed_cls)),
            feed_forward: Some(times(self.width, self.mlp_ratio)),
            activation,
            mask: ClipTextMask::Causal,
        }
    }
}

impl Preprocess {
    fn to_preprocess(&self, image_px: usize) -> Result<PreprocessConfig, ClipError> {
        PREPROCESS.check(&self.rest)?;
        let sizes = [Value::Null, image_px.into(), vec![image_px; 2].into()];
        if !sizes.contains(&self.size) {
            return Err(unknown("size", &self.size, &[&format!("`image_size` {image_px}")]));
        }
        Ok(PreprocessConfig::OpenClip {
            size_px: u32::try_from(image_px).unwrap_or(u32::MAX),
            mean: self.mean.unwrap_or(CLIP_MEAN),
            std: self.std.unwrap_or(CLIP_STD),
        })
    }
}

fn pooled(vision: VisionConfig, pooler: CocaPoolerConfig) -> VisionConfig {
    match vision {
        VisionConfig::ClipVit(vit) => VisionConfig::CocaVit(CocaVitConfig { vit, pooler }),
        other => other,
    }
}

fn with_class_token(text: TextConfig) -> TextConfig {
    match text {
        TextConfig::ClipText(transformer) => TextConfig::CocaText(CocaTextConfig { transformer }),
        other => other,
    }
}

/// Cut to a whole number, as Python's `int` does.
fn times(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}
