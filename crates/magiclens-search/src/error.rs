//! Errors of models, searching and indexing.

use std::path::PathBuf;

use magiclens_data::EmbeddingError;
use magiclens_data::decode::DecodeError;
use magiclens_hub::HubError;
use magiclens_index::IndexError;
use magiclens_model::ModelError;
use magiclens_model::basic::BasicError;

/// Any failure of a model.
pub type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// Why a query has no vector, or images are not indexed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The model failed.
    #[error(transparent)]
    Model(EncodeError),
    /// The model gave another number of rows than it was asked for.
    #[error("the model gave {found} {what} rows for {expected}")]
    Rows {
        /// The kind of row.
        what: &'static str,
        /// Rows given.
        found: usize,
        /// Rows asked for.
        expected: usize,
    },
    /// A text tower's output without direction.
    #[error("the model has no vector for the text: {0}")]
    NoVector(#[from] EmbeddingError),
    /// The query image is no usable image file.
    #[error("cannot use `{}`: {cause}", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        cause: DecodeError,
    },
    /// The query image is nowhere.
    #[error("`{}` is neither a file nor the id of an image in the index", path.display())]
    UnknownImage {
        /// The image as it was named.
        path: PathBuf,
    },
    /// The query image is in the index, but its file is gone.
    #[error("the file of image `{id}` is gone\nhint: run `magiclens index` again")]
    ImageGone {
        /// Id of the image.
        id: magiclens_data::ImageId,
    },
    /// BASIC cannot be asked.
    #[error(transparent)]
    Basic(#[from] BasicError),
    /// A model that cannot be found or fetched.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A device that cannot be used.
    #[error(transparent)]
    Device(#[from] magiclens_model::DeviceError),
    /// Files that are no model.
    #[error("cannot load the model `{name}`: {cause}")]
    BadModel {
        /// The model.
        name: String,
        /// The loader's reason.
        cause: Box<ModelError>,
    },
    /// The repository's weights are not where the program looks for them.
    #[error(
        "found no `weights/small.safetensors`\n\
         hint: run from the repository, or name a model with `--model` or in MAGICLENS_MODEL"
    )]
    NoSmall,
    /// The index cannot be read or written.
    #[error(transparent)]
    Index(#[from] IndexError),
}
