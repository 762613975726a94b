//! Reads parameters written by `flax.serialization.to_bytes`: msgpack with arrays as extension types.
//!
//! The official checkpoints are a pickle of one `bytes` object with that content.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use rmpv::ValueRef;
use rmpv::decode::read_value_ref_with_max_depth;
use rmpv::decode::value_ref::BorrowRead;

use super::error::{FlaxError, ImportError};
use super::file::read_file;
use super::pickle::pickled_bytes;
use crate::array::{Array, Dtype, NamedArrays};

/// Bounds on a file; official checkpoints have 666 arrays, nested 8 deep, with paths of 70 bytes. The reader of msgpack
/// counts a map as two levels.
const MAX_DEPTH: usize = 2 * 64;
const MAX_READS: usize = 1 << 20;
const MAX_READS_OF_AN_ARRAY: usize = 256;
const MAX_PATH_BYTES: usize = 1024;

/// The key that marks a map as an array in pieces, which Flax writes for arrays over 2^30 bytes.
const CHUNKED_KEY: &str = "__msgpack_chunked_array__";

/// Reads an official checkpoint: a pickle of Flax parameters, arrays only.
///
/// The keys are joined by `/`, such as `params/clip/logit_scale`. The arrays share memory with the file's content,
/// which is read once.
///
/// # Errors
/// A file of another kind, or see [`from_msgpack`].
pub fn read_official_pickle(path: &Path) -> Result<NamedArrays, ImportError> {
    let file = read_file(path, "a pickled Flax checkpoint")?;
    let parameters = pickled_bytes(&file).map_err(ImportError::at(path))?;
    from_msgpack(&parameters).map_err(ImportError::at(path))
}

/// Reads arrays that `flax.serialization.to_bytes` wrote: path to array, keys joined by `/`. Empty maps leave no trace.
///
/// # Errors
/// No msgpack of arrays, or more of it than any checkpoint has.
pub fn from_msgpack(parameters: &Bytes) -> Result<NamedArrays, FlaxError> {
    let mut input = Bounded {
        rest: parameters,
        reads_left: MAX_READS,
    };
    let root = read_value_ref_with_max_depth(&mut input, MAX_DEPTH)?;
    let mut collector = Collector {
        parameters,
        arrays: NamedArrays::new(),
    };
    if !input.rest.is_empty() {
        return Err(FlaxError::Trailing);
    }
    collector.add("", &root)?;
    Ok(collector.arrays)
}

/// Input of the msgpack reader, which makes a value of some 40 bytes from each byte: the number of reads is bounded.
struct Bounded<'a> {
    rest: &'a [u8],
    reads_left: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let too_many = || std::io::Error::other("there are too many values");
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(too_many)?;
        self.rest.read(buffer)
    }
}

impl<'a> BorrowRead<'a> for Bounded<'a> {
    fn fill_buf(&self) -> &'a [u8] {
        self.rest
    }

    fn consume(&mut self, length: usize) {
        self.rest = &self.rest[length..];
    }
}

fn damaged(path: &str, problem: &'static str) -> FlaxError {
    FlaxError::Damaged {
        path: path.into(),
        problem,
    }
}

/// Gathers the arrays of a tree of maps.
struct Collector<'a> {
    parameters: &'a Bytes,
    arrays: NamedArrays,
}

impl Collector<'_> {
    fn add(&mut self, path: &str, value: &ValueRef<'_>) -> Result<(), FlaxError> {
        let array = match value {
            ValueRef::Map(entries) if entries.first().is_some_and(|(key, _)| text(key) == Some(CHUNKED_KEY)) => {
                self.chunked(path, entries)?
            }
            ValueRef::Map(entries) => return entries.iter().try_for_each(|(key, value)| self.child(path, key, value)),
            _ => self.array(path, value)?,
        };
        match self.arrays.insert(path.to_owned(), array) {
            None => Ok(()),
            Some(_) => Err(damaged(path, "occurs twice")),
        }
    }

    fn child(&mut self, path: &str, key: &ValueRef<'_>, value: &ValueRef<'_>) -> Result<(), FlaxError> {
        let key = text(key).ok_or_else(|| damaged(path, "has a key that is not text"))?;
        if path.len() + key.len() > MAX_PATH_BYTES {
            return Err(damaged(path, "has a key that is too long"));
        }
        match path {
            "" => self.add(key, value),
            _ => self.add(&format!("{path}/{key}"), value),
        }
    }

    /// An array or numpy scalar: `(shape, name of the element type, raw elements)`, itself msgpack.
    fn array(&self, path: &str, value: &ValueRef<'_>) -> Result<Array, FlaxError> {
        const NDARRAY: i8 = 1;
        const NUMPY_SCALAR: i8 = 3;
        let &ValueRef::Ext(NDARRAY | NUMPY_SCALAR, payload) = value else {
            let (path, found) = (path.to_owned(), kind(value));
            return Err(FlaxError::NotAnArray { path, found });
        };
        let mut input = Bounded {
            rest: payload,
            reads_left: MAX_READS_OF_AN_ARRAY,
        };
        let inner = read_value_ref_with_max_depth(&mut input, MAX_DEPTH)?;
        let unreadable = || damaged(path, "is an array that cannot be read");
        let parts = inner.as_array().filter(|_| input.rest.is_empty());
        let Some([ValueRef::Array(shape), ValueRef::String(name), ValueRef::Binary(data)]) = parts.map(Vec::as_slice)
        else {
            return Err(unreadable());
        };
        let name = name.as_str().ok_or_else(unreadable)?;
        let dtype = dtype(name).ok_or_else(|| FlaxError::UnknownDtype {
            path: path.to_owned(),
            dtype: name.chars().take(32).flat_map(char::escape_debug).collect(),
        })?;
        let shape = shape.iter().map(size).collect::<Option<_>>().ok_or_else(unreadable)?;
        Array::new(shape, dtype, self.parameters.slice_ref(data))
            .ok_or_else(|| damaged(path, "has a shape that contradicts its length"))
    }

    /// `{mark: True, "shape": {"0": .., ..}, "chunks": {"0": array, ..}}`, all chunks flat and of one type.
    fn chunked(&self, path: &str, entries: &[(ValueRef<'_>, ValueRef<'_>)]) -> Result<Array, FlaxError> {
        let problem = || damaged(path, "is an array in pieces that do not fit together");
        let [_mark, (shape_key, shape), (chunks_key, chunks)] = entries else {
            return Err(problem());
        };
        if (text(shape_key), text(chunks_key)) != (Some("shape"), Some("chunks")) {
            return Err(problem());
        }
        let shape = numbered(shape).and_then(|sizes| sizes.into_iter().map(size).collect());
        let mut dtype = None;
        let mut data = Vec::new();
        for chunk in numbered(chunks).ok_or_else(problem)? {
            let chunk = self.array(path, chunk)?;
            if *dtype.get_or_insert(chunk.dtype()) != chunk.dtype() {
                return Err(problem());
            }
            data.extend_from_slice(chunk.data());
        }
        let array = shape.zip(dtype);
        array
            .and_then(|(shape, dtype)| Array::new(shape, dtype, data.into()))
            .ok_or_else(problem)
    }
}

fn text<'a>(value: &'a ValueRef<'_>) -> Option<&'a str> {
    match value {
        ValueRef::String(text) => text.as_str(),
        _ => None,
    }
}

fn size(value: &ValueRef<'_>) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// The values of a map with the keys `0`, `1`, and so on.
fn numbered<'a, 'b>(map: &'a ValueRef<'b>) -> Option<Vec<&'a ValueRef<'b>>> {
    let ValueRef::Map(entries) = map else {
        return None;
    };
    let entries = entries.iter().enumerate();
    entries
        .map(|(at, (key, value))| (text(key) == Some(&at.to_string())).then_some(value))
        .collect()
}

/// The element type of numpy's name.
fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "int8" => Dtype::I8,
        "int16" => Dtype::I16,
        "int32" => Dtype::I32,
        "int64" => Dtype::I64,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}

fn kind(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Nil => "None",
        ValueRef::Boolean(_) => "a truth value",
        ValueRef::Integer(_) => "an integer",
        ValueRef::F32(_) | ValueRef::F64(_) => "a float",
        ValueRef::String(_) => "text",
        ValueRef::Binary(_) => "bytes",
        ValueRef::Array(_) => "a list",
        ValueRef::Map(_) => "a map",
        ValueRef::Ext(2, _) => "a complex number",
        ValueRef::Ext(..) => "an extension of an unknown type",
    }
}
