//! The paths of a collection folder.

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
