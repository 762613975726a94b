//! Early stopping: the best weights measured, and the end of a run that gets no better.

use std::path::Path;

use magiclens_data::files::write_atomic_bytes;
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, read_weights, write_tower};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Name of the best measurement in a saved state.
const BEST_FILE: &str = "best.toml";
/// Name of its weights in a saved state.
const WEIGHTS_FILE: &str = "best.safetensors";

/// The best measurement of a run, if there was one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stopping {
    patience: usize,
    best: Option<(Best, NamedWeights)>,
}

/// A measurement that none after it has surpassed. TOML keeps every bit of the score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Its step.
    pub(crate) step: usize,
    /// Its score.
    score: f64,
    /// Measurements after it.
    since: usize,
}

impl Stopping {
    /// Nothing is measured yet.
    pub(crate) fn new(patience: usize) -> Self {
        Self { patience, best: None }
    }

    /// Takes in a measurement; of equal scores the earlier is the best.
    pub(crate) fn measured(&mut self, step: usize, score: f64, weights: NamedWeights) {
        match &mut self.best {
            Some((best, _)) if score <= best.score || score.is_nan() => best.since += 1,
            _ => self.best = Some((Best { step, score, since: 0 }, weights)),
        }
    }

    /// Whether as many measurements as the run has patience were no better.
    pub(crate) fn is_over(&self) -> bool {
        self.best.as_ref().is_some_and(|(best, _)| best.since >= self.patience)
    }

    /// Step and weights of the best measurement.
    pub(crate) fn best(&self) -> Option<(usize, &NamedWeights)> {
        self.best.as_ref().map(|(best, weights)| (best.step, weights))
    }

    /// Writes the best measurement into the folder of a state.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), TrainError> {
        if let Some((best, weights)) = &self.best {
            write_tower(&folder.join(WEIGHTS_FILE), weights, StoredFloat::F32)?;
            let text = toml::to_string(best).expect("plain numbers always serialize");
            write_atomic_bytes(folder.join(BEST_FILE), text)?;
        }
        Ok(())
    }

    /// Reads back what [`Stopping::write`] wrote; the error is the reason.
    pub(crate) fn read(&mut self, folder: &Path) -> Result<(), String> {
        let path = folder.join(BEST_FILE);
        if path.exists() {
            let text = fs_err::read_to_string(path).map_err(|error| error.to_string())?;
            let best = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
            let weights = read_weights(&folder.join(WEIGHTS_FILE), &[]).map_err(|error| error.to_string())?;
            self.best = Some((best, weights));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use magiclens_model::checkpoint::Weights;

    use super::*;

    /// Weights that say of which step they are.
    fn weights(step: usize) -> NamedWeights {
        let values = vec![step as f32];
        NamedWeights::from([("w".to_owned(), Weights { shape: vec![1], values })])
    }

    /// Scores of steps 1, 2, ... until the run is over: the step at which it is, and the best one.
    #[track_caller]
    fn check(patience: usize, scores: &[f64], over_at: Option<usize>, best: usize) {
        let mut stopping = Stopping::new(patience);
        let mut found = None;
        for (at, score) in scores.iter().enumerate() {
            stopping.measured(at + 1, *score, weights(at + 1));
            if stopping.is_over() {
                found = Some(at + 1);
                break;
            }
        }
        assert_eq!((found, stopping.best()), (over_at, Some((best, &weights(best)))));
    }

    #[test]
    fn the_best_measurement_is_kept_until_patience_ends() {
        check(1, &[0.1, 0.2, 0.3], None, 3);
        check(1, &[0.1, 0.3, 0.2, 0.9], Some(3), 2);
        check(2, &[0.1, 0.3, 0.2, 0.9], None, 4);
        check(2, &[0.3, 0.3, 0.3], Some(3), 1);
        check(2, &[0.3, f64::NAN, 0.2], Some(3), 1);
        assert!(!Stopping::new(1).is_over() && Stopping::new(1).best().is_none());
    }

    #[test]
    fn a_saved_measurement_is_the_same_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let mut stopping = Stopping::new(3);
        stopping.write(folder.path()).unwrap();
        let mut none = Stopping::new(3);
        none.read(folder.path()).unwrap();
        assert_eq!(none, stopping);
        stopping.measured(7, 0.1 + 0.2, weights(7));
        stopping.measured(8, 0.1, weights(8));
        stopping.write(folder.path()).unwrap();
        none.read(folder.path()).unwrap();
        assert_eq!(none, stopping);
    }
}
