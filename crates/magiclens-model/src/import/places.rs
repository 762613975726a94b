//! Tables of foreign tensors: names, shapes, the place of each in our model, and the change of its numbers on the way.

use std::mem::replace;

use rayon::prelude::*;

use crate::ModelError;
use crate::array::{Array, NamedArrays, NamedWeights, Weights};

/// Colors of an image.
const COLORS: usize = 3;

/// One foreign tensor and its place in our model.
struct Place {
    theirs: String,
    shape: Vec<usize>,
    ours: String,
    change: Change,
}

/// The change of the numbers on the way.
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
        let inner = count / first;
        let shape = match self {
            Self::Same => shape.to_vec(),
            Self::Flat | Self::OnePlus => vec![count],
            Self::JoinLeading => vec![count / last, last],
            Self::JoinTrailing => vec![first, inner],
            Self::Transpose | Self::Patches => vec![inner, first],
        };
        let values = match self {
            Self::OnePlus => values.into_iter().map(|value| 1.0 + value).collect(),
            Self::Transpose => transpose(&values, inner),
            Self::Patches => {
                let pixels = inner / COLORS;
                let value = |at: usize| {
                    let (row, out) = (at / first, at % first);
                    values[out * inner + (row % COLORS) * pixels + row / COLORS]
                };
                (0..count).map(value).collect()
            }
            _ => values,
        };
        Weights { shape, values }
    }

    /// Their numbers for ours: the reverse of [`Change::apply`].
    fn undo(self, shape: &[usize], values: &[f32]) -> Vec<f32> {
        let (count, first) = (values.len(), shape.first().copied().unwrap_or(1));
        let inner = count / first;
        match self {
            Self::OnePlus => values.iter().map(|value| value - 1.0).collect(),
            Self::Transpose => transpose(values, first),
            Self::Patches => {
                let pixels = inner / COLORS;
                let value = |at: usize| {
                    let (out, within) = (at / inner, at % inner);
                    let row = (within % pixels) * COLORS + within / pixels;
                    values[row * first + out]
                };
                (0..count).map(value).collect()
            }
            Self::Same | Self::Flat | Self::JoinLeading | Self::JoinTrailing => values.to_vec(),
        }
    }
}

/// The tensors of a foreign model. Names are added below those of the parts that the table is [`Table::within`].
pub(crate) struct Table {
    places: Vec<Place>,
    separator: char,
    theirs: String,
    ours: String,
}

impl Table {
    /// An empty table; `separator` stands between the parts of their names.
    pub(super) fn new(separator: char) -> Self {
        Self {
            places: Vec::new(),
            separator,
            theirs: String::new(),
            ours: String::new(),
        }
    }

    /// Adds what `fill` adds, below a part of their model and of ours.
    pub(super) fn within(&mut self, theirs: &str, ours: &str, fill: impl FnOnce(&mut Self)) {
        let (theirs, ours) = (join(&self.theirs, self.separator, theirs), join(&self.ours, '.', ours));
        let outer = (replace(&mut self.theirs, theirs), replace(&mut self.ours, ours));
        fill(self);
        (self.theirs, self.ours) = outer;
    }

    /// [`Table::within`] each of several numbered parts.
    pub(super) fn each(&mut self, count: usize, theirs: &str, ours: &str, fill: impl Fn(&mut Self)) {
        for index in 0..count {
            self.within(&format!("{theirs}{index}"), &format!("{ours}{index}"), &fill);
        }
    }

    /// Adds one tensor.
    pub(super) fn add(&mut self, theirs: &str, shape: &[usize], ours: &str, change: Change) {
        self.places.push(Place {
            theirs: join(&self.theirs, self.separator, theirs),
            shape: shape.to_vec(),
            ours: join(&self.ours, '.', ours),
            change,
        });
    }

    /// Adds a linear layer: their names and shapes of weight and bias, our name of the layer.
    pub(super) fn linear(&mut self, weight: (&str, &[usize]), bias: (&str, &[usize]), ours: &str, change: Change) {
        self.add(weight.0, weight.1, &format!("{ours}.weight"), change);
        self.add(bias.0, bias.1, &format!("{ours}.bias"), Change::Flat);
    }

    /// Adds a layer norm: their names of scale and bias, our name of the layer.
    pub(super) fn norm(&mut self, [scale, bias]: [&str; 2], width: usize, ours: &str, change: Change) {
        self.add(scale, &[width], &format!("{ours}.gamma"), change);
        self.add(bias, &[width], &format!("{ours}.beta"), Change::Same);
    }

    /// Adds a linear layer as torch has it.
    pub(super) fn torch_linear(&mut self, theirs: &str, [input, output]: [usize; 2], ours: &str) {
        let (weight, bias) = (format!("{theirs}.weight"), format!("{theirs}.bias"));
        self.linear((&weight, &[output, input]), (&bias, &[output]), ours, Change::Transpose);
    }

    /// Adds a layer norm as torch has it.
    pub(super) fn torch_norm(&mut self, theirs: &str, width: usize, ours: &str) {
        let names = [format!("{theirs}.weight"), format!("{theirs}.bias")];
        self.norm([&names[0], &names[1]], width, ours, Change::Same);
    }

    /// Renames and reshapes tensors; strict in both directions. `model` is named in messages.
    ///
    /// # Errors
    /// A tensor that is missing, extra, misshapen or no float.
    pub(super) fn convert(self, mut arrays: NamedArrays, model: &str) -> Result<NamedWeights, ModelError> {
        let mut missing = self.places.iter().filter(|place| !arrays.contains_key(&place.theirs));
        if let Some(place) = missing.next() {
            return Err(ModelError::missing(&place.theirs, 1 + missing.count(), model));
        }
        let mut found = Vec::with_capacity(self.places.len());
        for place in self.places {
            let array = take(&mut arrays, &place.theirs, &place.shape, model)?;
            found.push((place, array));
        }
        no_more(&arrays, model)?;
        let convert = |(place, array): (Place, Array)| {
            let values = array.to_f32(&place.theirs)?;
            Ok((place.ours, place.change.apply(&place.shape, values)))
        };
        found.into_par_iter().map(convert).collect()
    }

    /// Our tensors under their names and in their shapes: the reverse of [`Table::convert`]. Gives the number of tensors
    /// that have no place among theirs, too.
    ///
    /// # Errors
    /// A tensor of the table that is missing.
    pub(crate) fn revert(self, tensors: &NamedWeights, model: &str) -> Result<(NamedWeights, usize), ModelError> {
        let without_place = tensors.len() - self.places.len().min(tensors.len());
        let mut theirs = NamedWeights::new();
        for place in self.places {
            let ours = tensors
                .get(&place.ours)
                .ok_or_else(|| ModelError::missing(&place.ours, 1, model))?;
            let values = place.change.undo(&place.shape, &ours.values);
            let shape = place.shape;
            theirs.insert(place.theirs, Weights { shape, values });
        }
        Ok((theirs, without_place))
    }
}

/// `[rows, columns]` -> `[columns, rows]`, square by square, so that both sides stay in the cache.
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    const SIDE: usize = 32;
    let rows = values.len() / columns.max(1);
    let mut out = vec![0.0; values.len()];
    for (first, out) in (0..).step_by(SIDE).zip(out.chunks_mut((SIDE * rows).max(1))) {
        for from in (0..rows).step_by(SIDE) {
            for (column, out) in (first..).zip(out.chunks_exact_mut(rows)) {
                let part = &mut out[from..rows.min(from + SIDE)];
                part.iter_mut()
                    .zip(from..)
                    .for_each(|(out, row)| *out = values[row * columns + column]);
            }
        }
    }
    out
}

fn join(parent: &str, separator: char, child: &str) -> String {
    match (parent, child) {
        ("", name) | (name, "") => name.to_owned(),
        _ => format!("{parent}{separator}{child}"),
    }
}

/// Takes an array of a known shape.
///
/// # Errors
/// One that is missing or misshapen.
pub(super) fn take(arrays: &mut NamedArrays, name: &str, shape: &[usize], model: &str) -> Result<Array, ModelError> {
    let array = arrays.remove(name).ok_or_else(|| ModelError::missing(name, 1, model))?;
    match array.shape() == shape {
        true => Ok(array),
        false => Err(ModelError::WrongShape {
            name: name.into(),
            found: array.shape().to_vec(),
            expected: shape.to_vec(),
            model: model.into(),
        }),
    }
}

/// Refuses arrays that have no place.
///
/// # Errors
/// The first of them.
pub(super) fn no_more(arrays: &NamedArrays, model: &str) -> Result<(), ModelError> {
    match arrays.keys().next() {
        Some(name) => Err(ModelError::extra(name, arrays.len(), model)),
        None => Ok(()),
    }
}

/// Without the prefix that training on several devices puts before every name.
pub(super) fn without_prefix(arrays: NamedArrays) -> NamedArrays {
    const PREFIX: &str = "module.";
    if !arrays.keys().all(|name| name.starts_with(PREFIX)) {
        return arrays;
    }
    let arrays = arrays.into_iter();
    arrays
        .map(|(name, array)| (name[PREFIX.len()..].to_owned(), array))
        .collect()
}
