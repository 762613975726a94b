//! One training run: a directory that belongs to one configuration, saved states, metrics, resume.
//!
//! ```text
//! RUN/config.toml       the configuration, and of which data
//! RUN/metrics.jsonl     one line a step, one line a measurement
//! RUN/states/000500/    all that 500 steps have led to; there when whole, the last two are kept
//! ```

use std::path::Path;

use crate::learner::Learner;
use crate::run_dir::{MetricsFile, claim};
use crate::state::State;
pub use crate::state::{StepMetrics, TrainingData};
use crate::stopping::Stopping;
use crate::{TrainConfig, TrainError};

/// Is told the progress of a run.
pub trait Observer {
    /// After each step.
    fn step(&mut self, metrics: &StepMetrics, steps: usize);
    /// Every `measure_every` steps and at the end: the model so far.
    ///
    /// # Errors
    /// Ends the run.
    fn measure(&mut self, step: usize, learner: &Learner) -> Result<Measurement, TrainError>;
    /// A run with patience ended after a step; the weights of the best one are the result.
    fn chosen(&mut self, step: usize, best: usize);
}

/// Scores of a model on the dev part.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Mean R@10 of the relations, by which a run with patience chooses and ends.
    pub mean_recall_at_10: f64,
    /// All scores, for `metrics.jsonl`; null where nothing is measured.
    pub line: serde_json::Value,
}

/// Trains a head, and towers if they are to be trained, from the newest saved state of `dir` if there is one.
///
/// # Errors
/// A directory of another run, a loss that is no number, an image that cannot be read, files that cannot be written, and errors of the
/// observer.
pub fn train(
    config: &TrainConfig,
    learner: Learner,
    data: &TrainingData,
    dir: &Path,
    observer: &mut dyn Observer,
) -> Result<Learner, TrainError> {
    claim(dir, config, &data.digest)?;
    let mut state = State::start(config, learner, dir)?;
    let mut metrics = MetricsFile::open(dir, state.step)?;
    while !state.is_over(config) {
        let line = state.advance(config, data)?;
        metrics.write(&line)?;
        observer.step(&line, config.steps);
        if !line.losses.loss.is_finite() {
            return Err(TrainError::Diverged {
                step: line.step,
                loss: line.losses.loss,
                states: dir.join("states"),
            });
        }
        // Measured before saved, so that a saved state knows of its own measurement.
        if state.step == config.steps || state.step.is_multiple_of(config.measure_every) {
            measure(&mut state, &mut metrics, observer)?;
        }
        if state.is_over(config) || state.step.is_multiple_of(config.save_every) {
            state.save(dir)?;
        }
    }
    if let Some((best, _)) = state.stopping.as_ref().and_then(Stopping::best) {
        observer.chosen(state.step, best);
    }
    state.result()
}

fn measure(state: &mut State, metrics: &mut MetricsFile, observer: &mut dyn Observer) -> Result<(), TrainError> {
    let learner = state.measurable()?;
    let measured = observer.measure(state.step, &learner)?;
    if !measured.line.is_null() {
        metrics.write(&serde_json::json!({ "step": state.step, "dev": measured.line }))?;
    }
    if let Some(stopping) = &mut state.stopping {
        stopping.measured(state.step, measured.mean_recall_at_10, learner.tensors());
    }
    Ok(())
}
