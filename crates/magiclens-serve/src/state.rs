//! State shared by the handlers, and the limits of a request.

use std::sync::Arc;
use std::time::Duration;

use magiclens_data::decode;
use magiclens_http::Hosts;
use tokio::sync::Semaphore;

use crate::indexing::Indexing;
use crate::model::ModelQueue;
use crate::store::Store;

/// Decoded query images that may lie in memory at once, 120 MB each at the default limit.
const DECODED_AT_ONCE: usize = 8;

/// Most that one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Largest query image, width times height.
    pub max_pixels: u64,
    /// Longest instruction, in characters.
    pub max_text_chars: usize,
    /// Most hits of one search.
    pub max_hits: usize,
    /// Searches in the service at once, waiting ones included.
    pub max_searches: usize,
    /// Longest time for one request, its upload included.
    pub timeout: Duration,
}

impl Default for Limits {
    /// 24 MiB, 40 million pixels, 2,000 characters, 200 hits, 64 searches, 30 seconds.
    fn default() -> Self {
        Self {
            max_body_bytes: 24 << 20,
            max_pixels: 40_000_000,
            max_text_chars: 2_000,
            max_hits: 200,
            max_searches: 64,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    pub(crate) fn decode(&self) -> decode::Limits {
        decode::Limits {
            max_bytes: self.max_body_bytes as u64,
            max_pixels: self.max_pixels,
            ..decode::Limits::default()
        }
    }
}

/// State shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub(crate) model: ModelQueue,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) hosts: Hosts,
    /// A permit for each decoded query image in memory.
    pub(crate) decoded: Arc<Semaphore>,
    pub(crate) indexing: Option<Indexing>,
}

impl AppState {
    /// `model` and `store` must belong together: the same model, see [`Store::stamp`].
    pub fn new(model: ModelQueue, store: Store, limits: Limits, hosts: Hosts) -> Self {
        Self {
            model,
            store,
            limits,
            hosts,
            decoded: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
            indexing: None,
        }
    }

    /// The same service, which also tells how far the indexing in the background is.
    pub fn with_indexing(self, indexing: Indexing) -> Self {
        Self {
            indexing: Some(indexing),
            ..self
        }
    }
}
