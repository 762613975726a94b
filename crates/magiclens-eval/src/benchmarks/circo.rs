//! CIRCO (Baldrati et al. 2023): a photograph and a change find all photographs that fit, among 123,403 of COCO.
//!
//! - Files: `annotations/{val,test}.json`, `COCO2017_unlabeled/annotations/image_info_unlabeled2017.json`,
//!   `COCO2017_unlabeled/unlabeled2017/`, as miccunifi/CIRCO has them.
//! - Query text: `find {shared_concept} but {relative_caption}` (google-deepmind/magiclens `data_utils.py`); `megapairs`:
//!   `Find a picture that also {shared_concept}, but {relative_caption}`; `caption`: the relative caption alone (SEARLE).
//! - Gallery: all images; the query image stays in it (MagicLens, MegaPairs and the official code agree).
//! - Metrics: mAP@5, 10, 25, 50 over all right images, recall@k of the one target, mAP@10 by semantic aspect
//!   (`src/evaluation.py`). Truth of test is hidden: server file only. Counts: 220 / 800 queries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find, find_in, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, OwnImage, Query, Scope, Task, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "circo",
    title: "CIRCO",
    folder: "circo",
    layout: "annotations/{val,test}.json, COCO2017_unlabeled/{annotations/image_info_unlabeled2017.json,unlabeled2017/}",
    splits: &["val", "test"],
    templates: &["magiclens", "megapairs", "caption"],
    load,
};

/// Images of COCO 2017 unlabeled.
const IMAGES: usize = 123_403;
const RANKS: [usize; 4] = [5, 10, 25, 50];
const INFO: &str = "annotations/image_info_unlabeled2017.json";

#[derive(Deserialize)]
struct Annotation {
    id: u64,
    reference_img_id: i64,
    target_img_id: Option<i64>,
    gt_img_ids: Option<Vec<i64>>,
    relative_caption: String,
    shared_concept: String,
    #[serde(default)]
    semantic_aspects: Vec<String>,
}

#[derive(Deserialize)]
struct Info {
    images: Vec<InfoImage>,
}

#[derive(Deserialize)]
struct InfoImage {
    id: i64,
    file_name: String,
}

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let split = choice.split;
    let hint = "take `annotations` of github.com/miccunifi/CIRCO";
    let annotations = find(data, "annotations", &[format!("annotations/{split}.json")], hint)?;
    let info = info(data, choice)?;
    let queries: Vec<Annotation> = read_json(&annotations)?;
    let image_folders = folders(data, &["COCO2017_unlabeled/unlabeled2017", "unlabeled2017", "images"]);
    let listed: Vec<InfoImage> = match &info {
        Some(info) => read_json::<Info>(info)?.images,
        // For scoring rankings the images that annotations name are enough.
        None => named(&queries),
    };
    let mut images = Images::default();
    let mut add = |image: &InfoImage| {
        images.add(Id::from(image.id), || {
            locate(&image_folders, std::slice::from_ref(&image.file_name))
        })
    };
    let gallery: Vec<usize> = listed.iter().map(&mut add).collect();
    let row = |id: i64, query: &Annotation| {
        images.row(&Id::from(id)).ok_or_else(|| {
            let list = info.as_deref().unwrap_or(&annotations).display();
            let reason = format!("image {id} of query {} is not in `{list}`", query.id);
            annotation(&annotations, reason)
        })
    };
    let asked = queries.iter().map(|one| query(one, choice.template, &row));
    let asked: Vec<Query> = asked.collect::<Result<_, _>>()?;
    let published = if split == "val" { 220 } else { 800 };
    let mut counts = vec![Count::new(format!("{split} queries"), asked.len(), published)];
    if info.is_some() {
        counts.push(Count::new("images", gallery.len(), IMAGES));
    }
    Ok(Benchmark {
        images: images.entries,
        variants: Variant::by_own_image([OwnImage::Kept, OwnImage::Removed], |own| {
            vec![task(split, &gallery, own.of(&asked))]
        }),
        counts,
        image_folders,
        open_gallery: info.is_none(),
        columns: RANKS
            .map(|k| Column::of_task(&format!("mAP@{k}"), "kept", split, &format!("mAP@{k}")))
            .into(),
        remarks: vec![
            "Published scores are those of the test server; scores on val are for choosing, not for comparing."
                .to_owned(),
        ],
        ..Benchmark::default()
    })
}

/// The list of all images; `None` if it is not there and rankings can be scored without it.
fn info(data: &Path, choice: &Choice<'_>) -> Result<Option<PathBuf>, EvalError> {
    let hint = "unpack COCO's `image_info_unlabeled2017.zip` and `unlabeled2017.zip` into `COCO2017_unlabeled`";
    match find_in(data, "list of images", &["COCO2017_unlabeled/", ""], INFO, hint) {
        Err(EvalError::NoAnnotations { .. }) if choice.only_rankings => Ok(None),
        found => found.map(Some),
    }
}

fn query(
    asked: &Annotation,
    template: &str,
    row: &impl Fn(i64, &Annotation) -> Result<usize, EvalError>,
) -> Result<Query, EvalError> {
    let reference = row(asked.reference_img_id, asked)?;
    let rows = |ids: &Vec<i64>| ids.iter().map(|id| row(*id, asked)).collect::<Result<_, _>>();
    Ok(Query {
        id: asked.id.to_string(),
        images: vec![reference],
        text: text(asked, template),
        caption: asked.relative_caption.clone(),
        truth: asked
            .gt_img_ids
            .as_ref()
            .map_or(Ok(Truth::Hidden), |ids| rows(ids).map(Truth::Items))?,
        target: asked.target_img_id.map(|id| row(id, asked)).transpose()?,
        groups: asked.semantic_aspects.clone(),
        cluster: reference,
        ..Query::default()
    })
}

/// The images that annotations name, in the order of their ids.
fn named(queries: &[Annotation]) -> Vec<InfoImage> {
    let ids: BTreeSet<i64> = queries
        .iter()
        .flat_map(|query| {
            [Some(query.reference_img_id), query.target_img_id]
                .into_iter()
                .flatten()
                .chain(query.gt_img_ids.iter().flatten().copied())
        })
        .collect();
    let image = |id| InfoImage {
        id,
        file_name: format!("{id:012}.jpg"),
    };
    ids.into_iter().map(image).collect()
}

fn text(query: &Annotation, template: &str) -> String {
    let (concept, caption) = (&query.shared_concept, &query.relative_caption);
    match template {
        "megapairs" => format!("Find a picture that also {concept}, but {caption}"),
        "caption" => caption.clone(),
        _ => format!("find {concept} but {caption}"),
    }
}

fn task(split: &str, gallery: &[usize], queries: Vec<Query>) -> Task {
    let precision = Measure::at("mAP", RANKS, Metric::AveragePrecision);
    let recall = Measure::at("target R", RANKS, Metric::Hit).map(|measure| measure.within(Scope::Target));
    Task {
        name: split.to_owned(),
        gallery: gallery.to_vec(),
        queries,
        measures: precision.into_iter().chain(recall).collect(),
        ..Task::default()
    }
}
