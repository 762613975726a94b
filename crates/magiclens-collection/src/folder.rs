//! The paths of a collection folder, and files that may not be there.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::image::Split;

/// The table of images.
pub fn images_path(folder: &Path) -> PathBuf {
    folder.join("pictures.parquet")
}

/// The triplets of a part.
pub fn triplets_path(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("triplets-{split}.parquet"))
}

/// The table of food photographs.
pub fn food_images_path(folder: &Path) -> PathBuf {
    folder.join("food-pictures.parquet")
}

/// The queries about food photographs.
pub fn food_triplets_path(folder: &Path) -> PathBuf {
    folder.join("triplets-food.parquet")
}

/// The text of a file, whatever bytes are not UTF-8; none if there is no file.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs_err::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => Ok(Some(String::from_utf8_lossy(&text?).into_owned())),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
