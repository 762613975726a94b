//! The published weights of textual inversions, as torch checkpoints.
//!
//! Source: Pic2Word, google-research/composed_image_retrieval `src/main.py` (under `state_dict_img2text`); SEARLE,
//! miccunifi/SEARLE `hubconf.py`, and LinCIR, navervision/lincir `train_phi.py`, `save_phi` (both under `Phi`).

use std::collections::BTreeMap;
use std::path::Path;

use super::places::{self, Change, Place, without_prefix};
use super::torch::{Within, read_torch};
use super::{Array, ImportError};
use crate::ModelError;
use crate::checkpoint::NamedWeights;
use crate::inversion::{InversionConfig, InversionKind};

/// Why a checkpoint is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InversionError {
    /// It lacks what that kind always has.
    #[error(
        "`{name}` is missing or no matrix, so this is no `{kind}` inversion\nhint: name the right one with `--kind`"
    )]
    OtherKind {
        /// The tensor.
        name: String,
        /// The kind that was asked for.
        kind: &'static str,
    },
}

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
    let names = layer_names(&arrays, kind);
    let mut widths = Vec::new();
    let mut table = Vec::new();
    for (layer, name) in names.iter().enumerate() {
        let weight = format!("{name}.weight");
        let Some(&[output, input]) = arrays.get(&weight).map(Array::shape) else {
            return Err(ImportError::Inversion {
                path: path.into(),
                reason: InversionError::OtherKind {
                    name: weight,
                    kind: kind.name(),
                },
            }
            .into());
        };
        // A layer that does not continue the one before it is misshapen.
        let input = widths.last().copied().unwrap_or(input);
        if widths.is_empty() {
            widths.push(input);
        }
        widths.push(output);
        table.push(Place {
            theirs: weight,
            shape: vec![output, input],
            ours: format!("layers.{layer}.weight"),
            change: Change::Transpose,
        });
        table.push(Place {
            theirs: format!("{name}.bias"),
            shape: vec![output],
            ours: format!("layers.{layer}.bias"),
            change: Change::Same,
        });
    }
    let config = InversionConfig {
        kind,
        widths,
        l2_normalize,
        template: kind.default_template().into(),
    };
    Ok((config, places::convert(arrays, table, kind.name())?))
}

/// The linear layers in the order of use: Pic2Word has as many as its training was told, the others always three.
fn layer_names(arrays: &BTreeMap<String, Array>, kind: InversionKind) -> Vec<String> {
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
