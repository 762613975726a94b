//! The settings of a run: read from TOML, checked once.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::batches::BatchSettings;
use crate::trained::TrainedTowers;

/// The settings of one training run. Fields with a default are left out of the run's `config.toml` where they hold it, so
/// that runs of earlier versions are recognized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the start weights and of the order of triplets.
    pub seed: u64,
    /// Side of the image tower's input in pixels, where it is not that of the start model: positions are interpolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_px: Option<usize>,
    /// The towers that are trained beside the head.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trained_towers: TrainedTowers,
    /// Images or texts that go through a trained tower in one piece, which decides memory.
    #[serde(default = "tower_rows", skip_serializing_if = "is_tower_rows")]
    pub tower_rows: usize,
    /// The part of the head that is trained.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trained_head: TrainedHead,
    /// The fusion of a start model that has none of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fusion: NewFusion,
    /// How often each triplet of a relation counts, where it is not once: 0 leaves the relation out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relation_weights: BTreeMap<String, f64>,
    /// Optimizer steps.
    pub steps: usize,
    /// Triplets a step.
    pub batch_size: usize,
    /// The rule by which gradients move weights.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optimizer: Optimizer,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Factor on the learning rate of what a start model may bring trained, the towers' projections and the trained towers; at most 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub pretrained_rate: f64,
    /// Steps of linear warm-up before the schedule.
    pub warmup_steps: usize,
    /// Course of the learning rate after the warm-up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Share of the peak to which the schedule falls; a hundredth if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_rate: Option<f64>,
    /// The optimizer's weight decay, multiplied by the learning rate.
    pub weight_decay: f32,
    /// Gradients are cut to this norm for each tensor.
    pub max_gradient_norm: f32,
    /// Factor on the cosines at the start; that of the start model if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Highest factor on the cosines; 100 as in CLIP if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_temperature: Option<f64>,
    /// Whether the factor on the cosines is trained.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub learn_temperature: bool,
    /// Decay a step of the moving average of the weights, which is then measured and is the result; none if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Measurements without a better mean R@10 of the dev relations after which the run ends. The best weights measured
    /// are then the result. Not early, and the last weights, if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Whether the batch's query images join the columns as negatives (the paper's choice).
    pub query_negatives: bool,
    /// Hard negatives of each triplet that join the columns of the whole batch, at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hard_negatives: usize,
    /// Whether a triplet's images are all mirrored, each time by a coin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mirrored: bool,
    /// Weight of the caption loss, which brings the two towers' outputs together so that a text alone finds images.
    pub caption_weight: f64,
    /// Standard deviation of the noise on frozen features of images, against learning images by heart.
    pub feature_noise: f64,
    /// Pieces that a batch is computed in, side by side. Part of the configuration because sums depend on it.
    pub pieces: usize,
    /// Rows of a batch, about, for which all is kept that their gradient needs. Those beyond are embedded twice.
    #[serde(default = "kept_rows", skip_serializing_if = "is_kept_rows")]
    pub kept_rows: usize,
    /// Steps between saved states.
    pub save_every: usize,
    /// Steps between measurements on the dev split.
    pub measure_every: usize,
}

/// The part of a head that is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainedHead {
    /// All of it.
    #[default]
    All,
    /// The fusion's layer of second images alone: every answer to one image stays as it is, to the bit.
    Second,
}

impl TrainedHead {
    /// True for the name of a head's tensor that is trained.
    pub(crate) fn trains(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Second => name.starts_with("fusion.second."),
        }
    }
}

/// The fusion of a start model that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewFusion {
    /// MagicLens' attention with random weights.
    #[default]
    Attention,
    /// The sum of both vectors, which has nothing to train and leaves all to the towers (BGE-VL).
    Sum,
}

/// The rule by which gradients move weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[default]
    AdamW,
    /// Adafactor (Shazeer & Stern 2018): the learning rate is a share of each tensor's own size.
    Adafactor,
}

/// Course of the learning rate from its peak to the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
    /// No fall.
    Constant,
}

impl TrainConfig {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// A missing file, an unknown or missing field, or a number out of its range.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        Self::parse(&fs_err::read_to_string(path)?, path)
    }

    /// Checks TOML text; `path` names it in errors.
    ///
    /// # Errors
    /// An unknown or missing field, or a number out of its range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        let refuse = |reason: String| TrainError::Config {
            path: path.into(),
            reason,
        };
        let config: Self = toml::from_str(text).map_err(|error| refuse(error.message().to_string()))?;
        config.check().map_err(refuse)?;
        Ok(config)
    }

    /// Highest factor on the cosines.
    pub fn max_temperature(&self) -> f32 {
        self.max_temperature.unwrap_or(100.0) as f32
    }

    /// Triplets and candidates of a step, which draws from a table of so many rows of images, mirrored ones included.
    pub fn batch(&self, image_rows: usize) -> BatchSettings {
        BatchSettings {
            size: self.batch_size,
            query_negatives: self.query_negatives,
            hard_negatives: self.hard_negatives,
            mirrored: self.mirrored_rows(image_rows),
        }
    }

    /// Of a table of so many rows the number of those that mirrored views stand behind; 0 without such views.
    pub(crate) fn mirrored_rows(&self, image_rows: usize) -> usize {
        if self.mirrored { image_rows / 2 } else { 0 }
    }

    fn check(&self) -> Result<(), String> {
        self.check_counts()?;
        self.check_rates()?;
        self.check_temperature()?;
        self.check_towers()?;
        self.check_head()?;
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
        if let Some((relation, weight)) = self
            .relation_weights
            .iter()
            .find(|(_, weight)| !(0.0..=100.0).contains(*weight))
        {
            return Err(format!(
                "`relation_weights` has {weight} for `{relation}`, but must be between 0 and 100"
            ));
        }
        match self.ema_decay {
            Some(decay) if !(decay > 0.0 && decay < 1.0) => {
                Err(format!("`ema_decay` is {decay}, but must be above 0 and below 1"))
            }
            _ => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), String> {
        for (name, value) in [
            ("steps", self.steps),
            ("pieces", self.pieces),
            ("tower_rows", self.tower_rows),
            ("save_every", self.save_every),
            ("measure_every", self.measure_every),
            ("warmup_steps", self.warmup_steps),
            ("patience", self.patience.unwrap_or(1)),
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
        Ok(())
    }

    fn check_rates(&self) -> Result<(), String> {
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("pretrained_rate", self.pretrained_rate),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(format!("`{name}` is {value}, but must be above 0 and at most 1"));
            }
        }
        match self.final_rate {
            Some(_) if self.schedule == Schedule::Constant => {
                Err("`final_rate` has no use where `schedule` is \"constant\"".into())
            }
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(format!("`final_rate` is {share}, but must be between 0 and 1"))
            }
            _ => Ok(()),
        }
    }

    fn check_towers(&self) -> Result<(), String> {
        if self.trained_towers.image() && self.feature_noise != 0.0 {
            return Err(format!(
                "`feature_noise` is {}, but must be 0 where `trained_towers` has the image tower: it is noise on frozen features",
                self.feature_noise
            ));
        }
        if self.trained_towers.any() {
            return Ok(());
        }
        if self.tower_rows != TOWER_ROWS {
            return Err("`tower_rows` has no use where `trained_towers` is \"none\"".into());
        }
        match self.fusion {
            NewFusion::Attention => Ok(()),
            NewFusion::Sum => {
                Err("`fusion` is \"sum\", which leaves nothing to train where `trained_towers` is \"none\"".into())
            }
        }
    }

    /// Refuses what can do nothing where no answer to one image changes: dev scores and captions are of one image.
    fn check_head(&self) -> Result<(), String> {
        let useless = [
            ("trained_towers", self.trained_towers.any()),
            ("patience", self.patience.is_some()),
            ("caption_weight", self.caption_weight != 0.0),
            ("pretrained_rate", self.pretrained_rate != 1.0),
        ];
        match useless.iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) if self.trained_head == TrainedHead::Second => Err(format!(
                "`{name}` has no use where `trained_head` is \"second\", which changes no answer to one image"
            )),
            _ => Ok(()),
        }
    }

    fn check_temperature(&self) -> Result<(), String> {
        let max = self.max_temperature.unwrap_or(100.0);
        if !(max.is_finite() && max > 0.0) {
            return Err(format!("`max_temperature` is {max}, but must be above 0"));
        }
        match self.temperature {
            Some(start) if !(start > 0.0 && start <= max) => Err(format!(
                "`temperature` is {start}, but must be above 0 and at most `max_temperature`, which is {max}"
            )),
            _ => Ok(()),
        }
    }
}

/// Rows of the default that go through a trained tower in one piece: of a ViT-B/16 the tape takes some GiB.
const TOWER_ROWS: usize = 8;

fn tower_rows() -> usize {
    TOWER_ROWS
}

fn is_tower_rows(value: &usize) -> bool {
    *value == TOWER_ROWS
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Rows of the default that are kept: at dimension 512 three quarters of a GiB.
const KEPT_ROWS: usize = 4096;

fn kept_rows() -> usize {
    KEPT_ROWS
}

fn is_kept_rows(value: &usize) -> bool {
    *value == KEPT_ROWS
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}
