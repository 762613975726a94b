//! Reads torch's two checkpoint formats: the zip archive of a pickle and the raw storages, written since torch 1.6, and the
//! older one, four pickles and then the raw storages.
//!
//! Source: pytorch `torch/serialization.py`, `_save` and `_legacy_save`; `caffe2/serialize/inline_container.cc`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bytes::Bytes;

use crate::import::pickle::{Global, Node, NodeId, Pickle, PickleError};
use crate::import::zip::{self, ZipError};
use crate::import::{Array, Dtype, ImportError, foreign_kind};

/// The first pickle of the format: `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
/// The only version of the format.
const VERSION: i64 = 1001;

/// Which dictionary of a checkpoint is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within<'a> {
    /// The outermost: the file is a state dictionary.
    Root,
    /// The one under this key, such as `state_dict`.
    Key(&'a str),
    /// The one under this key, or the outermost where there is no such key.
    KeyOrRoot(&'a str),
}

/// Why some bytes are not a torch checkpoint.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TorchError {
    /// One of the pickles cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The zip archive cannot be read.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// A program of TorchScript, such as OpenAI publishes CLIP in.
    #[error(
        "this is a TorchScript archive, which holds a program and not only numbers\nhint: load it in torch and save its \
         numbers with `torch.save(torch.jit.load(file, map_location=\"cpu\").state_dict(), \"clip.pt\")`"
    )]
    TorchScript,
    /// Another kind of file.
    #[error("this is no torch checkpoint")]
    NotTorch,
    /// Written on another kind of machine.
    #[error("the numbers are big-endian, which is not read")]
    BigEndian,
    /// The file ends inside a storage.
    #[error("the file is cut off in the storages")]
    Truncated,
    /// The parts contradict each other.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(&'static str),
    /// The wanted dictionary is not in the file.
    #[error("the checkpoint has no `{key}`, but {found}")]
    NoEntry {
        /// What was looked for.
        key: String,
        /// The names that are there.
        found: String,
    },
    /// A tensor that does not fit its storage.
    #[error("tensor `{name}` does not fit its storage")]
    Tensor {
        /// Its name in the state dictionary.
        name: String,
    },
    /// A value in the state dictionary that is no tensor.
    #[error("`{name}` is no tensor\nhint: save the state dictionary alone, `torch.save(model.state_dict(), file)`")]
    NotATensor {
        /// Its name in the state dictionary.
        name: String,
    },
}

/// Reads a state dictionary in a file: name to array. The arrays share memory with the file's content where they can.
///
/// # Errors
/// A file that cannot be read, or is no torch checkpoint with such a dictionary of tensors.
pub fn read_torch(path: &Path, within: Within<'_>) -> Result<BTreeMap<String, Array>, ImportError> {
    read_torch_bytes(path, &Bytes::from(fs_err::read(path)?), within)
}

/// [`read_torch`] of a file's content; `path` is for messages.
pub(super) fn read_torch_bytes(
    path: &Path,
    file: &Bytes,
    within: Within<'_>,
) -> Result<BTreeMap<String, Array>, ImportError> {
    match foreign_kind(file) {
        Some(found) if !file.starts_with(zip::LOCAL) => Err(ImportError::Foreign {
            path: path.to_owned(),
            found,
            expected: "a torch checkpoint",
        }),
        _ => state_dict(file, within).map_err(|reason| ImportError::Torch {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Reads a state dictionary in a file's content.
///
/// # Errors
/// See [`TorchError`].
pub fn state_dict(file: &Bytes, within: Within<'_>) -> Result<BTreeMap<String, Array>, TorchError> {
    if file.starts_with(zip::LOCAL) {
        zipped(file, within)
    } else {
        legacy(file, within)
    }
}

/// An archive with `NAME/data.pkl`, `NAME/byteorder` (since torch 2.1), and a storage in each `NAME/data/KEY`.
fn zipped(file: &Bytes, within: Within<'_>) -> Result<BTreeMap<String, Array>, TorchError> {
    let mut entries = zip::entries(file)?;
    let mut roots = entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) => root.to_owned(),
        _ => return Err(TorchError::NotTorch),
    };
    if entries.contains_key(&format!("{root}/constants.pkl")) {
        return Err(TorchError::TorchScript);
    }
    if entries
        .get(&format!("{root}/byteorder"))
        .is_some_and(|order| &order[..] == b"big")
    {
        return Err(TorchError::BigEndian);
    }
    let pickle = entries.remove(&format!("{root}/data.pkl")).unwrap_or_default();
    let object = Pickle::read(&pickle)?;
    let mut storages = HashMap::new();
    for (key, dtype) in declared_storages(&object)? {
        let data = entries.remove(&format!("{root}/data/{key}"));
        storages.insert(key, (dtype, data.ok_or(TorchError::Damaged("a storage is missing"))?));
    }
    tensors(&object, within, &Storages(storages), file)
}

/// Four pickles, then the raw storages.
fn legacy(file: &Bytes, within: Within<'_>) -> Result<BTreeMap<String, Array>, TorchError> {
    let mut position = 0;
    let mut next = || {
        let pickle = Pickle::read(&file[position..])?;
        position += pickle.length;
        Ok::<_, PickleError>(pickle)
    };
    let magic = next().map_err(|_| TorchError::NotTorch)?;
    if *magic.node(magic.root()) != Node::Long(&MAGIC) {
        return Err(TorchError::NotTorch);
    }
    let version = next()?;
    if *version.node(version.root()) != Node::Int(VERSION) {
        return Err(TorchError::Damaged("its version is unknown"));
    }
    check_byte_order(&next()?)?;
    let object = next()?;
    let keys = next()?;
    let storages = Storages::read(&object, &keys, file, position)?;
    tensors(&object, within, &storages, file)
}

fn check_byte_order(info: &Pickle<'_>) -> Result<(), TorchError> {
    for &(key, value) in info.dict(info.root())? {
        if info.text(key) == Ok("little_endian") && *info.node(value) == Node::Bool(false) {
            return Err(TorchError::BigEndian);
        }
    }
    Ok(())
}

/// The raw storages by key.
struct Storages<'a>(HashMap<&'a str, (Dtype, Bytes)>);

impl<'a> Storages<'a> {
    /// They lie one after another from `position` on, in the order of `keys`, each behind its number of elements.
    fn read(object: &'a Pickle<'_>, keys: &Pickle<'_>, file: &Bytes, position: usize) -> Result<Self, TorchError> {
        let declared = declared_storages(object)?;
        let mut storages = HashMap::new();
        let mut position = position;
        for &key in keys.list(keys.root())? {
            let key = keys.text(key)?;
            let (&key, &dtype) = declared
                .get_key_value(key)
                .ok_or(TorchError::Damaged("a storage is never used"))?;
            let count = take(file, &mut position, 8)?;
            let count = u64::from_le_bytes(count.as_ref().try_into().expect("`take` gives 8 bytes"));
            let length = usize::try_from(count)
                .ok()
                .and_then(|count| count.checked_mul(dtype.size()));
            let data = take(file, &mut position, length.ok_or(TorchError::Truncated)?)?;
            storages.insert(key, (dtype, data));
        }
        if position == file.len() {
            Ok(Self(storages))
        } else {
            Err(TorchError::Damaged("something follows the storages"))
        }
    }
}

fn take(file: &Bytes, position: &mut usize, length: usize) -> Result<Bytes, TorchError> {
    match position.checked_add(length) {
        Some(end) if end <= file.len() => {
            let taken = file.slice(*position..end);
            *position = end;
            Ok(taken)
        }
        _ => Err(TorchError::Truncated),
    }
}

/// Key and element type of each storage that the object refers to.
fn declared_storages<'a>(object: &'a Pickle<'_>) -> Result<HashMap<&'a str, Dtype>, TorchError> {
    let mut declared = HashMap::new();
    for node in object.nodes() {
        if let Node::Tensor(arguments) = node {
            let (key, dtype) = storage(object, arguments.first())?;
            if declared.insert(key, dtype).is_some_and(|before| before != dtype) {
                return Err(TorchError::Damaged("a storage has two element types"));
            }
        }
    }
    Ok(declared)
}

/// `('storage', class, key, device, elements, view)`.
fn storage<'a>(object: &'a Pickle<'_>, id: Option<&NodeId>) -> Result<(&'a str, Dtype), TorchError> {
    let Some(Node::Persistent(reference)) = id.map(|&id| object.node(id)) else {
        return Err(TorchError::Damaged("a tensor has no storage"));
    };
    match object.tuple(*reference)? {
        &[kind, class, key, _device, _elements, ref view @ ..]
            if object.text(kind) == Ok("storage") && view.iter().all(|&view| *object.node(view) == Node::None) =>
        {
            Ok((object.text(key)?, storage_dtype(object, class)?))
        }
        _ => Err(TorchError::Damaged("a storage is described in an unknown way")),
    }
}

fn storage_dtype(object: &Pickle<'_>, class: NodeId) -> Result<Dtype, TorchError> {
    match *object.node(class) {
        Node::Global(Global::Storage(name)) => Ok(match name {
            "DoubleStorage" => Dtype::F64,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::Bf16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::Bool,
            _ => Dtype::F32,
        }),
        _ => Err(TorchError::Damaged("a storage has no class")),
    }
}

/// The entries of the wanted dictionary.
fn entries_within<'a>(object: &'a Pickle<'_>, within: Within<'_>) -> Result<&'a [(NodeId, NodeId)], TorchError> {
    let root = object.dict(object.root())?;
    let (Within::Key(key) | Within::KeyOrRoot(key)) = within else {
        return Ok(root);
    };
    match (root.iter().find(|(name, _)| object.text(*name) == Ok(key)), within) {
        (Some(&(_, value)), _) => Ok(object.dict(value)?),
        (None, Within::KeyOrRoot(_)) => Ok(root),
        (None, _) => {
            const SHOWN: usize = 8;
            let names = root.iter().filter_map(|(name, _)| object.text(*name).ok());
            let names: Vec<String> = names
                .take(SHOWN)
                .map(|name| format!("`{}`", name.escape_debug()))
                .collect();
            Err(TorchError::NoEntry {
                key: key.into(),
                found: if names.is_empty() {
                    "nothing".into()
                } else {
                    names.join(", ")
                },
            })
        }
    }
}

fn tensors(
    object: &Pickle<'_>,
    within: Within<'_>,
    storages: &Storages<'_>,
    file: &Bytes,
) -> Result<BTreeMap<String, Array>, TorchError> {
    let mut arrays = BTreeMap::new();
    // Views that are not contiguous are copied; together they may not outgrow the file.
    let mut copied_bytes_left = file.len();
    for &(name, value) in entries_within(object, within)? {
        let name = object.text(name)?.to_owned();
        let Node::Tensor(arguments) = object.node(value) else {
            return Err(TorchError::NotATensor { name });
        };
        let view = View::read(object, storages, arguments)?;
        let array = view
            .array(&mut copied_bytes_left)
            .ok_or(TorchError::Tensor { name: name.clone() })?;
        if arrays.insert(name, array).is_some() {
            return Err(TorchError::Damaged("a name occurs twice"));
        }
    }
    Ok(arrays)
}

/// A tensor as torch sees it: a window with strides on a storage, in elements.
struct View {
    dtype: Dtype,
    storage: Bytes,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    /// `(storage, offset, shape, strides, requires_grad, hooks, ..)`.
    fn read(object: &Pickle<'_>, storages: &Storages<'_>, arguments: &[NodeId]) -> Result<Self, TorchError> {
        let &[reference, offset, shape, strides, ..] = arguments else {
            return Err(TorchError::Damaged("a tensor lacks its shape"));
        };
        let (key, _) = storage(object, Some(&reference))?;
        let (dtype, storage) = storages.0.get(key).ok_or(TorchError::Damaged("a storage is missing"))?;
        let sizes = |id| {
            object
                .tuple(id)?
                .iter()
                .map(|&size| object.size(size))
                .collect::<Result<Vec<_>, _>>()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(TorchError::Damaged("a tensor has more strides than axes, or fewer"));
        }
        Ok(Self {
            dtype: *dtype,
            storage: storage.clone(),
            offset: object.size(offset)?,
            shape,
            strides,
        })
    }

    /// None if the window reaches out of the storage, or costs more copying than is left.
    fn array(self, copied_bytes_left: &mut usize) -> Option<Array> {
        let width = self.dtype.size();
        let elements = self
            .shape
            .iter()
            .try_fold(1usize, |product, &length| product.checked_mul(length))?;
        let bytes = elements.checked_mul(width)?;
        if elements == 0 || self.is_contiguous() {
            let start = if elements == 0 {
                0
            } else {
                self.offset.checked_mul(width)?
            };
            let end = start.checked_add(bytes)?;
            let data = (end <= self.storage.len()).then(|| self.storage.slice(start..end))?;
            return Array::new(self.shape, self.dtype, data);
        }
        *copied_bytes_left = copied_bytes_left.checked_sub(bytes)?;
        let mut data = Vec::with_capacity(bytes);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..elements {
            let start = self.position(&index)?.checked_mul(width)?;
            data.extend_from_slice(self.storage.get(start..start.checked_add(width)?)?);
            advance(&mut index, &self.shape);
        }
        Array::new(self.shape, self.dtype, Bytes::from(data))
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected *= length;
            fits
        })
    }

    fn position(&self, index: &[usize]) -> Option<usize> {
        let steps = index.iter().zip(&self.strides);
        steps
            .map(|(&index, &stride)| index.checked_mul(stride))
            .try_fold(self.offset, |sum, step| sum.checked_add(step?))
    }
}

/// The next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (position, &length) in index.iter_mut().zip(shape).rev() {
        *position += 1;
        if *position < length {
            return;
        }
        *position = 0;
    }
}
