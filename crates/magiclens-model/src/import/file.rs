//! Files of checkpoints by their first bytes.

use std::path::Path;

use bytes::Bytes;

use super::error::ImportError;

/// Reads a whole file and refuses the well-known kinds that are not `expected`.
pub(super) fn read_file(path: &Path, expected: &'static str) -> Result<Bytes, ImportError> {
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

/// The name that [`foreign_kind`] gives a safetensors file.
pub(super) const SAFETENSORS: &str = "a safetensors file";

pub(super) fn foreign_kind(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a zip archive (torch saves so by default)"),
        (b"\x89PNG", "a PNG image"),
        (b"\xFF\xD8\xFF", "a JPEG image"),
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
