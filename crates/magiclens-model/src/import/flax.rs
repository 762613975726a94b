//! Reads parameters written by `flax.serialization.to_bytes`: msgpack with arrays as extension types.
//!
//! The official checkpoints are a pickle of one `bytes` object with that content.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use crate::import::pickle::{Pickle, PickleError};
use crate::import::{Array, Dtype, ImportError, read_file};

/// Bounds on what a file may hold; official checkpoints have 666 arrays, nested 8 deep, with paths of 70 bytes.
const MAX_DEPTH: usize = 64;
const MAX_LEAVES: usize = 1 << 16;
const MAX_PATH_BYTES: usize = 1024;
const MAX_AXES: usize = 32;

/// The key that marks a map as an array in pieces, which Flax writes for arrays over 2^30 bytes.
const CHUNKED_KEY: &str = "__msgpack_chunked_array__";

/// Why some bytes are not Flax parameters. `at` is an offset in the msgpack bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FlaxError {
    /// The bytes end inside a value.
    #[error("the parameters are cut off at byte {at}")]
    Truncated {
        /// Offset in bytes.
        at: usize,
    },
    /// The bytes make no sense.
    #[error("the parameters are damaged at byte {at}: {problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// An element type that we do not read.
    #[error("array `{path}` has elements of the type `{dtype}`, which cannot be read")]
    UnknownDtype {
        /// Keys down to the array, joined by `/`.
        path: String,
        /// As the file names it.
        dtype: String,
    },
    /// Something other than an array where only arrays belong.
    #[error("`{path}` is {found}, not an array")]
    NotAnArray {
        /// Keys down to the value, joined by `/`.
        path: String,
        /// What it is.
        found: &'static str,
    },
}

/// A value at the end of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf {
    /// A numpy or JAX array.
    Array(Array),
    /// A numpy scalar, as an array without axes.
    Scalar(Array),
    /// A Python complex number: real and imaginary part.
    Complex(f64, f64),
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A `bytes` object.
    Bytes(Bytes),
}

impl Leaf {
    fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "an array",
            Self::Scalar(_) => "a numpy scalar",
            Self::Complex(..) => "a complex number",
            Self::None => "None",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

/// Reads an official checkpoint: a pickle of Flax parameters, arrays only.
///
/// The keys are joined by `/`, such as `params/clip/logit_scale`. The arrays share memory with the file's content,
/// which is read once.
pub fn read_official_pickle(path: &Path) -> Result<BTreeMap<String, Array>, ImportError> {
    let arrays = read_pickled(path)?.into_iter().map(|(name, leaf)| match leaf {
        Leaf::Array(array) | Leaf::Scalar(array) => Ok((name, array)),
        other => Err(FlaxError::NotAnArray {
            path: name,
            found: other.kind(),
        }),
    });
    arrays.collect::<Result<_, _>>().map_err(|reason| ImportError::Flax {
        path: path.to_owned(),
        reason,
    })
}

/// Reads a pickle of Flax parameters with values of any kind.
pub fn read_pickled(path: &Path) -> Result<BTreeMap<String, Leaf>, ImportError> {
    let file = read_file(path, "a pickled Flax checkpoint")?;
    let parameters = unpickle(&file).map_err(|reason| ImportError::Pickle {
        path: path.to_owned(),
        reason,
    })?;
    from_msgpack(&parameters).map_err(|reason| ImportError::Flax {
        path: path.to_owned(),
        reason,
    })
}

/// The one `bytes` object of a pickle; part of `file` unless an old protocol wrote it as text.
pub fn unpickle(file: &Bytes) -> Result<Bytes, PickleError> {
    let pickle = Pickle::read(file)?;
    match pickle.bytes(pickle.root())? {
        std::borrow::Cow::Borrowed(bytes) => Ok(file.slice_ref(bytes)),
        std::borrow::Cow::Owned(bytes) => Ok(Bytes::from(bytes)),
    }
}

/// Reads what `flax.serialization.to_bytes` wrote: path to value, keys joined by `/`. Empty maps leave no trace.
pub fn from_msgpack(parameters: &Bytes) -> Result<BTreeMap<String, Leaf>, FlaxError> {
    let mut leaves = BTreeMap::new();
    let mut reader = Reader::new(parameters.clone());
    reader.value(&mut String::new(), 0, &mut leaves)?;
    reader.finish()?;
    Ok(leaves)
}

/// The head of a msgpack value. Containers say how many values follow.
enum Head {
    Leaf(Leaf),
    Extension { kind: i8, payload: Bytes },
    Map(usize),
    List(usize),
}

/// A cursor over msgpack bytes.
struct Reader {
    input: Bytes,
    position: usize,
    /// Offset of the value in work, for messages.
    at: usize,
}

impl Reader {
    fn new(input: Bytes) -> Self {
        Self {
            input,
            position: 0,
            at: 0,
        }
    }

    fn finish(&self) -> Result<(), FlaxError> {
        match self.input.len() - self.position {
            0 => Ok(()),
            _ => Err(FlaxError::Malformed {
                problem: "something follows the parameters",
                at: self.position,
            }),
        }
    }

    fn malformed(&self, problem: &'static str) -> FlaxError {
        FlaxError::Malformed { problem, at: self.at }
    }

    /// Reads one value into `leaves`, under `path`.
    fn value(&mut self, path: &mut String, depth: usize, leaves: &mut BTreeMap<String, Leaf>) -> Result<(), FlaxError> {
        if depth > MAX_DEPTH {
            return Err(self.malformed("maps are nested too deeply"));
        }
        match self.head()? {
            Head::Leaf(leaf) => self.insert(path, leaf, leaves),
            Head::Extension { kind, payload } => {
                let leaf = self.extension(path, kind, payload)?;
                self.insert(path, leaf, leaves)
            }
            Head::Map(length) if self.is_chunked(length) => {
                let array = self.chunked(length, depth)?;
                self.insert(path, Leaf::Array(array), leaves)
            }
            Head::Map(length) => {
                for _ in 0..length {
                    let key = self.key()?;
                    self.child(path, &key, depth, leaves)?;
                }
                Ok(())
            }
            Head::List(length) => {
                for index in 0..length {
                    self.child(path, &index.to_string(), depth, leaves)?;
                }
                Ok(())
            }
        }
    }

    fn child(
        &mut self,
        path: &mut String,
        key: &str,
        depth: usize,
        leaves: &mut BTreeMap<String, Leaf>,
    ) -> Result<(), FlaxError> {
        let parent = path.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(key);
        if path.len() > MAX_PATH_BYTES {
            return Err(self.malformed("a path of keys is too long"));
        }
        self.value(path, depth + 1, leaves)?;
        path.truncate(parent);
        Ok(())
    }

    fn insert(&self, path: &str, leaf: Leaf, leaves: &mut BTreeMap<String, Leaf>) -> Result<(), FlaxError> {
        if leaves.len() >= MAX_LEAVES {
            return Err(self.malformed("there are too many values"));
        }
        match leaves.insert(path.to_owned(), leaf) {
            None => Ok(()),
            Some(_) => Err(self.malformed("a path occurs twice")),
        }
    }

    fn key(&mut self) -> Result<String, FlaxError> {
        match self.head()? {
            Head::Leaf(Leaf::Text(key)) => Ok(key),
            _ => Err(self.malformed("a key is not text")),
        }
    }

    // Arrays.

    fn extension(&self, path: &str, kind: i8, payload: Bytes) -> Result<Leaf, FlaxError> {
        const NDARRAY: i8 = 1;
        const COMPLEX: i8 = 2;
        const NUMPY_SCALAR: i8 = 3;
        match kind {
            NDARRAY => self.array(path, payload).map(Leaf::Array),
            NUMPY_SCALAR => self.array(path, payload).map(Leaf::Scalar),
            COMPLEX => {
                let mut inner = Self::new(payload);
                match (inner.head(), inner.head(), inner.head(), inner.finish()) {
                    (Ok(Head::List(2)), Ok(Head::Leaf(Leaf::Float(re))), Ok(Head::Leaf(Leaf::Float(im))), Ok(())) => {
                        Ok(Leaf::Complex(re, im))
                    }
                    _ => Err(self.malformed("a complex number cannot be read")),
                }
            }
            _ => Err(self.malformed("an extension type is unknown")),
        }
    }

    /// `(shape, name of the element type, raw elements)`, itself msgpack.
    fn array(&self, path: &str, payload: Bytes) -> Result<Array, FlaxError> {
        let damaged = |_| self.malformed("an array cannot be read");
        let mut inner = Self::new(payload);
        let Head::List(3) = inner.head().map_err(damaged)? else {
            return Err(self.malformed("an array cannot be read"));
        };
        let shape = inner.shape().map_err(damaged)?;
        let dtype = inner.key().map_err(damaged)?;
        let Head::Leaf(Leaf::Bytes(data)) = inner.head().map_err(damaged)? else {
            return Err(self.malformed("an array has no elements"));
        };
        inner.finish().map_err(damaged)?;
        match Dtype::from_numpy_name(&dtype) {
            Some(dtype) => {
                Array::new(shape, dtype, data).ok_or(self.malformed("an array's shape contradicts its length"))
            }
            None => Err(FlaxError::UnknownDtype {
                path: path.to_owned(),
                dtype: dtype.chars().take(32).flat_map(char::escape_debug).collect(),
            }),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>, FlaxError> {
        match self.head()? {
            Head::List(axes) if axes <= MAX_AXES => (0..axes).map(|_| self.length()).collect(),
            _ => Err(self.malformed("a shape is not a short list")),
        }
    }

    fn length(&mut self) -> Result<usize, FlaxError> {
        match self.head()? {
            Head::Leaf(Leaf::Int(length)) => {
                usize::try_from(length).map_err(|_| self.malformed("a length is negative"))
            }
            _ => Err(self.malformed("a length is not an integer")),
        }
    }

    /// Looks ahead: is the first key of a map of `length` entries the mark of a chunked array?
    fn is_chunked(&self, length: usize) -> bool {
        let mut ahead = Self {
            input: self.input.clone(),
            position: self.position,
            at: self.at,
        };
        length > 0 && ahead.key().is_ok_and(|key| key == CHUNKED_KEY)
    }

    /// `{mark: True, "shape": {"0": .., ..}, "chunks": {"0": array, ..}}`, all chunks flat and of one type.
    fn chunked(&mut self, length: usize, depth: usize) -> Result<Array, FlaxError> {
        let mut parts = BTreeMap::new();
        for _ in 0..length {
            let key = self.key()?;
            self.child(&mut String::new(), &key, depth, &mut parts)?;
        }
        let numbered = |name: &str| {
            (0..)
                .map_while(|index| parts.get(&format!("{name}/{index}")))
                .collect::<Vec<_>>()
        };
        let (shape, chunks) = (numbered("shape"), numbered("chunks"));
        let shape: Option<Vec<usize>> = shape
            .iter()
            .map(|leaf| {
                if let Leaf::Int(length) = leaf {
                    usize::try_from(*length).ok()
                } else {
                    None
                }
            })
            .collect();
        let dtype = match chunks.first() {
            Some(Leaf::Array(array)) => array.dtype(),
            _ => return Err(self.malformed("an array in pieces has none")),
        };
        let mut data = Vec::new();
        for chunk in &chunks {
            match chunk {
                Leaf::Array(array) if array.dtype() == dtype => data.extend_from_slice(array.data()),
                _ => return Err(self.malformed("the pieces of an array differ in kind")),
            }
        }
        // The mark, the shape and the chunks are all there is, so that nothing unread is dropped.
        let expected_parts = 1 + shape.as_ref().map_or(0, Vec::len) + chunks.len();
        let array = shape.and_then(|shape| Array::new(shape, dtype, Bytes::from(data)));
        match array {
            Some(array) if parts.len() == expected_parts => Ok(array),
            _ => Err(self.malformed("the pieces of an array do not fit together")),
        }
    }

    // Msgpack.

    fn take(&mut self, length: usize) -> Result<Bytes, FlaxError> {
        match self.position.checked_add(length) {
            Some(end) if end <= self.input.len() => {
                let taken = self.input.slice(self.position..end);
                self.position = end;
                Ok(taken)
            }
            _ => Err(FlaxError::Truncated { at: self.at }),
        }
    }

    /// A big-endian number of `width` bytes.
    fn unsigned(&mut self, width: usize) -> Result<u64, FlaxError> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn signed(&mut self, width: usize) -> Result<i64, FlaxError> {
        let unused_bits = 64 - 8 * width as u32;
        Ok((self.unsigned(width)? << unused_bits).cast_signed() >> unused_bits)
    }

    fn size(&mut self, width: usize) -> Result<usize, FlaxError> {
        usize::try_from(self.unsigned(width)?).map_err(|_| FlaxError::Truncated { at: self.at })
    }

    fn head(&mut self) -> Result<Head, FlaxError> {
        self.at = self.position;
        let byte = self.unsigned(1)? as u8;
        let low = |mask: u8| usize::from(byte & mask);
        match byte {
            0x00..=0x7F => self.int(i128::from(byte)),
            0x80..=0x8F => Ok(Head::Map(low(0x0F))),
            0x90..=0x9F => Ok(Head::List(low(0x0F))),
            0xA0..=0xBF => self.text(low(0x1F)),
            0xC0 => Ok(Head::Leaf(Leaf::None)),
            0xC1 => Err(self.malformed("0xc1 starts no value")),
            0xC2 | 0xC3 => Ok(Head::Leaf(Leaf::Bool(byte == 0xC3))),
            0xC4..=0xC6 => self.size(1 << (byte - 0xC4)).and_then(|length| self.bytes(length)),
            0xC7..=0xC9 => self
                .size(1 << (byte - 0xC7))
                .and_then(|length| self.extension_head(length)),
            0xCA => self
                .unsigned(4)
                .and_then(|bits| self.float(f32::from_bits(bits as u32).into())),
            0xCB => self.unsigned(8).and_then(|bits| self.float(f64::from_bits(bits))),
            0xCC..=0xCF => self
                .unsigned(1 << (byte - 0xCC))
                .and_then(|value| self.int(value.into())),
            0xD0..=0xD3 => self.signed(1 << (byte - 0xD0)).and_then(|value| self.int(value.into())),
            0xD4..=0xD8 => self.extension_head(1 << (byte - 0xD4)),
            0xD9..=0xDB => self.size(1 << (byte - 0xD9)).and_then(|length| self.text(length)),
            0xDC | 0xDD => self.size(2 << (byte - 0xDC)).map(Head::List),
            0xDE | 0xDF => self.size(2 << (byte - 0xDE)).map(Head::Map),
            0xE0..=0xFF => self.int(i128::from(byte.cast_signed())),
        }
    }

    fn int(&self, value: i128) -> Result<Head, FlaxError> {
        Ok(Head::Leaf(Leaf::Int(value)))
    }

    fn float(&self, value: f64) -> Result<Head, FlaxError> {
        Ok(Head::Leaf(Leaf::Float(value)))
    }

    fn bytes(&mut self, length: usize) -> Result<Head, FlaxError> {
        Ok(Head::Leaf(Leaf::Bytes(self.take(length)?)))
    }

    fn text(&mut self, length: usize) -> Result<Head, FlaxError> {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.malformed("a text is not UTF-8"))?;
        Ok(Head::Leaf(Leaf::Text(text.to_owned())))
    }

    fn extension_head(&mut self, length: usize) -> Result<Head, FlaxError> {
        let kind = (self.unsigned(1)? as u8).cast_signed();
        Ok(Head::Extension {
            kind,
            payload: self.take(length)?,
        })
    }
}
