//! A loaded model with its tokenizer and preprocessing: images and texts in, embeddings out.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use magiclens_data::Embedding;
use rayon::prelude::*;

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::inversion::TextualInversion;
use crate::model::MagicLens;
use crate::tokenizer::clip::{ClipTokenizer, TokenIds};
use crate::tokenizer::wordpiece::MiniLmTokenizer;
use crate::towers::clip_text::PseudoWord;
use crate::towers::{TextTower, VisionTower};

/// Images that go through the image tower in one piece. burn's CPU backend hardly uses a second core inside one
/// operation, so pieces run side by side.
const PIECE: usize = 8;

/// A short list is cut into so many pieces at least, to fill the cores. It does not depend on their number: sums may
/// depend on the piece, and the same images must give the same bytes on every machine.
const MIN_PIECES: usize = 16;

/// Rows that go through the text tower or the fusion in one piece.
const ROWS: usize = 64;

/// A model that is ready to embed.
pub struct Embedder {
    config: ModelConfig,
    model: MagicLens,
    tokenizer: Tokenizer,
    model_id: String,
    device: Device,
    /// The text side of every target.
    empty_text: OnceLock<Vec<f32>>,
}

#[expect(clippy::large_enum_variant, reason = "there is one tokenizer a process")]
enum Tokenizer {
    Clip(ClipTokenizer),
    MiniLm(MiniLmTokenizer),
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedder")
            .field("config", &self.config)
            .field("model_id", &self.model_id)
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// Loads a checkpoint and what lies beside it.
    ///
    /// # Errors
    /// See [`Checkpoint::read`] and [`Checkpoint::into_model`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::read(path)?;
        Self::new(checkpoint, path.parent().unwrap_or(Path::new("")), Device::flex())
    }

    /// Makes a checkpoint ready on a device; `folder` holds the `tokenizer.json` of a MiniLM tower.
    ///
    /// # Errors
    /// See [`Checkpoint::into_model`]; a missing or broken `tokenizer.json`.
    pub fn new(checkpoint: Checkpoint, folder: &Path, device: Device) -> Result<Self, ModelError> {
        let (config, model_id) = (checkpoint.config.clone(), checkpoint.digest.clone());
        let model = checkpoint.into_model(&device)?;
        let tokenizer = match &model.text {
            TextTower::ClipText(_) => Tokenizer::Clip(ClipTokenizer::new()),
            TextTower::MiniLm(_) => {
                let bytes = fs_err::read(tokenizer_path(folder))?;
                let made = MiniLmTokenizer::from_bytes(&bytes);
                Tokenizer::MiniLm(made.map_err(|error| ModelError::Tokenizer(error.to_string()))?)
            }
        };
        Ok(Self {
            config,
            model,
            tokenizer,
            model_id,
            device,
            empty_text: OnceLock::new(),
        })
    }

    /// Hex digest of configuration and weights: an index belongs to one.
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// The sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The modules.
    pub fn model(&self) -> &MagicLens {
        &self.model
    }

    /// Width of tower outputs and embeddings.
    pub fn dim(&self) -> usize {
        self.config.dim
    }

    /// The image tower's outputs, `[dim]` each, not normalized; reusable across instructions.
    ///
    /// # Errors
    /// None today; a backend on another device may fail.
    pub fn encode_images(&self, images: &[impl Borrow<RgbImage> + Sync]) -> Result<Vec<Vec<f32>>, ModelError> {
        let encode = |pixels: Tensor<4>| self.model.vision.forward(pixels);
        Ok(self.in_pieces(images, encode))
    }

    /// The features of the pretrained image trunk before its projection, for training on them; `None` where a tower
    /// has no such seam.
    pub fn image_features(&self, images: &[impl Borrow<RgbImage> + Sync]) -> Option<Vec<Vec<f32>>> {
        match &self.model.vision {
            VisionTower::ClipVit(_) => None,
            VisionTower::EfficientNetLite(tower) => Some(self.in_pieces(images, |pixels| tower.trunk.forward(pixels))),
        }
    }

    /// The image tower's outputs from what [`Embedder::image_features`] gave: with it, the same as
    /// [`Embedder::encode_images`]. `None` where a tower has no such seam.
    pub fn project_image_features(&self, features: &[Vec<f32>]) -> Option<Vec<Vec<f32>>> {
        let VisionTower::EfficientNetLite(tower) = &self.model.vision else {
            return None;
        };
        let project = |rows: &[Vec<f32>]| to_rows(tower.projection.forward(self.rows(rows)));
        Some(features.chunks(ROWS).flat_map(project).collect())
    }

    /// The features of the pretrained text trunk before its projection; `None` where a tower has no such seam.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn text_features(&self, texts: &[&str]) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        match (&self.model.text, &self.tokenizer) {
            (TextTower::MiniLm(tower), Tokenizer::MiniLm(tokenizer)) => {
                minilm_rows(tokenizer, texts, |ids| tower.trunk.forward(ids)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The text tower's outputs, `[dim]` each, not normalized. The empty text is computed once and kept.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
        let spoken: Vec<&str> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
        let mut encoded = self.run_text_tower(&spoken)?.into_iter();
        let mut rows = Vec::with_capacity(texts.len());
        for text in texts {
            rows.push(if text.is_empty() {
                self.empty_text()?.to_vec()
            } else {
                encoded.next().expect("the tower gives a row for each text")
            });
        }
        Ok(rows)
    }

    /// The text tower's outputs for prompts in which a placeholder (`*` or `$`, see [`TextualInversion::prompt`]) stands
    /// for an image, `[dim]` each, not normalized. `images` are outputs of [`Embedder::encode_images`], one a prompt.
    ///
    /// # Errors
    /// A text tower that is not CLIP's; an inversion for other widths; lists of different lengths; a prompt whose
    /// placeholder is missing or cut off.
    pub fn encode_texts_with_pseudo(
        &self,
        inversion: &TextualInversion,
        images: &[Vec<f32>],
        prompts: &[&str],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (TextTower::ClipText(tower), Tokenizer::Clip(tokenizer)) = (&self.model.text, &self.tokenizer) else {
            return Err(ModelError::NotClipText {
                model: self.config.name.clone(),
            });
        };
        if images.len() != prompts.len() {
            return Err(ModelError::RowMismatch {
                images: images.len(),
                texts: prompts.len(),
            });
        }
        let fits = |what, inversion_width, found| match found == inversion_width {
            true => Ok(()),
            false => Err(ModelError::InversionWidth {
                kind: inversion.kind().name(),
                what,
                inversion: inversion_width,
                found,
                model: self.config.name.clone(),
            }),
        };
        fits("word", inversion.word_width(), tower.width())?;
        fits("image embedding", inversion.image_width(), self.dim())?;
        for image in images {
            fits("image embedding", inversion.image_width(), image.len())?;
        }
        let vectors = inversion.words(images);
        let mut ids = Vec::with_capacity(prompts.len());
        let mut words = Vec::with_capacity(prompts.len());
        for (row, (prompt, vector)) in prompts.iter().zip(&vectors).enumerate() {
            let encoded = tokenizer.encode(prompt);
            let positions = inversion.kind().positions(&encoded);
            if positions.is_empty() {
                return Err(no_placeholder(inversion, row, prompt, &encoded));
            }
            ids.push(encoded);
            words.push(PseudoWord { vector, positions });
        }
        let pieces: Vec<_> = ids
            .par_chunks(PIECE)
            .zip(words.par_chunks(PIECE))
            .map(|(ids, words)| to_rows(tower.forward_with_words(ids, words)))
            .collect();
        Ok(pieces.into_iter().flatten().collect())
    }

    /// Row `i` is image `i` fused with text `i`.
    ///
    /// # Errors
    /// Lists of different lengths, or a row without direction.
    pub fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, ModelError> {
        if images.len() != texts.len() {
            return Err(ModelError::RowMismatch {
                images: images.len(),
                texts: texts.len(),
            });
        }
        let pieces: Vec<Vec<Vec<f32>>> = images
            .par_chunks(ROWS)
            .zip(texts.par_chunks(ROWS))
            .map(|(images, texts)| to_rows(self.model.fusion.forward(self.rows(images), self.rows(texts))))
            .collect();
        normalize_all(pieces.into_iter().flatten())
    }

    /// The embeddings of images as targets: fused with the empty text. `images` are outputs of
    /// [`Embedder::encode_images`].
    ///
    /// # Errors
    /// A row without direction.
    pub fn embed_targets(&self, images: &[Vec<f32>]) -> Result<Vec<Embedding>, ModelError> {
        let texts = vec![self.empty_text()?.to_vec(); images.len()];
        self.fuse(images, &texts)
    }

    /// The embedding of one query. `image` is an output of [`Embedder::encode_images`].
    ///
    /// # Errors
    /// A text that the tokenizer refuses, or no direction.
    pub fn embed_query(&self, image: &[f32], instruction: &str) -> Result<Embedding, ModelError> {
        let texts = self.encode_texts(&[instruction])?;
        let mut fused = self.fuse(&[image.to_vec()], &texts)?;
        Ok(fused.remove(0))
    }

    fn empty_text(&self) -> Result<&[f32], ModelError> {
        if let Some(row) = self.empty_text.get() {
            return Ok(row);
        }
        let row = self.run_text_tower(&[""])?.remove(0);
        Ok(self.empty_text.get_or_init(|| row))
    }

    fn run_text_tower(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
        match (&self.model.text, &self.tokenizer) {
            (TextTower::ClipText(tower), Tokenizer::Clip(tokenizer)) => {
                let ids: Vec<TokenIds> = texts.par_iter().map(|text| tokenizer.encode(text)).collect();
                let pieces: Vec<_> = ids.par_chunks(PIECE).map(|ids| to_rows(tower.forward(ids))).collect();
                Ok(pieces.into_iter().flatten().collect())
            }
            (TextTower::MiniLm(tower), Tokenizer::MiniLm(tokenizer)) => minilm_rows(tokenizer, texts, |ids| {
                tower.projection.forward(tower.trunk.forward(ids))
            }),
            _ => unreachable!("`new` chooses the tokenizer by the tower"),
        }
    }

    /// Preprocesses images and runs them through `network`, a piece at a time, pieces side by side.
    fn in_pieces(
        &self,
        images: &[impl Borrow<RgbImage> + Sync],
        network: impl Fn(Tensor<4>) -> Tensor<2> + Sync,
    ) -> Vec<Vec<f32>> {
        let size = self.config.vision.image_px();
        let piece = images.len().div_ceil(MIN_PIECES).clamp(1, PIECE);
        let pieces: Vec<Vec<Vec<f32>>> = images
            .par_chunks(piece)
            .map(|images| {
                let pixels: Vec<f32> = images
                    .iter()
                    .flat_map(|image| self.config.preprocess.apply(image.borrow()))
                    .collect();
                let data = TensorData::new(pixels, [images.len(), 3, size, size]);
                to_rows(network(Tensor::from_data(data, &self.device)))
            })
            .collect();
        pieces.into_iter().flatten().collect()
    }

    fn rows(&self, rows: &[Vec<f32>]) -> Tensor<2> {
        let width = rows.first().map_or(0, Vec::len);
        Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), width]), &self.device)
    }
}

/// Cosine-ready rows: see [`Embedding::normalize`].
///
/// # Errors
/// The first row without direction.
fn normalize_all(rows: impl IntoIterator<Item = Vec<f32>>) -> Result<Vec<Embedding>, ModelError> {
    let normalize = |(row, values)| {
        Embedding::normalize(values).map_err(|error| ModelError::NoEmbedding {
            row,
            reason: error.to_string(),
        })
    };
    rows.into_iter().enumerate().map(normalize).collect()
}

/// `[batch, dim]` as one vector a row.
///
/// # Panics
/// Never: tensors of this crate are f32 and contiguous as data.
pub fn to_rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, width] = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().expect("the tensor is f32");
    values.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect()
}

/// Says whether the placeholder was cut off with the end of a long prompt, or never there.
fn no_placeholder(inversion: &TextualInversion, row: usize, prompt: &str, ids: &TokenIds) -> ModelError {
    let placeholder = inversion.kind().placeholder();
    // The last position is taken by the end marker of a text that was cut off, or fits exactly.
    let full = ids.last().is_some_and(|&id| id != 0);
    let reason = if full && prompt.contains(placeholder) {
        format!("the prompt is cut off before its `{placeholder}`")
    } else {
        format!("the prompt has no `{placeholder}` of its own, which stands for the picture")
    };
    ModelError::NoPlaceholder {
        row,
        reason,
        prompt: prompt.into(),
    }
}

fn tokenizer_path(folder: &Path) -> PathBuf {
    folder.join("tokenizer.json")
}

/// Runs texts through `network` in groups of equal length, so that nothing is padded, and puts the rows back in order.
fn minilm_rows(
    tokenizer: &MiniLmTokenizer,
    texts: &[&str],
    network: impl Fn(&[&[u32]]) -> Tensor<2> + Sync,
) -> Result<Vec<Vec<f32>>, ModelError> {
    let ids = tokenizer
        .encode_batch(texts)
        .map_err(|error| ModelError::Tokenizer(error.to_string()))?;
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|row| ids[*row].len());
    let groups: Vec<&[usize]> = order
        .chunk_by(|a, b| ids[*a].len() == ids[*b].len())
        .flat_map(|group| group.chunks(ROWS))
        .collect();
    let done: Vec<Vec<Vec<f32>>> = groups
        .par_iter()
        .map(|group| {
            to_rows(network(
                &group.iter().map(|row| ids[*row].as_slice()).collect::<Vec<_>>(),
            ))
        })
        .collect();
    let mut rows = vec![Vec::new(); ids.len()];
    for (row, values) in order.iter().zip(done.into_iter().flatten()) {
        rows[*row] = values;
    }
    Ok(rows)
}
