//! Errors between a checkpoint file and an embedding.

use std::path::PathBuf;

use magiclens_cpu::{MissingTensor, UnknownWidth};
use magiclens_data::Digest;

use crate::basic::BasicError;
use crate::device::DeviceError;
use crate::import::ImportError;
use crate::tokenizer::TokenizerError;

/// An error of the model crate. Messages name the tensor, file or field and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Towers that the export does not write.
    #[error("`{name}` has towers that transformers has no model for\nhint: those of CLIP and SigLIP can be exported")]
    NotExportable {
        /// The model.
        name: String,
    },
    /// A file could not be read or written; the message of the inner error names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The weights were replaced while they were in use.
    #[error("`{}` holds another model than when it was loaded\nhint: start again", path.display())]
    Changed {
        /// The file or folder.
        path: PathBuf,
    },
    /// A tower lacks a tensor.
    #[error(transparent)]
    Tower(#[from] MissingTensor),
    /// Packed weights cannot be kept.
    #[error(
        "the packed weights cannot be written to `{path}`: {reason}\nhint: free some space, or run without `--keep-packed`"
    )]
    Packed {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A device that cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Instructions of the CPU that are asked for by a name that they do not have.
    #[error(transparent)]
    Instructions(#[from] UnknownWidth),
    /// The file is no safetensors file, or is cut off.
    #[error(
        "`{path}` is not a readable safetensors file: {reason}\nhint: write one with `magiclens import official FILE.pkl -o FILE.safetensors`, or use `weights/small.safetensors`"
    )]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A safetensors file without our configuration in its metadata.
    #[error(
        "`{path}` carries no `magiclens` configuration in its metadata\nhint: only checkpoints written by magiclens can be loaded; convert others with `magiclens import`"
    )]
    NoConfig {
        /// The file.
        path: PathBuf,
    },
    /// The configuration does not parse.
    #[error("the configuration in `{path}` is not valid: {reason}")]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// The field and its problem.
        reason: String,
    },
    /// The sizes of a configuration contradict each other.
    #[error("the configuration `{name}` is contradictory: {reason}")]
    Contradiction {
        /// Name of the configuration.
        name: String,
        /// The fields that do not fit.
        reason: String,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error(
        "tensor `{name}` is missing in the checkpoint ({missing} missing in all), but the `{model}` configuration needs it"
    )]
    MissingTensor {
        /// The first missing tensor.
        name: String,
        /// Number of missing tensors.
        missing: usize,
        /// Name of the configuration.
        model: String,
    },
    /// The checkpoint holds a tensor that the model does not have.
    #[error(
        "tensor `{name}` is in the checkpoint ({extra} such in all), but the `{model}` configuration has no place for it"
    )]
    ExtraTensor {
        /// The first extra tensor.
        name: String,
        /// Number of extra tensors.
        extra: usize,
        /// Name of the configuration.
        model: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{name}` has shape {found:?}, but the `{model}` configuration needs {expected:?}")]
    WrongShape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// Name of the configuration.
        model: String,
    },
    /// A tensor that decides sizes has another number of axes.
    #[error("tensor `{name}` has shape {found:?}, but {axes} axes are needed")]
    WrongRank {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Number of axes that it should have.
        axes: usize,
    },
    /// A tensor's numbers are of a type that is no weight.
    #[error("tensor `{name}` holds `{dtype}` numbers, but weights must be floats of 16, 32 or 64 bits")]
    WrongDtype {
        /// The tensor.
        name: String,
        /// The type in the file.
        dtype: String,
    },
    /// A checkpoint refers to a tower file that is not the one it was made with.
    #[error(
        "tower file `{path}` is not the one that the checkpoint was trained with (blake3 `{found}`, expected `{expected}`)\nhint: take both files from the same release"
    )]
    WrongTower {
        /// The tower file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// The digest in the checkpoint.
        expected: Digest,
    },
    /// The tokenizer's file is not beside the model.
    #[error(
        "the tokenizer of the model is missing: `{path}`\nhint: take `tokenizer.json` from where the model came from and put it there"
    )]
    NoTokenizer {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer's file is not the one of the model, or damaged.
    #[error("`{path}`: {source}\nhint: take `tokenizer.json` from where the model came from")]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: TokenizerError,
    },
    /// BASIC could not be prepared or asked.
    #[error(transparent)]
    Basic(#[from] BasicError),
    /// The text tokenizer could not be made or failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A foreign checkpoint could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An official checkpoint is neither of the two published ones.
    #[error(
        "`{path}` is not the official `{model}` checkpoint: {source}\nhint: for other sizes name them with `--config FILE.json`"
    )]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// The size that its length told.
        model: String,
        /// The first tensor that does not fit, or why it cannot be read.
        source: Box<ModelError>,
    },
    /// The image tower takes images of one size only.
    #[error(
        "the image tower of `{model}` takes images of one size only\nhint: leave `image_px` out, or start from a model with a \
         vision transformer"
    )]
    FixedImageSize {
        /// Name of the configuration.
        model: String,
    },
    /// The numbers that came out are no direction (all zero, or not finite).
    #[error("row {row}: the model gave no usable embedding: {reason}")]
    NoEmbedding {
        /// Row of the batch, from 0.
        row: usize,
        /// The problem of the vector.
        reason: String,
    },
    /// A file of tensors without a textual inversion in its metadata.
    #[error("`{path}` carries no textual inversion in its metadata\nhint: make one with `magiclens import inversion`")]
    NoInversion {
        /// The file.
        path: PathBuf,
    },
    /// A textual inversion was asked of a model whose text tower has no place for its words.
    #[error(
        "textual inversion needs CLIP's text tower, which `{model}` has not\nhint: import one with `magiclens import clip`"
    )]
    NotClipText {
        /// Name of the configuration.
        model: String,
    },
    /// A textual inversion was made for a CLIP of another size.
    #[error(
        "the `{kind}` inversion has {inversion} numbers per {what}, but `{model}` has {found}\nhint: take the CLIP that the \
         inversion was trained with"
    )]
    InversionWidth {
        /// The inversion.
        kind: &'static str,
        /// `image embedding` or `word`.
        what: &'static str,
        /// The inversion's width.
        inversion: usize,
        /// The model's width.
        found: usize,
        /// Name of the configuration.
        model: String,
    },
    /// A prompt has no place for the word that stands for the image.
    #[error("row {row}: {reason}: `{prompt}`")]
    NoPlaceholder {
        /// Row of the batch, from 0.
        row: usize,
        /// The problem, with the placeholder.
        reason: String,
        /// The prompt.
        prompt: String,
    },
    /// Two lists that belong together differ in length.
    #[error("{images} image rows but {texts} text rows were given; they belong together row by row")]
    RowMismatch {
        /// Rows of image vectors.
        images: usize,
        /// Rows of text vectors.
        texts: usize,
    },
    /// A row that is not as wide as the model.
    #[error("row {row} has {found} numbers, but the model's vectors have {expected}")]
    RowWidth {
        /// The row, from 0.
        row: usize,
        /// Its width.
        found: usize,
        /// Width of the model's vectors.
        expected: usize,
    },
}

impl ModelError {
    /// [`ModelError::MissingTensor`].
    pub(crate) fn missing(name: &str, missing: usize, model: &str) -> Self {
        Self::MissingTensor {
            name: name.into(),
            missing,
            model: model.into(),
        }
    }

    /// [`ModelError::ExtraTensor`].
    pub(crate) fn extra(name: &str, extra: usize, model: &str) -> Self {
        Self::ExtraTensor {
            name: name.into(),
            extra,
            model: model.into(),
        }
    }
}
