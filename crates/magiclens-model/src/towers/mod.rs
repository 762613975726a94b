//! The towers: an image or a text goes in, a vector of the fusion width comes out, not normalized.
//!
//! A tower is a file of its own, which implements the traits of [`tower`], and one line in a list here.

pub mod clip_block;
pub mod clip_text;
pub mod clip_vit;
pub mod coca_text;
pub mod coca_vit;
pub mod efficientnet_lite;
pub mod minilm;
mod patches;
pub mod sentence;
pub mod siglip_text;
pub mod siglip_vit;
pub mod tower;

use std::ops::{Deref, DerefMut};

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub use clip_block::ClipActivation;
pub use clip_text::{ClipText, ClipTextConfig, ClipTextMask};
pub use clip_vit::{ClipVit, ClipVitConfig};
pub use coca_text::{CocaText, CocaTextConfig};
pub use coca_vit::{CocaPoolerConfig, CocaVit, CocaVitConfig};
pub use efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig, EfficientNetLiteTower};
pub use minilm::{MiniLm, MiniLmConfig, MiniLmTower};
pub use sentence::{Sentence, SentenceConfig};
pub use siglip_text::{SiglipText, SiglipTextConfig};
pub use siglip_vit::{SiglipVit, SiglipVitConfig};
pub use tower::{FeatureProjection, Projected};

/// Makes the enums of the sizes and of the modules from a list of towers, and leads from each to its trait.
macro_rules! towers {
    (
        $(#[$config_doc:meta])* $config:ident: $config_trait:path;
        $(#[$tower_doc:meta])* $tower:ident: $tower_trait:path;
        $($(#[$doc:meta])* $variant:ident: $variant_config:ident => $variant_tower:ident,)+
    ) => {
        $(#[$config_doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        pub enum $config {
            $($(#[$doc])* $variant($variant_config),)+
        }

        $(#[$tower_doc])*
        #[derive(Module, Debug)]
        pub enum $tower {
            $($(#[$doc])* $variant($variant_tower),)+
        }

        impl $config {
            /// Builds the tower with random weights, projecting to `dim`.
            pub fn init(&self, dim: usize, device: &Device) -> $tower {
                use $config_trait as _;
                match self {
                    $(Self::$variant(config) => $tower::$variant(config.init(dim, device)),)+
                }
            }
        }

        impl Deref for $config {
            type Target = dyn $config_trait;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$variant(config) => config,)+
                }
            }
        }

        impl Deref for $tower {
            type Target = dyn $tower_trait;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$variant(tower) => tower,)+
                }
            }
        }

        impl DerefMut for $tower {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$variant(tower) => tower,)+
                }
            }
        }
    };
}

towers! {
    /// Kind and sizes of an image tower.
    VisionConfig: tower::ImageTowerConfig;
    /// An image tower.
    #[expect(
        clippy::large_enum_variant,
        reason = "a model has one image tower; boxing would only hide it from burn's derive"
    )]
    VisionTower: tower::ImageTower;

    /// CLIP's vision transformer.
    ClipVit: ClipVitConfig => ClipVit,
    /// CoCa's vision transformer with attentional pooling.
    CocaVit: CocaVitConfig => CocaVit,
    /// EfficientNet-Lite0 and a learned projection.
    EfficientNetLite: EfficientNetLiteConfig => EfficientNetLiteTower,
    /// SigLIP's vision transformer.
    SiglipVit: SiglipVitConfig => SiglipVit,
}

towers! {
    /// Kind and sizes of a text tower.
    TextConfig: tower::TextTowerConfig;
    /// A text tower.
    TextTower: tower::TextTower;

    /// CLIP's text transformer.
    ClipText: ClipTextConfig => ClipText,
    /// CoCa's text transformer with a class token.
    CocaText: CocaTextConfig => CocaText,
    /// MiniLM and a learned projection.
    MiniLm: MiniLmConfig => MiniLmTower,
    /// SigLIP's text transformer.
    SiglipText: SiglipTextConfig => SiglipText,
}
