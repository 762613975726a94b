//! The model that a training starts from: read, brought to the image size of the run, and given a fusion to train.

use std::path::Path;

use magiclens_data::Digest;
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{Checkpoint, TowerFile, tensors_of};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::import::open::{folder_of, open_model};

use crate::{TrainConfig, TrainError};

/// Dimensions of an attention head of a new fusion.
const HEAD_DIM: usize = 64;

/// A model to start from.
pub struct Start {
    /// The model, with a fusion to train.
    pub embedder: Embedder,
    /// Sibling files that hold tensors of the model.
    pub(crate) towers: Vec<TowerFile>,
    /// Names the model: a run is not continued with another.
    pub(crate) digest: String,
}

impl Start {
    /// Reads a model of any layout that says itself what it is.
    ///
    /// # Errors
    /// A model that cannot be read, or cannot have the image size of the run.
    pub fn read(path: &Path, config: &TrainConfig) -> Result<Self, TrainError> {
        let mut checkpoint = open_model(path)?;
        let digest = match path.is_dir() {
            true => checkpoint.digest.clone(),
            false => short_digest(path)?,
        };
        if let Some(image_px) = config.image_px {
            checkpoint = checkpoint.with_image_px(image_px)?;
        }
        let checkpoint = with_attention(checkpoint, config.seed);
        Ok(Self {
            towers: checkpoint.towers.clone(),
            embedder: Embedder::new(checkpoint, folder_of(path), Default::default())?,
            digest,
        })
    }
}

/// In the place of a sum, which has nothing to train, a fusion of the reference's proportions with random weights.
fn with_attention(mut checkpoint: Checkpoint, seed: u64) -> Checkpoint {
    let config = &mut checkpoint.config;
    if config.fusion != FusionConfig::Sum {
        return checkpoint;
    }
    let heads = match config.dim.is_multiple_of(HEAD_DIM) {
        true => config.dim / HEAD_DIM,
        false => 1,
    };
    config.fusion = FusionConfig::Attention(AttentionFusionConfig::reference(config.dim, heads));
    let fusion = tensors_of(&config.init_fusion_seeded(seed));
    let named = fusion
        .into_iter()
        .map(|(name, weights)| (format!("fusion.{name}"), weights));
    checkpoint.tensors.extend(named);
    checkpoint
}

/// The digest of a file in as many digits as runs of earlier versions have.
pub(crate) fn short_digest(path: &Path) -> Result<String, TrainError> {
    const DIGITS: usize = 32;
    Ok(Digest::of_file(path)?.to_string()[..DIGITS].to_owned())
}
