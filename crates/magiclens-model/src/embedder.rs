//! A loaded model with its tokenizer and preprocessing: images and texts in, embeddings out.

use std::borrow::{Borrow, Cow};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use magiclens_cpu::{Precision, Simd, Tensors};
use magiclens_data::Embedding;
use rayon::prelude::*;

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::import::open::{folder_of, open_model};
use crate::model::MagicLens;
use crate::networks::{Networks, image_rows, text_rows};
use crate::packed::Packed;
use crate::rows::{from_rows, map_ids, to_rows};
use crate::tokenizer::Tokenizer;

/// Images that go through the image tower of burn's modules in one piece: enough to fill a GPU.
const IMAGES: usize = 32;

/// Rows that go through a module of burn in one piece.
const ROWS: usize = 64;

/// A model that is ready to embed.
pub struct Embedder {
    config: ModelConfig,
    /// Towers and fusion for the CPU; none on another device.
    networks: Option<Networks>,
    /// The modules. Beside networks they are made when they are asked for.
    modules: OnceLock<MagicLens>,
    /// The file or folder that modules are read from.
    source: PathBuf,
    precision: Precision,
    tokenizer: Box<dyn Tokenizer>,
    model_id: String,
    device: Device,
    /// The text side of every target.
    empty_text: OnceLock<Vec<f32>>,
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
    /// Loads a model and the files beside it: a checkpoint of ours, a folder of transformers, or an official pickle.
    ///
    /// # Errors
    /// See [`open_model`] and [`Checkpoint::into_model`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Self::load_with(path, Precision::default())
    }

    /// [`Embedder::load`] whose towers round to a precision.
    ///
    /// # Errors
    /// See [`Embedder::load`].
    pub fn load_with(path: &Path, precision: Precision) -> Result<Self, ModelError> {
        Self::open(path, Device::flex(), precision)
    }

    /// [`Embedder::load`] on a device; on another than the CPU the modules of burn compute.
    ///
    /// # Errors
    /// See [`Embedder::load`].
    pub fn load_on(path: &Path, device: Device) -> Result<Self, ModelError> {
        Self::open(path, device, Precision::default())
    }

    fn open(path: &Path, device: Device, precision: Precision) -> Result<Self, ModelError> {
        let mut embedder = Self::begin(open_model(path)?, folder_of(path), device, precision)?;
        path.clone_into(&mut embedder.source);
        Ok(embedder)
    }

    /// [`Embedder::load_with`] by the packed weights in `folder`, if they are there and the model's files are the same as when they were
    /// packed: that takes a fraction of the time, and several processes share their memory. Otherwise they are packed anew, and
    /// kept there where `keeps` says so.
    ///
    /// # Errors
    /// See [`Embedder::load`]; a folder that cannot be written.
    pub fn load_packed(path: &Path, precision: Precision, folder: &Path, keeps: bool) -> Result<Self, ModelError> {
        Simd::check_variable()?;
        let precision = precision.here();
        let packed = Packed::new(folder, path, precision);
        let (config, model_id, networks) = match packed.open() {
            Some(found) => found,
            None if !keeps => return Self::load_with(path, precision),
            None => {
                let checkpoint = open_model(path)?;
                checkpoint.check()?;
                let networks = packed.pack(&checkpoint)?;
                (checkpoint.config, checkpoint.digest, networks)
            }
        };
        Ok(Self {
            tokenizer: config.text.tokenizer(folder_of(path))?,
            config,
            networks: Some(networks),
            modules: OnceLock::new(),
            source: path.to_owned(),
            precision,
            model_id,
            device: Device::flex(),
            empty_text: OnceLock::new(),
        })
    }

    /// Makes a checkpoint ready on a device; `folder` holds the files of the tokenizer.
    ///
    /// # Errors
    /// See [`Checkpoint::into_model`]; a missing or broken tokenizer.
    pub fn new(checkpoint: Checkpoint, folder: &Path, device: Device) -> Result<Self, ModelError> {
        Self::with_precision(checkpoint, folder, device, Precision::default())
    }

    /// [`Embedder::new`] whose towers round to a precision on the CPU.
    ///
    /// # Errors
    /// See [`Embedder::new`].
    pub fn with_precision(
        checkpoint: Checkpoint,
        folder: &Path,
        device: Device,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        // Elsewhere than on the CPU the modules are all there is.
        if device != Device::flex() {
            return Self::begin(checkpoint, folder, device, precision);
        }
        let modules = checkpoint.clone().into_model(&device)?;
        let embedder = Self::begin(checkpoint, folder, device, precision)?;
        embedder.modules.get_or_init(|| modules);
        Ok(embedder)
    }

    /// Packs the networks, and makes the modules where a tower has none.
    fn begin(checkpoint: Checkpoint, folder: &Path, device: Device, precision: Precision) -> Result<Self, ModelError> {
        Simd::check_variable()?;
        let precision = precision.here();
        let (config, model_id) = (checkpoint.config.clone(), checkpoint.digest.clone());
        let (networks, modules) = match device == Device::flex() {
            true => {
                checkpoint.check()?;
                let find = |name: &str| checkpoint.tensors.get(name).map(|weights| weights.values.as_slice());
                let networks = Networks::new(&config, precision, &Tensors::new(&find))?;
                (Some(networks), OnceLock::new())
            }
            false => (None, OnceLock::from(checkpoint.into_model(&device)?)),
        };
        let tokenizer = config.text.tokenizer(folder)?;
        Ok(Self {
            config,
            networks,
            modules,
            source: PathBuf::new(),
            precision,
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

    /// The numbers that the towers round to: f32 for bf16 where the CPU has none.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The modules, read again if they were not needed so far.
    ///
    /// # Errors
    /// A model that cannot be read any more, or is another one now.
    pub fn model(&self) -> Result<&MagicLens, ModelError> {
        if let Some(modules) = self.modules.get() {
            return Ok(modules);
        }
        let checkpoint = open_model(&self.source)?;
        if checkpoint.digest != self.model_id {
            return Err(ModelError::Changed {
                path: self.source.clone(),
            });
        }
        let modules = checkpoint.into_model(&self.device)?;
        Ok(self.modules.get_or_init(|| modules))
    }

    /// Width of embeddings, and of what images and texts are compared by.
    pub fn dim(&self) -> usize {
        self.config.dim
    }

    /// Width of tower outputs.
    pub fn row_width(&self) -> usize {
        self.config.row_width()
    }

    /// The part of a tower output by which images and texts are compared, `[dim]`: its beginning, mostly all of it.
    pub fn shared<'a>(&self, row: &'a [f32]) -> &'a [f32] {
        &row[..self.dim().min(row.len())]
    }

    /// The image tower's outputs, `[row_width]` each, not normalized; reusable across instructions.
    ///
    /// # Errors
    /// None today; a backend on another device may fail.
    pub fn encode_images(&self, images: &[impl Borrow<RgbImage> + Sync]) -> Result<Vec<Vec<f32>>, ModelError> {
        if let Some(Networks { image, .. }) = &self.networks {
            return Ok(image_rows(&self.config, images, |pixels, threads| {
                image.forward(pixels, threads)
            }));
        }
        let tower = &self.model()?.vision;
        Ok(self.in_pieces(images, |pixels| tower.forward(pixels)))
    }

    /// The features of the pretrained image trunk before its projection, for training on them; `None` where a tower
    /// has no such seam.
    pub fn image_features(&self, images: &[impl Borrow<RgbImage> + Sync]) -> Option<Vec<Vec<f32>>> {
        if let Some(Networks { image, .. }) = &self.networks {
            // Without a seam there is none for no image either.
            image.features(&[], 1)?;
            let features = |pixels: &[f32], threads| image.features(pixels, threads).unwrap_or_default();
            return Some(image_rows(&self.config, images, features));
        }
        let tower = &self.modules.get()?.vision;
        tower.projection()?;
        Some(self.in_pieces(images, |pixels| {
            tower.features(pixels).expect("a projected tower has features")
        }))
    }

    /// The image tower's outputs from the features of [`Embedder::image_features`]: together the same as
    /// [`Embedder::encode_images`]. `None` where a tower has no such seam.
    pub fn project_image_features(&self, features: &[Vec<f32>]) -> Option<Vec<Vec<f32>>> {
        if let Some(Networks { image, .. }) = &self.networks {
            let width = self.row_width();
            let rows = |values: Vec<f32>| values.chunks_exact(width).map(<[f32]>::to_vec).collect::<Vec<_>>();
            return image.project(&features.concat()).map(rows);
        }
        let tower = &self.modules.get()?.vision;
        let project = |rows: &[Vec<f32>]| tower.project(from_rows(rows, &self.device)).map(to_rows);
        let pieces: Option<Vec<_>> = features.chunks(ROWS).map(project).collect();
        pieces.map(|pieces| pieces.concat())
    }

    /// The features of the pretrained text trunk before its projection; `None` where a tower has no such seam.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn text_features(&self, texts: &[&str]) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        if let Some(Networks { text, .. }) = &self.networks {
            if text.features(&[], 1).is_none() {
                return Ok(None);
            }
            let ids = self.tokenizer.encode_batch(texts)?;
            let features = |texts: &[Vec<_>], threads| text.features(texts, threads).unwrap_or_default();
            return Ok(Some(text_rows(&self.config, &ids, features)));
        }
        let tower = &self.model()?.text;
        if tower.projection().is_none() {
            return Ok(None);
        }
        let ids = self.tokenizer.encode_batch(texts)?;
        let features = |ids: &[&[u32]], _: &[usize]| tower.features(ids).expect("a projected tower has features");
        Ok(Some(map_ids(&ids, tower.batch(), features)))
    }

    /// The text tower's outputs, `[row_width]` each, not normalized. The empty text is computed once and kept; to a sum it adds
    /// nothing.
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

    /// Text rows that are about a second image, too: row `i` is text `i` said beside image `i`, to be fused with the first image. `None`
    /// where the model's fusion has no place for a second image ([`FusionConfig::takes_second_image`]).
    ///
    /// # Errors
    /// Lists of different lengths, or a row of another width.
    pub fn texts_beside(&self, texts: &[Vec<f32>], images: &[Vec<f32>]) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        if !self.config.fusion.takes_second_image() {
            return Ok(None);
        }
        self.check_rows(images, texts)?;
        let from = self.row_width() - self.dim();
        let mut rows = texts.to_vec();
        match &self.networks {
            Some(networks) => rows.iter_mut().zip(images).for_each(|(text, image)| {
                networks.add_second(&image[from..], &mut text[from..]);
            }),
            None => {
                let [images, texts] = [images, texts].map(|rows| from_rows(&self.tokens(rows), &self.device));
                let beside = to_rows(self.model()?.fusion.beside(texts, images));
                rows.iter_mut()
                    .zip(beside)
                    .for_each(|(row, token)| row[from..].copy_from_slice(&token));
            }
        }
        Ok(Some(rows))
    }

    /// Row `i` is image `i` fused with text `i`.
    ///
    /// # Errors
    /// Lists of different lengths, a row of another width, or one without direction.
    pub fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, ModelError> {
        self.check_rows(images, texts)?;
        let (images, texts) = (self.tokens(images), self.tokens(texts));
        let (images, texts) = (images.as_ref(), texts.as_ref());
        let fused = match &self.networks {
            Some(networks) => networks.fuse(images, texts),
            None => self.fuse_by_modules(images, texts)?,
        };
        let normalize = |(row, values)| {
            Embedding::normalize(values).map_err(|error| ModelError::NoEmbedding {
                row,
                reason: error.to_string(),
            })
        };
        fused.into_iter().enumerate().map(normalize).collect()
    }

    fn check_rows(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<(), ModelError> {
        if images.len() != texts.len() {
            return Err(ModelError::RowMismatch {
                images: images.len(),
                texts: texts.len(),
            });
        }
        let mut rows = images.iter().enumerate().chain(texts.iter().enumerate());
        match rows.find(|(_, vector)| vector.len() != self.row_width()) {
            Some((row, vector)) => Err(ModelError::RowWidth {
                row,
                found: vector.len(),
                expected: self.row_width(),
            }),
            None => Ok(()),
        }
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

    /// The tokenizer of the text tower.
    pub(crate) fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.tokenizer
    }

    fn empty_text(&self) -> Result<&[f32], ModelError> {
        if let Some(row) = self.empty_text.get() {
            return Ok(row);
        }
        let row = match self.config.fusion {
            FusionConfig::Attention(_) => self.run_text_tower(&[""])?.remove(0),
            // The target of a sum is its image alone.
            FusionConfig::Sum => vec![0.0; self.row_width()],
        };
        Ok(self.empty_text.get_or_init(|| row))
    }

    fn run_text_tower(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
        let ids = self.tokenizer.encode_batch(texts)?;
        if let Some(Networks { text, .. }) = &self.networks {
            return Ok(text_rows(&self.config, &ids, |texts, threads| {
                text.forward(texts, threads)
            }));
        }
        let tower = &self.model()?.text;
        Ok(map_ids(&ids, tower.batch(), |ids, _| tower.forward(ids)))
    }

    /// What the fusion takes of tower outputs: their ends.
    fn tokens<'a>(&self, rows: &'a [Vec<f32>]) -> Cow<'a, [Vec<f32>]> {
        match self.row_width() - self.dim() {
            0 => Cow::Borrowed(rows),
            from => Cow::Owned(rows.iter().map(|row| row[from..].to_vec()).collect()),
        }
    }

    fn fuse_by_modules(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, ModelError> {
        let fusion = &self.model()?.fusion;
        let fuse = |(images, texts): (&[Vec<f32>], &[Vec<f32>])| {
            let (images, texts) = (from_rows(images, &self.device), from_rows(texts, &self.device));
            to_rows(fusion.forward(images, texts))
        };
        let pieces = images.par_chunks(ROWS).zip(texts.par_chunks(ROWS));
        Ok(pieces.flat_map_iter(fuse).collect())
    }

    /// Preprocesses images on all cores and runs them through `network`, a piece at a time.
    fn in_pieces(
        &self,
        images: &[impl Borrow<RgbImage> + Sync],
        network: impl Fn(Tensor<4>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let (preprocess, size) = (&self.config.preprocess, self.config.vision.image_px());
        let encode = |images: &[_]| {
            let pixels = images
                .par_iter()
                .flat_map_iter(|image: &_| preprocess.apply(Borrow::borrow(image)));
            let data = TensorData::new(pixels.collect::<Vec<f32>>(), [images.len(), 3, size, size]);
            to_rows(network(Tensor::from_data(data, &self.device)))
        };
        images.chunks(IMAGES).flat_map(encode).collect()
    }
}
