//! What an index holds of an image, and what it gives back.

use std::fmt;

use magiclens_data::{Embedding, ImageId};
use serde::{Deserialize, Serialize};

/// The model that an index belongs to: vectors of different models must not be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStamp {
    /// Digest of the weights and the configuration.
    pub model_id: String,
    /// Length of its vectors.
    pub dim: usize,
}

impl fmt::Display for ModelStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (vectors of {})", self.model_id, self.dim)
    }
}

/// The two vectors of an indexed image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The fused embedding with the empty instruction: for queries by image, and by image and instruction.
    Target,
    /// The image tower's output: for queries by text only.
    Image,
}

/// What is known about an image besides its pixels. All empty for an image that came without a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Payload {
    /// What the image shows, in a few words.
    pub caption: Option<String>,
    /// Keywords.
    pub tags: Vec<String>,
    /// License of the image.
    #[serde(rename = "licence")]
    pub license: Option<String>,
    /// Where it came from, for example a package and its version.
    pub source: Option<String>,
}

/// State of a file when it was looked at; the same stamp means the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Absolute path, `/` between its parts.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// An image on its way into the index.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Id of the content.
    pub id: ImageId,
    /// All files with this content, at least one.
    pub files: Vec<FileStamp>,
    /// Width as shown, in pixels.
    pub width: u32,
    /// Height as shown, in pixels.
    pub height: u32,
    /// What is known about it.
    pub payload: Payload,
    /// A JPEG file, at most [`crate::THUMBNAIL_PX`] on its longest side.
    pub thumbnail: Vec<u8>,
    /// Vector in [`Space::Target`].
    pub target: Embedding,
    /// Vector in [`Space::Image`].
    pub image: Embedding,
}

/// An image in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexedImage {
    /// Id of the content.
    pub id: ImageId,
    /// Absolute paths of all files with this content, at least one, sorted.
    pub paths: Vec<String>,
    /// Width as shown, in pixels.
    pub width: u32,
    /// Height as shown, in pixels.
    pub height: u32,
    /// Everything else that is known about it.
    #[serde(flatten)]
    pub payload: Payload,
}

impl IndexedImage {
    /// The first of its paths.
    pub fn path(&self) -> &str {
        self.paths.first().map_or("", String::as_str)
    }
}

/// One answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Cosine similarity to the query, from -1 to 1.
    pub score: f32,
    /// The image.
    #[serde(flatten)]
    pub image: IndexedImage,
}
