//! Arrays of a network by name, below a part of it: made of a model's tensors, or mapped from a file that an earlier run packed.

use std::sync::{Mutex, PoisonError};

use crate::packed::{Numbers, PackedFile, PackedWriter, Word};

/// A tensor that a network needs and the model lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model has no tensor `{0}` of the right size")]
pub struct MissingTensor(pub String);

/// Tensors of a model by their whole names.
type Find<'a> = dyn Fn(&str) -> Option<&'a [f32]> + 'a;

/// The arrays of a part of a network.
#[derive(Clone)]
pub struct Tensors<'a> {
    source: Source<'a>,
    part: String,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Model {
        find: &'a Find<'a>,
        /// Keeps what is made of the tensors.
        writer: Option<&'a Mutex<PackedWriter>>,
    },
    Packed(&'a PackedFile),
}

impl<'a> Tensors<'a> {
    /// All tensors that `find` gives by their whole names.
    pub fn new(find: &'a Find<'a>) -> Self {
        Self::of(Source::Model { find, writer: None })
    }

    /// [`Tensors::new`], of which all that is made goes into a file, too.
    pub fn packing(find: &'a Find<'a>, writer: &'a Mutex<PackedWriter>) -> Self {
        let writer = Some(writer);
        Self::of(Source::Model { find, writer })
    }

    /// All arrays of a file.
    pub fn packed(file: &'a PackedFile) -> Self {
        Self::of(Source::Packed(file))
    }

    fn of(source: Source<'a>) -> Self {
        Self {
            source,
            part: String::new(),
        }
    }

    /// Those of a part.
    pub fn within(&self, part: &str) -> Self {
        Self {
            source: self.source,
            part: self.name(part),
        }
    }

    /// True if arrays come from a file, and nothing is to be made.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.source, Source::Packed(_))
    }

    /// An array of `count` numbers: that of the file, or else `made`, which goes into a file where one is written.
    pub(crate) fn keep<T: Word>(
        &self,
        name: &str,
        made: Numbers<T>,
        count: usize,
    ) -> Result<Numbers<T>, MissingTensor> {
        let name = self.name(name);
        let numbers = match self.source {
            Source::Packed(file) => file.numbers(&name).ok_or_else(|| MissingTensor(name.clone()))?,
            Source::Model { writer, .. } => {
                if let Some(writer) = writer {
                    writer.lock().unwrap_or_else(PoisonError::into_inner).add(&name, &made);
                }
                made
            }
        };
        match numbers.len() == count {
            true => Ok(numbers),
            false => Err(MissingTensor(name)),
        }
    }

    /// [`Tensors::keep`] of what is made only where it is needed.
    pub(crate) fn array(
        &self,
        name: &str,
        count: usize,
        make: impl FnOnce() -> Result<Vec<f32>, MissingTensor>,
    ) -> Result<Numbers<f32>, MissingTensor> {
        let made = match self.is_packed() {
            true => Vec::new(),
            false => make()?,
        };
        self.keep(name, Numbers::Owned(made), count)
    }

    /// A tensor as it is, of which there must be `count` numbers.
    pub(crate) fn tensor(&self, name: &str, count: usize) -> Result<Numbers<f32>, MissingTensor> {
        self.array(name, count, || self.get_sized(name, count).map(<[f32]>::to_vec))
    }

    /// The numbers of one tensor of the model; none is there in a packed file.
    pub(crate) fn get(&self, name: &str) -> Result<&'a [f32], MissingTensor> {
        let name = self.name(name);
        match self.source {
            Source::Model { find, .. } => find(&name).ok_or(MissingTensor(name)),
            Source::Packed(_) => Err(MissingTensor(name)),
        }
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
