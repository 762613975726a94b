//! The index on the blocking pool.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use magiclens_data::{Embedding, ImageId, decode};
use magiclens_index::{Hit, Index, IndexError, IndexedImage, ModelStamp, Query, Space};

use crate::error::ApiError;

/// Shared way to one index. Searches and look-ups have a connection each, so that a page full of thumbnails never waits for
/// a long scan, nor the other way round.
#[derive(Clone)]
pub struct Store {
    search: Arc<Mutex<Index>>,
    lookup: Arc<Mutex<Index>>,
    stamp: ModelStamp,
}

impl Store {
    /// Opens the index in `dir`.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let search = Index::open(dir)?;
        let stamp = search.stamp().clone();
        Ok(Self {
            search: Arc::new(Mutex::new(search)),
            lookup: Arc::new(Mutex::new(Index::open(dir)?)),
            stamp,
        })
    }

    /// The model whose vectors the index holds.
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// The `limit` nearest images, best first.
    pub(crate) async fn search(
        &self,
        vector: Embedding,
        space: Space,
        limit: usize,
        exclude: Option<ImageId>,
    ) -> Result<Vec<Hit>, ApiError> {
        ask(&self.search, move |index| {
            let exclude = exclude.as_slice();
            index.search(&Query {
                vector: &vector,
                space,
                limit,
                exclude,
                min_score: None,
            })
        })
        .await
    }

    /// Asks anything else of the index.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, ApiError> {
        ask(&self.lookup, question).await
    }

    /// The image with this id, or [`ApiError::UnknownImage`].
    pub(crate) async fn image(&self, id: ImageId) -> Result<IndexedImage, ApiError> {
        self.ask(move |index| index.get(id))
            .await?
            .ok_or(ApiError::UnknownImage(id))
    }

    /// The bytes of an image's file. A file that no longer has the indexed content is not given out.
    pub(crate) async fn bytes(&self, id: ImageId) -> Result<Vec<u8>, ApiError> {
        let image = self.image(id).await?;
        let bytes = blocking(move || image.paths.iter().find_map(|path| read_if(Path::new(path), id))).await?;
        bytes.ok_or(ApiError::ImageGone(id))
    }

    /// The bytes of an image's thumbnail, a JPEG.
    pub(crate) async fn thumbnail(&self, id: ImageId) -> Result<Vec<u8>, ApiError> {
        match self.ask(move |index| index.thumbnail_path(id)).await? {
            Some(path) => blocking(move || fs_err::read(path))
                .await?
                .map_err(|error| ApiError::Internal(anyhow!(error))),
            None => {
                self.image(id).await?;
                Err(ApiError::ImageGone(id))
            }
        }
    }
}

async fn ask<T: Send + 'static>(
    index: &Arc<Mutex<Index>>,
    question: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
) -> Result<T, ApiError> {
    let index = index.clone();
    // A question only reads, so a panic in an earlier one left nothing half done.
    let answer = blocking(move || question(&index.lock().unwrap_or_else(PoisonError::into_inner))).await?;
    answer.map_err(|error| ApiError::Internal(anyhow!(error)))
}

/// Runs `work` on the blocking pool; a panic in it costs this request only.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| ApiError::Internal(anyhow!(panic)))
}

fn read_if(path: &Path, id: ImageId) -> Option<Vec<u8>> {
    let metadata = fs_err::metadata(path).ok()?;
    if !metadata.is_file() || decode::Limits::default().max_bytes < metadata.len() {
        return None;
    }
    fs_err::read(path).ok().filter(|bytes| ImageId::of_bytes(bytes) == id)
}
