//! A made-up collection of colored squares, for tests of training.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use image::{Rgb, RgbImage};
use magiclens_collection::{ImageKind, LabeledImage, Split, images_path, triplets_path, write_labeled_images};
use magiclens_data::{Image, ImageId, Provenance, Triplet, write_triplets};

/// Images of each part.
const IMAGES: u8 = 12;

/// Writes it into a folder; each square asks for the next one, and in the train part two squares ask for the one between them.
pub(crate) fn collection(folder: &Path) {
    let mut all = Vec::new();
    for split in [Split::Train, Split::Dev, Split::Test] {
        let images: Vec<LabeledImage> = (0..IMAGES).map(|number| square(folder, split, number)).collect();
        let triplet = |pair: &[LabeledImage]| Triplet {
            query: pair[0].id,
            second: None,
            instruction: format!("a {} one", pair[1].caption),
            targets: vec![pair[1].id],
            relation: "color".to_owned(),
            hard_negatives: Vec::new(),
            provenance: Provenance::default(),
        };
        let mut triplets: Vec<Triplet> = images.windows(2).map(triplet).collect();
        if split == Split::Train {
            triplets.extend(images.windows(3).map(|three| Triplet {
                second: Some(three[2].id),
                instruction: "the one between".to_owned(),
                relation: "between".to_owned(),
                ..triplet(three)
            }));
        }
        write_triplets(triplets_path(folder, split), &triplets).unwrap();
        all.extend(images);
    }
    write_labeled_images(images_path(folder), &all).unwrap();
}

fn square(folder: &Path, split: Split, number: u8) -> LabeledImage {
    let color = Rgb([20 * number, 255 - 20 * number, 40 * (number % 5)]);
    let name = format!("{split}-{number}.png");
    RgbImage::from_pixel(24, 20, color).save(folder.join(&name)).unwrap();
    let concept = format!("shade {number}");
    LabeledImage {
        image: Image {
            id: ImageId::of_bytes(name.as_bytes()),
            path: name,
            width: 24,
            height: 20,
            caption: concept.clone(),
            tags: Vec::new(),
            source: "made up".to_owned(),
            license: "CC0-1.0".to_owned(),
        },
        kind: ImageKind::Drawing,
        root: concept.clone(),
        concept,
        also: Vec::new(),
        style: "flat".to_owned(),
        family: "flat".to_owned(),
        group: String::new(),
        subgroup: String::new(),
        skin_tone: None,
        gender: None,
        color: None,
        split,
    }
}
