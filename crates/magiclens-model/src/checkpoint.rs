//! Our checkpoint files: safetensors with the configuration as JSON in the metadata, f32 or f16. A checkpoint may
//! leave its pretrained trunks to sibling files, so that they are stored once for many fusions; it knows their digests.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use magiclens_data::{Digest, DigestBuilder};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::config::ModelConfig;
use crate::fusion::FusionConfig;
use crate::model::MagicLens;
use crate::tensors_file::{TensorsFile, write_tensors};

pub use crate::array::{NamedWeights, Weights};
use crate::parameters::check;
pub use crate::parameters::{fill, gradients_of, tensors_of};
pub use crate::tensors_file::StoredFloat;

/// The one metadata key: a [`Header`] as JSON.
const HEADER_KEY: &str = "magiclens";

/// The configuration and the tower files of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: ModelConfig,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    towers: Vec<TowerFile>,
}

/// A sibling file that holds some tensors of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TowerFile {
    /// File name, in the folder of the checkpoint.
    pub file: String,
    /// Digest of the file.
    #[serde(rename = "blake3")]
    pub digest: Digest,
}

/// A checkpoint in memory: configuration and numbers.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The sizes.
    pub config: ModelConfig,
    /// All tensors, those of tower files included.
    pub tensors: NamedWeights,
    /// Sibling files that hold the tensors of the trunks.
    pub towers: Vec<TowerFile>,
    /// Hex digest over the file and its tower files.
    pub digest: String,
}

impl Checkpoint {
    /// Reads a checkpoint and the tower files that it names.
    ///
    /// # Errors
    /// A file that is missing, cut off or foreign, numbers that are no floats, a tower file of another release.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let file = TensorsFile::open(path)?;
        let header = file
            .metadata(HEADER_KEY)
            .ok_or_else(|| ModelError::NoConfig { path: path.into() })?;
        let Header { config, towers } = serde_json::from_str(header).map_err(|error| ModelError::BadConfig {
            path: path.into(),
            reason: error.to_string(),
        })?;
        config.check()?;
        let (mut tensors, digest) = file.read_weights(&[])?;
        let mut digests = DigestBuilder::new();
        digests.update(digest.to_bytes());
        if config.fusion == FusionConfig::Sum {
            // Version 0.1 added the empty text to targets: its vectors must not be compared with today's.
            digests.update(b"a target is its image alone");
        }
        for tower in &towers {
            let path = sibling(path, &tower.file);
            let found = Digest::of_file(&path)?;
            if found != tower.digest {
                let expected = tower.digest;
                return Err(ModelError::WrongTower { path, found, expected });
            }
            digests.update(found.to_bytes());
            tensors.extend(read_weights(&path, &[])?);
        }
        let checkpoint = Self::new(config, tensors, &digests.finish());
        Ok(Self { towers, ..checkpoint })
    }

    /// A checkpoint of these weights, without tower files.
    pub(crate) fn new(config: ModelConfig, tensors: NamedWeights, digest: &Digest) -> Self {
        const SHOWN: usize = 32;
        Self {
            config,
            tensors,
            towers: Vec::new(),
            digest: digest.to_string()[..SHOWN].to_owned(),
        }
    }

    /// Builds the model on a device; every tensor must be there, with the right shape, and none may be left over.
    ///
    /// # Errors
    /// The first missing, extra or misshapen tensor.
    pub fn into_model(self, device: &Device) -> Result<MagicLens, ModelError> {
        let name = self.config.name.clone();
        fill(self.config.init(device), self.tensors, &name)
    }
}

impl Checkpoint {
    /// Holds all tensors against the configuration.
    ///
    /// # Errors
    /// The first missing, extra or misshapen tensor.
    pub fn check(&self) -> Result<(), ModelError> {
        check(&self.config.init(&Device::flex()), &self.tensors, &self.config.name)
    }
}

/// Writes a checkpoint in one file, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_checkpoint(
    path: &Path,
    config: &ModelConfig,
    tensors: &NamedWeights,
    stored: StoredFloat,
    towers: &[TowerFile],
) -> Result<(), ModelError> {
    let header = Header {
        config: config.clone(),
        towers: towers.to_vec(),
    };
    let header = serde_json::to_string(&header).expect("plain structs of strings and numbers always serialize");
    write_tensors(path, tensors, stored, Some((HEADER_KEY, header)))
}

/// Writes a tower file and returns the entry of a checkpoint beside it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tower(path: &Path, tensors: &NamedWeights, stored: StoredFloat) -> Result<TowerFile, ModelError> {
    write_tensors(path, tensors, stored, None)?;
    Ok(TowerFile {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        digest: Digest::of_file(path)?,
    })
}

/// The tensors of any safetensors file of floats, as f32, but for those named in `skipped`.
///
/// # Errors
/// A file that is missing, cut off or foreign, or numbers that are no floats.
pub fn read_weights(path: &Path, skipped: &[&str]) -> Result<NamedWeights, ModelError> {
    Ok(TensorsFile::open(path)?.read_weights(skipped)?.0)
}

fn sibling(path: &Path, file: &str) -> PathBuf {
    // Only the file name counts: a checkpoint cannot name files elsewhere.
    let name = Path::new(file).file_name().unwrap_or_default();
    path.parent().unwrap_or(Path::new("")).join(name)
}
