//! Reasons for which a checkpoint of another program cannot be read.

use std::path::{Path, PathBuf};

use pytorch_reader::PytorchError;

/// More instructions than the pickle of any checkpoint has; bounds the memory that a hostile file can take.
pub(super) const MAX_INSTRUCTIONS: usize = 1 << 20;
/// All tensors of a torch checkpoint may be so many times as long as its file: some models use a storage twice.
pub(super) const MAX_GROWTH: u64 = 4;

/// A checkpoint of another program that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is of another kind.
    #[error("`{}` is {found}, not {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its kind.
        found: &'static str,
        /// The kind that is needed.
        expected: &'static str,
    },
    /// The content is not what it should be.
    #[error("cannot import `{}`: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: Reason,
    },
}

impl ImportError {
    /// [`ImportError::Unreadable`] for a path.
    pub(super) fn at<R: Into<Reason>>(path: &Path) -> impl Fn(R) -> Self {
        move |reason| Self::Unreadable {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

/// The reason for which a file cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[expect(missing_docs, reason = "the types say all")]
pub enum Reason {
    Pickle(#[from] PickleError),
    Flax(#[from] FlaxError),
    Torch(#[from] TorchError),
    Clip(#[from] ClipError),
    Inversion(#[from] InversionError),
    Words(#[from] WordsError),
}

/// A class without words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has no line for `{synset}`\nhint: take the files of one release of PyPI's timm")]
pub struct WordsError {
    /// The class.
    pub synset: String,
}

/// A pickle that is not read. `at` is the offset of the instruction in bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PickleError {
    /// The pickle names a function or class that a `bytes` object does not need.
    #[error("refuses to call `{name}` (byte {at}): a checkpoint is only read, never executed")]
    Refused {
        /// Module and name.
        name: String,
        /// Offset in bytes.
        at: usize,
    },
    /// The bytes end inside an instruction, or without the final one.
    #[error("the pickle is cut off at byte {at}")]
    Truncated {
        /// Offset in bytes.
        at: usize,
    },
    /// More instructions than a checkpoint can need.
    #[error("the pickle has more than {MAX_INSTRUCTIONS} instructions, more than a checkpoint needs")]
    TooComplex,
    /// The pickle holds something else.
    #[error("the pickle is not that of one `bytes` object (byte {at})")]
    NotBytes {
        /// Offset of the first instruction that does not fit.
        at: usize,
    },
}

/// Bytes that are not Flax parameters.
#[derive(Debug, thiserror::Error)]
pub enum FlaxError {
    /// No msgpack, or more or deeper than any checkpoint.
    #[error("the parameters are cut off, damaged or hostile: {0}")]
    Msgpack(#[from] rmpv::decode::Error),
    /// More bytes than the parameters.
    #[error("the parameters are damaged: something follows them")]
    Trailing,
    /// The values make no sense.
    #[error("the parameters are damaged: `{path}` {problem}")]
    Damaged {
        /// Keys down to the value, joined by `/`.
        path: String,
        /// The problem.
        problem: &'static str,
    },
    /// An element type that we do not read.
    #[error("array `{path}` has elements of the type `{dtype}`, which cannot be read")]
    UnknownDtype {
        /// Keys down to the array, joined by `/`.
        path: String,
        /// As the file names it.
        dtype: String,
    },
    /// Something other than an array where only arrays belong.
    #[error("`{path}` is {found}, not an array")]
    NotAnArray {
        /// Keys down to the value, joined by `/`.
        path: String,
        /// Its kind.
        found: &'static str,
    },
}

/// Bytes that are not a torch checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// One of the pickles cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The zip archive cannot be read.
    #[error("the zip archive is cut off or damaged: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// The library does not read it.
    #[error("the checkpoint is cut off, damaged or of another kind: {0}")]
    Unreadable(#[from] PytorchError),
    /// A tensor's numbers cannot be read.
    #[error("the checkpoint is cut off or damaged: {0}")]
    Tensor(#[from] std::io::Error),
    /// A program of TorchScript, such as OpenAI publishes CLIP in.
    #[error(
        "this is a TorchScript archive, which holds a program and not only numbers\nhint: load it in torch and save its \
         numbers with `torch.save(torch.jit.load(file, map_location=\"cpu\").state_dict(), \"clip.pt\")`"
    )]
    TorchScript,
    /// Another kind of file.
    #[error("this is no torch checkpoint")]
    NotTorch,
    /// An entry that is packed.
    #[error(
        "entry `{name}` of the zip archive is compressed, which torch never does\nhint: save the file again in torch, or \
         repack the archive without compression"
    )]
    Compressed {
        /// The entry.
        name: String,
    },
    /// Tensors that share their numbers many times over.
    #[error("its tensors are more than {MAX_GROWTH} times as long as the file")]
    Bomb,
}

/// A file or folder that is no CLIP that we can build.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClipError {
    /// The image tower is a ResNet.
    #[error(
        "its image tower is a ResNet; only vision transformers are known\nhint: take a model with `ViT` in its name"
    )]
    ResNet,
    /// The names are those of transformers, but the sizes are not at hand.
    #[error("it has the names of Hugging Face transformers\nhint: name the folder that holds it and its `config.json`")]
    NeedsFolder,
    /// The folder lacks the weights.
    #[error("the folder holds neither `model.safetensors` nor `model.safetensors.index.json` nor `pytorch_model.bin`")]
    NoWeights,
    /// The folder lacks the weights that its configuration of open_clip belongs to.
    #[error("the folder holds neither `open_clip_model.safetensors` nor `open_clip_pytorch_model.bin`")]
    NoOpenClipWeights,
    /// SigLIP2 for images of any shape.
    #[error(
        "this is a NaFlex model of SigLIP2, which takes images of any shape; only those of one resolution are known\n\
         hint: take one with a resolution in its name, such as `google/siglip2-base-patch16-224`"
    )]
    NaFlex,
    /// The folder is no model.
    #[error(
        "the folder holds no `config.json`\n\
         hint: needed is a checkpoint of magiclens, a folder of transformers, `config.json` with `model.safetensors`, or one of \
         open_clip, `open_clip_config.json` with `open_clip_model.safetensors`"
    )]
    NoFolder,
    /// `config.json`, or the index of the weights, does not parse.
    #[error("`{file}`: {reason}")]
    BadJson {
        /// The file in the folder.
        file: &'static str,
        /// The place and the problem.
        reason: String,
    },
    /// A value of the configuration that our model does not have.
    #[error("`{file}` says `{field}` = {found}, but only {expected} is known")]
    Unknown {
        /// The file in the folder.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The values that are known.
        expected: String,
    },
    /// The activation is not known.
    #[error(
        "a state dictionary does not say which activation it was trained with\nhint: add `--activation quick_gelu` for \
         OpenAI's weights and open_clip's `-quickgelu` models, `--activation gelu` for the others"
    )]
    NoActivation,
    /// The number of heads is not known.
    #[error(
        "a state dictionary does not say how many heads the {tower} tower has, and for the width {width} there is no \
         rule\nhint: add `--{tower}-heads N`; the image towers of open_clip's ViT-H, ViT-g and ViT-bigG have 16"
    )]
    NoHeads {
        /// `vision` or `text`.
        tower: &'static str,
        /// Width of its tokens.
        width: usize,
    },
    /// The positions of the image tower are those of no square.
    #[error("`visual.positional_embedding` has {0} rows, which is not one more than a square")]
    NoSquare(usize),
}

/// A checkpoint that is not the one that was asked for.
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
