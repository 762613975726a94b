//! The part of a model that is trained on frozen trunks: two projections, the fusion, the temperature.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use magiclens_model::MagicLens;
use magiclens_model::fusion::Fusion;
use magiclens_model::towers::FeatureProjection;

/// The trained part. Its parameters are those of a [`MagicLens`] without the trunks.
#[derive(Module, Debug)]
pub struct Head {
    vision: FeatureProjection,
    text: FeatureProjection,
    fusion: Fusion,
    logit_scale: Param<Tensor<1>>,
}

impl Head {
    /// Takes the trained part out of a model; `None` if a tower has no trunk to freeze.
    pub fn of(model: &MagicLens) -> Option<Self> {
        Some(Self {
            vision: model.vision.projection()?.clone(),
            text: model.text.projection()?.clone(),
            fusion: model.fusion.clone(),
            logit_scale: model.logit_scale.clone(),
        })
    }

    /// Puts the trained part back; `None` if a tower of the model has no place for it.
    pub fn into_model(self, mut model: MagicLens) -> Option<MagicLens> {
        *model.vision.projection_mut()? = self.vision;
        *model.text.projection_mut()? = self.text;
        Some(MagicLens {
            fusion: self.fusion,
            logit_scale: self.logit_scale,
            ..model
        })
    }

    /// Trunk features `[batch, image features]`, `[batch, text features]` -> embeddings `[batch, dim]`, unit length.
    pub fn embed(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        self.fusion
            .forward(self.vision.forward(images), self.text.forward(texts))
    }

    /// Image trunk features `[batch, image features]` -> tower outputs `[batch, dim]`, not normalized.
    pub fn project_images(&self, images: Tensor<2>) -> Tensor<2> {
        self.vision.forward(images)
    }

    /// Text trunk features `[batch, text features]` -> tower outputs `[batch, dim]`, not normalized.
    pub fn project_texts(&self, texts: Tensor<2>) -> Tensor<2> {
        self.text.forward(texts)
    }

    /// `[1]`: the factor on the cosines, at most 100 as in CLIP.
    pub fn temperature(&self) -> Tensor<1> {
        self.logit_scale.val().clamp_max(100f32.ln()).exp()
    }
}

#[cfg(test)]
mod tests {
    use magiclens_model::ModelConfig;
    use magiclens_model::checkpoint::tensors_of;
    use magiclens_model::fusion::FusionConfig;
    use magiclens_model::preprocess::PreprocessConfig;
    use magiclens_model::towers::{
        ClipActivation, ClipVitConfig, EfficientNetLiteConfig, MiniLmConfig, TextConfig, VisionConfig,
    };

    use super::*;

    fn config() -> ModelConfig {
        let (dim, image_px) = (4, 32);
        let taps = Vec::new();
        ModelConfig {
            name: "toy".into(),
            dim,
            preprocess: PreprocessConfig::Clip { size_px: 32 },
            vision: VisionConfig::EfficientNetLite(EfficientNetLiteConfig { image_px, taps }),
            text: TextConfig::MiniLm(MiniLmConfig {
                width: 4,
                layers: 1,
                heads: 1,
                feed_forward: 4,
                vocabulary: 10,
                max_positions: 8,
            }),
            fusion: FusionConfig::Sum,
        }
    }

    #[test]
    fn a_model_without_place_for_the_head_is_refused() {
        let model = config().init_seeded(1);
        let head = Head::of(&model).unwrap();
        let whole = head.clone().into_model(config().init_seeded(2)).unwrap();
        let (trained, other) = (tensors_of(&model), tensors_of(&whole));
        assert_eq!(
            trained["vision.projection.linear.weight"],
            other["vision.projection.linear.weight"]
        );
        assert_ne!(trained["vision.trunk.stem.weight"], other["vision.trunk.stem.weight"]);

        let clip = ModelConfig {
            vision: VisionConfig::ClipVit(ClipVitConfig {
                width: 4,
                layers: 1,
                heads: 1,
                patch_px: 16,
                image_px: 32,
                feed_forward: None,
                activation: ClipActivation::Gelu,
            }),
            ..config()
        };
        assert!(Head::of(&clip.init_seeded(1)).is_none());
        // The projections would be lost.
        assert!(head.into_model(clip.init_seeded(1)).is_none());
    }
}
