//! One training run: a directory that belongs to one configuration, saved states, metrics, resume.
//!
//! ```text
//! RUN/config.toml        the configuration, and of which data
//! RUN/metrics.jsonl      one line a step, one line a measurement
//! RUN/states/000500/     weights and optimizer after 500 steps; there when whole, the last two are kept
//! RUN/model.safetensors  the result
//! ```

use std::io::Write;
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
use magiclens_model::checkpoint::{Precision, fill, read_weights, tensors_of, write_tower};
use serde::Serialize;

use crate::batches::{TripletTable, batch, sample};
use crate::gradients::{CaptionRows, Frozen, StepSettings, gradients};
use crate::head::Head;
use crate::{TrainConfig, TrainError};

/// States that are kept.
const KEPT_STATES: usize = 2;
/// Name of the weights in a saved state.
const WEIGHTS_FILE: &str = "head.safetensors";
/// Name of the optimizer's moments in a saved state.
const OPTIMIZER_FILE: &str = "optimizer.bin";

/// What a run trains on.
#[derive(Debug)]
pub struct TrainingData<'a> {
    /// The triplets, by rows.
    pub triplets: &'a TripletTable,
    /// The frozen features that those rows mean.
    pub frozen: Frozen<'a>,
    /// Images and the caption of each, for the caption loss.
    pub captioned: &'a CaptionRows,
    /// Names the data: a run is not continued with other data.
    pub digest: String,
}

/// One line of `metrics.jsonl` for each step.
#[derive(Clone, Debug, Serialize)]
pub struct StepMetrics {
    /// Steps done, this one included.
    pub step: usize,
    /// The contrastive loss.
    pub loss: f32,
    /// The caption loss.
    pub caption_loss: f32,
    /// The factor on the cosines.
    pub temperature: f32,
    /// Share of the batch whose target scored highest.
    pub batch_accuracy: f32,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Seconds this step took.
    pub seconds: f64,
}

/// What a run tells while it goes.
pub trait Observer {
    /// After each step.
    fn step(&mut self, metrics: &StepMetrics, steps: usize);
    /// Every `measure_every` steps and at the end: the model so far. What is returned goes into `metrics.jsonl`.
    ///
    /// # Errors
    /// Ends the run.
    fn measure(&mut self, step: usize, head: &Head) -> Result<serde_json::Value, TrainError>;
}

/// Trains a head on frozen features, from the newest saved state of `dir` if there is one.
///
/// # Errors
/// A directory of another run, a loss that is no number, files that cannot be written, and what the observer returns.
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
        let line = state.advance(config, data, &device)?;
        metrics.write(&line)?;
        observer.step(&line, config.steps);
        if !line.loss.is_finite() {
            return Err(TrainError::Diverged {
                step: line.step,
                loss: line.loss,
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

/// Weights, optimizer and schedule after some steps.
struct State {
    step: usize,
    head: Head,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
}

impl State {
    /// The newest saved state, or the start.
    fn start(config: &TrainConfig, head: Head, dir: &Path) -> Result<Self, TrainError> {
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

    fn advance(
        &mut self,
        config: &TrainConfig,
        data: &TrainingData,
        device: &Device,
    ) -> Result<StepMetrics, TrainError> {
        let started = std::time::Instant::now();
        let batch = batch(
            data.triplets,
            config.seed,
            self.step,
            config.batch_size,
            config.query_negatives,
        );
        let captioned = data.captioned;
        let chosen = sample(captioned.images.len().max(1), config.batch_size, config.seed, self.step);
        let chosen = if captioned.images.is_empty() {
            Vec::new()
        } else {
            chosen
        };
        let captions = CaptionRows {
            images: chosen.iter().map(|row| captioned.images[*row]).collect(),
            captions: chosen.iter().map(|row| captioned.captions[*row]).collect(),
        };
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
        Ok(StepMetrics {
            step: self.step,
            loss: found.loss,
            caption_loss: found.caption_loss,
            temperature: found.temperature,
            batch_accuracy: found.batch_accuracy,
            learning_rate: rate,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Writes the state aside and renames it; older states but one go.
    fn save(&self, dir: &Path) -> Result<(), TrainError> {
        let aside = dir.join("states/partial");
        if aside.exists() {
            fs_err::remove_dir_all(&aside)?;
        }
        fs_err::create_dir_all(&aside)?;
        write_tower(&aside.join(WEIGHTS_FILE), &tensors_of(&self.head), Precision::F32)?;
        let path = aside.join(OPTIMIZER_FILE);
        let moments = self.optimizer.into_bytes();
        let moments = moments.map_err(|error| TrainError::State {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        fs_err::write(&path, &moments[..])?;
        fs_err::File::open(&path)?.sync_all()?;
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

/// Makes the directory this run's, or refuses it.
fn claim(dir: &Path, config: &TrainConfig, digest: &str) -> Result<(), TrainError> {
    fs_err::create_dir_all(dir.join("states"))?;
    let path = dir.join("config.toml");
    let text = toml::to_string(config).map_err(|error| TrainError::Config {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let text = format!("# data: {digest}\n{text}");
    match fs_err::read_to_string(&path) {
        Ok(found) if found == text => Ok(()),
        Ok(_) => Err(TrainError::OtherRun { path: dir.into() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(fs_err::write(&path, text)?),
        Err(error) => Err(error.into()),
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

/// `metrics.jsonl`: lines after the step that a run goes on from are dropped, so that no step stands there twice.
struct MetricsFile(fs_err::File);

impl MetricsFile {
    fn open(dir: &Path, step: usize) -> Result<Self, TrainError> {
        let path = dir.join("metrics.jsonl");
        let kept: String = match fs_err::read_to_string(&path) {
            Ok(text) => text
                .lines()
                .filter(|line| line_step(line).is_some_and(|at| at <= step))
                .flat_map(|l| [l, "\n"])
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let aside = dir.join("metrics.jsonl.partial");
        fs_err::write(&aside, kept)?;
        fs_err::rename(&aside, &path)?;
        Ok(Self(fs_err::OpenOptions::new().append(true).open(&path)?))
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), TrainError> {
        let line = serde_json::to_string(line).expect("plain numbers always serialize");
        Ok(writeln!(self.0, "{line}")?)
    }
}

fn line_step(line: &str) -> Option<usize> {
    serde_json::from_str::<serde_json::Value>(line)
        .ok()?
        .get("step")?
        .as_u64()
        .map(|step| step as usize)
}
