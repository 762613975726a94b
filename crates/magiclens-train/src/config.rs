//! The settings of a run: read from TOML, checked once.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The settings of one training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the start weights and of the order of triplets.
    pub seed: u64,
    /// Side of the image tower's input in pixels, where it is not that of the start model: positions are interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_px: Option<usize>,
    /// Optimizer steps.
    pub steps: usize,
    /// Triplets a step.
    pub batch_size: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up; then a cosine falls to a hundredth of the peak.
    pub warmup_steps: usize,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Gradients are cut to this norm for each tensor.
    pub max_gradient_norm: f32,
    /// Whether the batch's query images join the columns as negatives (the paper's choice).
    pub query_negatives: bool,
    /// Weight of the caption loss, which brings the two towers' outputs together so that a text alone finds images.
    pub caption_weight: f64,
    /// Standard deviation of the noise on normalized frozen features, against learning images by heart.
    pub feature_noise: f64,
    /// Pieces that a batch is computed in, side by side. Part of the configuration because sums depend on it.
    pub pieces: usize,
    /// Steps between saved states.
    pub save_every: usize,
    /// Steps between measurements on the dev split.
    pub measure_every: usize,
}

impl TrainConfig {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// A missing file, an unknown or missing field, or a number out of its range.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let refuse = |reason: String| TrainError::Config {
            path: path.into(),
            reason,
        };
        let config: Self =
            toml::from_str(&fs_err::read_to_string(path)?).map_err(|error| refuse(error.message().to_string()))?;
        config.check().map_err(refuse)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("steps", self.steps),
            ("pieces", self.pieces),
            ("save_every", self.save_every),
            ("measure_every", self.measure_every),
            ("warmup_steps", self.warmup_steps),
        ] {
            if value == 0 {
                return Err(format!("`{name}` must be at least 1"));
            }
        }
        if self.batch_size < 2 {
            return Err("`batch_size` must be at least 2: the other triplets are the negatives".into());
        }
        if self.warmup_steps >= self.steps {
            return Err(format!(
                "`warmup_steps` {} must be below `steps` {}",
                self.warmup_steps, self.steps
            ));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return Err(format!(
                "`learning_rate` is {}, but must be above 0 and at most 1",
                self.learning_rate
            ));
        }
        for (name, value) in [
            ("caption_weight", self.caption_weight),
            ("feature_noise", self.feature_noise),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("`{name}` is {value}, but must be 0 or above"));
            }
        }
        if !(self.max_gradient_norm > 0.0 && self.weight_decay >= 0.0) {
            return Err("`max_gradient_norm` must be above 0 and `weight_decay` 0 or above".into());
        }
        Ok(())
    }
}
