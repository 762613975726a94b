//! A made-up collection of colored squares, on which a tiny CLIP is trained in moments.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use magiclens_collection::{
    ImageKind, LabeledImage, SKIN_TONE, STYLE, Split, images_path, triplets_path, write_labeled_images,
};
use magiclens_data::{Image, ImageId, Provenance, Triplet, write_triplets};

/// Images of each part.
const IMAGES: u8 = 26;

/// A model without a fusion.
pub(crate) fn start() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clip/hf")
}

/// Writes the train and the test part: each square asks for the next one, and for the one after in another relation.
pub(crate) fn collection(folder: &Path) {
    let mut all = Vec::new();
    for split in [Split::Train, Split::Test] {
        let images: Vec<LabeledImage> = (0..IMAGES).map(|number| square(folder, split, number)).collect();
        let asked = images.windows(3).flat_map(|three| {
            let next = triplet(&three[0], &three[1], STYLE, &format!("a {} one", three[1].caption));
            let after = triplet(&three[0], &three[2], SKIN_TONE, "two steps on");
            [next, after]
        });
        write_triplets(triplets_path(folder, split), &asked.collect::<Vec<_>>()).unwrap();
        all.extend(images);
    }
    write_labeled_images(images_path(folder), &all).unwrap();
}

fn triplet(query: &LabeledImage, target: &LabeledImage, relation: &str, instruction: &str) -> Triplet {
    Triplet {
        query: query.id,
        second: None,
        instruction: instruction.to_owned(),
        targets: vec![target.id],
        relation: relation.to_owned(),
        hard_negatives: Vec::new(),
        provenance: Provenance {
            generator: "template:style-look/1".to_owned(),
            ..Provenance::default()
        },
    }
}

fn square(folder: &Path, split: Split, number: u8) -> LabeledImage {
    let color = Rgb([9 * number, 255 - 9 * number, 40 * (number % 5)]);
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
