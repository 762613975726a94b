//! Models by name: found on this machine or fetched, imported where that is needed, and loaded.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use magiclens_data::Embedding;
use magiclens_hub::{Hub, HubConfig, HubError, ModelName, Progress, PublishedFile};
use magiclens_index::ModelStamp;
use magiclens_model::checkpoint::{StoredFloat, write_checkpoint};
use magiclens_model::import::official::read_base_or_large;
use magiclens_model::{Basic, DeviceName, Embedder, Precision};

use crate::basic::{BasicSearch, Method};
use crate::encoder::Encoder;
use crate::error::{EncodeError, SearchError};

/// Environment variable that names the default model.
const VARIABLE: &str = "MAGICLENS_MODEL";
/// The folder of packed weights beside the published checkpoints.
const PACKED: &str = "packed";
/// The weights of `small`, seen from the root of the repository.
const SMALL: &str = "weights/small.safetensors";

/// The models that names lead to.
#[derive(Debug)]
pub struct Models {
    hub: Hub,
    precision: Precision,
    keeps_packed: bool,
    device: DeviceName,
}

/// A model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// The name that leads to exactly these weights: with the commit for one of the hub, with the whole path for a file.
    pub name: String,
    /// A checkpoint, or a folder of transformers or open_clip.
    pub path: PathBuf,
}

/// A model that is ready to embed, and its source.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model.
    pub embedder: Embedder,
    /// Its source.
    pub source: ModelSource,
    /// Asks image + instruction, where the fusion does not; see [`Models::ask_by`].
    basic: Option<Arc<BasicSearch>>,
}

impl Deref for LoadedModel {
    type Target = Embedder;

    fn deref(&self) -> &Embedder {
        &self.embedder
    }
}

/// As its embedder, and with its name for the index.
impl Encoder for LoadedModel {
    fn model_id(&self) -> &str {
        self.embedder.model_id()
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn image_px(&self) -> Option<u32> {
        self.embedder.image_px()
    }

    fn encode_images(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>, EncodeError> {
        Encoder::encode_images(&self.embedder, images)
    }

    fn encode_texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        Encoder::encode_texts(&self.embedder, texts)
    }

    fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Result<Vec<Embedding>, EncodeError> {
        Encoder::fuse(&self.embedder, images, texts)
    }

    fn texts_beside(&self, texts: &[Vec<f32>], images: &[Vec<f32>]) -> Result<Option<Vec<Vec<f32>>>, EncodeError> {
        Encoder::texts_beside(&self.embedder, texts, images)
    }

    fn basic(&self) -> Option<Arc<BasicSearch>> {
        self.basic.clone()
    }

    fn stamp(&self) -> ModelStamp {
        ModelStamp {
            name: self.source.name.clone(),
            ..self.embedder.stamp()
        }
    }
}

impl Default for Models {
    /// Those that this process's environment leads to.
    fn default() -> Self {
        Self::new(Hub::new(HubConfig::from_env()))
    }
}

impl Models {
    /// Those that a hub leads to.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            precision: Precision::default(),
            keeps_packed: false,
            device: DeviceName::default(),
        }
    }

    /// The same, whose towers round to a precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same, which keeps packed weights beside the published checkpoints. Those that are there are used in any case.
    pub fn with_packed(self, keeps_packed: bool) -> Self {
        Self { keeps_packed, ..self }
    }

    /// The same, which compute on a device. Precision and packed weights are matters of the CPU.
    pub fn with_device(self, device: DeviceName) -> Self {
        Self { device, ..self }
    }

    /// The models on this machine, and the way to more.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The default name: `$MAGICLENS_MODEL`, else `small`.
    ///
    /// # Errors
    /// A variable that names nothing.
    pub fn default_name() -> Result<ModelName, SearchError> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => Ok(name.parse()?),
            _ => Ok(ModelName::Small),
        }
    }

    /// The files of a model, fetched and imported where needed.
    ///
    /// # Errors
    /// A model that neither is here nor can be fetched, or a published checkpoint that cannot be imported.
    pub fn locate(&self, name: &ModelName, progress: &mut dyn Progress) -> Result<ModelSource, SearchError> {
        let (name, path) = match name {
            ModelName::Small => (name.to_string(), small_weights()?),
            ModelName::Path(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                (absolute.to_string_lossy().into_owned(), path.clone())
            }
            ModelName::Published(model) => {
                let file = self.hub.published(*model, progress)?;
                (name.to_string(), imported(file, progress)?)
            }
            ModelName::Hub(wanted) => {
                let snapshot = self.hub.get(wanted, progress)?;
                (snapshot.name.to_string(), snapshot.folder)
            }
        };
        Ok(ModelSource { name, path })
    }

    /// A model, loaded.
    ///
    /// # Errors
    /// See [`Models::locate`]; files that are no model.
    pub fn load(&self, name: &ModelName, progress: &mut dyn Progress) -> Result<LoadedModel, SearchError> {
        let source = self.locate(name, progress)?;
        let embedder = match self.device == DeviceName::default() {
            true => {
                let packed = self.hub.config().models.join(PACKED);
                Embedder::load_packed(&source.path, self.precision, &packed, self.keeps_packed)
            }
            false => Embedder::load_on(&source.path, self.device.open()?),
        };
        let embedder = embedder.map_err(|error| SearchError::BadModel {
            name: source.name.clone(),
            cause: Box::new(error),
        })?;
        Ok(LoadedModel {
            embedder,
            source,
            basic: None,
        })
    }

    /// Lets image + instruction be asked by a method. BASIC is prepared once for each model and kept beside the published
    /// checkpoints.
    ///
    /// # Errors
    /// A text tower that gives numbers without direction; a folder that cannot be written.
    pub fn ask_by(
        &self,
        method: Method,
        model: &mut LoadedModel,
        progress: &mut dyn Progress,
    ) -> Result<(), SearchError> {
        model.basic = match method {
            Method::Fusion => None,
            Method::Basic => {
                let folder = &self.hub.config().models;
                if !Basic::is_prepared(folder, &model.embedder) {
                    progress.note("preparing BASIC for this model, once");
                }
                let basic = Basic::load_or_prepare(folder, &model.embedder).map_err(|error| SearchError::BadModel {
                    name: model.source.name.clone(),
                    cause: Box::new(error),
                })?;
                Some(Arc::new(BasicSearch::new(basic)))
            }
        };
        Ok(())
    }
}

/// The checkpoint of a published file. The pickle is removed once it is imported: only one of the two is needed.
fn imported(file: PublishedFile, progress: &mut dyn Progress) -> Result<PathBuf, SearchError> {
    let (path, target) = match file {
        PublishedFile::Imported(path) => return Ok(path),
        PublishedFile::Pickle { path, target } => (path, target),
    };
    progress.note(&format!("importing `{}` to `{}`", path.display(), target.display()));
    let bad = |error: magiclens_model::ModelError| SearchError::BadModel {
        name: path.display().to_string(),
        cause: Box::new(error),
    };
    let (config, tensors) = match read_base_or_large(&path) {
        // Another program has imported it meanwhile.
        Err(_) if target.is_file() => return Ok(target),
        read => read.map_err(bad)?,
    };
    write_checkpoint(&target, &config, &tensors, StoredFloat::F32, &[]).map_err(bad)?;
    match fs_err::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::from(error).into()),
        _ => Ok(target),
    }
}

/// The repository's weights: from the current folder or one above it, from the program's own place, or from where it was
/// built.
fn small_weights() -> Result<PathBuf, SearchError> {
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    [here.as_path(), program.as_path(), built]
        .into_iter()
        .flat_map(Path::ancestors)
        .map(|folder| folder.join(SMALL))
        .find(|path| path.is_file())
        .ok_or(SearchError::NoSmall)
}
