//! The published weights of textual inversions, as torch checkpoints.
//!
//! Source: Pic2Word, google-research/composed_image_retrieval `src/main.py` (under `state_dict_img2text`); SEARLE,
//! miccunifi/SEARLE `hubconf.py`, and LinCIR, navervision/lincir `train_phi.py`, `save_phi` (both under `Phi`).

use std::path::Path;

use super::error::{ImportError, InversionError};
use super::places::{Table, without_prefix};
use super::torch::{Within, read_torch};
use crate::ModelError;
use crate::array::{Array, NamedArrays, NamedWeights};
use crate::inversion::{InversionConfig, InversionKind};

/// Reads an inversion of a kind. Its template is the authors' own.
///
/// # Errors
/// A file that cannot be read; a tensor that is missing, extra, misshapen or no float.
pub fn read_inversion(
    path: &Path,
    kind: InversionKind,
    l2_normalize: bool,
) -> Result<(InversionConfig, NamedWeights), ModelError> {
    let key = match kind {
        InversionKind::Pic2Word => "state_dict_img2text",
        InversionKind::Searle | InversionKind::LinCir => "Phi",
    };
    let arrays = without_prefix(read_torch(path, Within::Key(key))?);
    let mut widths = Vec::new();
    let mut table = Table::new('.');
    for (layer, name) in layer_names(&arrays, kind).iter().enumerate() {
        let weight = format!("{name}.weight");
        let Some(&[output, input]) = arrays.get(&weight).map(Array::shape) else {
            let (name, kind) = (weight, kind.name());
            return Err(ImportError::at(path)(InversionError::OtherKind { name, kind }).into());
        };
        // A layer that does not continue the one before it is misshapen.
        let input = *widths.last().unwrap_or(&input);
        if widths.is_empty() {
            widths.push(input);
        }
        widths.push(output);
        table.torch_linear(name, [input, output], &format!("layers.{layer}"));
    }
    let config = InversionConfig {
        kind,
        widths,
        l2_normalize,
        template: kind.default_template().into(),
    };
    Ok((config, table.convert(arrays, kind.name())?))
}

/// The linear layers in the order of use: Pic2Word has as many as its training was told, the others always three.
fn layer_names(arrays: &NamedArrays, kind: InversionKind) -> Vec<String> {
    match kind {
        InversionKind::Pic2Word => {
            let blocks = (0..arrays.len())
                .map(|block| format!("layers.{block}.0"))
                .take_while(|name| arrays.contains_key(&format!("{name}.weight")));
            blocks.chain(["fc_out".to_owned()]).collect()
        }
        // Between them lie GELU and dropout.
        InversionKind::Searle | InversionKind::LinCir => [0, 3, 6].map(|layer| format!("layers.{layer}")).to_vec(),
    }
}
