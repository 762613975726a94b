//! A run as its folder tells it: settings, steps, measurements, and what follows from them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use magiclens_metrics::mean;
use serde::{Deserialize, Deserializer, Serialize};

use crate::TrainError;
use crate::dev::{DevScores, mean_recall_at_10};

/// A run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunRecord {
    /// Its name among the others.
    pub(crate) name: String,
    pub(crate) state: RunState,
    pub(crate) plan: Plan,
    /// Digests of the start and of the triplets.
    pub(crate) data: String,
    /// `config.toml`: settings that hold their default are not in it.
    pub(crate) settings: toml::Table,
    /// Steps in their order, each once; there is at least one.
    pub(crate) steps: Vec<StepRecord>,
    /// Measurements in the order of their steps.
    pub(crate) measurements: Vec<DevRecord>,
    /// Lines in the middle of the file that are neither.
    pub(crate) unreadable_lines: usize,
}

/// The settings that the page computes with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) steps: usize,
    pub(crate) batch_size: usize,
    patience: Option<usize>,
}

/// The end of a run, as far as its lines tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunState {
    /// All steps are done.
    Finished,
    /// The dev part got no better for as many measurements as the run had patience.
    EndedEarly,
    /// The loss is no number any more.
    Diverged,
    /// It is going on, or was cut off.
    Unfinished,
}

/// The line of a step; NaN where the file has `null`, as it has for what is not finite.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    pub(crate) step: usize,
    #[serde(deserialize_with = "number")]
    pub(crate) loss: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) caption_loss: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) temperature: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) batch_accuracy: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) learning_rate: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) seconds: f64,
}

/// The line of a measurement: scores by relation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DevRecord {
    pub(crate) step: usize,
    pub(crate) dev: BTreeMap<String, DevScores>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Measured(DevRecord),
    Step(StepRecord),
}

impl RunRecord {
    /// Reads the folder of a run. What stands after the last end of a line is half a line, and is not looked at.
    pub(crate) fn read(folder: &Path, name: String) -> Result<Self, TrainError> {
        let no_run = |reason| TrainError::NoRun {
            path: folder.into(),
            reason,
        };
        if !folder.is_dir() {
            return Err(no_run("there is no such folder"));
        }
        let path = folder.join("config.toml");
        let config = unless_missing(fs_err::read_to_string(&path))?.ok_or_else(|| no_run("it has no `config.toml`"))?;
        let refuse = |error: toml::de::Error| TrainError::Config {
            path: path.clone(),
            reason: error.message().to_owned(),
        };
        let first = config.lines().next().unwrap_or_default();
        let mut run = Self {
            name,
            state: RunState::Unfinished,
            plan: toml::from_str(&config).map_err(refuse)?,
            data: first.strip_prefix("# data: ").unwrap_or_default().to_owned(),
            settings: toml::from_str(&config).map_err(refuse)?,
            steps: Vec::new(),
            measurements: Vec::new(),
            unreadable_lines: 0,
        };
        let metrics = folder.join("metrics.jsonl");
        run.add_lines(&unless_missing(fs_err::read(&metrics))?.unwrap_or_default());
        if run.steps.is_empty() {
            return Err(TrainError::NoSteps { path: metrics });
        }
        run.state = run.state();
        Ok(run)
    }

    /// The last step done.
    pub(crate) fn last_step(&self) -> usize {
        self.steps.last().map_or(0, |step| step.step)
    }

    /// The last step, if its loss is no number.
    pub(crate) fn diverged_at(&self) -> Option<usize> {
        self.steps
            .last()
            .filter(|step| !step.loss.is_finite())
            .map(|step| step.step)
    }

    /// Seconds of all steps; measurements and saved states are not in it.
    pub(crate) fn seconds(&self) -> f64 {
        self.steps
            .iter()
            .map(|step| step.seconds)
            .filter(|s| s.is_finite())
            .sum()
    }

    /// Mean triplets a second of all steps.
    pub(crate) fn triplets_per_second(&self) -> f64 {
        (self.steps.len() * self.plan.batch_size) as f64 / self.seconds()
    }

    /// The measurement with the highest mean R@10, the earlier of equal ones: that of a run with patience.
    pub(crate) fn best(&self) -> Option<&DevRecord> {
        self.measurements.iter().reduce(|best, next| {
            let is_better = next.recall_at_10() > best.recall_at_10() || best.recall_at_10().is_nan();
            if is_better { next } else { best }
        })
    }

    fn state(&self) -> RunState {
        let since = |best: &DevRecord| self.measurements.iter().filter(|one| one.step > best.step).count();
        let is_over = |patience| self.best().is_some_and(|best| since(best) >= patience);
        match self.plan.patience {
            _ if self.diverged_at().is_some() => RunState::Diverged,
            _ if self.last_step() >= self.plan.steps => RunState::Finished,
            Some(patience) if is_over(patience) => RunState::EndedEarly,
            _ => RunState::Unfinished,
        }
    }

    fn add_lines(&mut self, bytes: &[u8]) {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(Line::Measured(record)) => {
                    let before = self.measurements.partition_point(|one| one.step < record.step);
                    self.measurements.truncate(before);
                    self.measurements.push(record);
                }
                Ok(Line::Step(record)) => {
                    self.go_back_before(record.step);
                    self.steps.push(record);
                }
                Err(_) => self.unreadable_lines += 1,
            }
        }
    }

    /// A run that goes on from a saved state does the steps after it again: what was written of them before is void.
    fn go_back_before(&mut self, step: usize) {
        let steps = self.steps.partition_point(|one| one.step < step);
        self.steps.truncate(steps);
        let measurements = self.measurements.partition_point(|one| one.step < step);
        self.measurements.truncate(measurements);
    }
}

impl DevRecord {
    /// The mean R@1 of the relations.
    pub(crate) fn recall_at_1(&self) -> f64 {
        mean(self.dev.values().map(|scores| scores.recall_at_1))
    }

    /// The mean R@10 of the relations.
    pub(crate) fn recall_at_10(&self) -> f64 {
        mean_recall_at_10(&self.dev)
    }
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

fn unless_missing<T>(read: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
