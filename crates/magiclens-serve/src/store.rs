//! The index on the blocking pool.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use magiclens_data::files::read_capped;
use magiclens_data::{ImageId, decode};
use magiclens_http::blocking;
use magiclens_index::{Index, IndexError, IndexedImage, ModelStamp, Selection, Space};
use magiclens_search::{EmbeddedQuery, SearchError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::model::Place;
use crate::view::ImageView;

/// Look-ups that run or wait for the connection at once; more wait outside the blocking pool.
const LOOKUPS_AT_ONCE: usize = 16;

/// Bytes of original files in memory at once, from reading to sending.
const FILE_BYTES_AT_ONCE: usize = 256 << 20;

/// Shared way to one index. Searches and look-ups have a connection each, so that a page full of thumbnails never waits for
/// a long scan, nor the other way round.
#[derive(Clone)]
pub struct Store {
    search: Arc<Mutex<Index>>,
    lookup: Arc<Mutex<Index>>,
    lookups: Arc<Semaphore>,
    file_bytes: Arc<Semaphore>,
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
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            file_bytes: Arc::new(Semaphore::new(FILE_BYTES_AT_ONCE)),
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
        query: EmbeddedQuery,
        limit: usize,
        exclude: Option<ImageId>,
        place: Place,
    ) -> Result<Vec<ImageView>, ApiError> {
        ask(&self.search, place, move |index| {
            let folder = index.common_folder()?;
            let selection = Selection::first(limit).without(exclude.as_slice());
            let hits = query.search(index, &selection)?.into_iter();
            Ok::<_, SearchError>(
                hits.map(|hit| ImageView::new(hit.image, Some(hit.score), &folder))
                    .collect(),
            )
        })
        .await
    }

    /// Asks anything else of the index.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, ApiError> {
        ask(&self.lookup, permits(&self.lookups, 1).await, question).await
    }

    /// The image with this id, or [`ApiError::UnknownImage`].
    pub(crate) async fn image(&self, id: ImageId) -> Result<IndexedImage, ApiError> {
        let image = self.ask(move |index| index.get(id)).await?;
        image.ok_or(ApiError::UnknownImage(id))
    }

    /// The image's stored target, if it is in the index.
    pub(crate) async fn target(&self, id: ImageId) -> Result<Option<EmbeddedQuery>, ApiError> {
        let vector = self.ask(move |index| index.vector(id, Space::Target)).await?;
        Ok(vector.map(|vector| EmbeddedQuery::by_vector(vector, Space::Target)))
    }

    /// The bytes of an image's file; they give their room back when they are dropped.
    pub(crate) async fn file(&self, id: ImageId) -> Result<Bytes, ApiError> {
        let image = self.image(id).await?;
        let max_bytes = decode::Limits::default().max_bytes as usize;
        let room = permits(&self.file_bytes, max_bytes).await;
        blocking((), move || {
            let bytes = read_indexed(&image)?;
            let mut room = room;
            drop(room.split(max_bytes - bytes.len()));
            Ok(Bytes::from_owner(InMemory { bytes, _room: room }))
        })
        .await?
    }

    /// The bytes of an image's thumbnail, a JPEG.
    pub(crate) async fn thumbnail(&self, id: ImageId) -> Result<Vec<u8>, ApiError> {
        let thumbnail = self.ask(move |index| index.thumbnail(id)).await?;
        let thumbnail = thumbnail.ok_or(ApiError::UnknownImage(id))?;
        // A lost thumbnail is made again without the index, so that no search waits for the decoder.
        let permit = permits(&self.lookups, 1).await;
        let limits = decode::Limits::default();
        let read = move || thumbnail.find_or_make(&limits)?.map(fs_err::read).transpose();
        let bytes = blocking(permit, read).await?.map_err(ApiError::internal)?;
        bytes.ok_or(ApiError::ImageGone(id))
    }
}

struct InMemory {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn permits(semaphore: &Arc<Semaphore>, count: usize) -> OwnedSemaphorePermit {
    let count = u32::try_from(count).expect("limits are below 4 GiB");
    let permits = semaphore.clone().acquire_many_owned(count).await;
    permits.expect("the semaphore is never closed")
}

async fn ask<T: Send + 'static, E: Into<anyhow::Error> + Send + 'static>(
    index: &Arc<Mutex<Index>>,
    permit: impl Send + 'static,
    question: impl FnOnce(&Index) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError> {
    let index = index.clone();
    // A question only reads, so a panic in an earlier one left nothing half done.
    let ask = move || question(&index.lock().unwrap_or_else(PoisonError::into_inner));
    blocking(permit, ask).await?.map_err(ApiError::internal)
}

/// The bytes of an image's file. A file that no longer has the indexed content is not given out.
pub(crate) fn read_indexed(image: &IndexedImage) -> Result<Vec<u8>, ApiError> {
    let bytes = image.paths.iter().find_map(|path| read_if(path, image.id));
    bytes.ok_or(ApiError::ImageGone(image.id))
}

fn read_if(path: &Path, id: ImageId) -> Option<Vec<u8>> {
    let bytes = read_capped(path, decode::Limits::default().max_bytes).ok()?;
    (ImageId::of_bytes(&bytes) == id).then_some(bytes)
}
