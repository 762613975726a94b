//! The model that a training starts from: read, brought to the image size of the run, and given a fusion to train.

use std::path::Path;

use burn::tensor::Device;
use magiclens_data::Digest;
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{Checkpoint, TowerFile, tensors_of};
use magiclens_model::fusion::{AttentionFusionConfig, FusionConfig};
use magiclens_model::import::open::{folder_of, open_model};

use crate::config::NewFusion;
use crate::{TrainConfig, TrainError};

/// Dimensions of an attention head of a new fusion.
const HEAD_DIM: usize = 64;

/// A model to start from.
pub struct Start {
    /// The model, with the fusion of the run.
    pub embedder: Embedder,
    /// Sibling files that hold tensors of the model.
    pub(crate) towers: Vec<TowerFile>,
    /// Names the model: a run is not continued with another.
    pub(crate) digest: String,
}

impl Start {
    /// Reads a model of any layout that says itself what it is, onto a device.
    ///
    /// # Errors
    /// A model that cannot be read, or cannot have the image size or the fusion of the run.
    pub fn read(path: &Path, config: &TrainConfig, device: Device) -> Result<Self, TrainError> {
        let mut checkpoint = open_model(path)?;
        let digest = match path.is_dir() {
            true => checkpoint.digest.clone(),
            false => short_digest(path)?,
        };
        if let Some(image_px) = config.image_px {
            checkpoint = checkpoint.with_image_px(image_px)?;
        }
        if config.fusion == NewFusion::Attention {
            checkpoint = with_attention(checkpoint, config.seed);
        }
        let towers = checkpoint.towers.clone();
        let embedder = Embedder::new(checkpoint, folder_of(path), device)?;
        if config.fusion == NewFusion::Sum {
            check_sum(&embedder, path)?;
        }
        Ok(Self {
            embedder,
            towers,
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
    config.fusion = FusionConfig::Attention(AttentionFusionConfig {
        second: true,
        ..AttentionFusionConfig::reference(config.dim, heads)
    });
    let fusion = tensors_of(&config.init_fusion_seeded(seed));
    let named = fusion
        .into_iter()
        .map(|(name, weights)| (format!("fusion.{name}"), weights));
    checkpoint.tensors.extend(named);
    checkpoint
}

/// Refuses a model whose vectors are no sums, or whose targets would not be their images alone.
fn check_sum(embedder: &Embedder, start: &Path) -> Result<(), TrainError> {
    let model = embedder.model()?;
    // A projection makes a vector of nothing, too: its bias.
    let is_projected = model.vision.projection().is_some() || model.text.projection().is_some();
    let reason = match (&embedder.config().fusion, is_projected) {
        (FusionConfig::Attention(_), _) => "has a fusion of its own",
        (FusionConfig::Sum, true) => "has towers with projections, which do not share a space",
        (FusionConfig::Sum, false) => return Ok(()),
    };
    Err(TrainError::NoSum {
        start: start.into(),
        reason,
    })
}

/// The digest of a file in as many digits as runs of earlier versions have.
pub(crate) fn short_digest(path: &Path) -> Result<String, TrainError> {
    const DIGITS: usize = 32;
    Ok(Digest::of_file(path)?.to_string()[..DIGITS].to_owned())
}
