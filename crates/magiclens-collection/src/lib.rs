//! The collection: images with labels and a leak-free split, and triplets, made of packages that npm and apt bring.
//!
//! [`build`] reads the folder that `scripts/fetch-packages` fills and writes a collection folder: `images/`,
//! `images.parquet`, `triplets-{train,dev,test}.parquet` and `report.json`; photographs of foods, which are only for
//! evaluation, go to `food-images.parquet` and `triplets-food.parquet`. An image that is there is not rendered
//! again, and a second run over the same packages changes nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod build;
mod draw;
mod error;
mod folder;
mod food;
mod gcompris;
mod iconify;
mod image;
mod labels;
mod packages;
mod part;
mod questions;
mod rcc;
mod relation;
mod render;
mod report;
mod slugs;
mod sources;
mod split;
mod store;
mod triplets;
mod tuxpaint;
mod wordings;

pub use build::{BuildConfig, Progress, build};
pub use error::CollectionError;
pub use folder::{food_images_path, food_triplets_path, images_path, triplets_path};
pub use food::FOOD;
pub use image::{
    ImageKind, LabeledImage, ParseVariantError, Split, read_labeled_images, read_training_images, write_labeled_images,
};
pub use packages::{
    DRAWINGS, DrawingPackage, FOOD_IMAGES, FOOD_NAMES, GCOMPRIS, HELD_OUT_STYLES, LABELS, Look, PHOTO_STYLE, TUXPAINT,
};
pub use part::{Collection, PartError, RowTriplet, text_hash};
pub use relation::{
    COLOR, DRAWING_TO_PHOTO, GENDER, GROUP, LIKE_BOTH, NOT_COLOR, NOT_STYLE, PHOTO_TO_DRAWING, SAME_THING,
    SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY, STYLE_OF_SECOND, STYLE_UNSEEN,
};
pub use report::{Failed, Missing, Report};
pub use split::split_of_root;
pub use wordings::{Ask, held_out_style_names, held_out_wordings};
