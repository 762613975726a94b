//! Readers of other people's checkpoints. They give named arrays and execute nothing.

pub mod clip;
mod clip_folder;
mod clip_table;
pub mod flax;
pub mod inversion;
pub mod official;
pub mod pickle;
mod places;
pub mod torch;
pub mod towers;
pub mod zip;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use half::{bf16, f16};

use crate::import::clip::ClipError;
use crate::import::flax::FlaxError;
use crate::import::inversion::InversionError;
use crate::import::pickle::PickleError;
use crate::import::torch::TorchError;

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is of another kind.
    #[error("`{}` is {found}, not {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// The pickle in the file cannot be read.
    #[error("cannot import `{}`: {reason}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: PickleError,
    },
    /// The Flax parameters in the file cannot be read.
    #[error("cannot import `{}`: {reason}", path.display())]
    Flax {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: FlaxError,
    },
    /// The torch checkpoint cannot be read.
    #[error("cannot import `{}`: {reason}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: TorchError,
    },
    /// The checkpoint is none of CLIP.
    #[error("cannot import `{}`: {reason}", path.display())]
    Clip {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: ClipError,
    },
    /// The checkpoint is none of a textual inversion.
    #[error("cannot import `{}`: {reason}", path.display())]
    Inversion {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: InversionError,
    },
}

/// Element type of an [`Array`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Dtype {
    /// Bytes an element takes.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// From numpy's name, such as `float32`; `bfloat16` is known too.
    pub fn from_numpy_name(name: &str) -> Option<Self> {
        Some(match name {
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            "float32" => Self::F32,
            "float64" => Self::F64,
            "int8" => Self::I8,
            "int16" => Self::I16,
            "int32" => Self::I32,
            "int64" => Self::I64,
            "uint8" => Self::U8,
            "uint16" => Self::U16,
            "uint32" => Self::U32,
            "uint64" => Self::U64,
            "bool" => Self::Bool,
            _ => return None,
        })
    }
}

/// An array of numbers, row-major, little-endian.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    dtype: Dtype,
    data: Bytes,
}

impl Array {
    /// None if `data` has not the length that `shape` and `dtype` ask for.
    pub fn new(shape: Vec<usize>, dtype: Dtype, data: Bytes) -> Option<Self> {
        let elements = shape
            .iter()
            .try_fold(1usize, |product, &length| product.checked_mul(length));
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.size()));
        (bytes == Some(data.len())).then_some(Self { shape, dtype, data })
    }

    /// Length of each axis; none for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The array in `parts` equal pieces along its first axis; None if it does not divide so.
    pub fn split_rows(&self, parts: usize) -> Option<Vec<Self>> {
        let (&rows, rest) = self.shape.split_first()?;
        if parts == 0 || !rows.is_multiple_of(parts) {
            return None;
        }
        let shape = [&[rows / parts], rest].concat();
        let bytes = self.data.len() / parts;
        let piece = |part: usize| {
            Self::new(
                shape.clone(),
                self.dtype,
                self.data.slice(part * bytes..(part + 1) * bytes),
            )
        };
        (0..parts).map(piece).collect()
    }

    /// The raw elements. They share memory with the file that was read.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The elements as f32; 64-bit numbers are rounded, truth values become 0 and 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F16 => self.elements(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.elements(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => self.elements(f32::from_le_bytes),
            Dtype::F64 => self.elements(|bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::I8 => self.elements(|bytes| f32::from(i8::from_le_bytes(bytes))),
            Dtype::I16 => self.elements(|bytes| f32::from(i16::from_le_bytes(bytes))),
            Dtype::I32 => self.elements(|bytes| i32::from_le_bytes(bytes) as f32),
            Dtype::I64 => self.elements(|bytes| i64::from_le_bytes(bytes) as f32),
            Dtype::U8 => self.elements(|[byte]| f32::from(byte)),
            Dtype::U16 => self.elements(|bytes| f32::from(u16::from_le_bytes(bytes))),
            Dtype::U32 => self.elements(|bytes| u32::from_le_bytes(bytes) as f32),
            Dtype::U64 => self.elements(|bytes| u64::from_le_bytes(bytes) as f32),
            Dtype::Bool => self.elements(|[byte]| if byte == 0 { 0.0 } else { 1.0 }),
        }
    }

    fn elements<const N: usize>(&self, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        self.data.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
    }
}

/// Reads a whole file and refuses the well-known kinds that are not `expected`.
fn read_file(path: &Path, expected: &'static str) -> Result<Bytes, ImportError> {
    let bytes = fs_err::read(path)?;
    match foreign_kind(&bytes) {
        Some(found) => Err(ImportError::Foreign {
            path: path.to_owned(),
            found,
            expected,
        }),
        None => Ok(Bytes::from(bytes)),
    }
}

/// What [`foreign_kind`] calls a safetensors file.
const SAFETENSORS: &str = "a safetensors file";

fn foreign_kind(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a zip archive (torch saves so by default)"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xFF\xD8\xFF", "a JPEG picture"),
        (b"\x1F\x8B", "a gzip file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "a numpy file"),
        (b"GGUF", "a GGUF file"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer (`git lfs pull` fetches the file)",
        ),
        (b"<", "a web page"),
    ];
    if bytes.is_empty() {
        return Some("empty");
    }
    // A safetensors file starts with the length of its JSON header.
    if bytes.get(8) == Some(&b'{') && bytes.get(6..8) == Some(&[0, 0]) {
        return Some(SAFETENSORS);
    }
    KINDS
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
        .map(|&(_, kind)| kind)
}
