//! Weights, optimizer and schedule of a run: started, advanced by steps, saved, read back.

use std::path::{Path, PathBuf};

use burn::grad_clipping::GradientClipping;
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::{Bytes, Device};
use magiclens_data::files::write_atomic_bytes;
use magiclens_model::checkpoint::{StoredFloat, fill, read_weights, tensors_of, write_tower};

use serde::Serialize;

use crate::batches::{TripletTable, batch, sample};
use crate::gradients::{CaptionRow, Frozen, StepLosses, StepSettings, gradients};
use crate::head::Head;
use crate::{TrainConfig, TrainError};

/// The data of a run.
#[derive(Debug)]
pub struct TrainingData<'a> {
    /// The triplets, by rows.
    pub triplets: &'a TripletTable,
    /// The frozen features that those rows mean.
    pub frozen: Frozen<'a>,
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
/// Name of the weights in a saved state.
const WEIGHTS_FILE: &str = "head.safetensors";
/// Name of the optimizer's moments in a saved state.
const OPTIMIZER_FILE: &str = "optimizer.bin";

/// Weights, optimizer and schedule after some steps.
pub(crate) struct State {
    pub(crate) step: usize,
    pub(crate) head: Head,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
}

impl State {
    /// The newest saved state, or the start.
    pub(crate) fn start(config: &TrainConfig, head: Head, dir: &Path) -> Result<Self, TrainError> {
        // Filling gives every parameter the id of its path, by which the optimizer's saved state finds it again.
        let weights = tensors_of(&head);
        let head = fill(head.train(), weights, "start")?;
        let mut state = Self {
            step: 0,
            head,
            optimizer: optimizer(config),
            schedule: schedule(config)?,
        };
        if let Some((step, path)) = saved_states(dir)?.pop() {
            let unreadable = |reason: String| TrainError::State {
                path: path.clone(),
                reason,
            };
            let weights = read_weights(&path.join(WEIGHTS_FILE), &[]).map_err(|error| unreadable(error.to_string()))?;
            state.head = fill(state.head, weights, "saved state").map_err(|error| unreadable(error.to_string()))?;
            let moments = Bytes::from_bytes_vec(fs_err::read(path.join(OPTIMIZER_FILE))?);
            state.optimizer = state
                .optimizer
                .from_bytes(moments)
                .map_err(|error| unreadable(error.to_string()))?;
            for _ in 0..step {
                state.schedule.step();
            }
            state.step = step;
        }
        Ok(state)
    }

    /// Does the next step.
    pub(crate) fn advance(&mut self, config: &TrainConfig, data: &TrainingData, device: &Device) -> StepMetrics {
        let started = std::time::Instant::now();
        let (size, negatives) = (config.batch_size, config.query_negatives);
        let batch = batch(data.triplets, config.seed, self.step, size, negatives);
        let captions = sample(data.captioned.len(), size, config.seed, self.step);
        let captions: Vec<CaptionRow> = captions.iter().map(|row| data.captioned[*row]).collect();
        let settings = StepSettings {
            pieces: config.pieces,
            caption_weight: config.caption_weight,
            feature_noise: config.feature_noise,
            noise_seed: config.seed.wrapping_add((self.step as u64) << 20),
        };
        let found = gradients(&self.head, &data.frozen, &batch, &captions, settings, device);
        let learning_rate = self.schedule.step();
        let rate = learning_rate.base();
        self.head = self.optimizer.step(learning_rate, self.head.clone(), found.gradients);
        self.step += 1;
        StepMetrics {
            step: self.step,
            losses: found.losses,
            learning_rate: rate,
            seconds: started.elapsed().as_secs_f64(),
        }
    }

    /// Writes the state aside and renames it; older states but one go.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), TrainError> {
        let aside = dir.join("states/partial");
        if aside.exists() {
            fs_err::remove_dir_all(&aside)?;
        }
        fs_err::create_dir_all(&aside)?;
        write_tower(&aside.join(WEIGHTS_FILE), &tensors_of(&self.head), StoredFloat::F32)?;
        let path = aside.join(OPTIMIZER_FILE);
        let moments = self.optimizer.into_bytes();
        let moments = moments.map_err(|error| TrainError::State {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        write_atomic_bytes(&path, &moments[..])?;
        let final_path = dir.join("states").join(format!("{:06}", self.step));
        if final_path.exists() {
            fs_err::remove_dir_all(&final_path)?;
        }
        fs_err::rename(&aside, &final_path)?;
        let states = saved_states(dir)?;
        for (_, path) in &states[..states.len().saturating_sub(KEPT_STATES)] {
            fs_err::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// AdamW; gradients are cut tensor by tensor.
fn optimizer(config: &TrainConfig) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_weight_decay(config.weight_decay)
        .with_epsilon(1e-8)
        .init()
        .with_grad_clipping(GradientClipping::Norm(config.max_gradient_norm))
}

/// Linear warm-up, then a cosine down to a hundredth.
fn schedule(config: &TrainConfig) -> Result<ModuleLrScheduler, TrainError> {
    let peak = config.learning_rate;
    let warmup = LinearLrSchedulerConfig::new(peak / config.warmup_steps as f64, peak, config.warmup_steps);
    let fall =
        CosineAnnealingLrSchedulerConfig::new(peak, config.steps - config.warmup_steps).with_min_lr(peak / 100.0);
    let parts = vec![LrSchedulerConfig::Linear(warmup), LrSchedulerConfig::Cosine(fall)];
    SequentialLrSchedulerConfig::new(parts, vec![config.warmup_steps])
        .init()
        .map_err(|reason| TrainError::Config {
            path: PathBuf::from("learning rate schedule"),
            reason,
        })
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
