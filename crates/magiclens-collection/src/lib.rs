//! The collection: images with labels and a leak-free split, and triplets, made of packages that npm and apt bring.
//!
//! [`build`] reads the folder that `scripts/fetch-packages` fills and writes a collection folder: `images/`,
//! `images.parquet`, `triplets-{train,dev,test}.parquet` and `report.json`; photographs of foods, which are only for
//! evaluation, go to `food-images.parquet` and `triplets-food.parquet`. An image that is there is not rendered
//! again, and a second run over the same packages changes nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod draw;
mod food;
mod gcompris;
mod iconify;
mod labels;
mod packages;
mod rcc;
mod render;
mod report;
mod slugs;
mod sources;
mod split;
mod store;
mod triplets;
mod tuxpaint;
mod wordings;

use std::path::{Path, PathBuf};

pub use food::{FOOD, food_images_path, food_triplets_path};
pub use labels::LabelsError;
pub use packages::{
    DRAWINGS, DrawingPackage, FOOD_IMAGES, FOOD_NAMES, GCOMPRIS, HELD_OUT_STYLES, LABELS, Look, PHOTO_STYLE, TUXPAINT,
};
pub use report::{Failed, Missing, Report};
pub use split::split_of_root;
pub use triplets::{
    COLOR, DRAWING_TO_PHOTO, GENDER, GROUP, PHOTO_TO_DRAWING, SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_FAMILY,
    STYLE_UNSEEN,
};
pub use wordings::{Ask, held_out_style_names, held_out_wordings};

use magiclens_data::{DigestBuilder, Image, ImageId, Split, TableError, Triplet, write_images, write_triplets};
use sources::Item;
use split::{Roots, split_of_image};
use store::{Store, Stored};

/// What a collection is built of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildConfig {
    /// The folder that `scripts/fetch-packages` filled.
    pub packages_dir: PathBuf,
    /// The collection folder; made if it is not there.
    pub out_dir: PathBuf,
    /// Width and height of rendered drawings, in pixels.
    pub image_size_px: u32,
    /// Whether flags are taken; they are many and all alike.
    pub include_flags: bool,
    /// What the choice of triplets and wordings depends on.
    pub seed: u64,
}

impl BuildConfig {
    /// Drawings of 256 pixels, no flags, seed 0.
    pub fn new(packages_dir: impl Into<PathBuf>, out_dir: impl Into<PathBuf>) -> Self {
        let (packages_dir, out_dir) = (packages_dir.into(), out_dir.into());
        Self {
            packages_dir,
            out_dir,
            image_size_px: 256,
            include_flags: false,
            seed: 0,
        }
    }
}

/// Why a collection could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A Parquet file could not be written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A package file is not the JSON it should be.
    #[error(
        "`{path}` is not as expected: {source}\nhint: delete the packages folder and run `scripts/fetch-packages` again"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The label files are not as expected.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Without labels no drawing has a name.
    #[error("`{packages_dir}` has no package `{}`: {reason}\nhint: run `scripts/fetch-packages {packages_dir}`", LABELS.0)]
    NoLabels {
        /// The packages folder.
        packages_dir: PathBuf,
        /// Why it cannot be read.
        reason: String,
    },
    /// Not one package of drawings is there.
    #[error("`{packages_dir}` has no package of drawings\nhint: run `scripts/fetch-packages {packages_dir}`")]
    NoDrawings {
        /// The packages folder.
        packages_dir: PathBuf,
    },
    /// The size of the drawings makes no sense.
    #[error("drawings of {0} pixels cannot be rendered\nhint: choose 16 to 2048; 256 is usual")]
    ImageSize(u32),
}

/// What a build is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A package is read.
    Reading(&'a str),
    /// So many images of all are rendered or found rendered.
    Images {
        /// How many are done.
        done: usize,
        /// How many there are.
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
    write_images(config.out_dir.join("pictures.parquet"), &images)?;
    let (food_images, food_triplets) = food::tables(&foods, &stored_foods, config.seed, &mut report.failed);
    write_foods(&config.out_dir, &food_images, &food_triplets)?;
    store.prune(images.iter().chain(&food_images))?;
    report.count_images(&images);
    (report.food_images, report.food_triplets) = (food_images.len(), food_triplets.len());
    for split in Split::ALL {
        progress(Progress::Triplets(split));
        let triplets = triplets::triplets(&images, split, config.seed);
        write_triplets(triplets_path(&config.out_dir, split), &triplets)?;
        report.count_triplets(split, &triplets);
    }
    report.write(&config.out_dir)?;
    Ok(report)
}

/// Where a collection folder keeps the triplets of a part.
pub fn triplets_path(out_dir: &Path, split: Split) -> PathBuf {
    out_dir.join(format!("triplets-{split}.parquet"))
}

/// Both tables of foods, or neither if there are none.
fn write_foods(out_dir: &Path, images: &[Image], triplets: &[Triplet]) -> Result<(), CollectionError> {
    let (images_path, triplets_path) = (food_images_path(out_dir), food_triplets_path(out_dir));
    if !images.is_empty() {
        write_images(images_path, images)?;
        return Ok(write_triplets(triplets_path, triplets)?);
    }
    for path in [images_path, triplets_path] {
        match fs_err::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// One image for all items with the same pixels; the first item names it. Roots that share an image become one, so
/// that no image is in two parts.
fn merge(items: &[Item], stored: &[Result<Stored, String>], report: &mut Report) -> Vec<Image> {
    let mut roots = Roots::default();
    let mut places: std::collections::HashMap<ImageId, usize> = std::collections::HashMap::new();
    let mut images: Vec<Image> = Vec::new();
    for (item, stored) in items.iter().zip(stored) {
        let stored = match stored {
            Ok(stored) => stored,
            Err(reason) => {
                report.failed.push(Failed {
                    name: item.name.clone(),
                    reason: reason.clone(),
                });
                continue;
            }
        };
        let Some(&place) = places.get(&stored.id) else {
            places.insert(stored.id, images.len());
            images.push(image(item, stored));
            continue;
        };
        let first = &mut images[place];
        roots.join(&first.root, &item.label.root);
        if first.style == item.style {
            report.merged += 1;
        } else {
            report.merged_across_styles += 1;
        }
        let concept = &item.label.concept;
        if first.concept != *concept && !first.also.contains(concept) {
            first.also.push(concept.clone());
        }
    }
    for image in &mut images {
        image.root = roots.find(&image.root);
        image.split = split_of_image(&image.root, &image.style);
    }
    report.joined_roots = roots.joined();
    images
}

/// The image of an item, in the part its own root belongs to.
fn image(item: &Item, stored: &Stored) -> Image {
    let label = item.label.clone();
    Image {
        id: stored.id,
        path: stored.path(),
        width: stored.width,
        height: stored.height,
        kind: item.kind,
        split: split_of_image(&label.root, item.style),
        concept: label.concept,
        root: label.root,
        also: Vec::new(),
        style: item.style.to_owned(),
        family: item.family.to_owned(),
        caption: label.caption,
        tags: label.tags,
        group: label.group,
        subgroup: label.subgroup,
        skin_tone: label.skin_tone,
        gender: label.gender,
        color: label.color,
        source: item.source.clone(),
        license: item.license.clone(),
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
