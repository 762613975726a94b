//! The model's thread and its queue: async code never computes. What waits is embedded together, as one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use image::RgbImage;
use magiclens_data::{Embedding, ImageId};
use magiclens_model::Embedder;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::ApiError;
use crate::towers::TowerCache;

/// Most queries that are embedded together. Beyond this a batch gains nothing and the first in it wait longer.
const MAX_BATCH: usize = 8;

/// Image tower outputs to remember: some MiB.
const TOWERS_KEPT: usize = 2048;

/// What the service needs of a model. Implemented by [`Embedder`] and by the fake of the tests.
pub trait Embed: Send + 'static {
    /// Digest of weights and configuration: an index belongs to one model.
    fn model_id(&self) -> &str;
    /// Width of an embedding.
    fn dim(&self) -> usize;
    /// Tower outputs, one for each image, not normalized.
    fn encode_images(&self, images: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>>;
    /// Tower outputs, one for each text, not normalized.
    fn encode_texts(&self, texts: &[&str]) -> anyhow::Result<Vec<Vec<f32>>>;
    /// Row `i` is image `i` fused with text `i`.
    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> anyhow::Result<Vec<Embedding>>;
}

impl Embed for Embedder {
    fn model_id(&self) -> &str {
        Embedder::model_id(self)
    }

    fn dim(&self) -> usize {
        Embedder::dim(self)
    }

    fn encode_images(&self, images: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(Embedder::encode_images(self, images)?)
    }

    fn encode_texts(&self, texts: &[&str]) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(Embedder::encode_texts(self, texts)?)
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> anyhow::Result<Vec<Embedding>> {
        Ok(Embedder::fuse(self, images, texts)?)
    }
}

/// The way to the model. Clones share one thread, which ends when the last of them is dropped.
#[derive(Clone)]
pub struct ModelQueue {
    jobs: mpsc::Sender<Job>,
    towers: TowerCache,
    model_id: Arc<str>,
    dim: usize,
}

/// A query as the model takes it.
pub(crate) enum Query {
    /// An image, and an instruction that may be empty.
    Image {
        id: ImageId,
        image: Image,
        instruction: String,
    },
    /// Words alone.
    Text(String),
}

/// An image before or after the image tower.
pub(crate) enum Image {
    Encoded(Arc<[f32]>),
    /// The place bounds how many decoded images lie in memory; it is given back with the pixels.
    Pixels {
        pixels: RgbImage,
        _place: OwnedSemaphorePermit,
    },
}

struct Job {
    query: Query,
    answer: oneshot::Sender<anyhow::Result<Embedding>>,
}

impl ModelQueue {
    /// Starts the thread that owns `embedder`. At most `capacity` queries wait.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(embedder: impl Embed, capacity: usize) -> anyhow::Result<Self> {
        let (jobs, waiting) = mpsc::channel(capacity.max(1));
        let towers = TowerCache::new(TOWERS_KEPT);
        let model_id = embedder.model_id().into();
        let dim = embedder.dim();
        let queue = Self {
            jobs,
            towers: towers.clone(),
            model_id,
            dim,
        };
        std::thread::Builder::new()
            .name("model".into())
            .spawn(move || work(&embedder, &towers, waiting))
            .context("no thread for the model")?;
        Ok(queue)
    }

    /// The model's id, see [`Embed::model_id`].
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

    /// The image tower's output for an image that was embedded lately.
    pub(crate) fn tower(&self, id: ImageId) -> Option<Arc<[f32]>> {
        self.towers.get(id)
    }

    /// Waits for the model.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] at once if the queue is full; [`ApiError::Internal`] if the model fails.
    pub(crate) async fn embed(&self, query: Query) -> Result<Embedding, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.jobs
            .try_send(Job { query, answer })
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => ApiError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ApiError::ModelStopped,
            })?;
        answered
            .await
            .map_err(|_| ApiError::ModelStopped)?
            .map_err(ApiError::Internal)
    }
}

/// The model's thread: takes what waits, up to a batch, and answers it.
fn work(embedder: &impl Embed, towers: &TowerCache, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(job) = waiting.try_recv()
        {
            batch.push(job);
        }
        // Whoever types on has left an older question behind: it is not worth computing.
        batch.retain(|job| !job.answer.is_closed());
        answer(embedder, towers, batch);
    }
}

/// Answers a batch. If it fails, each job is tried alone, so that only the one that fails hears of it.
fn answer(embedder: &impl Embed, towers: &TowerCache, batch: Vec<Job>) {
    if batch.is_empty() {
        return;
    }
    let (queries, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.query, job.answer)).unzip();
    match embed_caught(embedder, towers, &queries) {
        // A client that went away in the meantime needs no answer.
        Ok(embeddings) => answers
            .into_iter()
            .zip(embeddings)
            .for_each(|(to, embedding)| _ = to.send(Ok(embedding))),
        Err(error) if queries.len() == 1 => answers
            .into_iter()
            .for_each(|to| _ = to.send(Err(anyhow!("{error:#}")))),
        Err(_) => queries.into_iter().zip(answers).for_each(|(query, answer_to)| {
            answer(
                embedder,
                towers,
                vec![Job {
                    query,
                    answer: answer_to,
                }],
            )
        }),
    }
}

/// A panic inside the model costs the query, not the server.
fn embed_caught(embedder: &impl Embed, towers: &TowerCache, queries: &[Query]) -> anyhow::Result<Vec<Embedding>> {
    catch_unwind(AssertUnwindSafe(|| embed(embedder, towers, queries))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(anyhow!("the model panicked: {}", message.unwrap_or("no message")))
    })
}

/// One embedding for each query: all images through their tower together, all texts through theirs, one fusion.
fn embed(embedder: &impl Embed, towers: &TowerCache, queries: &[Query]) -> anyhow::Result<Vec<Embedding>> {
    let images = encode_images(embedder, towers, queries)?;
    let texts: Vec<&str> = queries.iter().map(Query::text).collect();
    let texts = checked("text", embedder.encode_texts(&texts)?, queries.len())?;

    let fused_texts: Vec<_> = zip_images(queries, &texts).cloned().collect();
    let fused = match images.is_empty() {
        true => Vec::new(),
        false => checked("fused", embedder.fuse(&images, &fused_texts)?, images.len())?,
    };
    let mut fused = fused.into_iter();
    let mut embeddings = Vec::with_capacity(queries.len());
    for (query, text) in queries.iter().zip(texts) {
        embeddings.push(match query {
            Query::Image { .. } => fused.next().context("a fused row for each picture")?,
            Query::Text(_) => Embedding::normalize(text)?,
        });
    }
    Ok(embeddings)
}

/// Tower outputs of the queries that have an image, in their order; new ones are remembered.
fn encode_images(embedder: &impl Embed, towers: &TowerCache, queries: &[Query]) -> anyhow::Result<Vec<Vec<f32>>> {
    let pixels: Vec<&RgbImage> = queries.iter().filter_map(Query::pixels).collect();
    let encoded = match pixels.is_empty() {
        true => Vec::new(),
        false => checked("image", embedder.encode_images(&pixels)?, pixels.len())?,
    };
    let mut encoded = encoded.into_iter();
    let mut outputs = Vec::new();
    for query in queries {
        let Query::Image { id, image, .. } = query else {
            continue;
        };
        outputs.push(match image {
            Image::Encoded(output) => output.to_vec(),
            Image::Pixels { .. } => {
                let output = encoded.next().context("an output for each picture")?;
                towers.insert(*id, output.as_slice().into());
                output
            }
        });
    }
    Ok(outputs)
}

fn checked<T>(what: &str, rows: Vec<T>, expected: usize) -> anyhow::Result<Vec<T>> {
    anyhow::ensure!(
        rows.len() == expected,
        "the model gave {} {what} rows for {expected}",
        rows.len()
    );
    Ok(rows)
}

fn zip_images<'a, T>(queries: &'a [Query], rows: &'a [T]) -> impl Iterator<Item = &'a T> {
    queries
        .iter()
        .zip(rows)
        .filter(|(query, _)| matches!(query, Query::Image { .. }))
        .map(|(_, row)| row)
}

impl Query {
    fn text(&self) -> &str {
        match self {
            Self::Image { instruction, .. } => instruction,
            Self::Text(text) => text,
        }
    }

    fn pixels(&self) -> Option<&RgbImage> {
        match self {
            Self::Image {
                image: Image::Pixels { pixels, .. },
                ..
            } => Some(pixels),
            _ => None,
        }
    }
}
