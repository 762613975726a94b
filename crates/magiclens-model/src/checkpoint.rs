//! Our checkpoint files: safetensors with the configuration as JSON in the metadata, f32 or f16. A checkpoint may
//! leave its pretrained trunks to sibling files, so that they are stored once for many fusions; it knows their hashes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::config::ModelConfig;
use crate::model::MagicLens;

/// The one metadata key: a [`Header`] as JSON.
const HEADER_KEY: &str = "magiclens";

/// What a checkpoint says of itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: ModelConfig,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    towers: Vec<TowerFile>,
}

/// A tensor's shape and numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type NamedWeights = BTreeMap<String, Weights>;

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes a number, exact.
    F32,
    /// 2 bytes a number.
    F16,
}

/// A sibling file that holds some tensors of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TowerFile {
    /// File name, in the folder of the checkpoint.
    pub file: String,
    /// blake3 of the file, hex.
    pub blake3: String,
}

/// A checkpoint in memory: what the model is, and its numbers.
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
        let bytes = fs_err::read(path)?;
        let metadata = read_metadata(path, &bytes)?;
        let header = metadata
            .get(HEADER_KEY)
            .ok_or_else(|| ModelError::NoConfig { path: path.into() })?;
        let Header { config, towers } = serde_json::from_str(header).map_err(|error| ModelError::BadConfig {
            path: path.into(),
            reason: error.to_string(),
        })?;
        config.check()?;
        let mut digest = blake3::Hasher::new();
        digest.update(blake3::hash(&bytes).as_bytes());
        let mut tensors = read_tensors(path, &bytes, &[])?;
        drop(bytes);
        for tower in &towers {
            let tower_path = sibling(path, &tower.file);
            let bytes = fs_err::read(&tower_path)?;
            let found = blake3::hash(&bytes);
            if found.to_hex().as_str() != tower.blake3 {
                let (found, expected) = (found.to_hex().to_string(), tower.blake3.clone());
                return Err(ModelError::WrongTower {
                    path: tower_path,
                    found,
                    expected,
                });
            }
            digest.update(found.as_bytes());
            tensors.extend(read_tensors(&tower_path, &bytes, &[])?);
        }
        let digest = digest.finalize().to_hex()[..32].to_string();
        Ok(Self {
            config,
            tensors,
            towers,
            digest,
        })
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

/// Writes a checkpoint in one file, aside and renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write_checkpoint(
    path: &Path,
    config: &ModelConfig,
    tensors: &NamedWeights,
    precision: Precision,
    towers: &[TowerFile],
) -> Result<(), ModelError> {
    let header = Header {
        config: config.clone(),
        towers: towers.to_vec(),
    };
    let header = serde_json::to_string(&header).expect("plain structs of strings and numbers always serialize");
    write_tensors(path, tensors, precision, Some((HEADER_KEY.to_string(), header)))
}

/// Writes a tower file and returns how a checkpoint beside it names it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tower(path: &Path, tensors: &NamedWeights, precision: Precision) -> Result<TowerFile, ModelError> {
    write_tensors(path, tensors, precision, None)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(TowerFile {
        file,
        blake3: blake3::hash(&fs_err::read(path)?).to_hex().to_string(),
    })
}

/// The tensors of any safetensors file of floats, as f32, but for those named in `left_out`.
///
/// # Errors
/// A file that is missing, cut off or foreign, or numbers that are no floats.
pub fn read_weights(path: &Path, left_out: &[&str]) -> Result<NamedWeights, ModelError> {
    read_tensors(path, &fs_err::read(path)?, left_out)
}

/// All parameters of a module by path, such as `fusion.layers.0.attention.query.weight`.
pub fn tensors_of<M: Module>(module: &M) -> NamedWeights {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// Replaces every parameter of `module` by the tensor of its path.
///
/// # Errors
/// The first missing, extra or misshapen tensor; `model` is named in the message.
pub fn fill<M: Module>(module: M, tensors: NamedWeights, model: &str) -> Result<M, ModelError> {
    let mut filler = Filler {
        path: ModulePath::default(),
        tensors,
        missing: Vec::new(),
        wrong: None,
        model,
    };
    let module = module.map(&mut filler);
    if let Some(error) = filler.wrong {
        return Err(error);
    }
    if let Some(name) = filler.missing.first() {
        let (name, missing) = (name.clone(), filler.missing.len());
        return Err(ModelError::MissingTensor {
            name,
            missing,
            model: model.into(),
        });
    }
    if let Some(name) = filler.tensors.keys().next() {
        let (name, extra) = (name.clone(), filler.tensors.len());
        return Err(ModelError::ExtraTensor {
            name,
            extra,
            model: model.into(),
        });
    }
    Ok(module)
}

/// Where a visitor stands. Names of enum variants are left out: which tower it is stands in the configuration.
#[derive(Default)]
struct ModulePath(Vec<Option<String>>);

impl ModulePath {
    fn enter(&mut self, name: &str, container_type: &str) {
        self.0
            .push((!container_type.starts_with("Enum:")).then(|| name.to_string()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        self.0
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(".")
    }
}

#[derive(Default)]
struct Collector {
    path: ModulePath,
    tensors: NamedWeights,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let shape = data.shape().iter().copied().collect();
        let values = data.try_to_vec::<f32>().expect("every parameter is f32");
        self.tensors.insert(self.path.name(), Weights { shape, values });
    }
}

struct Filler<'a> {
    path: ModulePath,
    tensors: NamedWeights,
    missing: Vec<String>,
    wrong: Option<ModelError>,
    model: &'a str,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(weights) = self.tensors.remove(&name) else {
            self.missing.push(name);
            return param;
        };
        // The lazy shape and device leave the random start values unmade.
        let expected: Vec<usize> = param.lazy_shape().iter().copied().collect();
        if weights.shape != expected {
            let (found, model) = (weights.shape, self.model.into());
            self.wrong.get_or_insert(ModelError::WrongShape {
                name,
                found,
                expected,
                model,
            });
            return param;
        }
        let data = TensorData::new(weights.values, weights.shape);
        let mut filled = Param::from_tensor(Tensor::from_data(data, &param.lazy_device()));
        // The same path always has the same id, so that an optimizer's saved state finds its parameters again.
        filled.id = ParamId::from(path_id(&name));
        filled
    }
}

fn path_id(path: &str) -> u64 {
    let hash = blake3::hash(path.as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// Numbers to little-endian bytes.
type Encoder = fn(&[f32]) -> Vec<u8>;

fn sibling(path: &Path, file: &str) -> PathBuf {
    // Only the file name counts: a checkpoint cannot name files elsewhere.
    let name = Path::new(file).file_name().unwrap_or_default();
    path.parent().unwrap_or(Path::new("")).join(name)
}

fn not_safetensors(path: &Path, error: impl std::fmt::Display) -> ModelError {
    ModelError::NotSafetensors {
        path: path.into(),
        reason: error.to_string(),
    }
}

pub(crate) fn read_metadata(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, ModelError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| not_safetensors(path, error))?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

pub(crate) fn read_tensors(path: &Path, bytes: &[u8], left_out: &[&str]) -> Result<NamedWeights, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| not_safetensors(path, error))?;
    let wanted = file.iter().filter(|(name, _)| !left_out.contains(name));
    wanted
        .map(|(name, view)| Ok((name.to_string(), to_weights(name, &view)?)))
        .collect()
}

fn to_weights(name: &str, view: &TensorView) -> Result<Weights, ModelError> {
    let bytes = view.data();
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    let values = match view.dtype() {
        Dtype::F32 => bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        other => {
            return Err(ModelError::WrongDtype {
                name: name.into(),
                dtype: format!("{other:?}"),
            });
        }
    };
    Ok(Weights {
        shape: view.shape().to_vec(),
        values,
    })
}

pub(crate) fn write_tensors(
    path: &Path,
    tensors: &NamedWeights,
    precision: Precision,
    header: Option<(String, String)>,
) -> Result<(), ModelError> {
    let (dtype, encode): (Dtype, Encoder) = match precision {
        Precision::F32 => (Dtype::F32, |values| {
            values.iter().flat_map(|v| v.to_le_bytes()).collect()
        }),
        Precision::F16 => (Dtype::F16, |values| {
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
        }),
    };
    let encoded: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, weights)| (name, &weights.shape, encode(&weights.values)))
        .collect();
    let views = encoded.iter().map(|(name, shape, bytes)| {
        TensorView::new(dtype, (*shape).clone(), bytes)
            .map(|view| (name.as_str(), view))
            .map_err(|error| not_safetensors(path, error))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let aside = path.with_extension("safetensors.partial");
    // The metadata is a hash map: with one key at most, the same model always gives the same bytes.
    let bytes = safetensors::serialize(views, header.map(|header| HashMap::from([header])))
        .map_err(|error| not_safetensors(path, error))?;
    fs_err::write(&aside, bytes)?;
    fs_err::File::open(&aside)?.sync_all()?;
    fs_err::rename(&aside, path)?;
    Ok(())
}
