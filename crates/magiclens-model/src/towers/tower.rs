//! The contract of a tower: its sizes build it and check themselves, and it turns images or texts into vectors.

use std::path::Path;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use magiclens_cpu::{ImageNetwork, MissingTensor, Precision, Tensors, TextNetwork, Token};

use crate::ModelError;
use crate::array::NamedWeights;
use crate::parameters::tensors_of;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// The sizes of an image tower.
pub trait ImageTowerConfig {
    /// The tower of these sizes.
    type Tower: ImageTower
    where
        Self: Sized;

    /// Side of the square input in pixels.
    fn image_px(&self) -> usize;

    /// True if a row has two parts of the model's width: a vector in the space of sentences, in which images and texts are compared, and one
    /// for the fusion.
    fn shares_sentences(&self) -> bool {
        false
    }

    /// Width of the outputs of a tower that does not project to the model's width, and so decides it.
    fn fixed_dim(&self) -> Option<usize> {
        None
    }

    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// Names of the fields that do not fit.
    fn check(&self) -> Result<(), String>;

    /// Builds the tower with random weights, projecting to `dim`.
    fn init(&self, dim: usize, device: &Device) -> Self::Tower
    where
        Self: Sized;

    /// The same tower for the CPU, from its tensors.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn ImageNetwork>, MissingTensor>;
}

/// The sizes of a text tower.
pub trait TextTowerConfig {
    /// The tower of these sizes.
    type Tower: TextTower
    where
        Self: Sized;

    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// Names of the fields that do not fit.
    fn check(&self) -> Result<(), String>;

    /// The tokenizer of the tower; `folder` is that of the checkpoint.
    ///
    /// # Errors
    /// A file of the tokenizer that is missing or broken.
    fn tokenizer(&self, folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError>;

    /// See [`ImageTowerConfig::shares_sentences`].
    fn shares_sentences(&self) -> bool {
        false
    }

    /// Width of the outputs of a tower that does not project to the model's width, and so decides it.
    fn fixed_dim(&self) -> Option<usize> {
        None
    }

    /// True if the weights come with a bias of the logits, as a sigmoid loss learns it.
    fn has_logit_bias(&self) -> bool {
        false
    }

    /// Builds the tower with random weights, projecting to `dim`.
    fn init(&self, dim: usize, device: &Device) -> Self::Tower
    where
        Self: Sized;

    /// The same tower for the CPU, from its tensors.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn TextNetwork>, MissingTensor>;

    /// The tokens of a text that its vector depends on, the one that is read last.
    fn tokens(&self, ids: &[u32]) -> Vec<Token> {
        ids.iter().copied().zip(0..).collect()
    }
}

/// A tower that may consist of a pretrained trunk, frozen in training, and a learned projection. Towers without that seam
/// keep the defaults.
pub trait Tower {
    /// The projection of the trunk's features.
    fn projection(&self) -> Option<&FeatureProjection> {
        None
    }

    /// [`Tower::projection`], to be replaced.
    fn projection_mut(&mut self) -> Option<&mut FeatureProjection> {
        None
    }

    /// The map of an image's features into the space of sentences, to be replaced; `None` where the tower reads none.
    fn sentence_map_mut(&mut self) -> Option<&mut FeatureProjection> {
        None
    }

    /// The trunk's tensors by name.
    fn trunk_weights(&self) -> Option<NamedWeights> {
        None
    }
}

/// An image tower.
pub trait ImageTower: Tower {
    /// `images`: `[batch, 3, image_px, image_px]`, preprocessed -> `[batch, dim]`, not normalized; behind a vector in the space of sentences
    /// where the tower has one, `[batch, 2 dim]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// The same images -> `[batch, features]` of the trunk; `None` without a trunk.
    fn features(&self, _images: Tensor<4>) -> Option<Tensor<2>> {
        None
    }

    /// Features `[batch, features]` -> what [`ImageTower::forward`] gives; `None` without a trunk.
    fn project(&self, _features: Tensor<2>) -> Option<Tensor<2>> {
        None
    }
}

/// A text tower.
pub trait TextTower: Tower {
    /// Texts that go through the tower in one piece.
    fn batch(&self) -> usize;

    /// Rows of ids of one length -> `[batch, dim]`, not normalized; behind a vector in the space of sentences where the tower has one,
    /// `[batch, 2 dim]`.
    fn forward(&self, ids: &[&[u32]]) -> Tensor<2>;

    /// The same ids -> `[batch, features]` of the trunk; `None` without a trunk.
    fn features(&self, _ids: &[&[u32]]) -> Option<Tensor<2>> {
        None
    }

    /// Width of the tokens that [`TextTower::forward_with_words`] takes; `None` where it takes none.
    fn word_width(&self) -> Option<usize> {
        None
    }

    /// [`TextTower::forward`] with the vector `words[row]` in place of tokens of text `row`.
    fn forward_with_words(&self, ids: &[&[u32]], _words: &[PseudoWord<'_>]) -> Tensor<2> {
        self.forward(ids)
    }
}

/// A vector in place of some tokens of a text.
#[derive(Clone, Debug)]
pub struct PseudoWord<'a> {
    /// `[width]`, like a row of the token embedding.
    pub vector: &'a [f32],
    /// Positions in the text that it takes.
    pub positions: Vec<usize>,
}

/// A pretrained trunk, and the layer norm and projection that bring its features into the fusion width.
#[derive(Module, Debug)]
pub struct Projected<M: Module> {
    /// The pretrained network.
    pub trunk: M,
    /// Features to fusion width.
    pub projection: FeatureProjection,
}

impl<M: Module> Projected<M> {
    /// Joins a trunk and a random projection of its features to `dim`.
    pub(super) fn init(trunk: M, features: usize, dim: usize, device: &Device) -> Self {
        Self {
            trunk,
            projection: FeatureProjection::init(features, dim, device),
        }
    }
}

impl<M: Module> Tower for Projected<M> {
    fn projection(&self) -> Option<&FeatureProjection> {
        Some(&self.projection)
    }

    fn projection_mut(&mut self) -> Option<&mut FeatureProjection> {
        Some(&mut self.projection)
    }

    fn trunk_weights(&self) -> Option<NamedWeights> {
        Some(tensors_of(&self.trunk))
    }
}

/// Layer norm and linear map of a trunk's features.
#[derive(Module, Debug)]
pub struct FeatureProjection {
    norm: LayerNorm,
    linear: Linear,
}

impl FeatureProjection {
    /// Builds it with random weights.
    pub(super) fn init(features: usize, dim: usize, device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(features).init(device),
            linear: LinearConfig::new(features, dim).init(device),
        }
    }

    /// Numbers that go in.
    pub fn width(&self) -> usize {
        let [width] = self.norm.gamma.dims();
        width
    }

    /// `[batch, features]` -> `[batch, dim]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(self.norm.forward(features))
    }
}

/// The largest width or side and the largest number of layers that are believed, so that products of sizes stay numbers.
const MAX_SIZE: usize = 1 << 16;
const MAX_LAYERS: usize = 1024;

/// Refuses a width or side that is zero, or more than any model has.
pub(crate) fn check_size(name: &str, size: usize) -> Result<(), String> {
    match size {
        0 => Err(format!("`{name}` is 0")),
        1..=MAX_SIZE => Ok(()),
        _ => Err(format!("`{name}` is {size}, more than any model has")),
    }
}

/// Refuses blocks of attention that cannot be built.
pub(super) fn check_blocks(width: usize, layers: usize, heads: usize, feed_forward: usize) -> Result<(), String> {
    check_size("width", width)?;
    check_size("feed_forward", feed_forward)?;
    if layers > MAX_LAYERS {
        return Err(format!("`layers` is {layers}, more than any model has"));
    }
    match divides(heads, width) {
        true => Ok(()),
        false => Err(format!("`heads` {heads} do not divide `width` {width}")),
    }
}

/// False for a divisor of 0.
pub(crate) fn divides(divisor: usize, number: usize) -> bool {
    divisor > 0 && number.is_multiple_of(divisor)
}

/// The tokenizer of a folder by a reader of its `tokenizer.json`.
pub(super) fn tokenizer_file<T>(
    folder: &Path,
    read: impl FnOnce(&[u8]) -> Result<T, TokenizerError>,
) -> Result<T, ModelError> {
    let path = folder.join("tokenizer.json");
    let bytes = match fs_err::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ModelError::NoTokenizer { path }),
        read => read?,
    };
    read(&bytes).map_err(|source| ModelError::BadTokenizer { path, source })
}
