//! Gradients by the names of their tensors.

use std::collections::BTreeMap;

/// Gradients of a model by the whole names of tensors, written below a part of it.
#[derive(Debug)]
pub struct NamedGradients<'a> {
    all: &'a mut BTreeMap<String, Vec<f32>>,
    part: String,
}

impl<'a> NamedGradients<'a> {
    /// Writes into `all`, below a part.
    pub fn new(all: &'a mut BTreeMap<String, Vec<f32>>, part: &str) -> Self {
        let part = part.to_owned();
        Self { all, part }
    }

    /// Those of a part.
    pub(crate) fn within(&mut self, part: &str) -> NamedGradients<'_> {
        NamedGradients {
            part: format!("{}.{part}", self.part),
            all: self.all,
        }
    }

    pub(crate) fn put(&mut self, name: &str, values: Vec<f32>) {
        self.all.insert(format!("{}.{name}", self.part), values);
    }
}
