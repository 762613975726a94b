//! Indexing in the background, while the index is searched: queries go first, and `/api/info` tells how far it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use magiclens_index::Index;
use magiclens_search::{Encoder, IndexOptions, IndexProgress, IndexSummary, SearchError, index_images};
use serde::Serialize;

use crate::turns::BackgroundEncoder;

/// A run in the background. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Indexing(Arc<Mutex<IndexingStatus>>);

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexingStatus {
    /// The phase.
    pub state: IndexingState,
    /// Files looked at, or images indexed.
    pub done: usize,
    /// Files to look at, or images to index; 0 if not known yet.
    pub total: usize,
    /// Files that could not be used, known at the end.
    pub skipped: usize,
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexingState {
    /// Files are looked at.
    Scanning,
    /// New images are embedded; those that are done can be found.
    Indexing,
    /// All images can be found.
    Done,
    /// The run ended early, as the log says; images that were done can be found.
    Failed,
}

impl Indexing {
    /// Starts bringing the images under `paths` into the index.
    ///
    /// # Errors
    /// If the system gives no thread. The status of a run that fails later tells it.
    pub fn start<E: Encoder + Send + Sync + 'static>(
        mut index: Index,
        encoder: BackgroundEncoder<E>,
        paths: Vec<PathBuf>,
        progress: impl IndexProgress + Send + 'static,
    ) -> anyhow::Result<Self> {
        let indexing = Self::at(IndexingState::Scanning);
        let watched = Watched {
            indexing: indexing.clone(),
            progress,
        };
        std::thread::Builder::new()
            .name("indexing".into())
            .spawn(move || {
                let options = IndexOptions::default();
                let run = || index_images(&mut index, &encoder, &paths, &options, &watched);
                match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(result) => watched.indexing.end(result),
                    Err(_) => watched.indexing.fail("it panicked"),
                }
            })
            .context("no thread for indexing")?;
        Ok(indexing)
    }

    /// A run that could not start.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        let indexing = Self::at(IndexingState::Failed);
        indexing.fail(&error.to_string());
        indexing
    }

    /// The progress so far.
    pub fn status(&self) -> IndexingStatus {
        self.lock().clone()
    }

    fn at(state: IndexingState) -> Self {
        Self(Arc::new(Mutex::new(IndexingStatus {
            state,
            done: 0,
            total: 0,
            skipped: 0,
        })))
    }

    fn advance(&self, state: IndexingState, done: usize, total: usize) {
        let mut status = self.lock();
        // Files are hashed on several threads, whose reports may overtake each other.
        let done = if status.state == state {
            done.max(status.done)
        } else {
            done
        };
        (status.state, status.done, status.total) = (state, done, total);
    }

    fn end(&self, result: Result<IndexSummary, SearchError>) {
        match result {
            Ok(summary) => {
                let mut status = self.lock();
                status.state = IndexingState::Done;
                status.skipped = summary.skipped.len();
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// The reason goes to the log: it may name folders that are nobody's business.
    fn fail(&self, reason: &str) {
        tracing::error!(reason, "indexing in the background has failed");
        self.lock().state = IndexingState::Failed;
    }

    fn lock(&self) -> MutexGuard<'_, IndexingStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the status and the caller's progress.
struct Watched<P> {
    indexing: Indexing,
    progress: P,
}

impl<P: IndexProgress> IndexProgress for Watched<P> {
    fn hashed(&self, done: usize, total: usize) {
        self.indexing.advance(IndexingState::Scanning, done, total);
        self.progress.hashed(done, total);
    }

    fn indexed(&self, done: usize, total: usize) {
        self.indexing.advance(IndexingState::Indexing, done, total);
        self.progress.indexed(done, total);
    }

    fn is_stopped(&self) -> bool {
        self.progress.is_stopped()
    }
}
