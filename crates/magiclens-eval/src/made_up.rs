//! A made-up collection for tests.

use std::path::Path;

use magiclens_collection::{
    COLOR, Collection, DRAWINGS, GROUP, ImageKind, LabeledImage, Look, SKETCH_TO_COLOR, STYLE, Split,
};
use magiclens_data::{Image, ImageId, Provenance, Triplet};

/// Images of four animals and three hearts in all drawing styles, with the triplets that can be asked of them.
pub(crate) fn made_up() -> (Vec<LabeledImage>, Vec<Triplet>) {
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
    Collection::new(folder, Split::Test, images, &triplets, path).unwrap()
}

pub(crate) fn drawing(style: &str, family: &str, concept: &str, root: &str, color: Option<&str>) -> LabeledImage {
    let id = ImageId::of_bytes(format!("{style} {concept}").as_bytes());
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
        style: style.to_owned(),
        family: family.to_owned(),
        group: "animals-nature".to_owned(),
        subgroup: if root == "heart" { "heart" } else { "animal-mammal" }.to_owned(),
        skin_tone: None,
        gender: None,
        color: color.map(str::to_owned),
        split: Split::Test,
    }
}

fn triplets(images: &[LabeledImage]) -> Vec<Triplet> {
    let mut triplets = Vec::new();
    let mut ask = |query: &LabeledImage, relation: &str, text: String, right: &dyn Fn(&LabeledImage) -> bool| {
        let targets: Vec<ImageId> = images
            .iter()
            .filter(|image| image.id != query.id && right(image))
            .map(|image| image.id)
            .collect();
        if !targets.is_empty() {
            triplets.push(Triplet {
                query: query.id,
                second: None,
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
            let right = |image: &LabeledImage| image.style == package.style && image.concept == query.concept;
            ask(query, STYLE, format!("as {}", package.style), &right);
        }
        for color in ["red", "blue", "green"] {
            let right = |image: &LabeledImage| image.style == query.style && image.color.as_deref() == Some(color);
            if query.color.as_deref().is_some_and(|own| own != color) {
                ask(query, COLOR, format!("in {color}"), &right);
            }
        }
        let group = |image: &LabeledImage| {
            image.style == query.style && image.subgroup == query.subgroup && image.root != query.root
        };
        ask(query, GROUP, "another one".to_owned(), &group);
        if query.style == "openmoji-black" {
            let colored = |image: &LabeledImage| image.concept == query.concept && image.style != query.style;
            ask(query, SKETCH_TO_COLOR, "in colour".to_owned(), &colored);
        }
    }
    triplets
}
