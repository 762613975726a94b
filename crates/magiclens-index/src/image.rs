//! Images on their way into an index, in it, and as answers of a search.

use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use magiclens_data::{Embedding, ImageId};
use serde::{Deserialize, Serialize, Serializer};

/// The model that an index belongs to: vectors of different models must not be compared.
///
/// Two are equal if their vectors may be compared, under whatever name.
#[derive(Clone, Debug)]
pub struct ModelStamp {
    /// The name that brings the model back, such as `small` or `OWNER/NAME@COMMIT`; empty if it is not known.
    pub name: String,
    /// Digest of the weights and the configuration.
    pub model_id: String,
    /// Length of its vectors.
    pub dim: usize,
}

impl PartialEq for ModelStamp {
    fn eq(&self, other: &Self) -> bool {
        (&self.model_id, self.dim) == (&other.model_id, other.dim)
    }
}

impl Eq for ModelStamp {}

impl fmt::Display for ModelStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, model_id, dim } = self;
        match name.as_str() {
            "" => write!(f, "`{model_id}` (vectors of {dim})"),
            name => write!(f, "`{name}` ({model_id}, vectors of {dim})"),
        }
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

/// The description of an image. All empty for an image that came without a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Payload {
    /// The content of the image in a few words.
    pub caption: Option<String>,
    /// Keywords.
    pub tags: Vec<String>,
    /// License of the image.
    #[serde(rename = "licence")]
    pub license: Option<String>,
    /// The source, for example a package and its version.
    pub source: Option<String>,
}

/// State of a file when it was looked at; the same stamp means the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Absolute path.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl FileStamp {
    pub(crate) fn new(path: &Path, metadata: &Metadata) -> Self {
        // A time before 1970 or unknown counts as 1970: the size and, once hashed, the content still decide.
        let mtime = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            path: path.to_owned(),
            size: metadata.len(),
            mtime_ns: i64::try_from(mtime.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX),
        }
    }
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
    /// Its description.
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
    #[serde(serialize_with = "paths_as_text")]
    pub paths: Vec<PathBuf>,
    /// Width as shown, in pixels.
    pub width: u32,
    /// Height as shown, in pixels.
    pub height: u32,
    /// Its description.
    #[serde(flatten)]
    pub payload: Payload,
}

impl IndexedImage {
    /// The first of its paths.
    pub fn path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
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

/// JSON holds Unicode only: other bytes of a path are replaced.
pub(crate) fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn paths_as_text<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
