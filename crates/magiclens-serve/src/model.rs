//! The model's thread and its queue: async code never computes. Queries that wait are embedded together, as one batch.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use image::RgbImage;
use magiclens_data::ImageId;
use magiclens_http::HttpError;
use magiclens_search::{EmbeddedQuery, Encoder, ImageInput, SearchQuery, embed_queries};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::ApiError;
use crate::towers::TowerCache;
use crate::turns::{BackgroundEncoder, Turns};

/// Most queries that are embedded together. Beyond this a batch gains nothing and the first in it wait longer.
const MAX_BATCH: usize = 8;

/// Image tower outputs to remember: some MiB.
const TOWERS_KEPT: NonZeroUsize = NonZeroUsize::new(2048).expect("not zero");

/// The way to the model. Clones share one thread, which ends when the last of them is dropped.
#[derive(Clone)]
pub struct ModelQueue {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    towers: TowerCache,
    model_id: Arc<str>,
    dim: usize,
}

/// A place for one search in the service. It goes with all work for the search and is given back with the last of it.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

/// A query on its way to the model.
pub(crate) enum Question {
    /// An image, and an instruction that may be empty.
    Image {
        id: ImageId,
        image: QueryImage,
        instruction: String,
    },
    /// A text alone.
    Text(String),
}

/// An image before or after the image tower.
pub(crate) enum QueryImage {
    Encoded(Arc<[f32]>),
    /// The permit bounds the number of decoded images in memory; it is given back with the pixels.
    Pixels {
        rgb: RgbImage,
        _permit: OwnedSemaphorePermit,
    },
}

struct Job {
    question: Question,
    answer: oneshot::Sender<anyhow::Result<EmbeddedQuery>>,
    _place: Place,
}

impl ModelQueue {
    /// Starts the thread that embeds queries, at most `capacity` of them in the service at once. Background work uses the
    /// same model through the encoder.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start<E: Encoder + Send + Sync + 'static>(
        encoder: E,
        capacity: usize,
    ) -> anyhow::Result<(Self, BackgroundEncoder<E>)> {
        let capacity = capacity.max(1);
        let (jobs, waiting) = mpsc::channel(capacity);
        let queue = Self {
            jobs,
            places: Arc::new(Semaphore::new(capacity)),
            towers: TowerCache::new(TOWERS_KEPT),
            model_id: encoder.model_id().into(),
            dim: encoder.dim(),
        };
        let (encoder, turns) = (Arc::new(encoder), Arc::new(Turns::default()));
        let background = BackgroundEncoder {
            encoder: Arc::clone(&encoder),
            turns: Arc::clone(&turns),
        };
        let towers = queue.towers.clone();
        std::thread::Builder::new()
            .name("model".into())
            .spawn(move || work(&*encoder, &turns, &towers, waiting))
            .context("no thread for the model")?;
        Ok((queue, background))
    }

    /// The model's id, see [`Encoder::model_id`].
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// False once the model's thread is gone.
    pub(crate) fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// A place for a search, to be taken before its body is read, so that overload costs no memory.
    ///
    /// # Errors
    /// [`HttpError::Overloaded`] if all are taken.
    pub(crate) fn place(&self) -> Result<Place, HttpError> {
        let place = self.places.clone().try_acquire_owned();
        place.map(Arc::new).map_err(|_| HttpError::Overloaded)
    }

    /// The image tower's output for an image that was embedded lately.
    pub(crate) fn tower(&self, id: ImageId) -> Option<Arc<[f32]>> {
        self.towers.get(id)
    }

    /// Waits for the model.
    ///
    /// # Errors
    /// [`HttpError::Internal`] if the model fails.
    pub(crate) async fn embed(&self, question: Question, place: Place) -> Result<EmbeddedQuery, ApiError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            question,
            answer,
            _place: place,
        };
        // There are as many places as the queue holds jobs, so only a stopped model refuses one.
        self.jobs.try_send(job).map_err(|_| ApiError::ModelStopped)?;
        let answer = answered.await.map_err(|_| ApiError::ModelStopped)?;
        answer.map_err(ApiError::internal)
    }
}

impl Question {
    fn as_query(&self) -> SearchQuery<'_> {
        match self {
            Self::Text(text) => SearchQuery::Text(text),
            Self::Image { image, instruction, .. } => SearchQuery::Image {
                image: match image {
                    QueryImage::Encoded(output) => ImageInput::Encoded(output),
                    QueryImage::Pixels { rgb, .. } => ImageInput::Pixels(rgb),
                },
                second: None,
                instruction,
            },
        }
    }
}

/// The model's thread: takes the jobs that wait, up to a batch, and answers them.
fn work(encoder: &impl Encoder, turns: &Turns, towers: &TowerCache, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(job) = waiting.try_recv()
        {
            batch.push(job);
        }
        let _turn = turns.for_query();
        // Whoever types on has left an older question behind: it is not worth computing.
        batch.retain(|job| !job.answer.is_closed());
        if !batch.is_empty() {
            answer(encoder, towers, batch);
        }
    }
}

/// Answers a batch. If it fails, each job is tried alone, so that only the one that fails hears of it.
fn answer(encoder: &impl Encoder, towers: &TowerCache, mut batch: Vec<Job>) {
    let queries: Vec<SearchQuery<'_>> = batch.iter().map(|job| job.question.as_query()).collect();
    match embed_caught(encoder, &queries) {
        Ok(vectors) => {
            for (job, vector) in batch.into_iter().zip(vectors) {
                if let (Question::Image { id, .. }, Some(output)) = (&job.question, &vector.image_output) {
                    towers.insert(*id, output.as_slice().into());
                }
                // A client that went away in the meantime needs no answer.
                _ = job.answer.send(Ok(vector));
            }
        }
        Err(error) if batch.len() == 1 => _ = batch.remove(0).answer.send(Err(error)),
        Err(_) => batch.into_iter().for_each(|job| answer(encoder, towers, vec![job])),
    }
}

/// A panic inside the model costs the query, not the server.
fn embed_caught(encoder: &impl Encoder, queries: &[SearchQuery<'_>]) -> anyhow::Result<Vec<EmbeddedQuery>> {
    let embedded = catch_unwind(AssertUnwindSafe(|| embed_queries(encoder, queries)));
    embedded.map_or_else(
        |panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied());
            Err(anyhow!("the model panicked: {}", message.unwrap_or("no message")))
        },
        |vectors| Ok(vectors?),
    )
}
