//! A query image from a file or out of an index.

use std::path::Path;

use image::RgbImage;
use magiclens_data::ImageId;
use magiclens_data::decode::{self, DecodeError, Limits};
use magiclens_data::files::read_capped;
use magiclens_index::Index;

use crate::error::SearchError;

/// An image file, read and decoded.
#[derive(Debug)]
pub struct QueryImage {
    /// Id of the content.
    pub id: ImageId,
    /// The file.
    pub bytes: Vec<u8>,
    /// The pixels for the model.
    pub rgb: RgbImage,
}

impl QueryImage {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or decoded within `limits`.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, DecodeError> {
        let bytes = read_capped(path, limits.max_bytes)?;
        let rgb = decode::decode_rgb(&bytes, limits)?;
        Ok(Self {
            id: ImageId::of_bytes(&bytes),
            bytes,
            rgb,
        })
    }

    /// Reads the file of this name, or the file of the image in the index with this id.
    ///
    /// # Errors
    /// A name that is neither, a file that is gone or cannot be used.
    pub fn find(name: &Path, index: &Index) -> Result<Self, SearchError> {
        if name.exists() {
            return Self::open(name);
        }
        let id = name.to_str().and_then(|text| text.parse::<ImageId>().ok());
        let image = id.map(|id| index.get(id)).transpose()?.flatten();
        let image = image.ok_or_else(|| SearchError::UnknownImage { path: name.to_owned() })?;
        let path = image.paths.iter().find(|path| path.exists());
        Self::open(path.ok_or(SearchError::ImageGone { id: image.id })?)
    }

    fn open(path: &Path) -> Result<Self, SearchError> {
        Self::read(path, &Limits::default()).map_err(|cause| SearchError::BadImage {
            path: path.to_owned(),
            cause,
        })
    }
}
