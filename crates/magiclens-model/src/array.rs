//! Arrays of numbers as checkpoint files store them, of any type, and as f32 weights.

use std::collections::BTreeMap;

use bytes::Bytes;
use half::{bf16, f16};

pub use pytorch_reader::DType as Dtype;

use crate::ModelError;

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

/// An array of numbers, row-major, little-endian.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    dtype: Dtype,
    data: Bytes,
}

/// Arrays by name.
pub(crate) type NamedArrays = BTreeMap<String, Array>;

impl Array {
    /// None if `data` has not the length that `shape` and `dtype` ask for.
    pub fn new(shape: Vec<usize>, dtype: Dtype, data: Bytes) -> Option<Self> {
        let bytes = shape
            .iter()
            .try_fold(dtype.size(), |bytes, &length| bytes.checked_mul(length));
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

    /// The raw elements.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The array in pieces of equal length along its first axis, whose length `parts` divides.
    pub(crate) fn split_rows(&self, parts: usize) -> impl Iterator<Item = Self> {
        let mut shape = self.shape.clone();
        shape[0] /= parts;
        let bytes = self.data.len() / parts;
        (0..parts).map(move |part| Self {
            shape: shape.clone(),
            dtype: self.dtype,
            data: self.data.slice(part * bytes..(part + 1) * bytes),
        })
    }

    /// The elements of a float array as f32.
    ///
    /// # Errors
    /// [`ModelError::WrongDtype`] with `name` for anything but floats.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(match self.dtype {
            Dtype::F16 => self.elements(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => self.elements(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => self.elements(f32::from_le_bytes),
            Dtype::F64 => self.elements(|bytes| f64::from_le_bytes(bytes) as f32),
            other => return Err(wrong_dtype(name, other)),
        })
    }

    fn elements<const N: usize>(&self, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        self.data.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
    }
}

/// The error for a tensor whose element type cannot be a weight.
pub(crate) fn wrong_dtype(name: &str, dtype: impl std::fmt::Debug) -> ModelError {
    ModelError::WrongDtype {
        name: name.into(),
        dtype: format!("{dtype:?}"),
    }
}
