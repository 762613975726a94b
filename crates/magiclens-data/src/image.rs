//! An image of a collection and its description.

use crate::ImageId;

/// An image of a collection: a row of `pictures.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Content id of the file.
    pub id: ImageId,
    /// Path of the file relative to the collection folder, with `/`.
    pub path: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// A few words that describe the image.
    pub caption: String,
    /// Search words.
    pub tags: Vec<String>,
    /// The package or page it came from, e.g. `npm:@iconify-json/noto@1.2.9`.
    pub source: String,
    /// The license, as an SPDX expression where there is one.
    pub license: String,
}
