//! The sizes of a model as data: presets, the official configuration files, and JSON in our checkpoints.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fusion::{AttentionFusionConfig, FusionConfig};
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PreprocessConfig};
use crate::tokenizer::clip::{CONTEXT_LENGTH, VOCABULARY};
use crate::towers::{
    ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, EfficientNetLiteConfig, MiniLmConfig, TextConfig,
    VisionConfig,
};

/// Everything that decides a model's shape and its input: two towers, a fusion, the preprocessing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of the preset, or of the file that it came from.
    pub name: String,
    /// Width of the tower outputs, the fusion and the embedding.
    pub dim: usize,
    /// How an image becomes numbers.
    pub preprocess: PreprocessConfig,
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// The fusion.
    pub fusion: FusionConfig,
}

impl ModelConfig {
    /// The official `base`: CLIP ViT-B/16, 166,433,025 parameters.
    pub fn base() -> Self {
        OfficialConfig::base().to_model()
    }

    /// The official `large`: CLIP ViT-L/14, 465,417,665 parameters.
    pub fn large() -> Self {
        OfficialConfig::large().to_model()
    }

    /// Our own `small`: EfficientNet-Lite0 at 128 px, MiniLM-L6, fusion width 256.
    pub fn small() -> Self {
        let dim = 256;
        let image_px = 128;
        Self {
            name: "small".into(),
            dim,
            preprocess: PreprocessConfig::Letterbox {
                size_px: image_px as u32,
                mean: [127.0; 3],
                std: [128.0; 3],
                background: [255; 3],
            },
            vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig {
                image_px,
                taps: vec![2, 4, 7, 10],
            }),
            text: TextConfig::MiniLm(MiniLmConfig::L6),
            fusion: FusionConfig::Attention(AttentionFusionConfig::reference(dim, 4)),
        }
    }

    /// The preset of this name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "small" => Some(Self::small()),
            "base" => Some(Self::base()),
            "large" => Some(Self::large()),
            _ => None,
        }
    }

    /// The sizes of CLIP's towers, which may come from others' files, with their names.
    fn clip_sizes(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let mut sizes = vec![("`dim`", self.dim)];
        if let VisionConfig::ClipVit(vit) = &self.vision {
            sizes.extend([
                ("vision `width`", vit.width),
                ("vision `layers`", vit.layers),
                ("vision `image_px`", vit.image_px),
                ("vision `feed_forward`", vit.feed_forward.unwrap_or(0)),
            ]);
        }
        if let TextConfig::ClipText(text) = &self.text {
            sizes.extend([
                ("text `width`", text.width),
                ("text `layers`", text.layers),
                ("text `feed_forward`", text.feed_forward.unwrap_or(0)),
            ]);
        }
        sizes.into_iter()
    }

    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// [`ModelError::Contradiction`] names the fields.
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |reason: String| {
            Err(ModelError::Contradiction {
                name: self.name.clone(),
                reason,
            })
        };
        let divides = |width: usize, heads: usize| heads > 0 && width > 0 && width.is_multiple_of(heads);
        if self.dim == 0 {
            return refuse("`dim` is 0".into());
        }
        if let Some((name, size)) = self.clip_sizes().find(|(name, size)| *size > most(name)) {
            return refuse(format!("{name} is {size}, more than any model has"));
        }
        match &self.vision {
            VisionConfig::ClipVit(vit) => {
                if !divides(vit.width, vit.heads) {
                    return refuse(format!(
                        "vision `heads` {} do not divide `width` {}",
                        vit.heads, vit.width
                    ));
                }
                if vit.patch_px == 0 || vit.image_px < vit.patch_px || !vit.image_px.is_multiple_of(vit.patch_px) {
                    return refuse(format!(
                        "`patch_px` {} does not divide `image_px` {}",
                        vit.patch_px, vit.image_px
                    ));
                }
            }
            VisionConfig::EfficientNetLite(lite) => {
                if let Some(tap) = lite.taps.iter().find(|tap| **tap >= lite.block_count()) {
                    return refuse(format!(
                        "`taps` names block {tap}, but there are {}",
                        lite.block_count()
                    ));
                }
            }
        }
        let (width, heads) = match &self.text {
            TextConfig::ClipText(text) => (text.width, text.heads),
            TextConfig::MiniLm(text) => (text.width, text.heads),
        };
        if !divides(width, heads) {
            return refuse(format!("text `heads` {heads} do not divide `width` {width}"));
        }
        if let TextConfig::ClipText(text) = &self.text
            && (text.context_length, text.vocabulary) != (CONTEXT_LENGTH, VOCABULARY)
        {
            return refuse(format!(
                "text `context_length` {} and `vocabulary` {} are not the tokenizer's {CONTEXT_LENGTH} and {VOCABULARY}",
                text.context_length, text.vocabulary
            ));
        }
        if let FusionConfig::Attention(fusion) = &self.fusion
            && !(divides(self.dim, fusion.heads) && divides(fusion.pooler_inner, fusion.heads))
        {
            return refuse(format!(
                "fusion `heads` {} do not divide `dim` {} and `pooler_inner`",
                fusion.heads, self.dim
            ));
        }
        if let Err(error) = self.preprocess.check() {
            return refuse(error.to_string());
        }
        if self.preprocess.size_px() as usize != self.vision.image_px() {
            let (given, needed) = (self.preprocess.size_px(), self.vision.image_px());
            return refuse(format!(
                "preprocessing makes {given} px, but the image tower needs {needed} px"
            ));
        }
        Ok(())
    }
}

/// The largest size of a name that is believed, so that products of sizes stay numbers.
fn most(name: &str) -> usize {
    const LAYERS: usize = 1024;
    const OTHERS: usize = 1 << 16;
    if name.ends_with("`layers`") { LAYERS } else { OTHERS }
}

/// A configuration in the official implementation's words, as in its `model.py` and scenic's CLIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficialConfig {
    /// Name of the model.
    pub name: String,
    /// The fusion's sizes.
    pub magiclens: OfficialFusion,
    /// The towers' sizes.
    pub clip: OfficialClip,
    /// Mean of each color, for pixels in 0..1.
    pub image_mean: [f32; 3],
    /// Standard deviation of each color, for pixels in 0..1.
    pub image_std: [f32; 3],
}

/// The fusion's sizes in the official words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficialFusion {
    /// Width of the embedding.
    pub embed_dim: usize,
    /// Width of the fusion's feed-forward layers; the pooler's inner width is 4 * `embed_dim` all the same.
    pub ff_hidden_size: usize,
    /// Number of fusion layers.
    pub num_layers: usize,
    /// Heads of the fusion layers and of the pooler.
    pub num_heads: usize,
    /// Learned queries of the pooler; 1.
    pub num_query_token: usize,
    /// Name of the CLIP model.
    pub clip_model_name: String,
}

/// The towers' sizes in the official words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the reference's own")]
pub struct OfficialClip {
    pub embed_dim: usize,
    pub vocab_size: usize,
    pub vision_num_layers: usize,
    pub vision_features: usize,
    pub vision_patch_size: usize,
    pub text_features: usize,
    pub text_num_heads: usize,
    pub text_num_layers: usize,
    pub vision_head_dim: usize,
    pub image_resolution: usize,
    pub max_text_length: usize,
}

impl OfficialConfig {
    /// `magiclens_clip_base.pkl`.
    pub fn base() -> Self {
        Self {
            name: "base".into(),
            magiclens: OfficialFusion {
                embed_dim: 512,
                ff_hidden_size: 2048,
                num_layers: 4,
                num_heads: 8,
                num_query_token: 1,
                clip_model_name: "vit_b16".into(),
            },
            clip: OfficialClip {
                embed_dim: 512,
                vocab_size: VOCABULARY,
                vision_num_layers: 12,
                vision_features: 768,
                vision_patch_size: 16,
                text_features: 512,
                text_num_heads: 8,
                text_num_layers: 12,
                vision_head_dim: 64,
                image_resolution: 224,
                max_text_length: 77,
            },
            image_mean: CLIP_MEAN,
            image_std: CLIP_STD,
        }
    }

    /// `magiclens_clip_large.pkl`.
    pub fn large() -> Self {
        let base = Self::base();
        Self {
            name: "large".into(),
            magiclens: OfficialFusion {
                embed_dim: 768,
                ff_hidden_size: 3072,
                num_heads: 16,
                clip_model_name: "vit_l14".into(),
                ..base.magiclens
            },
            clip: OfficialClip {
                embed_dim: 768,
                vision_num_layers: 24,
                vision_features: 1024,
                vision_patch_size: 14,
                text_features: 768,
                text_num_heads: 12,
                ..base.clip
            },
            ..base
        }
    }

    /// The same model in our words.
    pub fn to_model(&self) -> ModelConfig {
        let (clip, magiclens) = (&self.clip, &self.magiclens);
        ModelConfig {
            name: self.name.clone(),
            dim: magiclens.embed_dim,
            preprocess: PreprocessConfig::Official {
                size_px: clip.image_resolution as u32,
            },
            vision: VisionConfig::ClipVit(ClipVitConfig {
                width: clip.vision_features,
                layers: clip.vision_num_layers,
                heads: clip.vision_features / clip.vision_head_dim.max(1),
                patch_px: clip.vision_patch_size,
                image_px: clip.image_resolution,
                feed_forward: None,
                activation: ClipActivation::QuickGelu,
            }),
            text: TextConfig::ClipText(ClipTextConfig {
                width: clip.text_features,
                layers: clip.text_num_layers,
                heads: clip.text_num_heads,
                vocabulary: clip.vocab_size,
                context_length: clip.max_text_length,
                feed_forward: None,
                activation: ClipActivation::QuickGelu,
                mask: ClipTextMask::CausalWithoutZero,
            }),
            fusion: FusionConfig::Attention(AttentionFusionConfig {
                layers: magiclens.num_layers,
                feed_forward: magiclens.ff_hidden_size,
                ..AttentionFusionConfig::reference(magiclens.embed_dim, magiclens.num_heads)
            }),
        }
    }

    /// Refuses what our model cannot express.
    ///
    /// # Errors
    /// [`ModelError::Contradiction`] names the fields.
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |reason: String| {
            Err(ModelError::Contradiction {
                name: self.name.clone(),
                reason,
            })
        };
        if self.clip.embed_dim != self.magiclens.embed_dim {
            let (clip, fusion) = (self.clip.embed_dim, self.magiclens.embed_dim);
            return refuse(format!(
                "`clip.embed_dim` is {clip}, but `magiclens.embed_dim` is {fusion}"
            ));
        }
        if self.magiclens.num_query_token != 1 {
            return refuse(format!(
                "`magiclens.num_query_token` is {}, but only 1 is known",
                self.magiclens.num_query_token
            ));
        }
        if self.clip.max_text_length != CONTEXT_LENGTH {
            return refuse(format!(
                "`clip.max_text_length` is {}, but the tokenizer makes 77",
                self.clip.max_text_length
            ));
        }
        if self.image_mean != CLIP_MEAN || self.image_std != CLIP_STD {
            return refuse("`image_mean` or `image_std` differ from CLIP's".into());
        }
        self.to_model().check()
    }
}
