//! One training run: a directory that belongs to one configuration, saved states, metrics, resume.
//!
//! ```text
//! RUN/config.toml        the configuration, and of which data
//! RUN/metrics.jsonl      one line a step, one line a measurement
//! RUN/states/000500/     weights and optimizer after 500 steps; there when whole, the last two are kept
//! RUN/model.safetensors  the result
//! ```

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use crate::head::Head;
use crate::run_dir::{MetricsFile, claim};
use crate::state::State;
pub use crate::state::{StepMetrics, TrainingData};
use crate::{TrainConfig, TrainError};

/// Is told the progress of a run.
pub trait Observer {
    /// After each step.
    fn step(&mut self, metrics: &StepMetrics, steps: usize);
    /// Every `measure_every` steps and at the end: the model so far. The value goes into `metrics.jsonl`.
    ///
    /// # Errors
    /// Ends the run.
    fn measure(&mut self, step: usize, head: &Head) -> Result<serde_json::Value, TrainError>;
}

/// Trains a head on frozen features, from the newest saved state of `dir` if there is one.
///
/// # Errors
/// A directory of another run, a loss that is no number, files that cannot be written, and errors of the observer.
pub fn train(
    config: &TrainConfig,
    head: Head,
    data: &TrainingData,
    dir: &Path,
    observer: &mut dyn Observer,
) -> Result<Head, TrainError> {
    claim(dir, config, &data.digest)?;
    let device = Device::flex().autodiff();
    let mut state = State::start(config, head, dir)?;
    let mut metrics = MetricsFile::open(dir, state.step)?;
    while state.step < config.steps {
        let line = state.advance(config, data, &device);
        metrics.write(&line)?;
        observer.step(&line, config.steps);
        if !line.losses.loss.is_finite() {
            return Err(TrainError::Diverged {
                step: line.step,
                loss: line.losses.loss,
            });
        }
        let done = state.step == config.steps;
        if done || state.step.is_multiple_of(config.save_every) {
            state.save(dir)?;
        }
        if done || state.step.is_multiple_of(config.measure_every) {
            let measured = observer.measure(state.step, &state.head.clone().valid())?;
            metrics.write(&serde_json::json!({ "step": state.step, "dev": measured }))?;
        }
    }
    Ok(state.head.valid())
}
