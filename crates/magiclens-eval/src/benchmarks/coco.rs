//! COCO captions (Lin et al. 2014), the 5K test images of Karpathy's split. Protocol: `captions.rs`.
//!
//! Files: `coco_test_karpathy.json` (COCO's own form, as LAION-AI/CLIP_benchmark reads it) or Karpathy's `dataset_coco.json`;
//! images in `val2014/`. Some images have six or seven captions: all 25,010 count, as in CLIP_benchmark; the variant
//! `five` takes the first five of each.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::captions::{Captioned, HINT, build, from_karpathy};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{annotation, find, folders, locate, read_json};
use crate::benchmark::Benchmark;
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "coco",
    title: "COCO",
    folder: "coco",
    layout: "coco_test_karpathy.json or dataset_coco.json, val2014/",
    splits: &["test"],
    templates: &["caption"],
    load,
};

#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoCaption>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct CocoCaption {
    image_id: i64,
    caption: String,
}

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let places = [
        "coco_test_karpathy.json",
        "annotations/coco_test_karpathy.json",
        "dataset_coco.json",
        "annotations/dataset_coco.json",
    ];
    let list = find(data, "list of captions", &places, HINT)?;
    let roots = folders(data, &["val2014", "images/val2014", "images", "."]);
    let images = match list.ends_with("dataset_coco.json") {
        true => from_karpathy(&list, &roots)?,
        false => from_coco(&list, &roots)?,
    };
    let limits = [
        ("all", "5K test, all captions", usize::MAX),
        ("five", "5K test, five captions an image", 5),
    ];
    Ok(build(images, &limits, (5000, 25_010)))
}

/// Images in the order of their ids, as torchvision's `CocoCaptions` has them.
fn from_coco(list: &Path, roots: &[PathBuf]) -> Result<Vec<Captioned>, EvalError> {
    let file: Coco = read_json(list)?;
    let files: BTreeMap<i64, String> = file
        .images
        .into_iter()
        .map(|image| (image.id, image.file_name))
        .collect();
    let mut captions: HashMap<i64, Vec<String>> = HashMap::new();
    for caption in file.annotations {
        if !files.contains_key(&caption.image_id) {
            let reason = format!("a caption belongs to image {}, which is not listed", caption.image_id);
            return Err(annotation(list, reason));
        }
        captions.entry(caption.image_id).or_default().push(caption.caption);
    }
    let images = files.into_iter().map(|(id, name)| {
        let bare = name.rsplit('/').next().unwrap_or(&name).to_owned();
        Captioned {
            id: Id::from(id),
            path: locate(roots, &[name, bare]),
            captions: captions.remove(&id).unwrap_or_default(),
        }
    });
    Ok(images.collect())
}
