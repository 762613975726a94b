//! Weights, optimizer and schedule of a run: started, advanced by steps, saved, read back.

use std::path::{Path, PathBuf};

use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Bytes;
use magiclens_data::files::{sync_folder, write_atomic_bytes};
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, Weights, read_weights, write_tower};
use magiclens_model::device::check_default;
use serde::Serialize;

use crate::batches::{TripletTable, batch, sample};
use crate::ema::follow;
use crate::gradients::{CaptionRow, Frozen, StepLosses, StepMemory, StepSettings};
use crate::head::TEMPERATURE;
use crate::inputs::{ImageFiles, TowerInputs};
use crate::learner::Learner;
use crate::optimizer::optimizer;
use crate::schedule::schedule;
use crate::stopping::Stopping;
use crate::tower_step::{LearnerGradients, learner_gradients};
use crate::{TrainConfig, TrainError};

/// The data of a run.
#[derive(Debug)]
pub struct TrainingData<'a> {
    /// The triplets, by rows.
    pub triplets: &'a TripletTable,
    /// The frozen features that those rows mean; empty tables in the place of those of trained towers.
    pub frozen: Frozen<'a>,
    /// The inputs of trained towers that those rows mean.
    pub inputs: TowerInputs,
    /// Captioned images, for the caption loss.
    pub captioned: &'a [CaptionRow],
    /// Names the data: a run is not continued with other data.
    pub digest: String,
}

/// One line of `metrics.jsonl` for each step.
#[derive(Clone, Debug, Serialize)]
pub struct StepMetrics {
    /// Steps done, this one included.
    pub step: usize,
    /// Its losses.
    #[serde(flatten)]
    pub losses: StepLosses,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Seconds this step took.
    pub seconds: f64,
}

/// States that are kept.
const KEPT_STATES: usize = 2;
/// Name of the weights in a saved state, those of trained towers included.
const WEIGHTS_FILE: &str = "head.safetensors";
/// Name of the optimizer's moments in a saved state.
const OPTIMIZER_FILE: &str = "optimizer.bin";
/// Name of the moving average of the weights in a saved state.
const AVERAGE_FILE: &str = "average.safetensors";

/// Weights, optimizer and schedule after some steps.
pub(crate) struct State {
    pub(crate) step: usize,
    /// The best measurement, in a run with patience.
    pub(crate) stopping: Option<Stopping>,
    learner: Learner,
    /// The moving average of the weights, in a run with one.
    average: Option<NamedWeights>,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    memory: StepMemory,
}

impl State {
    /// The newest saved state, or the start.
    pub(crate) fn start(config: &TrainConfig, learner: Learner, dir: &Path) -> Result<Self, TrainError> {
        let mut weights = learner.tensors();
        if let (Some(start), Some(temperature)) = (config.temperature, weights.get_mut(TEMPERATURE)) {
            temperature.values.fill(start.ln() as f32);
        }
        // Filling gives every parameter the id of its path, by which the optimizer's saved state finds it again.
        let learner = learner.train().filled(weights.clone(), "start")?;
        let mut state = Self {
            step: 0,
            stopping: config.patience.map(Stopping::new),
            average: config.ema_decay.map(|_| weights),
            optimizer: optimizer(config),
            schedule: schedule(config, &learner)?,
            memory: StepMemory::default(),
            learner,
        };
        if let Some((step, folder)) = saved_states(dir)?.pop() {
            state = state.read(step, &folder).map_err(|reason| TrainError::State {
                path: folder.clone(),
                reason,
            })?;
        }
        Ok(state)
    }

    /// Goes to a saved state; the error is the reason.
    fn read(mut self, step: usize, folder: &Path) -> Result<Self, String> {
        let weights = |name| read_weights(&folder.join(name), &[]).map_err(|error| error.to_string());
        let learner = self.learner.filled(weights(WEIGHTS_FILE)?, "saved state");
        self.learner = learner.map_err(|error| error.to_string())?;
        if self.average.is_some() {
            self.average = Some(weights(AVERAGE_FILE)?);
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.read(folder)?;
        }
        check_default().map_err(|error| error.to_string())?;
        let moments = fs_err::read(folder.join(OPTIMIZER_FILE)).map_err(|error| error.to_string())?;
        let moments = Bytes::from_bytes_vec(moments);
        self.optimizer = self.optimizer.from_bytes(moments).map_err(|error| error.to_string())?;
        for _ in 0..step {
            self.schedule.step();
        }
        self.step = step;
        Ok(self)
    }

    /// Does the next step.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub(crate) fn advance(&mut self, config: &TrainConfig, data: &TrainingData) -> Result<StepMetrics, TrainError> {
        let started = std::time::Instant::now();
        let images = data.inputs.images.as_ref();
        let image_rows = images.map_or(data.frozen.images.len(), ImageFiles::len);
        let batch = batch(data.triplets, config.seed, self.step, config.batch(image_rows));
        let captions = sample(data.captioned.len(), config.batch_size, config.seed, self.step);
        let captions: Vec<CaptionRow> = captions.iter().map(|row| data.captioned[*row]).collect();
        let (settings, given) = (self.settings(config), (data.frozen, &data.inputs));
        let mut found = learner_gradients(&self.learner, given, &batch, &captions, settings, &mut self.memory)?;
        if !config.learn_temperature {
            // A parameter without a gradient stays as it is.
            found.head.remove::<1>(self.learner.head.temperature_id());
        }
        let losses = found.losses;
        let rate = self.change(found);
        if let (Some(average), Some(decay)) = (&mut self.average, config.ema_decay) {
            follow(average, &self.learner.tensors(), decay);
        }
        self.step += 1;
        Ok(StepMetrics {
            step: self.step,
            losses,
            learning_rate: rate,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn settings(&self, config: &TrainConfig) -> StepSettings {
        StepSettings {
            pieces: config.pieces,
            kept_rows: config.kept_rows,
            caption_weight: config.caption_weight,
            feature_noise: config.feature_noise,
            noise_seed: config.seed.wrapping_add((self.step as u64) << 20),
            max_temperature: config.max_temperature(),
            trained_head: config.trained_head,
            trained: config.trained_towers,
            tower_rows: config.tower_rows,
        }
    }

    /// Moves all weights by their gradients; gives the learning rate.
    fn change(&mut self, found: LearnerGradients) -> f64 {
        let rates = self.schedule.step();
        let base = rates.base();
        let (optimizer, Learner { head, towers, .. }) = (&mut self.optimizer, &mut self.learner);
        *head = optimizer.step(rates.clone(), head.clone(), found.head);
        let [of_image, of_text] = found.towers;
        // Taken out, so that no tower is in memory twice.
        towers.image_tower = moved(optimizer, &rates, towers.image_tower.take(), of_image);
        towers.text_tower = moved(optimizer, &rates, towers.text_tower.take(), of_text);
        base
    }

    /// What is to be measured: the moving average, where there is one.
    pub(crate) fn measurable(&self) -> Result<Learner, TrainError> {
        let learner = self.learner.valid();
        match &self.average {
            Some(average) => Ok(learner.filled(average.clone(), "average")?),
            None => Ok(learner),
        }
    }

    /// The result of the run so far: the best weights measured in a run with patience, else the last.
    pub(crate) fn result(&self) -> Result<Learner, TrainError> {
        match self.stopping.as_ref().and_then(Stopping::best) {
            Some((_, best)) => Ok(self.learner.valid().filled(best.clone(), "best weights")?),
            None => self.measurable(),
        }
    }

    /// Whether the run is at its end.
    pub(crate) fn is_over(&self, config: &TrainConfig) -> bool {
        self.step >= config.steps || self.stopping.as_ref().is_some_and(Stopping::is_over)
    }

    /// Writes the state aside and renames it; older states but one go. Until then those stay, whatever happens.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), TrainError> {
        let states = dir.join("states");
        let weights = self.learner.tensors();
        self.check_finite(&weights, &states)?;
        let aside = states.join("partial");
        if aside.exists() {
            fs_err::remove_dir_all(&aside)?;
        }
        fs_err::create_dir_all(&aside)?;
        self.write(&weights, &aside).map_err(|error| TrainError::NotSaved {
            step: self.step,
            path: aside.clone(),
            reason: error.to_string(),
        })?;
        let final_path = states.join(format!("{:06}", self.step));
        if final_path.exists() {
            fs_err::remove_dir_all(&final_path)?;
        }
        fs_err::rename(&aside, &final_path)?;
        sync_folder(&states)?;
        let saved = saved_states(dir)?;
        for (_, path) in &saved[..saved.len().saturating_sub(KEPT_STATES)] {
            fs_err::remove_dir_all(path)?;
        }
        Ok(())
    }

    fn write(&self, weights: &NamedWeights, folder: &Path) -> Result<(), TrainError> {
        write_tower(&folder.join(WEIGHTS_FILE), weights, StoredFloat::F32)?;
        if let Some(average) = &self.average {
            write_tower(&folder.join(AVERAGE_FILE), average, StoredFloat::F32)?;
        }
        if let Some(stopping) = &self.stopping {
            stopping.write(folder)?;
        }
        let path = folder.join(OPTIMIZER_FILE);
        let moments = self.optimizer.into_bytes();
        let moments = moments.map_err(|error| TrainError::State {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(write_atomic_bytes(&path, &moments[..])?)
    }

    /// Refuses weights from which no run could go on.
    fn check_finite(&self, weights: &NamedWeights, states: &Path) -> Result<(), TrainError> {
        let broken = |(_, weights): &(&String, &Weights)| !weights.values.iter().all(|value| value.is_finite());
        match weights.iter().find(broken) {
            Some((name, _)) => Err(TrainError::NotFinite {
                step: self.step,
                name: name.clone(),
                states: states.into(),
            }),
            None => Ok(()),
        }
    }
}

/// A tower after a step; one without gradients stays as it is.
fn moved<M: Module>(
    optimizer: &mut ModuleOptimizer,
    rates: &ModuleLearningRate,
    tower: Option<M>,
    gradients: Option<GradientsParams>,
) -> Option<M> {
    match gradients {
        Some(gradients) => tower.map(|tower| optimizer.step(rates.clone(), tower, gradients)),
        None => tower,
    }
}

/// Whole states, oldest first.
fn saved_states(dir: &Path) -> Result<Vec<(usize, PathBuf)>, TrainError> {
    let mut states = Vec::new();
    for entry in fs_err::read_dir(dir.join("states"))? {
        let path = entry?.path();
        if let Some(step) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) {
            states.push((step, path));
        }
    }
    states.sort_unstable();
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy;

    #[test]
    fn weights_that_are_no_numbers_are_not_saved() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("states")).unwrap();
        let mut state = State::start(&toy::config(), toy::learner(), dir.path()).unwrap();
        state.step = 1;
        state.save(dir.path()).unwrap();
        let mut weights = state.learner.tensors();
        weights.get_mut("text.linear.bias").unwrap().values[0] = f32::INFINITY;
        state.learner = state.learner.filled(weights, "toy").unwrap();
        state.step = 2;
        let told = state.save(dir.path()).unwrap_err().to_string();
        assert!(told.contains("`text.linear.bias` is no number after step 2"), "{told}");
        assert!(told.contains("hint: "), "{told}");
        let saved = saved_states(dir.path()).unwrap();
        assert_eq!(saved.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1]);
    }
}
