//! What all runs of an experiment share, from TOML.

use std::path::Path;

use magiclens_train::TrainConfig;
use magiclens_train::config::TrainedHead;
use serde::Deserialize;

use crate::ExperimentError;

/// The settings that come with the program.
const BUILT_IN: &str = include_str!("../../../configs/experiment.toml");
/// Their file, for messages.
const BUILT_IN_PATH: &str = "configs/experiment.toml";

/// The settings that conditions change single fields of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Runs of each condition: with the seed of `train` and the ones after it.
    pub seeds: u64,
    /// The training.
    pub train: TrainConfig,
}

impl Settings {
    /// The settings of a file, or those that come with the program.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown or missing field, a number out of its range.
    pub fn read(path: Option<&Path>) -> Result<Self, ExperimentError> {
        match path {
            Some(path) => Self::parse(&fs_err::read_to_string(path)?, path),
            None => Self::parse(BUILT_IN, Path::new(BUILT_IN_PATH)),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ExperimentError> {
        let refuse = |reason: String| ExperimentError::Settings {
            path: path.into(),
            reason,
        };
        let settings: Self = toml::from_str(text).map_err(|error| refuse(error.message().to_owned()))?;
        settings.check(path)
    }

    /// These settings with other steps and numbers of seeds, where they are given. Warm-up and measurements follow the steps.
    ///
    /// # Errors
    /// Numbers out of their range.
    pub fn changed(mut self, steps: Option<usize>, seeds: Option<u64>) -> Result<Self, ExperimentError> {
        if let Some(steps) = steps {
            let train = &mut self.train;
            let warmup = train.warmup_steps as u128 * steps as u128 / train.steps.max(1) as u128;
            train.warmup_steps = usize::try_from(warmup).unwrap_or(usize::MAX).max(1);
            train.measure_every = steps;
            train.steps = steps;
        }
        self.seeds = seeds.unwrap_or(self.seeds);
        self.check(Path::new("--steps and --seeds"))
    }

    fn check(self, path: &Path) -> Result<Self, ExperimentError> {
        let train = &self.train;
        let fault = match (self.seeds, train.patience, train.image_px, train.mirrored) {
            _ if train.trained_towers.any() => {
                "`trained_towers` must be \"none\" in experiments, whose features are computed once"
            }
            _ if train.trained_head != TrainedHead::All => {
                "`trained_head` must be \"all\" in experiments, whose heads start at random"
            }
            _ if !train.relation_weights.is_empty() => {
                "`relation_weights` is not offered: conditions choose the triplets"
            }
            (0, ..) => "`seeds` must be at least 1",
            (_, Some(_), ..) => "`patience` looks at the dev part, which experiments do not measure",
            (_, _, Some(_), _) => "`image_px` is that of the start model in experiments",
            (.., true) => "`mirrored` is not offered: features are those of the images as they are",
            _ => {
                self.train_with("", path)?;
                return Ok(self);
            }
        };
        Err(ExperimentError::Settings {
            path: path.into(),
            reason: fault.to_owned(),
        })
    }

    /// The seed of each run of a condition.
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        self.train.seed..self.train.seed.saturating_add(self.seeds)
    }

    /// The training with some fields changed, as TOML; `path` names the change in errors.
    ///
    /// # Errors
    /// An unknown field, or a number out of its range.
    pub(crate) fn train_with(&self, change: &str, path: &Path) -> Result<TrainConfig, ExperimentError> {
        let table = |text: &str| {
            toml::from_str::<toml::Table>(text).map_err(|error| ExperimentError::Settings {
                path: path.into(),
                reason: error.message().to_owned(),
            })
        };
        let whole = toml::to_string(&self.train).map_err(|error| ExperimentError::Settings {
            path: path.into(),
            reason: error.to_string(),
        })?;
        let mut whole = table(&whole)?;
        whole.extend(table(change)?);
        Ok(TrainConfig::parse(&whole.to_string(), path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Settings {
        Settings::read(None).unwrap()
    }

    #[test]
    fn a_change_is_of_single_fields_and_is_checked() {
        let settings = built_in();
        let path = Path::new("condition");
        let changed = settings.train_with("query_negatives = false", path).unwrap();
        let expected = TrainConfig {
            query_negatives: false,
            ..settings.train.clone()
        };
        assert_eq!(changed, expected);
        for (change, told) in [("stepz = 3", "stepz"), ("steps = 0", "`steps`"), ("steps", "condition")] {
            let error = settings.train_with(change, path).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn steps_and_seeds_are_options() {
        let settings = built_in().changed(Some(40), Some(5)).unwrap();
        assert_eq!((settings.train.steps, settings.train.warmup_steps), (40, 4));
        assert_eq!(settings.seeds().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert!(built_in().changed(None, Some(0)).is_err());
        assert!(built_in().changed(Some(1), None).is_err(), "no step after the warm-up");
    }

    #[test]
    fn unknown_fields_and_those_that_experiments_do_not_offer_are_refused() {
        let text = format!("extra = 1\n{BUILT_IN}");
        let error = Settings::parse(&text, Path::new("mine.toml")).unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains("extra"), "{error}");
        for (added, named) in [
            ("patience = 2", "`patience`"),
            ("trained_towers = \"text\"", "`trained_towers`"),
            ("trained_head = \"second\"", "`trained_head`"),
            ("relation_weights = { style = 2 }", "`relation_weights`"),
            ("image_px = 96", "`image_px`"),
            ("mirrored = true", "`mirrored`"),
        ] {
            let text = format!("{BUILT_IN}\n{added}");
            let error = Settings::parse(&text, Path::new("mine.toml")).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
