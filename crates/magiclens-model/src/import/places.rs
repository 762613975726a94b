//! Where each tensor of a foreign checkpoint goes in our model, and what happens to its numbers on the way.

use std::collections::BTreeMap;

use super::{Array, Dtype};
use crate::ModelError;
use crate::checkpoint::{NamedWeights, Weights};

/// One foreign tensor and its place in our model.
pub(super) struct Place {
    pub(super) theirs: String,
    pub(super) shape: Vec<usize>,
    pub(super) ours: String,
    pub(super) change: Change,
}

/// What happens to the numbers on the way.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// Same numbers; all axes but the last become one.
    JoinLeading,
    /// Same numbers; all axes but the first become one.
    JoinTrailing,
    /// Same numbers in one axis.
    Flat,
    /// Same numbers and axes.
    Same,
    /// `[out, ..]` becomes `[.., out]` with the others joined: torch's linear layers, the reference's output projections.
    Transpose,
    /// `[out, color, y, x]` becomes `[y * x * color, out]`: torch's convolution over patches as our linear map.
    Patches,
    /// The reference multiplies by `1 + scale`; our layer norms multiply by `gamma`.
    OnePlus,
}

impl Change {
    fn apply(self, shape: &[usize], values: Vec<f32>) -> Weights {
        let count = values.len();
        let (first, last) = (shape.first().copied().unwrap_or(1), shape.last().copied().unwrap_or(1));
        match self {
            Self::Same => Weights {
                shape: shape.to_vec(),
                values,
            },
            Self::Flat => Weights {
                shape: vec![count],
                values,
            },
            Self::JoinLeading => Weights {
                shape: vec![count / last, last],
                values,
            },
            Self::JoinTrailing => Weights {
                shape: vec![first, count / first],
                values,
            },
            Self::OnePlus => Weights {
                shape: vec![count],
                values: values.into_iter().map(|v| 1.0 + v).collect(),
            },
            Self::Transpose => {
                let inner = count / first;
                let values = (0..count).map(|at| values[(at % first) * inner + at / first]).collect();
                Weights {
                    shape: vec![inner, first],
                    values,
                }
            }
            Self::Patches => {
                let (inner, colors) = (count / first, shape.get(1).copied().unwrap_or(1));
                let pixels = inner / colors;
                let value = |at: usize| {
                    let (row, out) = (at / first, at % first);
                    values[out * inner + (row % colors) * pixels + row / colors]
                };
                Weights {
                    shape: vec![inner, first],
                    values: (0..count).map(value).collect(),
                }
            }
        }
    }
}

/// Renames and reshapes tensors; strict in both directions. `model` is named in messages.
///
/// # Errors
/// A tensor that is missing, extra, misshapen or no float.
pub(super) fn convert(
    mut arrays: BTreeMap<String, Array>,
    places: Vec<Place>,
    model: &str,
) -> Result<NamedWeights, ModelError> {
    let missing: Vec<&Place> = places
        .iter()
        .filter(|place| !arrays.contains_key(&place.theirs))
        .collect();
    if let Some(place) = missing.first() {
        return Err(ModelError::MissingTensor {
            name: place.theirs.clone(),
            missing: missing.len(),
            model: model.into(),
        });
    }
    let mut tensors = NamedWeights::new();
    for place in places {
        let Some(array) = arrays.remove(&place.theirs) else {
            continue;
        };
        if array.shape() != place.shape {
            let (found, expected) = (array.shape().to_vec(), place.shape);
            return Err(ModelError::WrongShape {
                name: place.theirs,
                found,
                expected,
                model: model.into(),
            });
        }
        if !matches!(array.dtype(), Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64) {
            let (name, dtype) = (place.theirs, format!("{:?}", array.dtype()));
            return Err(ModelError::WrongDtype { name, dtype });
        }
        tensors.insert(place.ours, place.change.apply(&place.shape, array.to_f32()));
    }
    match arrays.keys().next() {
        Some(name) => Err(ModelError::ExtraTensor {
            name: name.clone(),
            extra: arrays.len(),
            model: model.into(),
        }),
        None => Ok(tensors),
    }
}

/// What training on several devices puts before every name.
pub(super) fn without_prefix(arrays: BTreeMap<String, Array>) -> BTreeMap<String, Array> {
    const PREFIX: &str = "module.";
    if !arrays.keys().all(|name| name.starts_with(PREFIX)) {
        return arrays;
    }
    let arrays = arrays.into_iter();
    arrays
        .map(|(name, array)| (name[PREFIX.len()..].to_owned(), array))
        .collect()
}
