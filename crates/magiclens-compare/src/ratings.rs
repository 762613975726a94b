//! The log of judgments: JSON lines, only ever appended to, each synced to the disk before anyone is told of it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use magiclens_data::files::sync_folder;
use serde::{Deserialize, Serialize};

use crate::error::CompareError;
use crate::judgment::{Judgment, RaterName};
use crate::study::{RATINGS_FILE, Study, json_line, lock, read_if_present, whole_lines};

/// The judgments of each rater, in the order in which they were made.
pub type Judgments = BTreeMap<RaterName, Vec<Judgment>>;

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Judged {
        rater: RaterName,
        #[serde(flatten)]
        judgment: Judgment,
    },
    Undone {
        rater: RaterName,
        item: String,
    },
}

/// The open log of a study. One process has it; raters share that one.
#[derive(Debug)]
pub struct Ratings {
    judgments: Judgments,
    path: PathBuf,
    file: fs_err::File,
    /// Bytes of whole, synced lines.
    length: u64,
    is_broken: bool,
    _lock: fs_err::File,
}

impl Ratings {
    /// Opens the log in `dir`, and makes it if there is none. A line that was cut off when the process died was never
    /// acknowledged, and goes.
    ///
    /// # Errors
    /// [`CompareError::Busy`], [`CompareError::Damaged`], or a file that cannot be written.
    pub fn open(dir: &Path, study: &Study) -> Result<Self, CompareError> {
        let lock = lock(dir)?;
        let path = dir.join(RATINGS_FILE);
        let file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)?;
        let (judgments, length) = read(&path, study)?;
        file.set_len(length)?;
        file.sync_all()?;
        // The file's name, too, must survive.
        sync_folder(dir)?;
        Ok(Self {
            judgments,
            path,
            file,
            length,
            is_broken: false,
            _lock: lock,
        })
    }

    /// The judgments of all raters.
    pub fn judgments(&self) -> &Judgments {
        &self.judgments
    }

    /// The judgments of one rater, in the order in which they were made.
    pub fn of(&self, rater: &RaterName) -> &[Judgment] {
        self.judgments.get(rater).map_or(&[], Vec::as_slice)
    }

    /// Adds a judgment. When this returns, it survives anything but the loss of the disk.
    ///
    /// # Errors
    /// If it could not be written; then it is not there.
    pub fn add(&mut self, rater: &RaterName, judgment: Judgment) -> Result<(), CompareError> {
        self.append(&Event::Judged {
            rater: rater.clone(),
            judgment: judgment.clone(),
        })?;
        self.judgments.entry(rater.clone()).or_default().push(judgment);
        Ok(())
    }

    /// Takes back a rater's last judgment, if there is one; as durable as [`Ratings::add`].
    ///
    /// # Errors
    /// If that could not be written; then the judgment still stands.
    pub fn undo(&mut self, rater: &RaterName) -> Result<(), CompareError> {
        let Some(last) = self.of(rater).last() else {
            return Ok(());
        };
        self.append(&Event::Undone {
            rater: rater.clone(),
            item: last.item.clone(),
        })?;
        if let Some(judgments) = self.judgments.get_mut(rater) {
            judgments.pop();
        }
        Ok(())
    }

    fn append(&mut self, event: &Event) -> Result<(), CompareError> {
        if self.is_broken {
            return Err(CompareError::Broken {
                path: self.path.clone(),
            });
        }
        let line = json_line(event)?;
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // Whatever part of the line is there must go, or it would spoil the next one.
            let undone = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
            self.is_broken = undone.is_err();
            return Err(error.into());
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// All judgments of the study in `dir`, also while a server has it open.
///
/// # Errors
/// [`CompareError::Damaged`], or a file that cannot be read.
pub fn read_judgments(dir: &Path, study: &Study) -> Result<Judgments, CompareError> {
    Ok(read(&dir.join(RATINGS_FILE), study)?.0)
}

/// The judgments, and the bytes of all whole lines.
fn read(path: &Path, study: &Study) -> Result<(Judgments, u64), CompareError> {
    let bytes = read_if_present(path)?.unwrap_or_default();
    let whole = whole_lines(&bytes);
    let mut judgments = Judgments::new();
    for (number, line) in (1..).zip(whole.split_inclusive(|&byte| byte == b'\n')) {
        let event = serde_json::from_slice(line).map_err(|error| error.to_string());
        event
            .and_then(|event| replay(event, &mut judgments, study))
            .map_err(|problem| CompareError::Damaged {
                path: path.to_owned(),
                problem: format!("line {number}: {problem}"),
            })?;
    }
    Ok((judgments, whole.len() as u64))
}

fn replay(event: Event, judgments: &mut Judgments, study: &Study) -> Result<(), String> {
    match event {
        Event::Judged { rater, judgment } => {
            if !study.items.iter().any(|item| item.id == judgment.item) {
                return Err(format!("the study has no item `{}`", judgment.item));
            }
            let given = judgments.entry(rater).or_default();
            if given.iter().any(|before| before.item == judgment.item) {
                return Err(format!("item `{}` was judged before", judgment.item));
            }
            given.push(judgment);
        }
        Event::Undone { rater, item } => {
            let last = judgments
                .get_mut(&rater)
                .and_then(|given| given.pop_if(|last| last.item == item));
            last.ok_or_else(|| format!("item `{item}` was not the last one judged"))?;
        }
    }
    Ok(())
}
