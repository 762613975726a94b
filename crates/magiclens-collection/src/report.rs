//! The report of a build, with everything that is missing or failed: `report.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use magiclens_data::Triplet;
use magiclens_data::files::write_atomic_bytes;

use crate::error::CollectionError;
use crate::folder::{food_images_path, food_triplets_path, images_path, remove_if_there, triplets_path};
use crate::image::{LabeledImage, Split};
use crate::packages::HELD_OUT_STYLES;

/// The counts of a collection, and what could not be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A digest of packages, settings and images.
    pub inputs: String,
    /// All images.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Images by kind.
    pub kinds: BTreeMap<String, usize>,
    /// Images by style.
    pub styles: BTreeMap<String, usize>,
    /// Images by part.
    pub splits: BTreeMap<String, usize>,
    /// Root concepts by part, held-out styles excluded.
    pub roots: BTreeMap<String, usize>,
    /// Triplets by part and relation.
    pub triplets: BTreeMap<String, BTreeMap<String, usize>>,
    /// Food photographs, which have a table of their own.
    #[serde(default)]
    #[serde(rename = "food_pictures")]
    pub food_images: usize,
    /// Queries about them.
    #[serde(default)]
    pub food_triplets: usize,
    /// Items whose image another item of the style already had.
    pub merged: usize,
    /// Items whose image another style already had.
    pub merged_across_styles: usize,
    /// Roots that were joined to another one because they share an image.
    pub joined_roots: usize,
    /// Icons whose name means no emoji, by style.
    pub unnamed_icons: BTreeMap<String, usize>,
    /// Packages that are missing, whole or in part.
    pub missing: Vec<Missing>,
    /// Items that could not be rendered.
    pub failed: Vec<Failed>,
}

/// A package that is missing, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub package: String,
    /// The reason, or the missing part.
    pub reason: String,
}

impl Missing {
    pub(crate) fn new(package: &str, reason: String) -> Self {
        Self {
            package: package.to_owned(),
            reason,
        }
    }
}

/// An item that could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Style or package, and icon or file.
    pub name: String,
    /// The problem.
    pub reason: String,
}

impl Report {
    /// The report of a collection that is finished and made of these inputs.
    pub(crate) fn of_finished(out_dir: &Path, inputs: &str) -> Option<Self> {
        let report: Self = serde_json::from_slice(&fs_err::read(report_path(out_dir)).ok()?).ok()?;
        let files = Split::ALL.map(|split| triplets_path(out_dir, split));
        let whole = files.iter().all(|file| file.is_file()) && images_path(out_dir).is_file();
        let foods = [food_images_path(out_dir), food_triplets_path(out_dir)];
        let whole = whole && (report.food_images == 0 || foods.iter().all(|file| file.is_file()));
        (whole && report.inputs == inputs).then_some(report)
    }

    /// Removes the report of an earlier build: from now on its folder is unfinished.
    pub(crate) fn remove(out_dir: &Path) -> Result<(), CollectionError> {
        Ok(remove_if_there(&report_path(out_dir))?)
    }

    pub(crate) fn count_images(&mut self, images: &[LabeledImage]) {
        self.images = images.len();
        let mut roots: BTreeMap<&str, Split> = BTreeMap::new();
        for image in images {
            *self.kinds.entry(image.kind.name().to_owned()).or_default() += 1;
            *self.styles.entry(image.style.clone()).or_default() += 1;
            *self.splits.entry(image.split.to_string()).or_default() += 1;
            if !HELD_OUT_STYLES.contains(&image.style.as_str()) {
                roots.insert(&image.root, image.split);
            }
        }
        for split in roots.values() {
            *self.roots.entry(split.to_string()).or_default() += 1;
        }
    }

    pub(crate) fn count_triplets(&mut self, split: Split, triplets: &[Triplet]) {
        let relations = self.triplets.entry(split.to_string()).or_default();
        for triplet in triplets {
            *relations.entry(triplet.relation.clone()).or_default() += 1;
        }
    }

    /// Writes `report.json`: last, so that a folder with a report is finished.
    pub(crate) fn write(&self, out_dir: &Path) -> Result<(), CollectionError> {
        let path = report_path(out_dir);
        let json = serde_json::to_vec_pretty(self).map_err(|source| CollectionError::Json {
            path: path.clone(),
            source,
        })?;
        Ok(write_atomic_bytes(path, json)?)
    }
}

fn report_path(out_dir: &Path) -> std::path::PathBuf {
    out_dir.join("report.json")
}
