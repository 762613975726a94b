//! Tensors of a model by name, below a part of it.

/// A tensor that a network needs and the model lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model has no tensor `{0}` of the right size")]
pub struct MissingTensor(pub String);

/// The tensors of a part of a model.
#[derive(Clone)]
pub struct Tensors<'a> {
    find: &'a dyn Fn(&str) -> Option<&'a [f32]>,
    part: String,
}

impl<'a> Tensors<'a> {
    /// All tensors that `find` gives by their whole names.
    pub fn new(find: &'a dyn Fn(&str) -> Option<&'a [f32]>) -> Self {
        Self {
            find,
            part: String::new(),
        }
    }

    /// Those of a part.
    pub fn within(&self, part: &str) -> Self {
        Self {
            find: self.find,
            part: self.name(part),
        }
    }

    /// The numbers of one tensor.
    pub(crate) fn get(&self, name: &str) -> Result<&'a [f32], MissingTensor> {
        let name = self.name(name);
        (self.find)(&name).ok_or(MissingTensor(name))
    }

    /// The numbers of one tensor, of which there must be `count`.
    pub(crate) fn get_sized(&self, name: &str, count: usize) -> Result<&'a [f32], MissingTensor> {
        let values = self.get(name)?;
        match values.len() == count {
            true => Ok(values),
            false => Err(MissingTensor(self.name(name))),
        }
    }

    fn name(&self, name: &str) -> String {
        match (self.part.as_str(), name) {
            ("", name) | (name, "") => name.to_owned(),
            (part, name) => format!("{part}.{name}"),
        }
    }
}
