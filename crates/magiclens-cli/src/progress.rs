//! Steps of long work as a progress bar on standard error.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use magiclens_eval::images::Step;

use crate::train::bar;

/// The bar of the step that is running.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Option<ProgressBar>>);

impl Progress {
    /// Shows a step.
    pub(crate) fn show(&self, step: Step<'_>) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Start(what, count) => *current = Some(bar(count, what)),
            Step::Advance(count) => current.iter().for_each(|bar| bar.inc(count as u64)),
            Step::Done => current.take().iter().for_each(ProgressBar::finish_and_clear),
        }
    }
}
