//! One part of a collection folder, as `magiclens collection build` writes it: the images of its gallery and the
//! triplets that ask for them, with rows in the place of ids.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use magiclens_collection::triplets_path;
use magiclens_data::{Image, ImageId, Split, Triplet, read_images, read_triplets};

use crate::EvalError;
use crate::annotations::annotation;
use crate::benchmark::ImageEntry;
use crate::id::Id;

/// The images of one part, which are its gallery, and the triplets about them. A row is a place in `images`.
#[derive(Debug)]
pub struct Collection {
    /// The collection folder.
    pub folder: PathBuf,
    /// The part.
    pub split: Split,
    /// All images of the part.
    pub images: Vec<Image>,
    /// The triplets of the part.
    pub triplets: Vec<Asked>,
    /// The number of each image's root concept: what makes queries depend on each other.
    pub roots: Vec<usize>,
}

/// A triplet in rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The query image.
    pub query: usize,
    /// What is asked.
    pub instruction: String,
    /// All right answers.
    pub targets: Vec<usize>,
    /// How they belong together, e.g. "style".
    pub relation: String,
}

impl Collection {
    /// Reads one part of a collection folder.
    ///
    /// # Errors
    /// A folder that is no collection, tables that cannot be read, or a triplet about an image of another part.
    pub fn read(folder: &Path, split: Split) -> Result<Self, EvalError> {
        let table = folder.join("pictures.parquet");
        if !table.is_file() {
            return Err(EvalError::NoAnnotations {
                data: folder.to_owned(),
                what: "collection".to_owned(),
                tried: vec!["pictures.parquet".to_owned()],
                hint: "make one with `magiclens collection build`".to_owned(),
            });
        }
        let images = read_images(&table)?;
        let images = images.into_iter().filter(|image| image.split == split).collect();
        let path = triplets_path(folder, split);
        Self::of(folder, split, images, &read_triplets(&path)?, &path)
    }

    /// The collection of these images and the triplets that were read from `path`.
    pub(crate) fn of(
        folder: &Path,
        split: Split,
        images: Vec<Image>,
        triplets: &[Triplet],
        path: &Path,
    ) -> Result<Self, EvalError> {
        let rows: HashMap<ImageId, usize> = images.iter().enumerate().map(|(row, image)| (image.id, row)).collect();
        let row = |id: &ImageId| {
            let reason = || format!("it asks about the picture {id}, which is not in the {split} part");
            rows.get(id).copied().ok_or_else(|| annotation(path, reason()))
        };
        let triplets = triplets.iter().map(|triplet| {
            Ok(Asked {
                query: row(&triplet.query)?,
                instruction: triplet.instruction.clone(),
                targets: triplet.targets.iter().map(row).collect::<Result<_, EvalError>>()?,
                relation: triplet.relation.clone(),
            })
        });
        Ok(Self {
            folder: folder.to_owned(),
            split,
            triplets: triplets.collect::<Result<_, EvalError>>()?,
            roots: numbers(images.iter().map(|image| image.root.as_str())),
            images,
        })
    }

    /// The images as a benchmark has them, in the same rows.
    pub fn images(&self) -> Vec<ImageEntry> {
        let entry = |image: &Image| ImageEntry {
            id: Id::text(image.id.to_string()),
            path: self.folder.join(&image.path),
            crop: None,
        };
        self.images.iter().map(entry).collect()
    }

    /// The rows in an order that only `what` and the images decide, as if they were shuffled.
    pub(crate) fn shuffled(&self, what: &str, rows: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut rows: Vec<usize> = rows.into_iter().collect();
        rows.sort_by_cached_key(|row| (lot(&format!("{what} {}", self.images[*row].id)), *row));
        rows
    }

    /// Up to `count` triplets of a relation, in an order that only `what` and the triplets decide.
    pub(crate) fn drawn(&self, what: &str, relation: &str, count: usize) -> Vec<&Asked> {
        let mut asked: Vec<(u64, usize, &Asked)> = self
            .triplets
            .iter()
            .enumerate()
            .filter(|(_, asked)| asked.relation == relation)
            .map(|(number, asked)| {
                let query = self.images[asked.query].id;
                (lot(&format!("{what} {query} {}", asked.instruction)), number, asked)
            })
            .collect();
        asked.sort_unstable_by_key(|(lot, number, _)| (*lot, *number));
        asked.into_iter().take(count).map(|(_, _, asked)| asked).collect()
    }
}

/// A number that the text decides.
pub(crate) fn lot(text: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// One of `choices`, which the text decides; they must not be empty.
pub(crate) fn choose<'a, T>(choices: &'a [T], text: &str) -> &'a T {
    &choices[(lot(text) % choices.len() as u64) as usize]
}

/// Whether two images show the same concept.
pub(crate) fn same_concept(one: &Image, other: &Image) -> bool {
    concepts(one).any(|concept| concepts(other).any(|same| same == concept))
}

/// The concepts of an image: several where styles draw them alike.
pub(crate) fn concepts(image: &Image) -> impl Iterator<Item = &str> {
    std::iter::once(&image.concept).chain(&image.also).map(String::as_str)
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
pub(crate) mod tests {
    use magiclens_collection::{COLOR, DRAWINGS, GROUP, Look, SKETCH_TO_COLOR, STYLE};
    use magiclens_data::{ImageKind, Provenance};

    use super::*;

    /// Images of four animals and three hearts in all drawing styles, with the triplets that can be asked of them.
    pub(crate) fn made_up() -> (Vec<Image>, Vec<Triplet>) {
        let mut images = Vec::new();
        for package in &DRAWINGS {
            for animal in ["cat", "dog", "fox", "owl"] {
                images.push(drawing(package.style, package.family, animal, animal, None));
            }
            for color in ["red", "blue", "green"] {
                let colored = (package.look == Look::Color).then_some(color);
                images.push(drawing(
                    package.style,
                    package.family,
                    &format!("{color} heart"),
                    "heart",
                    colored,
                ));
            }
        }
        let triplets = triplets(&images);
        (images, triplets)
    }

    pub(crate) fn collection() -> Collection {
        let (images, triplets) = made_up();
        let (folder, path) = (Path::new("collection"), Path::new("triplets-test.parquet"));
        Collection::of(folder, Split::Test, images, &triplets, path).unwrap()
    }

    pub(crate) fn drawing(style: &str, family: &str, concept: &str, root: &str, color: Option<&str>) -> Image {
        let id = ImageId::of_bytes(format!("{style} {concept}").as_bytes());
        Image {
            id,
            path: format!("pictures/{id}.png"),
            width: 8,
            height: 8,
            kind: ImageKind::Drawing,
            concept: concept.to_owned(),
            root: root.to_owned(),
            also: Vec::new(),
            style: style.to_owned(),
            family: family.to_owned(),
            caption: concept.to_owned(),
            tags: Vec::new(),
            group: "animals-nature".to_owned(),
            subgroup: if root == "heart" { "heart" } else { "animal-mammal" }.to_owned(),
            skin_tone: None,
            gender: None,
            color: color.map(str::to_owned),
            source: "made up".to_owned(),
            license: "CC0-1.0".to_owned(),
            split: Split::Test,
        }
    }

    fn triplets(images: &[Image]) -> Vec<Triplet> {
        let mut triplets = Vec::new();
        let mut ask = |query: &Image, relation: &str, text: String, right: &dyn Fn(&Image) -> bool| {
            let targets: Vec<ImageId> = images
                .iter()
                .filter(|image| image.id != query.id && right(image))
                .map(|image| image.id)
                .collect();
            if !targets.is_empty() {
                triplets.push(Triplet {
                    query: query.id,
                    instruction: text,
                    targets,
                    relation: relation.to_owned(),
                    hard_negatives: Vec::new(),
                    provenance: Provenance::default(),
                });
            }
        };
        for query in images {
            for package in DRAWINGS.iter().filter(|package| package.family != query.family) {
                let right = |image: &Image| image.style == package.style && image.concept == query.concept;
                ask(query, STYLE, format!("as {}", package.style), &right);
            }
            for color in ["red", "blue", "green"] {
                let right = |image: &Image| image.style == query.style && image.color.as_deref() == Some(color);
                if query.color.as_deref().is_some_and(|own| own != color) {
                    ask(query, COLOR, format!("in {color}"), &right);
                }
            }
            let group = |image: &Image| {
                image.style == query.style && image.subgroup == query.subgroup && image.root != query.root
            };
            ask(query, GROUP, "another one".to_owned(), &group);
            if query.style == "openmoji-black" {
                let colored = |image: &Image| image.concept == query.concept && image.style != query.style;
                ask(query, SKETCH_TO_COLOR, "in colour".to_owned(), &colored);
            }
        }
        triplets
    }

    #[test]
    fn rows_and_roots() {
        let collection = collection();
        assert_eq!(collection.images.len(), DRAWINGS.len() * 7);
        // Each style: cat, dog, fox, owl, then three hearts of one root.
        assert_eq!(collection.roots[..8], [0, 1, 2, 3, 4, 4, 4, 0]);
        let first = &collection.triplets[0];
        assert_eq!((first.query, first.relation.as_str()), (0, STYLE));
        assert!(same_concept(
            &collection.images[0],
            &collection.images[first.targets[0]]
        ));
        assert_eq!(collection.images()[3].id, Id::text(collection.images[3].id.to_string()));
        assert!(collection.images()[3].path.starts_with("collection/pictures"));
    }

    #[test]
    fn a_shuffle_keeps_all_rows_and_its_name_decides() {
        let collection = collection();
        let order = collection.shuffled("a", 0..50);
        assert_eq!(order, collection.shuffled("a", (0..50).rev()));
        assert_ne!(order, collection.shuffled("b", 0..50));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(order != sorted && sorted == (0..50).collect::<Vec<_>>());
        let drawn = collection.drawn("a", COLOR, 5);
        assert_eq!(drawn.len(), 5);
        assert!(drawn.iter().all(|asked| asked.relation == COLOR));
        assert_eq!(drawn[..3], collection.drawn("a", COLOR, 3));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (mut images, triplets) = made_up();
        images.pop();
        let (folder, path) = (Path::new("c"), Path::new("c/triplets-test.parquet"));
        let error = Collection::of(folder, Split::Test, images, &triplets, path)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("triplets-test.parquet") && error.contains("not in the test part"),
            "{error}"
        );
        let empty = tempfile::tempdir().unwrap();
        let error = Collection::read(empty.path(), Split::Test).unwrap_err().to_string();
        assert!(error.contains("magiclens collection build"), "{error}");
    }
}
