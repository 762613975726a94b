//! Reads torch's two checkpoint formats, as data, by the crate `pytorch-reader`: the zip archive of a pickle and the raw
//! storages, written since torch 1.6, and the older one, four pickles and then the raw storages.
//!
//! The crate bounds nesting, copies and single tensors. A file is looked over first for what it does not bound: the number of
//! instructions, of which each takes 70 bytes, packed entries, and the sum of all tensors, which may share a storage.

use std::io::Read;
use std::path::Path;

use fs_err::File;
use pytorch_reader::{PytorchError, PytorchReader};
use zip::{CompressionMethod, ZipArchive};

use super::error::{ImportError, MAX_GROWTH, TorchError};
use super::file::foreign_kind;
use super::pickle;
use crate::array::{Array, NamedArrays};

/// The first bytes of every local entry, and so of an archive that has any.
const ZIP: &[u8; 4] = b"PK\x03\x04";
/// The first pickle of the older format holds `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
/// The pickles of a file may take so many bytes; those of a training run with its optimizer take some 200 kB.
const MAX_PICKLE_BYTES: u64 = 1 << 24;

/// The dictionary of a checkpoint that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within<'a> {
    /// The outermost: the file is a state dictionary.
    Root,
    /// The one under this key, such as `state_dict`.
    Key(&'a str),
    /// The one under this key, or the outermost where there is no such key.
    KeyOrRoot(&'a str),
}

/// Reads a state dictionary in a file: name to array. Dictionaries and lists within it are joined by `.`; values that are no
/// tensors are skipped.
///
/// # Errors
/// A file that cannot be read, or is no torch checkpoint with such a dictionary.
pub fn read_torch(path: &Path, within: Within<'_>) -> Result<NamedArrays, ImportError> {
    let mut head = Vec::new();
    File::open(path)?.take(MAX_PICKLE_BYTES).read_to_end(&mut head)?;
    match foreign_kind(&head) {
        Some(found) if !head.starts_with(ZIP) => Err(ImportError::Foreign {
            path: path.into(),
            found,
            expected: "a torch checkpoint",
        }),
        _ => read_checked(path, &head, within).map_err(ImportError::at(path)),
    }
}

fn read_checked(path: &Path, head: &[u8], within: Within<'_>) -> Result<NamedArrays, TorchError> {
    if head.starts_with(ZIP) {
        check_zip(path)?;
    } else {
        check_legacy(head)?;
    }
    let reader = match within {
        Within::Root => PytorchReader::new(path),
        Within::Key(key) => PytorchReader::with_top_level_key(path, key),
        Within::KeyOrRoot(key) => match PytorchReader::with_top_level_key(path, key) {
            Err(PytorchError::KeyNotFound(_)) => PytorchReader::new(path),
            other => other,
        },
    }?;
    let tensors = reader.into_tensors();
    let bytes = tensors
        .values()
        .fold(0u64, |sum, tensor| sum.saturating_add(tensor.byte_len() as u64));
    if bytes / MAX_GROWTH > fs_err::metadata(path)?.len() {
        return Err(TorchError::Bomb);
    }
    let array = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let array = Array::new(tensor.shape().to_vec(), tensor.dtype(), tensor.read()?.into());
        Ok((name, array.ok_or(TorchError::NotTorch)?))
    };
    tensors.into_iter().map(array).collect()
}

/// An archive with one `NAME/data.pkl` of moderate length, and nothing packed.
fn check_zip(path: &Path) -> Result<(), TorchError> {
    let mut archive = ZipArchive::new(File::open(path)?)?;
    let mut pickles = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let name = entry.name()?;
        if name.ends_with("/constants.pkl") {
            return Err(TorchError::TorchScript);
        }
        if entry.compression() != CompressionMethod::Stored {
            return Err(TorchError::Compressed { name: name.into() });
        }
        if name.ends_with("/data.pkl") {
            pickles.push(index);
        }
    }
    let [index] = pickles[..] else {
        return Err(TorchError::NotTorch);
    };
    let mut pickle = Vec::new();
    archive
        .by_index_raw(index)?
        .take(MAX_PICKLE_BYTES)
        .read_to_end(&mut pickle)?;
    pickle::length(&pickle)?;
    Ok(())
}

/// Five pickles at the start: magic number, version, system, the object, and the names of its storages.
fn check_legacy(head: &[u8]) -> Result<(), TorchError> {
    let mut rest = head;
    // The library would take it for the oldest format, an archive of tar, which it does not bound.
    if head.get(257..262) == Some(b"ustar") {
        return Err(TorchError::NotTorch);
    }
    for pickle in 0..5 {
        let (first, after) = rest.split_at(pickle::length(rest)?);
        if pickle == 0 && !first.windows(MAGIC.len()).any(|bytes| bytes == MAGIC) {
            return Err(TorchError::NotTorch);
        }
        rest = after;
    }
    Ok(())
}
