//! The part of a model that is trained on frozen trunks: two projections, the fusion, the temperature.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use magiclens_model::MagicLens;
use magiclens_model::fusion::Fusion;
use magiclens_model::towers::{FeatureProjection, TextTower, VisionTower};

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
        match (&model.vision, &model.text) {
            (VisionTower::EfficientNetLite(vision), TextTower::MiniLm(text)) => Some(Self {
                vision: vision.projection.clone(),
                text: text.projection.clone(),
                fusion: model.fusion.clone(),
                logit_scale: model.logit_scale.clone(),
            }),
            _ => None,
        }
    }

    /// Puts the trained part back.
    pub fn into_model(self, mut model: MagicLens) -> MagicLens {
        if let (VisionTower::EfficientNetLite(vision), TextTower::MiniLm(text)) = (&mut model.vision, &mut model.text) {
            vision.projection = self.vision;
            text.projection = self.text;
        }
        MagicLens {
            fusion: self.fusion,
            logit_scale: self.logit_scale,
            ..model
        }
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
