//! Frozen features of a collection, computed once and kept: a shard of images is done when its file exists. Features are what
//! the trunk of a tower gives, or the tower itself where it has no trunk.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::flip_horizontal_in_place;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_data::{DigestBuilder, Image};
use magiclens_model::Embedder;
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, Weights, read_weights, tensors_of, write_tower};
use rayon::prelude::*;

use crate::TrainError;
use crate::feature_table::FeatureTable;

/// Images of one shard.
const SHARD: usize = 512;
/// Texts of one shard.
const TEXT_SHARD: usize = 4096;

/// The pixels that features are of: another JPEG decoder gives others.
const PIXELS: &str = "libjpeg-turbo";

/// The way in which images are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As they are.
    Plain,
    /// Left and right changed.
    Mirrored,
}

impl View {
    /// Part of what names a shard.
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Mirrored => "mirrored",
        }
    }
}

/// The features of every image, in the order given. Shards already in `cache` are read back; a shard's name comes from its
/// images and the frozen weights, so it is never stale.
///
/// # Errors
/// An image that cannot be read, or a cache that cannot be written.
pub fn image_features(
    embedder: &Embedder,
    collection: &Path,
    images: &[&Image],
    view: View,
    cache: &Path,
    progress: &mut dyn FnMut(usize),
) -> Result<FeatureTable, TrainError> {
    fs_err::create_dir_all(cache)?;
    let tower = &embedder.model()?.vision;
    let weights = tower.trunk_weights().unwrap_or_else(|| tensors_of(tower));
    let settings = format!(
        "{PIXELS}{}{:?}{:?}",
        view.name(),
        embedder.config().preprocess,
        embedder.config().vision
    );
    let frozen = digest(&settings, weights);
    let mut table = FeatureTable::default();
    for shard in images.chunks(SHARD) {
        let ids: Vec<[u8; 16]> = shard.iter().map(|image| image.id.to_bytes()).collect();
        let path = shard_path(cache, &frozen, ids.iter().map(|id| id.as_slice()));
        let rows = match read_shard(&path) {
            Some(weights) => weights,
            None => write_shard(embedder, collection, shard, view, &path)?,
        };
        table.extend(rows.shape[1], rows.values);
        progress(shard.len());
    }
    Ok(table)
}

/// The features of every text, in the order given, kept in `cache` like those of images.
///
/// # Errors
/// A text that the tokenizer refuses, or a cache that cannot be written.
pub fn text_features(
    embedder: &Embedder,
    texts: &[&str],
    cache: &Path,
    progress: &mut dyn FnMut(usize),
) -> Result<FeatureTable, TrainError> {
    fs_err::create_dir_all(cache)?;
    let tower = &embedder.model()?.text;
    let weights = tower.trunk_weights().unwrap_or_else(|| tensors_of(tower));
    let frozen = digest(&format!("{:?}", embedder.config().text), weights);
    let mut table = FeatureTable::default();
    for shard in texts.chunks(TEXT_SHARD) {
        let path = shard_path(cache, &frozen, shard.iter().flat_map(|text| [text.as_bytes(), b"\0"]));
        let rows = match read_shard(&path) {
            Some(weights) => weights,
            None => {
                let rows = match embedder.text_features(shard)? {
                    Some(rows) => rows,
                    None => embedder.encode_texts(shard)?,
                };
                write_rows(&path, rows)?
            }
        };
        table.extend(rows.shape[1], rows.values);
        progress(shard.len());
    }
    Ok(table)
}

/// Decodes images of a collection, in their order.
///
/// # Errors
/// The first one that cannot be read.
fn read_images(collection: &Path, images: &[&Image]) -> Result<Vec<RgbImage>, TrainError> {
    let read = |image: &&Image| {
        let path = collection.join(&image.path);
        read_rgb(&path, &Limits::default()).map_err(|error| TrainError::Image {
            path,
            reason: error.to_string(),
        })
    };
    images.par_iter().map(read).collect()
}

/// A shard that is whole, or nothing.
fn read_shard(path: &Path) -> Option<Weights> {
    read_weights(path, &[])
        .ok()?
        .remove("features")
        .filter(|weights| weights.shape.len() == 2)
}

fn write_shard(
    embedder: &Embedder,
    collection: &Path,
    shard: &[&Image],
    view: View,
    path: &Path,
) -> Result<Weights, TrainError> {
    let mut images = read_images(collection, shard)?;
    if view == View::Mirrored {
        images.par_iter_mut().for_each(flip_horizontal_in_place);
    }
    let rows = match embedder.image_features(&images) {
        Some(rows) => rows,
        None => embedder.encode_images(&images)?,
    };
    write_rows(path, rows)
}

fn write_rows(path: &Path, rows: Vec<Vec<f32>>) -> Result<Weights, TrainError> {
    let weights = Weights {
        shape: vec![rows.len(), rows.first().map_or(0, Vec::len)],
        values: rows.concat(),
    };
    write_tower(
        path,
        &NamedWeights::from([("features".to_string(), weights.clone())]),
        StoredFloat::F32,
    )?;
    Ok(weights)
}

fn shard_path<'a>(cache: &Path, frozen: &str, items: impl Iterator<Item = &'a [u8]>) -> PathBuf {
    let mut hasher = DigestBuilder::new();
    hasher.update(frozen.as_bytes());
    for item in items {
        hasher.update(item);
    }
    cache.join(format!("features-{}.safetensors", &hasher.finish().to_string()[..32]))
}

/// Digest of frozen weights and of the settings that decide their features, too.
fn digest(settings: &str, frozen: NamedWeights) -> String {
    let mut hasher = DigestBuilder::new();
    hasher.update(settings.as_bytes());
    for (name, weights) in frozen {
        hasher.update(name.as_bytes());
        for value in weights.values {
            hasher.update(value.to_le_bytes());
        }
    }
    hasher.finish().to_string()
}
