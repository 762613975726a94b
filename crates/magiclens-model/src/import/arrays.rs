//! The arrays of a checkpoint file of either kind, safetensors or torch.

use std::io::Read;
use std::path::Path;

use super::file::{SAFETENSORS, foreign_kind};
use super::torch::{Within, read_torch};
use crate::ModelError;
use crate::array::NamedArrays;
use crate::tensors_file::TensorsFile;

/// Reads a safetensors file or a torch checkpoint.
///
/// # Errors
/// A file that is missing, cut off or of another kind.
pub(super) fn read_arrays(path: &Path, within: Within<'_>) -> Result<NamedArrays, ModelError> {
    let mut head = Vec::new();
    fs_err::File::open(path)?.take(16).read_to_end(&mut head)?;
    match foreign_kind(&head) {
        Some(SAFETENSORS) => TensorsFile::open(path)?.read_arrays(),
        _ => Ok(read_torch(path, within)?),
    }
}
