//! Safetensors files, one tensor at a time, so that a model is never twice in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use half::f16;
use magiclens_data::files::write_atomic;
use magiclens_data::{Digest, DigestBuilder};
use safetensors::tensor::{Metadata, TensorInfo};

use crate::ModelError;
use crate::array::{Array, Dtype, NamedArrays, NamedWeights, Weights, wrong_dtype};

/// Bytes of the number in front of the header, which says how long that is.
const LENGTH_BYTES: u64 = 8;
/// The limit of the format.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The element type of the numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredFloat {
    /// 4 bytes a number, exact.
    F32,
    /// 2 bytes a number.
    F16,
}

/// An open file whose header was read.
pub(crate) struct TensorsFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    digest: DigestBuilder,
}

impl TensorsFile {
    /// Opens a file and checks that its tensors fill it exactly.
    ///
    /// # Errors
    /// A file that is missing, cut off or of another kind.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let foreign = |reason: String| not_safetensors(path, reason);
        let mut header = Vec::new();
        (&mut file).take(LENGTH_BYTES).read_to_end(&mut header)?;
        let bytes = <[u8; 8]>::try_from(header.as_slice()).map_err(|_| foreign("it has no header".into()))?;
        let header_bytes = u64::from_le_bytes(bytes);
        if header_bytes > MAX_HEADER_BYTES.min(length - LENGTH_BYTES) {
            return Err(foreign("its header reaches beyond its end".into()));
        }
        (&mut file).take(header_bytes).read_to_end(&mut header)?;
        let mut digest = DigestBuilder::new();
        digest.update(&header);
        let json = &header[LENGTH_BYTES as usize..];
        let header: Metadata = serde_json::from_slice(json).map_err(|error| foreign(error.to_string()))?;
        if LENGTH_BYTES + header_bytes + header.data_len() as u64 != length {
            return Err(foreign("it is cut off, or something follows its tensors".into()));
        }
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            header,
            digest,
        })
    }

    /// An entry of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// All tensors but those named in `skipped`, as f32, and the digest of the whole file.
    ///
    /// # Errors
    /// A file that cannot be read, or numbers that are no floats.
    pub(crate) fn read_weights(self, skipped: &[&str]) -> Result<(NamedWeights, Digest), ModelError> {
        let mut tensors = NamedWeights::new();
        let digest = self.read(|name, info, bytes| {
            if !skipped.contains(&name) {
                let (shape, array) = (info.shape.clone(), to_array(name, info, bytes)?);
                let values = array.to_f32(name)?;
                tensors.insert(name.to_owned(), Weights { shape, values });
            }
            Ok(())
        })?;
        Ok((tensors, digest))
    }

    /// All tensors as they are.
    ///
    /// # Errors
    /// A file that cannot be read, or numbers of a type that no checkpoint has.
    pub(crate) fn read_arrays(self) -> Result<NamedArrays, ModelError> {
        let mut arrays = BTreeMap::new();
        self.read(|name, info, bytes| {
            arrays.insert(name.to_owned(), to_array(name, info, bytes)?);
            Ok(())
        })?;
        Ok(arrays)
    }

    /// Reads the tensors in the order of the file, which leaves nothing out.
    fn read(
        mut self,
        mut each: impl FnMut(&str, &TensorInfo, Vec<u8>) -> Result<(), ModelError>,
    ) -> Result<Digest, ModelError> {
        for name in self.header.offset_keys() {
            let info = self.header.info(&name).expect("the name is the header's own");
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            let read = self.file.read_exact(&mut bytes);
            read.map_err(|error| not_safetensors(&self.path, error.to_string()))?;
            self.digest.update(&bytes);
            each(&name, info, bytes)?;
        }
        Ok(self.digest.finish())
    }
}

fn to_array(name: &str, info: &TensorInfo, bytes: Vec<u8>) -> Result<Array, ModelError> {
    let dtype = match info.dtype {
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::BF16,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I64 => Dtype::I64,
        other => return Err(wrong_dtype(name, other)),
    };
    Ok(Array::new(info.shape.clone(), dtype, bytes.into()).expect("the header was checked"))
}

fn not_safetensors(path: &Path, reason: String) -> ModelError {
    ModelError::NotSafetensors {
        path: path.into(),
        reason,
    }
}

/// Writes a file whole or not at all, with one entry of metadata at most: then the same tensors always give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &NamedWeights,
    stored: StoredFloat,
    metadata: Option<(&str, String)>,
) -> Result<(), ModelError> {
    let header = header(tensors, stored, metadata).map_err(|error| not_safetensors(path, error.to_string()))?;
    write_atomic(path, |file: &mut BufWriter<_>| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for weights in tensors.values() {
            file.write_all(&encoded(&weights.values, stored))?;
        }
        Ok(())
    })
}

/// The header, padded so that the numbers are aligned.
fn header(
    tensors: &NamedWeights,
    stored: StoredFloat,
    metadata: Option<(&str, String)>,
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let (dtype, size) = match stored {
        StoredFloat::F32 => (safetensors::Dtype::F32, 4),
        StoredFloat::F16 => (safetensors::Dtype::F16, 2),
    };
    let mut end = 0;
    let infos = tensors.iter().map(|(name, weights)| {
        let start = end;
        end += size * weights.values.len();
        let (shape, data_offsets) = (weights.shape.clone(), (start, end));
        (
            name.clone(),
            TensorInfo {
                dtype,
                shape,
                data_offsets,
            },
        )
    });
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.to_owned(), value)]));
    let header = Metadata::new(metadata, infos.collect())?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    Ok(header)
}

fn encoded(values: &[f32], stored: StoredFloat) -> Vec<u8> {
    match stored {
        StoredFloat::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        StoredFloat::F16 => values
            .iter()
            .flat_map(|value| f16::from_f32(*value).to_le_bytes())
            .collect(),
    }
}
