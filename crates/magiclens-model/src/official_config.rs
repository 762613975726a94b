//! Configurations in the words of the official implementation.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::config::ModelConfig;
use crate::fusion::{AttentionFusionConfig, FusionConfig};
use crate::preprocess::{CLIP_MEAN, CLIP_STD, PreprocessConfig};
use crate::tokenizer::clip::{CONTEXT_LENGTH, VOCABULARY};
use crate::towers::{ClipActivation, ClipTextConfig, ClipTextMask, ClipVitConfig, TextConfig, VisionConfig};

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
        self.problem().map_err(|reason| ModelError::Contradiction {
            name: self.name.clone(),
            reason,
        })?;
        self.to_model().check()
    }

    fn problem(&self) -> Result<(), String> {
        let (clip, magiclens) = (&self.clip, &self.magiclens);
        if clip.embed_dim != magiclens.embed_dim {
            let (clip, fusion) = (clip.embed_dim, magiclens.embed_dim);
            return Err(format!(
                "`clip.embed_dim` is {clip}, but `magiclens.embed_dim` is {fusion}"
            ));
        }
        if magiclens.num_query_token != 1 {
            let found = magiclens.num_query_token;
            return Err(format!("`magiclens.num_query_token` is {found}, but only 1 is known"));
        }
        if clip.max_text_length != CONTEXT_LENGTH {
            let found = clip.max_text_length;
            return Err(format!("`clip.max_text_length` is {found}, but the tokenizer makes 77"));
        }
        if self.image_mean != CLIP_MEAN || self.image_std != CLIP_STD {
            return Err("`image_mean` or `image_std` differ from CLIP's".into());
        }
        Ok(())
    }
}
