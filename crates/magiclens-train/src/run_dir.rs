//! The directory of a run: it belongs to one configuration, and its metrics have one line a step.

use std::io::Write;
use std::path::Path;

use magiclens_data::files::write_atomic_bytes;
use serde::Serialize;

use crate::{TrainConfig, TrainError};

/// Makes the directory this run's, or refuses it.
pub(crate) fn claim(dir: &Path, config: &TrainConfig, digest: &str) -> Result<(), TrainError> {
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(write_atomic_bytes(&path, text)?),
        Err(error) => Err(error.into()),
    }
}

/// `metrics.jsonl`: lines after the step that a run goes on from are dropped, so that no step stands there twice.
pub(crate) struct MetricsFile(fs_err::File);

impl MetricsFile {
    pub(crate) fn open(dir: &Path, step: usize) -> Result<Self, TrainError> {
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
        write_atomic_bytes(&path, kept)?;
        Ok(Self(fs_err::OpenOptions::new().append(true).open(&path)?))
    }

    pub(crate) fn write(&mut self, line: &impl Serialize) -> Result<(), TrainError> {
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
