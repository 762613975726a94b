//! The part of a model that is trained on the features of towers: the projections of their trunks, where they have any, the fusion,
//! the temperature.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use magiclens_cpu::FusionSizes;
use magiclens_model::MagicLens;
use magiclens_model::fusion::Fusion;
use magiclens_model::towers::FeatureProjection;

/// Name of the temperature's logarithm among the weights.
pub(crate) const TEMPERATURE: &str = "logit_scale";

/// The trained part. Its parameters are those of a [`MagicLens`] without the trunks. A tower that is no trunk with a
/// projection has no part here: its features are its outputs.
#[derive(Module, Debug)]
pub struct Head {
    vision: Option<FeatureProjection>,
    text: Option<FeatureProjection>,
    fusion: Fusion,
    logit_scale: Param<Tensor<1>>,
}

impl Head {
    /// Takes the trained part out of a model.
    pub fn of(model: &MagicLens) -> Self {
        Self {
            vision: model.vision.projection().cloned(),
            text: model.text.projection().cloned(),
            fusion: model.fusion.clone(),
            logit_scale: model.logit_scale.clone(),
        }
    }

    /// Puts the trained part back; `None` if a tower of the model has no place for it, or has a projection that it lacks.
    pub fn into_model(self, mut model: MagicLens) -> Option<MagicLens> {
        replace(model.vision.projection_mut(), self.vision)?;
        replace(model.text.projection_mut(), self.text)?;
        Some(MagicLens {
            fusion: self.fusion,
            logit_scale: self.logit_scale,
            ..model
        })
    }

    /// Features `[batch, image features]`, `[batch, text features]` -> embeddings `[batch, dim]`, unit length.
    pub fn embed(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        self.fuse(self.project_images(images), self.project_texts(texts))
    }

    /// Tower outputs `[batch, dim]` -> embeddings `[batch, dim]`, unit length.
    pub fn fuse(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        self.fusion.forward(images, texts)
    }

    /// Tower outputs of texts and of second images, `[batch, dim]` -> those of texts that are about the images, too; the texts' own where the
    /// fusion has no place for a second image.
    pub fn texts_beside(&self, texts: Tensor<2>, seconds: Tensor<2>) -> Tensor<2> {
        self.fusion.beside(texts, seconds)
    }

    /// Image features `[batch, image features]` -> tower outputs `[batch, dim]`, not normalized.
    pub fn project_images(&self, images: Tensor<2>) -> Tensor<2> {
        project(self.vision.as_ref(), images)
    }

    /// Text features `[batch, text features]` -> tower outputs `[batch, dim]`, not normalized.
    pub fn project_texts(&self, texts: Tensor<2>) -> Tensor<2> {
        project(self.text.as_ref(), texts)
    }

    /// `[1]`: the factor on the cosines, at most `max`.
    pub fn temperature(&self, max: f32) -> Tensor<1> {
        self.logit_scale.val().clamp_max(max.ln()).exp()
    }

    /// The sizes of the fusion; `None` for a sum.
    pub(crate) fn fusion_sizes(&self) -> Option<FusionSizes> {
        match &self.fusion {
            Fusion::Attention(fusion) => Some(fusion.sizes()),
            Fusion::Sum(_) => None,
        }
    }

    /// The parameter of the temperature: its logarithm.
    pub(crate) fn temperature_id(&self) -> ParamId {
        self.logit_scale.id
    }

    /// The projections of image tower and text tower.
    pub(crate) fn projections(&self) -> (Option<FeatureProjection>, Option<FeatureProjection>) {
        (self.vision.clone(), self.text.clone())
    }
}

fn project(projection: Option<&FeatureProjection>, features: Tensor<2>) -> Tensor<2> {
    match projection {
        Some(projection) => projection.forward(features),
        None => features,
    }
}

fn replace(place: Option<&mut FeatureProjection>, trained: Option<FeatureProjection>) -> Option<()> {
    match (place, trained) {
        (Some(place), Some(trained)) => *place = trained,
        (None, None) => (),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use magiclens_model::ModelConfig;
    use magiclens_model::checkpoint::tensors_of;
    use magiclens_model::towers::{ClipActivation, ClipVitConfig, VisionConfig};

    use super::*;
    use crate::toy::model_config as config;

    #[test]
    fn a_model_without_place_for_the_head_is_refused() {
        let model = config().init_seeded(1);
        let head = Head::of(&model);
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
        // The projections would be lost, or would be missing.
        assert!(head.into_model(clip.init_seeded(1)).is_none());
        let frozen = Head::of(&clip.init_seeded(1));
        assert!(frozen.clone().into_model(config().init_seeded(1)).is_none());
        assert!(frozen.into_model(clip.init_seeded(2)).is_some());
    }
}
