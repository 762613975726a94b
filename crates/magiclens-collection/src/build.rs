//! Builds a collection: gathers what the packages bring, renders it, makes tables of images and triplets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use magiclens_data::{DigestBuilder, ImageId, Triplet, write_triplets};

use crate::error::CollectionError;
use crate::folder::{food_images_path, food_triplets_path, images_path, remove_if_there, triplets_path};
use crate::image::{LabeledImage, Split, write_labeled_images};
use crate::packages::FOOD_IMAGES;
use crate::report::{Missing, Report};
use crate::split::{Roots, split_of_image};
use crate::store::{Item, Store, Stored};
use crate::{food, sources, triplets, wordings};

/// The settings of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildConfig {
    /// The folder that `scripts/fetch-packages` filled.
    pub packages_dir: PathBuf,
    /// The collection folder; made if it is not there.
    pub out_dir: PathBuf,
    /// Width and height of rendered drawings, in pixels.
    pub image_size_px: u32,
    /// True to take flags, which are many and all alike.
    pub include_flags: bool,
    /// Seed of the choice of triplets and wordings.
    pub seed: u64,
}

impl BuildConfig {
    /// Drawings of 256 pixels, no flags, seed 0.
    pub fn new(packages_dir: impl Into<PathBuf>, out_dir: impl Into<PathBuf>) -> Self {
        Self {
            packages_dir: packages_dir.into(),
            out_dir: out_dir.into(),
            image_size_px: 256,
            include_flags: false,
            seed: 0,
        }
    }
}

/// The progress of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A package is read.
    Reading(&'a str),
    /// So many images of all are rendered or found rendered.
    Images {
        /// Number of images that are done.
        done: usize,
        /// Number of all images.
        total: usize,
    },
    /// The triplets of a part are made.
    Triplets(Split),
    /// Nothing has changed since the last build.
    Unchanged,
}

/// Builds the collection that `config` describes, or finds it built. Rendering uses rayon's threads.
pub fn build(config: &BuildConfig, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, CollectionError> {
    if !(16..=2048).contains(&config.image_size_px) {
        return Err(CollectionError::ImageSize(config.image_size_px));
    }
    let reading = |package: &str| progress(Progress::Reading(package));
    let mut sources = sources::gather(&config.packages_dir, config.include_flags, &reading)?;
    reading(FOOD_IMAGES);
    let foods = food::gather(&config.packages_dir, &mut sources.missing);
    fs_err::create_dir_all(&config.out_dir)?;
    let store = Store::open(&config.out_dir, config.image_size_px)?;
    let stored = store.render_all(&sources.items, &|done, total| {
        progress(Progress::Images { done, total })
    })?;
    let stored_foods = store.render_all(&foods.items, &|_, _| ())?;
    let items = sources.items.iter().chain(&foods.items);
    let inputs = inputs(config, items.zip(stored.iter().chain(&stored_foods)), &sources.missing);
    if let Some(report) = Report::of_finished(&config.out_dir, &inputs) {
        progress(Progress::Unchanged);
        return Ok(report);
    }
    Report::remove(&config.out_dir)?;
    let mut report = Report {
        inputs,
        missing: sources.missing,
        unnamed_icons: sources.unnamed,
        ..Report::default()
    };
    let images = merge(&sources.items, &stored, &mut report);
    let food_tables = food::tables(&foods, &stored_foods, config.seed, &mut report.failed);
    store.prune(images.iter().chain(&food_tables.0).map(|image| image.id).collect())?;
    write_tables(config, &images, &food_tables, progress, &mut report)?;
    report.write(&config.out_dir)?;
    Ok(report)
}

/// Writes all tables and counts their rows.
fn write_tables(
    config: &BuildConfig,
    images: &[LabeledImage],
    (food_images, food_triplets): &(Vec<LabeledImage>, Vec<Triplet>),
    progress: &(dyn Fn(Progress) + Sync),
    report: &mut Report,
) -> Result<(), CollectionError> {
    write_labeled_images(images_path(&config.out_dir), images)?;
    report.count_images(images);
    write_foods(&config.out_dir, food_images, food_triplets)?;
    (report.food_images, report.food_triplets) = (food_images.len(), food_triplets.len());
    for split in Split::ALL {
        progress(Progress::Triplets(split));
        let triplets = triplets::triplets(images, split, config.seed);
        write_triplets(triplets_path(&config.out_dir, split), &triplets)?;
        report.count_triplets(split, &triplets);
    }
    Ok(())
}

/// Both tables of foods, or neither if there are none.
fn write_foods(out_dir: &Path, images: &[LabeledImage], triplets: &[Triplet]) -> Result<(), CollectionError> {
    let (images_path, triplets_path) = (food_images_path(out_dir), food_triplets_path(out_dir));
    if !images.is_empty() {
        write_labeled_images(images_path, images)?;
        return Ok(write_triplets(triplets_path, triplets)?);
    }
    for path in [images_path, triplets_path] {
        remove_if_there(&path)?;
    }
    Ok(())
}

/// One image for all items with the same pixels; the first item names it. Roots that share an image become one, so
/// that no image is in two parts.
fn merge(items: &[Item], stored: &[Result<Stored, String>], report: &mut Report) -> Vec<LabeledImage> {
    let mut roots = Roots::default();
    let mut places: HashMap<ImageId, usize> = HashMap::new();
    let mut images: Vec<LabeledImage> = Vec::new();
    for (item, stored) in items.iter().zip(stored) {
        match stored {
            Err(reason) => report.failed.push(item.failed(reason)),
            Ok(stored) => match places.get(&stored.id) {
                Some(&place) => {
                    roots.join(&images[place].root, &item.label.root);
                    join(&mut images[place], item, report);
                }
                None => {
                    places.insert(stored.id, images.len());
                    images.push(stored.labeled(item));
                }
            },
        }
    }
    for image in &mut images {
        image.root = roots.find(&image.root);
        image.split = split_of_image(&image.root, &image.style);
    }
    report.joined_roots = roots.joined();
    images
}

/// Adds an item with the same pixels to an image.
fn join(image: &mut LabeledImage, item: &Item, report: &mut Report) {
    match image.style == item.style {
        true => report.merged += 1,
        false => report.merged_across_styles += 1,
    }
    let concept = &item.label.concept;
    if image.concept != *concept && !image.also.contains(concept) {
        image.also.push(concept.clone());
    }
}

/// A digest of everything the result depends on; the same inputs are not built twice.
fn inputs<'a>(
    config: &BuildConfig,
    items: impl Iterator<Item = (&'a Item, &'a Result<Stored, String>)>,
    missing: &[Missing],
) -> String {
    let mut hasher = DigestBuilder::new();
    let settings = format!("{} {} {}", config.image_size_px, config.include_flags, config.seed);
    for text in [env!("CARGO_PKG_VERSION"), &settings, wordings::TEXT] {
        hasher.update(text);
    }
    for (item, stored) in items {
        let id = stored.as_ref().map(|stored| stored.id.to_string()).unwrap_or_default();
        hasher.update(format!(
            "{:?} {} {} {} {id}\n",
            item.label, item.style, item.source, item.license
        ));
    }
    hasher.update(format!("{missing:?}"));
    hasher.finish().to_string()
}
