//! Packed weights of a model in a file, which later runs map instead of reading and packing the model again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use magiclens_cpu::{PackedFile, PackedWriter, Precision, Simd, Tensors};
use magiclens_data::Digest;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::import::open::folder_of;
use crate::networks::Networks;

/// The text in a file of packed weights.
#[derive(Serialize, Deserialize)]
struct About {
    config: ModelConfig,
    model_id: String,
    files: Vec<ModelFile>,
    /// Of the program that packed them: another one may make other numbers of a model.
    version: String,
}

/// The version of this program, and of the way from a model's files to packed weights, to be raised with a change of it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// A file of the model, as it was when its weights were packed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct ModelFile {
    name: String,
    bytes: u64,
    modified_ns: u128,
}

/// The place of a model's packed weights.
pub(crate) struct Packed<'a> {
    model: &'a Path,
    precision: Precision,
    file: PathBuf,
    /// The model's files before any of them is read; none if they cannot be listed.
    before: Option<Vec<ModelFile>>,
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
            before: model_files(model).ok(),
        }
    }

    /// What is there, if it is whole and the model's files are still the same.
    pub(crate) fn open(&self) -> Option<(ModelConfig, String, Networks)> {
        let packed = PackedFile::open(&self.file).ok()?;
        let about: About = serde_json::from_str(packed.about()).ok()?;
        if about.version != VERSION || Some(&about.files) != self.before.as_ref() {
            return None;
        }
        let networks = Networks::new(&about.config, self.precision, &Tensors::packed(&packed)).ok()?;
        Some((about.config, about.model_id, networks))
    }

    /// Packs a checkpoint that was read from the model's files, and keeps that, unless they changed meanwhile.
    ///
    /// # Errors
    /// A tensor that is missing; a file that cannot be written.
    pub(crate) fn pack(&self, checkpoint: &Checkpoint) -> Result<Networks, ModelError> {
        let failed = |error: io::Error| ModelError::Packed {
            path: self.file.clone(),
            reason: error.to_string(),
        };
        let about = About {
            config: checkpoint.config.clone(),
            model_id: checkpoint.digest.clone(),
            files: model_files(self.model).map_err(failed)?,
            version: VERSION.to_owned(),
        };
        let is_current = self.before.as_ref() == Some(&about.files);
        let writer = Mutex::new(PackedWriter::create(&self.file).map_err(failed)?);
        let find = |name: &str| checkpoint.tensors.get(name).map(|weights| weights.values.as_slice());
        let networks = Networks::new(&checkpoint.config, self.precision, &Tensors::packing(&find, &writer))?;
        let about = serde_json::to_string(&about).expect("plain structs of strings and numbers always serialize");
        let writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        if is_current {
            writer.finish(&about).map_err(failed)?;
        }
        Ok(networks)
    }
}

/// The files of a folder, or a file and the towers that may lie beside it.
fn model_files(model: &Path) -> io::Result<Vec<ModelFile>> {
    let folder = Some(folder_of(model)).filter(|folder| !folder.as_os_str().is_empty());
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let is_wanted = model.is_dir() || path.file_name() == model.file_name() || is_safetensors(&path);
        // What a link no longer leads to is no file of the model.
        let Some(metadata) = is_wanted.then(|| fs_err::metadata(&path).ok()).flatten() else {
            continue;
        };
        if metadata.is_file() {
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            files.push(ModelFile {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes: metadata.len(),
                modified_ns: modified.as_nanos(),
            });
        }
    }
    files.sort();
    Ok(files)
}

fn is_safetensors(path: &Path) -> bool {
    path.extension() == Some("safetensors".as_ref())
}
