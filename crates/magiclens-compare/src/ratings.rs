//! The log of judgements: JSON lines, only ever appended to, each synced to the disk before anyone is told of it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CompareError;
use crate::judgement::{Judgement, RaterName};
use crate::study::{RATINGS_FILE, Study, lock};

/// What each rater says, in the order in which it was said.
pub type Judgements = BTreeMap<RaterName, Vec<Judgement>>;

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Judged {
        rater: RaterName,
        #[serde(flatten)]
        judgement: Judgement,
    },
    Undone {
        rater: RaterName,
        item: String,
    },
}

/// The open log of a study. One process has it; raters share that one.
#[derive(Debug)]
pub struct Ratings {
    judgements: Judgements,
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
        let (judgements, length) = read(&path, study)?;
        file.set_len(length)?;
        file.sync_all()?;
        // The file's name, too, must survive.
        fs_err::File::open(dir)?.sync_all()?;
        Ok(Self {
            judgements,
            path,
            file,
            length,
            is_broken: false,
            _lock: lock,
        })
    }

    /// What everybody says.
    pub fn judgements(&self) -> &Judgements {
        &self.judgements
    }

    /// What one rater says, in the order in which it was said.
    pub fn of(&self, rater: &RaterName) -> &[Judgement] {
        self.judgements.get(rater).map_or(&[], Vec::as_slice)
    }

    /// Adds a judgement. When this returns, it survives anything but the loss of the disk.
    ///
    /// # Errors
    /// If it could not be written; then it is not there.
    pub fn add(&mut self, rater: &RaterName, judgement: Judgement) -> Result<(), CompareError> {
        self.append(&Event::Judged {
            rater: rater.clone(),
            judgement: judgement.clone(),
        })?;
        self.judgements.entry(rater.clone()).or_default().push(judgement);
        Ok(())
    }

    /// Takes back a rater's last judgement, if there is one; as durable as [`Ratings::add`].
    ///
    /// # Errors
    /// If that could not be written; then the judgement still stands.
    pub fn undo(&mut self, rater: &RaterName) -> Result<(), CompareError> {
        let Some(last) = self.of(rater).last() else {
            return Ok(());
        };
        self.append(&Event::Undone {
            rater: rater.clone(),
            item: last.item.clone(),
        })?;
        if let Some(judgements) = self.judgements.get_mut(rater) {
            judgements.pop();
        }
        Ok(())
    }

    fn append(&mut self, event: &Event) -> Result<(), CompareError> {
        let path = || self.path.clone();
        if self.is_broken {
            return Err(CompareError::Broken { path: path() });
        }
        let mut line = serde_json::to_vec(event).map_err(std::io::Error::from)?;
        line.push(b'\n');
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

/// What everybody says in the study in `dir`, also while a server has it open.
///
/// # Errors
/// [`CompareError::Damaged`], or a file that cannot be read.
pub fn read_judgements(dir: &Path, study: &Study) -> Result<Judgements, CompareError> {
    Ok(read(&dir.join(RATINGS_FILE), study)?.0)
}

/// The judgements, and the bytes of all whole lines.
fn read(path: &Path, study: &Study) -> Result<(Judgements, u64), CompareError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut judgements = Judgements::new();
    for (number, line) in (1..).zip(bytes[..whole].split_inclusive(|&byte| byte == b'\n')) {
        let event = serde_json::from_slice(line).map_err(|error| error.to_string());
        event
            .and_then(|event| replay(event, &mut judgements, study))
            .map_err(|problem| CompareError::Damaged {
                path: path.to_owned(),
                problem: format!("line {number}: {problem}"),
            })?;
    }
    Ok((judgements, whole as u64))
}

fn replay(event: Event, judgements: &mut Judgements, study: &Study) -> Result<(), String> {
    match event {
        Event::Judged { rater, judgement } => {
            if !study.items.iter().any(|item| item.id == judgement.item) {
                return Err(format!("the study has no item `{}`", judgement.item));
            }
            let given = judgements.entry(rater).or_default();
            if given.iter().any(|before| before.item == judgement.item) {
                return Err(format!("item `{}` was judged before", judgement.item));
            }
            given.push(judgement);
        }
        Event::Undone { rater, item } => {
            let last = judgements
                .get_mut(&rater)
                .and_then(|given| given.pop_if(|last| last.item == item));
            last.ok_or_else(|| format!("item `{item}` was not the last one judged"))?;
        }
    }
    Ok(())
}
