//! What runs did, as a page: losses, scores on the dev part, rates and speed over the steps, and the settings that differ.
//!
//! Reads the folders of runs, also of one that is going on or was cut off.

mod charts;
mod record;
mod tables;

use std::path::{Path, PathBuf};

use magiclens_report::{Block, Document, Text};
use serde::Serialize;

use crate::TrainError;
use record::RunRecord;

/// Runs of one page, at most: there are as many colors of lines.
pub const MAX_RUNS: usize = 8;

/// Runs beside each other.
#[derive(Clone, Debug, Serialize)]
pub struct TrainReport {
    runs: Vec<RunRecord>,
}

impl TrainReport {
    /// Reads the folders of runs. A run is named like its folder; where these are not different, by its path as given.
    ///
    /// # Errors
    /// A folder that holds no run, or a run without a step; a folder twice; more than [`MAX_RUNS`].
    pub fn read(folders: &[PathBuf]) -> Result<Self, TrainError> {
        if folders.len() > MAX_RUNS {
            let given = folders.len();
            return Err(TrainError::TooManyRuns { given, most: MAX_RUNS });
        }
        let names = names(folders)?;
        let runs = folders
            .iter()
            .zip(names)
            .map(|(folder, name)| RunRecord::read(folder, name));
        Ok(Self {
            runs: runs.collect::<Result<_, _>>()?,
        })
    }

    /// All numbers as JSON: settings, steps and measurements of each run. Numbers that are not finite are `null`.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("plain numbers and texts always serialize");
        format!("{json}\n")
    }

    /// The page, to be written as HTML or Markdown.
    pub fn document(&self) -> Document {
        let runs = &self.runs[..];
        let mut page = match runs {
            [run] => Document::new(format!("Training of {}", run.name)),
            _ => Document::new(format!("Training of {} runs", runs.len())),
        };
        match runs {
            [run] => page.push(Block::Facts(tables::facts(run))),
            _ => page.push(tables::runs(runs)),
        };
        for warning in runs.iter().flat_map(warnings) {
            page.push(Block::Warning(warning));
        }
        let section = page.section("Course");
        section.extend(charts::mean_recall(runs));
        section.push(Block::Columns(charts::steps(runs)));
        section.push(tables::last_steps(runs));
        if let Some(table) = tables::relations(runs) {
            let section = page.section("Relations");
            section.push(Block::Columns(charts::relations(runs)));
            section.push(table);
        }
        page.section("Settings").extend(tables::settings(runs));
        page
    }
}

/// What readers of the charts must know of a run.
fn warnings(run: &RunRecord) -> Vec<Text> {
    let diverged = run.diverged_at().map(|step| {
        let told = format!(": the loss of step {step} is no number. Lines have a gap there.");
        Text::strong(&run.name).then(told)
    });
    let unreadable = (run.unreadable_lines > 0).then(|| {
        let told = format!(
            ": {} lines of `metrics.jsonl` cannot be read and are skipped.",
            run.unreadable_lines
        );
        Text::strong(&run.name).then(told)
    });
    diverged.into_iter().chain(unreadable).collect()
}

fn names(folders: &[PathBuf]) -> Result<Vec<String>, TrainError> {
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in folders {
        // What is not there is refused when it is read.
        let place = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.clone());
        if places.contains(&place) {
            return Err(TrainError::RunTwice { path: folder.clone() });
        }
        places.push(place);
    }
    let name = |place: &Path| {
        place
            .file_name()
            .unwrap_or(place.as_os_str())
            .to_string_lossy()
            .into_owned()
    };
    let short: Vec<String> = places.iter().map(|place| name(place)).collect();
    let is_clear = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    let full = folders.iter().map(|folder| folder.display().to_string());
    let names = short.iter().zip(full);
    Ok(names
        .map(|(short, full)| if is_clear(short) { short.clone() } else { full })
        .collect())
}
