//! COCO captions (Lin et al. 2014), the 5K test images of Karpathy's split. Protocol: `captions.rs`.
//!
//! Files: `coco_test_karpathy.json` (COCO's own form, as LAION-AI/CLIP_benchmark reads it) or Karpathy's `dataset_coco.json`;
//! images in `val2014/`. Some images have six or seven captions: all 25,010 count, as in CLIP_benchmark; the variant
//! `five` takes the first five of each.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::captions::{Captioned, build};
use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{annotation, find, folders, locate, read_json};
use crate::benchmark::{Benchmark, Count};
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

/// The name of the test part in Karpathy's files.
pub(super) const KARPATHY_TEST: &str = "test";

/// Karpathy's form of a captioned data set.
#[derive(Deserialize)]
pub(super) struct Karpathy {
    pub(super) images: Vec<KarpathyImage>,
}

/// An image in it.
#[derive(Deserialize)]
pub(super) struct KarpathyImage {
    pub(super) filename: String,
    #[serde(default)]
    filepath: String,
    pub(super) split: String,
    pub(super) sentences: Vec<Sentence>,
}

/// A caption in it.
#[derive(Deserialize)]
pub(super) struct Sentence {
    pub(super) raw: String,
}

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
    let hint = "both lists are public: CLIP_benchmark's retrieval annotations, or Karpathy's caption datasets";
    let list = find(
        data,
        "list of captions",
        &[
            "coco_test_karpathy.json",
            "annotations/coco_test_karpathy.json",
            "dataset_coco.json",
            "annotations/dataset_coco.json",
        ],
        hint,
    )?;
    let roots = folders(data, &["val2014", "images/val2014", "images", "."]);
    let images = if list.ends_with("dataset_coco.json") {
        let file: Karpathy = read_json(&list)?;
        let test = file.images.into_iter().filter(|image| image.split == KARPATHY_TEST);
        test.map(|image| Captioned {
            id: Id::text(&image.filename),
            path: locate(
                &roots,
                &[image.filename.clone(), format!("{}/{}", image.filepath, image.filename)],
            ),
            captions: image.sentences.into_iter().map(|sentence| sentence.raw).collect(),
        })
        .collect()
    } else {
        from_coco(&list, &roots)?
    };
    let captions = images.iter().map(|image| image.captions.len()).sum();
    let counts = vec![
        Count::new("pictures", images.len(), 5000),
        Count::new("captions", captions, 25_010),
    ];
    let limits = [
        ("all", "5K test, all captions", usize::MAX),
        ("five", "5K test, five captions a picture", 5),
    ];
    Ok(build(ENTRY.name, images, &limits, counts))
}

/// Images in the order of their ids, as torchvision's `CocoCaptions` has them.
fn from_coco(list: &Path, roots: &[std::path::PathBuf]) -> Result<Vec<Captioned>, EvalError> {
    let file: Coco = read_json(list)?;
    let files: BTreeMap<i64, String> = file
        .images
        .into_iter()
        .map(|image| (image.id, image.file_name))
        .collect();
    let mut captions: HashMap<i64, Vec<String>> = HashMap::new();
    for caption in file.annotations {
        if !files.contains_key(&caption.image_id) {
            let reason = format!("a caption belongs to picture {}, which is not listed", caption.image_id);
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
