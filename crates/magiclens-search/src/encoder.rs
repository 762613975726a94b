//! The part of a model that searching and indexing need.

use std::sync::Arc;

use image::RgbImage;
use magiclens_data::Embedding;
use magiclens_index::ModelStamp;
use magiclens_model::Embedder;

use crate::basic::BasicSearch;
use crate::error::EncodeError;

/// A model that encodes images and texts and fuses both. Implemented by [`Embedder`] and by the fakes of tests.
pub trait Encoder {
    /// Digest of weights and configuration: an index belongs to one model.
    fn model_id(&self) -> &str;

    /// Width of an embedding.
    fn dim(&self) -> usize;

    /// The part of a tower output by which images and texts are compared: its first [`Encoder::dim`] numbers, mostly all of them.
    fn shared<'a>(&self, row: &'a [f32]) -> &'a [f32] {
        &row[..self.dim().min(row.len())]
    }

    /// Side of the square that the image tower looks at, in pixels; `None` if it wants all that an image has.
    fn image_px(&self) -> Option<u32> {
        None
    }

    /// Tower outputs, one for each image, not normalized.
    ///
    /// # Errors
    /// A model that fails.
    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError>;

    /// Tower outputs, one for each text, not normalized.
    ///
    /// # Errors
    /// A model that fails, or a text that it refuses.
    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError>;

    /// Row `i` is image `i` fused with text `i`.
    ///
    /// # Errors
    /// A model that fails, or a row without direction.
    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError>;

    /// Text rows that are about a second image, too, to be fused with the first; `None` where the model has no place for a second image.
    ///
    /// # Errors
    /// A model that fails.
    fn texts_beside(&self, _texts: &[Vec<f32>], _images: &[Vec<f32>]) -> Result<Option<Vec<Vec<f32>>>, EncodeError> {
        Ok(None)
    }

    /// BASIC of the model, where image + instruction is asked by it instead of [`Encoder::fuse`].
    fn basic(&self) -> Option<Arc<BasicSearch>> {
        None
    }

    /// The model as an index records it.
    fn stamp(&self) -> ModelStamp {
        ModelStamp {
            name: String::new(),
            model_id: self.model_id().to_owned(),
            dim: self.dim(),
        }
    }
}

impl Encoder for Embedder {
    fn model_id(&self) -> &str {
        Embedder::model_id(self)
    }

    fn dim(&self) -> usize {
        Embedder::dim(self)
    }

    fn image_px(&self) -> Option<u32> {
        Some(self.config().preprocess.size_px())
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        Ok(Embedder::encode_images(self, images)?)
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        Ok(Embedder::encode_texts(self, texts)?)
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        Ok(Embedder::fuse(self, images, texts)?)
    }

    fn texts_beside(&self, texts: &[Vec<f32>], images: &[Vec<f32>]) -> Result<Option<Vec<Vec<f32>>>, EncodeError> {
        Ok(Embedder::texts_beside(self, texts, images)?)
    }
}
