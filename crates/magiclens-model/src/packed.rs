//! Packed weights of a model in a file, which later runs map instead of reading and packing the model again.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use magiclens_cpu::{PackedFile, PackedWriter, Precision, Simd, Tensors};
use magiclens_data::Digest;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::networks::Networks;

/// The text in a file of packed weights.
#[derive(Serialize, Deserialize)]
struct About {
    config: ModelConfig,
    model_id: String,
    files: Vec<Stamp>,
}

/// A file of the model, as it was when its weights were packed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Stamp {
    name: String,
    bytes: u64,
    modified_ns: u128,
}

/// The place of a model's packed weights.
pub(crate) struct Packed<'a> {
    model: &'a Path,
    precision: Precision,
    file: PathBuf,
}

impl<'a> Packed<'a> {
    /// A file in `folder` for this model, precision and CPU.
    pub(crate) fn new(folder: &Path, model: &'a Path, precision: Precision) -> Self {
        let whole = fs_err::canonicalize(model).unwrap_or_else(|_| model.to_owned());
        let key = Digest::of(format!("{}\n{}", whole.display(), Simd::get())).to_string();
        Self {
            model,
            precision,
            file: folder.join(format!("{}-{precision}.packed", &key[..16])),
        }
    }

    /// What is there, if it is whole and the model's files are still the same.
    pub(crate) fn open(&self) -> Option<(ModelConfig, String, Networks)> {
        let packed = PackedFile::open(&self.file).ok()?;
        let about: About = serde_json::from_str(packed.about()).ok()?;
        if about.files != stamps(self.model).ok()? {
            return None;
        }
        let networks = Networks::new(&about.config, self.precision, &Tensors::packed(&packed)).ok()?;
        Some((about.config, about.model_id, networks))
    }

    /// Packs a checkpoint, and keeps that.
    ///
    /// # Errors
    /// A tensor that is missing; a file that cannot be written.
    pub(crate) fn pack(&self, checkpoint: &Checkpoint) -> Result<Networks, ModelError> {
        let failed = |error: std::io::Error| ModelError::Packed {
            path: self.file.clone(),
            reason: error.to_string(),
        };
        let about = About {
            config: checkpoint.config.clone(),
            model_id: checkpoint.digest.clone(),
            files: stamps(self.model).map_err(failed)?,
        };
        let writer = Mutex::new(PackedWriter::create(&self.file).map_err(failed)?);
        let find = |name: &str| checkpoint.tensors.get(name).map(|weights| weights.values.as_slice());
        let networks = Networks::new(&checkpoint.config, self.precision, &Tensors::packing(&find, &writer))?;
        let about = serde_json::to_string(&about).expect("plain structs of strings and numbers always serialize");
        let writer = writer.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        writer.finish(&about).map_err(failed)?;
        Ok(networks)
    }
}

/// The files of a folder, or a file and the towers that may lie beside it.
fn stamps(model: &Path) -> std::io::Result<Vec<Stamp>> {
    let folder = crate::import::open::folder_of(model);
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut stamps = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let is_wanted = model.is_dir() || path.extension() == Some("safetensors".as_ref()) || path.ends_with(model);
        let metadata = fs_err::metadata(&path)?;
        if is_wanted && metadata.is_file() {
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            stamps.push(Stamp {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes: metadata.len(),
                modified_ns: modified.as_nanos(),
            });
        }
    }
    stamps.sort();
    Ok(stamps)
}
