//! An image of the index as clients see it, without a place on the disk.

use std::path::{Path, PathBuf};

use magiclens_index::IndexedImage;
use serde::Serialize;

/// An image as clients see it. Its paths are relative to the folder of all indexed images.
#[derive(Serialize)]
pub(crate) struct ImageView {
    /// Similarity to the query, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// The first of the paths.
    path: String,
    /// The same in American spelling; the payload has the field of version 0.1.
    license: Option<String>,
    #[serde(flatten)]
    image: IndexedImage,
}

impl ImageView {
    /// The view of an image, with its score, in an index whose images share `folder`.
    pub(crate) fn new(mut image: IndexedImage, score: Option<f32>, folder: &Path) -> Self {
        for path in &mut image.paths {
            *path = relative(path, folder);
        }
        Self {
            score,
            path: image.path().to_string_lossy().into_owned(),
            license: image.payload.license.clone(),
            image,
        }
    }
}

/// The path within `folder`; outside of it, or if that is the root of the disk, the file name alone.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let within = path.strip_prefix(folder).ok();
    let within = within.filter(|_| folder.file_name().is_some()).map(Path::as_os_str);
    within.or(path.file_name()).map(PathBuf::from).unwrap_or_default()
}
