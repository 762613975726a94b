//! The file of labeled images: a file of an earlier build is read and written again byte for byte.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use magiclens_collection::{
    ImageKind, LabeledImage, Split, read_labeled_images, read_training_images, write_labeled_images,
};
use magiclens_data::{TableError, read_images, write_images};

/// Cats, dogs, hearts and astronauts, built from a few icons before images without labels had a type of their own.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/collection/pictures.parquet")
}

#[test]
fn a_file_of_an_earlier_build_is_read_and_written_again() {
    let images = read_labeled_images(fixture()).unwrap();
    let of = |concept: &str| -> &LabeledImage { images.iter().find(|image| image.concept == concept).unwrap() };
    let astronaut = of("woman astronaut: dark skin tone");
    assert_eq!(astronaut.caption, "woman astronaut with dark skin tone");
    assert_eq!(
        (astronaut.root.as_str(), astronaut.split, astronaut.kind),
        ("person", Split::Train, ImageKind::Drawing)
    );
    assert_eq!(
        (
            astronaut.skin_tone.as_deref(),
            astronaut.gender.as_deref(),
            &astronaut.color
        ),
        (Some("dark"), Some("woman"), &None)
    );
    let heart = of("green heart");
    assert_eq!((heart.color.as_deref(), heart.root.as_str()), (Some("green"), "heart"));
    assert_eq!(
        (heart.width, heart.source.as_str()),
        (32, "npm:@iconify-json/twemoji@1.2.5")
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.parquet");
    write_labeled_images(&path, &images).unwrap();
    assert_eq!(fs_err::read(&path).unwrap(), fs_err::read(fixture()).unwrap());
}

#[test]
fn images_without_labels_are_all_for_training() {
    let labeled = read_labeled_images(fixture()).unwrap();
    let images = read_images(fixture()).unwrap();
    assert_eq!(
        images,
        labeled.iter().map(|labeled| labeled.image.clone()).collect::<Vec<_>>()
    );
    let training = read_training_images(fixture()).unwrap();
    let is_training = |labeled: &&LabeledImage| labeled.split == Split::Train;
    assert!(training.len() < images.len());
    assert_eq!(training.len(), labeled.iter().filter(is_training).count());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pictures.parquet");
    write_images(&path, &images).unwrap();
    assert_eq!(read_training_images(&path).unwrap(), images);
    let error = read_labeled_images(&path).unwrap_err();
    assert!(matches!(error, TableError::MissingColumn { .. }), "{error}");
}
