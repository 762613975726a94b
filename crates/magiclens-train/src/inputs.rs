//! Inputs of trained towers: files of images, which are decoded when a step needs them and never kept, and ids of texts.

use std::path::PathBuf;

use image::imageops::flip_horizontal_in_place;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::ModelError;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::tokenizer::Tokenizer;

use crate::TrainError;

/// Inputs by the rows of the tables that frozen features stand in. A tower without inputs stays as it is.
#[derive(Debug, Default)]
pub struct TowerInputs {
    /// The images, for a trained image tower.
    pub images: Option<ImageFiles>,
    /// The texts, for a trained text tower.
    pub texts: Option<TextIds>,
}

/// Ids of texts; none at all for an empty text that adds nothing to an image.
#[derive(Clone, Debug, Default)]
pub struct TextIds {
    /// Of instructions.
    pub texts: Vec<Vec<u32>>,
    /// Of captions.
    pub captions: Vec<Vec<u32>>,
}

/// Files of images, and their way to the input of a tower.
#[derive(Clone, Debug)]
pub struct ImageFiles {
    paths: Vec<PathBuf>,
    /// Whether the same images follow once more, mirrored.
    mirrored: bool,
    preprocess: PreprocessConfig,
}

impl ImageFiles {
    /// Images by their files.
    pub fn new(paths: Vec<PathBuf>, preprocess: PreprocessConfig) -> Self {
        Self {
            paths,
            mirrored: false,
            preprocess,
        }
    }

    /// The images, and behind them their mirrored views.
    pub fn with_mirrored(self) -> Self {
        Self { mirrored: true, ..self }
    }

    /// Number of images, mirrored ones included.
    pub fn len(&self) -> usize {
        self.paths.len() * if self.mirrored { 2 } else { 1 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Side of a preprocessed image in pixels.
    pub fn size_px(&self) -> usize {
        self.preprocess.size_px() as usize
    }

    /// Decodes and preprocesses an image, `[3, size_px, size_px]`.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn pixels(&self, row: usize) -> Result<Vec<f32>, TrainError> {
        let path = &self.paths[row % self.paths.len()];
        let mut image = read_rgb(path, &Limits::default()).map_err(|error| TrainError::Image {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        if row >= self.paths.len() {
            flip_horizontal_in_place(&mut image);
        }
        Ok(self.preprocess.apply(&image))
    }
}

/// Ids of texts. `keeps_empty` is false where the empty text adds nothing, as to a sum.
///
/// # Errors
/// A text that the tokenizer refuses.
pub fn ids_of(tokenizer: &dyn Tokenizer, texts: &[&str], keeps_empty: bool) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut ids = tokenizer.encode_batch(texts)?;
    for (ids, text) in ids.iter_mut().zip(texts) {
        if text.is_empty() && !keeps_empty {
            ids.clear();
        }
    }
    Ok(ids)
}
