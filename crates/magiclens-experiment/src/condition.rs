//! A condition of an experiment: what differs from the settings that all runs share.

use std::path::Path;

use magiclens_model::ModelConfig;
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_train::TrainConfig;

use crate::{ExperimentError, Settings};

/// Dimensions of an attention head, as of the fusions that `magiclens train` adds.
const HEAD_DIM: usize = 64;

/// What differs in the runs of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// The folder of its runs. Conditions of several experiments with one name are one, and share their runs.
    pub name: &'static str,
    /// Its name in tables.
    pub label: &'static str,
    /// Fields of the training that differ, as TOML.
    pub train: &'static str,
    /// The triplets.
    pub triplets: Triplets,
    /// The shape of the head.
    pub head: HeadShape,
    /// Its place on the axis of the chart.
    pub at: f64,
}

/// The triplets that a condition trains on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Triplets {
    /// Those of the collection.
    All,
    /// This share of them, drawn by the seed.
    Share(f64),
    /// All, with one wording for each request instead of many.
    OneWording,
    /// All but those of a relation.
    Without(&'static str),
    /// All, this share of them with the instruction of another request.
    Wrong(f64),
    /// All, this share of them with an instruction that says nothing of the change.
    Vague(f64),
}

/// The shape of a head; without layers of its own, it has the four of the paper, whatever the start model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadShape {
    /// Width of tower outputs, fusion and embedding; `None` is that of the start model.
    pub dim: Option<usize>,
    /// Layers of the fusion before its pooler.
    pub layers: Option<usize>,
}

impl Condition {
    /// The settings as they are: the condition that others are compared with.
    pub const BASE: Self = Self {
        name: "base",
        label: "as set",
        train: "",
        triplets: Triplets::All,
        head: HeadShape {
            dim: None,
            layers: None,
        },
        at: 0.0,
    };

    /// The training of a run.
    pub(crate) fn train(&self, settings: &Settings, seed: u64) -> Result<TrainConfig, ExperimentError> {
        let place = format!("condition {}", self.name);
        let config = settings.train_with(self.train, Path::new(&place))?;
        Ok(TrainConfig { seed, ..config })
    }

    /// The model of a run: the start model with another head.
    pub(crate) fn model(&self, start: &ModelConfig) -> Result<ModelConfig, ExperimentError> {
        let mut config = start.clone();
        config.dim = self.head.dim.unwrap_or(config.dim);
        let reference = AttentionFusionConfig::reference(config.dim, (config.dim / HEAD_DIM).max(1));
        let layers = self.head.layers.unwrap_or(reference.layers);
        let fusion = match &start.fusion {
            FusionConfig::Attention(fusion) if config.dim == start.dim => fusion.clone(),
            _ => AttentionFusionConfig {
                second: start.fusion.takes_second_image(),
                ..reference
            },
        };
        config.fusion = FusionConfig::Attention(AttentionFusionConfig { layers, ..fusion });
        // Another width is that of the head alone: the space that towers share stays as wide as it is.
        if config.dim == start.dim {
            config.check()?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_the_settings_and_the_start_with_the_layers_of_the_paper() {
        let settings = Settings::read(None).unwrap();
        assert_eq!(Condition::BASE.train(&settings, 1).unwrap(), settings.train);
        assert_eq!(Condition::BASE.train(&settings, 7).unwrap().seed, 7);
        let small = ModelConfig::small();
        let base = Condition::BASE.model(&small).unwrap();
        let (FusionConfig::Attention(ours), FusionConfig::Attention(fusion)) = (&small.fusion, &base.fusion) else {
            panic!("{small:?}")
        };
        assert_eq!((ours.layers, fusion.layers), (2, 4));
        let fusion = FusionConfig::Attention(AttentionFusionConfig {
            layers: 2,
            ..fusion.clone()
        });
        assert_eq!(ModelConfig { fusion, ..base }, small);
    }

    #[test]
    fn a_head_has_the_shape_that_is_asked_for() {
        let condition = Condition {
            head: HeadShape {
                dim: Some(128),
                layers: Some(0),
            },
            ..Condition::BASE
        };
        let config = condition.model(&ModelConfig::small()).unwrap();
        let FusionConfig::Attention(fusion) = &config.fusion else {
            panic!("{config:?}")
        };
        assert_eq!((config.dim, fusion.layers, fusion.heads), (128, 0, 2));
        assert_eq!((fusion.feed_forward, fusion.pooler_inner), (512, 512));
    }
}
