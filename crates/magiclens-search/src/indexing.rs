//! Images into an index: one batch is decoded while the one before is embedded and the one before that is committed.
//!
//! At most three batches are on their way, two of them with pixels; [`load_in_batches`] bounds each in number and bytes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use magiclens_data::Embedding;
use magiclens_data::decode::Limits;
use magiclens_index::{Batch, Counts, Index, Loaded, NewImage, Pending, Skipped, THUMBNAIL_PX, load_in_batches};

use crate::encoder::Encoder;
use crate::error::SearchError;
use crate::query::rows;

/// Settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Largest image that is indexed.
    pub limits: Limits,
    /// Most images that are embedded and committed together.
    pub batch: usize,
    /// True if large JPEG files are decoded whole, as queries are, and not at a half of their size or less where that keeps
    /// twice the pixels that the model looks at.
    pub exact_pixels: bool,
}

impl Default for IndexOptions {
    /// The usual limits of decoding, 32 images together, large JPEG files at a part of their size.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            batch: 32,
            exact_pixels: false,
        }
    }
}

impl IndexOptions {
    fn decoding(&self, encoder: &impl Encoder) -> Limits {
        let enough = encoder.image_px().filter(|_| !self.exact_pixels);
        Limits {
            enough_px: enough.map(|px| 2 * px.max(THUMBNAIL_PX)),
            ..self.limits
        }
    }
}

/// Receiver of a run's progress, and the place to stop it.
pub trait IndexProgress: Sync {
    /// `done` of `total` new or changed files are hashed.
    fn hashed(&self, done: usize, total: usize);

    /// `done` of `total` new contents are in the index or skipped.
    fn indexed(&self, done: usize, total: usize);

    /// True once the run is to stop after the batch at hand.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct IndexSummary {
    /// Files by what became of them.
    pub counts: Counts,
    /// Files under the given paths that could not be used, this time or before, in the order of their paths.
    pub skipped: Vec<Skipped>,
    /// Images in the index now.
    pub images: usize,
    /// Images embedded by this run.
    pub embedded: usize,
    /// Time for decoding, embedding and committing.
    pub seconds: f64,
    /// True if the run was stopped before its end; what is done is safe.
    pub interrupted: bool,
}

impl IndexSummary {
    /// Speed of this run; 0 if it embedded nothing.
    pub fn images_per_second(&self) -> f64 {
        match self.embedded {
            0 => 0.0,
            embedded => embedded as f64 / self.seconds,
        }
    }
}

/// Makes the index in `dir` one of another model: the images under `paths`, and all others that it knows and that are still
/// there, go into a second index beside it, which takes its place when it is complete. A run that was stopped goes on there.
///
/// # Errors
/// See [`index_images`].
pub fn replace_model(
    dir: &Path,
    encoder: &impl Encoder,
    paths: &[PathBuf],
    options: &IndexOptions,
    progress: &impl IndexProgress,
) -> Result<IndexSummary, SearchError> {
    let mut wanted = paths.to_vec();
    let absolute: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| fs_err::canonicalize(path).ok())
        .collect();
    let is_given = |file: &PathBuf| absolute.iter().any(|path| file.starts_with(path));
    let known = Index::open(dir)?.files()?;
    wanted.extend(known.into_iter().filter(|file| !is_given(file) && file.is_file()));
    let mut next = Index::next_to(dir, &encoder.stamp())?;
    let summary = index_images(&mut next, encoder, &wanted, options, progress)?;
    if !summary.interrupted {
        Index::replace_with(dir, next)?;
    }
    Ok(summary)
}

/// Brings the images under `paths` into the index, or what has changed since the last time.
///
/// # Errors
/// A path that does not exist, an index that cannot be written, a model that fails. What was committed before stays.
pub fn index_images(
    index: &mut Index,
    encoder: &impl Encoder,
    paths: &[PathBuf],
    options: &IndexOptions,
    progress: &impl IndexProgress,
) -> Result<IndexSummary, SearchError> {
    index.check_model(&encoder.stamp())?;
    let limits = options.decoding(encoder);
    let plan = index.scan(paths, &limits, |done, total| progress.hashed(done, total))?;
    index.apply(&plan)?;

    let started = Instant::now();
    let mut run = Run {
        encoder,
        limits,
        batch: options.batch,
        progress,
        counts: plan.counts,
        committed: Committed {
            skipped: plan.skipped,
            ..Committed::default()
        },
        interrupted: false,
    };
    run.bring_in(index, &plan.pending)?;

    let Committed {
        mut skipped, embedded, ..
    } = run.committed;
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(IndexSummary {
        counts: run.counts,
        skipped,
        images: index.len()?,
        embedded,
        seconds: started.elapsed().as_secs_f64(),
        interrupted: run.interrupted,
    })
}

/// A run over what a scan found to be done.
struct Run<'a, E, P> {
    encoder: &'a E,
    limits: Limits,
    batch: usize,
    progress: &'a P,
    counts: Counts,
    committed: Committed,
    interrupted: bool,
}

impl<E: Encoder, P: IndexProgress> Run<'_, E, P> {
    /// Decodes, embeds and commits side by side, a batch each. Whoever fails drops its end of a channel, and the others stop.
    fn bring_in(&mut self, index: &mut Index, pending: &[Pending]) -> Result<(), SearchError> {
        let Self {
            encoder,
            limits,
            batch,
            progress,
            counts,
            committed,
            interrupted,
        } = self;
        let (limits, size, progress) = (&*limits, *batch, *progress);
        progress.indexed(0, pending.len());
        std::thread::scope(|scope| {
            let (to_embed, loaded) = mpsc::sync_channel::<Batch>(0);
            let (to_commit, embedded) = mpsc::sync_channel::<EmbeddedBatch>(0);
            scope.spawn(move || load(pending, limits, size, &to_embed));
            let committer = scope.spawn(move || {
                embedded.into_iter().try_for_each(|batch| {
                    committed.add(index, batch)?;
                    progress.indexed(committed.contents, pending.len());
                    Ok(())
                })
            });
            let embedded = loaded.into_iter().try_for_each(|batch| {
                *interrupted = progress.is_stopped();
                match *interrupted {
                    true => Err(None),
                    // A committer that is gone tells why itself.
                    false => to_commit
                        .send(embed(*encoder, batch, counts).map_err(Some)?)
                        .map_err(|_| None),
                }
            });
            drop(to_commit);
            let committed = committer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            embedded.or_else(|error| error.map_or(Ok(()), Err)).and(committed)
        })
    }
}

/// Decodes batch after batch until nobody takes them any more.
fn load(pending: &[Pending], limits: &Limits, size: usize, batches: &mpsc::SyncSender<Batch>) {
    load_in_batches(pending, limits, size, |batch| match batches.send(batch) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
}

/// Everything that is safe on disk.
#[derive(Default)]
struct Committed {
    contents: usize,
    embedded: usize,
    skipped: Vec<Skipped>,
}

impl Committed {
    fn add(&mut self, index: &mut Index, batch: EmbeddedBatch) -> Result<(), SearchError> {
        index.add(&batch.images)?;
        index.skip(&batch.skipped)?;
        self.contents += batch.contents;
        self.embedded += batch.images.len();
        self.skipped.extend(batch.skipped);
        Ok(())
    }
}

/// A batch without its pixels.
struct EmbeddedBatch {
    contents: usize,
    images: Vec<NewImage>,
    skipped: Vec<Skipped>,
}

/// Gives the images their vectors; those for which the model has none are skipped.
fn embed(encoder: &impl Encoder, batch: Batch, counts: &mut Counts) -> Result<EmbeddedBatch, SearchError> {
    let Batch {
        contents,
        loaded,
        mut skipped,
    } = batch;
    let pixels: Vec<_> = loaded.iter().map(|loaded| &loaded.rgb).collect();
    let outputs = encoder.encode_images(&pixels).map_err(SearchError::Model)?;
    let outputs = rows("image", outputs, loaded.len())?;
    let (mut usable, mut tower_outputs, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    for (loaded, output) in loaded.into_iter().zip(outputs) {
        match Embedding::normalize(encoder.shared(&output).to_vec()) {
            Ok(vector) => {
                usable.push(loaded);
                tower_outputs.push(output);
                vectors.push(vector);
            }
            Err(error) => skipped.extend(loaded.into_skipped(&format!("the model has no vector for it: {error}"))),
        }
    }
    let targets = embed_targets(encoder, &tower_outputs)?;
    let new_image = |((loaded, target), vector): ((Loaded, _), _)| {
        counts.record(&loaded);
        loaded.into_new_image(target, vector)
    };
    let images = usable.into_iter().zip(targets).zip(vectors).map(new_image).collect();
    Ok(EmbeddedBatch {
        contents,
        images,
        skipped,
    })
}

/// The images fused with the empty text.
fn embed_targets(encoder: &impl Encoder, outputs: &[Vec<f32>]) -> Result<Vec<Embedding>, SearchError> {
    if outputs.is_empty() {
        return Ok(Vec::new());
    }
    let empty = encoder.encode_texts(&[""]).map_err(SearchError::Model)?;
    let empty = rows("text", empty, 1)?.remove(0);
    let targets = encoder
        .fuse(outputs, &vec![empty; outputs.len()])
        .map_err(SearchError::Model)?;
    rows("fused", targets, outputs.len())
}
