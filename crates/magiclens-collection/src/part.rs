//! One part of a collection folder, as `magiclens collection build` writes it: the images of its gallery and the
//! triplets that ask for them, with rows in the place of ids.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use magiclens_data::{Digest, ImageId, TableError, Triplet, read_triplets};

use crate::folder::{images_path, triplets_path};
use crate::image::{LabeledImage, Split, read_labeled_images};

/// The images of one part, which are its gallery, and the triplets about them. A row is a place in `images`.
#[derive(Debug)]
pub struct Collection {
    /// The collection folder.
    pub folder: PathBuf,
    /// The part.
    pub split: Split,
    /// All images of the part.
    pub images: Vec<LabeledImage>,
    /// The triplets of the part.
    pub triplets: Vec<RowTriplet>,
    /// The number of each image's root concept: queries about one root depend on each other.
    pub roots: Vec<usize>,
}

/// A triplet with rows in the place of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowTriplet {
    /// The query image.
    pub query: usize,
    /// The instruction.
    pub instruction: String,
    /// All right answers.
    pub targets: Vec<usize>,
    /// The relation of query and targets, e.g. "style".
    pub relation: String,
}

/// An error of reading a part of a collection.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The folder has no table of images.
    #[error("`{folder}` holds no collection: no `pictures.parquet`\nhint: make one with `magiclens collection build`")]
    NoCollection {
        /// The folder.
        folder: PathBuf,
    },
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A triplet is about an image of another part.
    #[error("`{path}` is not as expected: it asks about the image {id}, which is not in the {split} part")]
    UnknownImage {
        /// The file of the triplets.
        path: PathBuf,
        /// The image.
        id: ImageId,
        /// The part that was read.
        split: Split,
    },
}

impl Collection {
    /// Reads one part of a collection folder.
    ///
    /// # Errors
    /// A folder that is no collection, tables that cannot be read, or a triplet about an image of another part.
    pub fn read(folder: &Path, split: Split) -> Result<Self, PartError> {
        let table = images_path(folder);
        if !table.is_file() {
            let folder = folder.to_owned();
            return Err(PartError::NoCollection { folder });
        }
        let mut images = read_labeled_images(&table)?;
        images.retain(|image| image.split == split);
        let path = triplets_path(folder, split);
        Self::new(folder, split, images, &read_triplets(&path)?, &path)
    }

    /// The collection of these images and the triplets that were read from `path`.
    pub fn new(
        folder: &Path,
        split: Split,
        images: Vec<LabeledImage>,
        triplets: &[Triplet],
        path: &Path,
    ) -> Result<Self, PartError> {
        let rows: HashMap<ImageId, usize> = images.iter().enumerate().map(|(row, image)| (image.id, row)).collect();
        let row = |id: &ImageId| {
            let unknown = || PartError::UnknownImage {
                path: path.to_owned(),
                id: *id,
                split,
            };
            rows.get(id).copied().ok_or_else(unknown)
        };
        let triplets = triplets.iter().map(|triplet| {
            Ok(RowTriplet {
                query: row(&triplet.query)?,
                instruction: triplet.instruction.clone(),
                targets: triplet.targets.iter().map(row).collect::<Result<_, PartError>>()?,
                relation: triplet.relation.clone(),
            })
        });
        Ok(Self {
            folder: folder.to_owned(),
            split,
            triplets: triplets.collect::<Result<_, PartError>>()?,
            roots: numbers(images.iter().map(|image| image.root.as_str())),
            images,
        })
    }

    /// The rows in an order that only `purpose` and the images decide, as if they were shuffled.
    pub fn shuffled(&self, purpose: &str, rows: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut rows: Vec<usize> = rows.into_iter().collect();
        rows.sort_by_cached_key(|row| (text_hash(&format!("{purpose} {}", self.images[*row].id)), *row));
        rows
    }

    /// Up to `count` triplets of a relation, in an order that only `purpose` and the triplets decide.
    pub fn drawn(&self, purpose: &str, relation: &str, count: usize) -> Vec<&RowTriplet> {
        let of_relation = |triplet: &&RowTriplet| triplet.relation == relation;
        let mut triplets: Vec<&RowTriplet> = self.triplets.iter().filter(of_relation).collect();
        triplets.sort_by_cached_key(|triplet| {
            let query = self.images[triplet.query].id;
            text_hash(&format!("{purpose} {query} {}", triplet.instruction))
        });
        triplets.truncate(count);
        triplets
    }
}

/// The first 8 bytes of the text's digest as a big-endian number, by which published samples are drawn.
pub fn text_hash(text: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = Digest::of(text).to_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The number of each name, in the order of their first use.
fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    names
        .map(|name| {
            let next = numbers.len();
            *numbers.entry(name).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use magiclens_data::{Image, Provenance};

    use super::*;
    use crate::image::ImageKind;

    fn image(concept: &str, root: &str) -> LabeledImage {
        let id = ImageId::of_bytes(concept.as_bytes());
        LabeledImage {
            image: Image {
                id,
                path: format!("pictures/{id}.png"),
                width: 8,
                height: 8,
                caption: concept.to_owned(),
                tags: Vec::new(),
                source: "made up".to_owned(),
                license: "CC0-1.0".to_owned(),
            },
            kind: ImageKind::Drawing,
            concept: concept.to_owned(),
            root: root.to_owned(),
            also: Vec::new(),
            style: "noto".to_owned(),
            family: "noto".to_owned(),
            group: String::new(),
            subgroup: String::new(),
            skin_tone: None,
            gender: None,
            color: None,
            split: Split::Test,
        }
    }

    /// Fifty images of ten roots; each asks for the next one.
    fn collection() -> (Vec<LabeledImage>, Vec<Triplet>) {
        let images: Vec<_> = (0..50)
            .map(|n| image(&format!("thing {n}"), &format!("root {}", n % 10)))
            .collect();
        let triplet = |pair: &[LabeledImage]| Triplet {
            query: pair[0].id,
            second: None,
            instruction: "the next".to_owned(),
            targets: vec![pair[1].id],
            relation: "next".to_owned(),
            hard_negatives: Vec::new(),
            provenance: Provenance::default(),
        };
        let triplets = images.windows(2).map(triplet).collect();
        (images, triplets)
    }

    fn read(images: Vec<LabeledImage>, triplets: &[Triplet]) -> Result<Collection, PartError> {
        let (folder, path) = (Path::new("c"), Path::new("c/triplets-test.parquet"));
        Collection::new(folder, Split::Test, images, triplets, path)
    }

    #[test]
    fn rows_and_roots() {
        let (images, triplets) = collection();
        let collection = read(images, &triplets).unwrap();
        assert_eq!(collection.roots[8..12], [8, 9, 0, 1]);
        let third = &collection.triplets[2];
        assert_eq!(
            (third.query, &third.targets, third.relation.as_str()),
            (2, &vec![3], "next")
        );
        assert!(!collection.images[0].shows_same_concept(&collection.images[10]));
    }

    #[test]
    fn a_shuffle_keeps_all_rows_and_its_name_decides() {
        let (images, triplets) = collection();
        let collection = read(images, &triplets).unwrap();
        let order = collection.shuffled("a", 0..50);
        assert_eq!(order, collection.shuffled("a", (0..50).rev()));
        assert_ne!(order, collection.shuffled("b", 0..50));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(order != sorted && sorted == (0..50).collect::<Vec<_>>());
        let drawn = collection.drawn("a", "next", 5);
        assert_eq!((drawn.len(), collection.drawn("a", "other", 5).len()), (5, 0));
        assert_eq!(drawn[..3], collection.drawn("a", "next", 3));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (mut images, triplets) = collection();
        images.pop();
        let error = read(images, &triplets).unwrap_err().to_string();
        assert!(
            error.contains("triplets-test.parquet") && error.contains("not in the test part"),
            "{error}"
        );
        let empty = tempfile::tempdir().unwrap();
        let error = Collection::read(empty.path(), Split::Test).unwrap_err().to_string();
        assert!(error.contains("magiclens collection build"), "{error}");
    }
}
