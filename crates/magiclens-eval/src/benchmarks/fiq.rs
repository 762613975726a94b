//! FashionIQ (Wu et al. 2021), validation split: a garment and two captions find another garment of its category.
//!
//! - Files: `captions/cap.{dress,shirt,toptee}.val.json`, `image_splits/split.*.val.json`, `images/ID.{png,jpg}`, as
//!   XiaoxiaoGuo/fashion-iq publishes them.
//! - Query text: the two captions joined with " and " (google-deepmind/magiclens `data_utils.py`); `megapairs` joins with
//!   ", and " (MegaPairs); `searle` strips `.?, ` from both first (miccunifi/SEARLE `validate.py`, one of its two orders).
//! - Gallery: all images of the category's validation split ("original", what MagicLens and MegaPairs use), or only the
//!   images of validation queries ("val"). The query image stays in the gallery (`inference.py`).
//! - Figures: R@10 and R@50 a category, and their mean over the three. Counts: 2,017 / 2,038 / 1,961 queries, 3,817 / 6,346 /
//!   5,373 images.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, TaskKind, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "fiq",
    title: "FashionIQ",
    folder: "fiq",
    layout: "captions/cap.{dress,shirt,toptee}.val.json, image_splits/split.{..}.val.json, images/",
    splits: &["val"],
    templates: &["magiclens", "megapairs", "searle"],
    load,
};

/// Category, queries and images of the published validation split.
const CATEGORIES: [(&str, usize, usize); 3] = [("dress", 2017, 3817), ("shirt", 2038, 6346), ("toptee", 1961, 5373)];

const HINT: &str = "take `captions` and `image_splits` of github.com/XiaoxiaoGuo/fashion-iq";

#[derive(Deserialize)]
struct Pair {
    candidate: String,
    target: String,
    captions: Vec<String>,
}

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let mut images = Images::default();
    let mut counts = Vec::new();
    let mut tasks = Vec::new();
    let image_folders = folders(data, &["images", "resized_image", "resized_images"]);
    for (category, query_count, image_count) in CATEGORIES {
        let captions = format!("captions/cap.{category}.val.json");
        let captions = find(data, &format!("captions of {category}"), &[&captions], HINT)?;
        let split = format!("image_splits/split.{category}.val.json");
        let split = find(data, &format!("split of {category}"), &[&split], HINT)?;
        let pairs: Vec<Pair> = read_json(&captions)?;
        let names: Vec<String> = read_json(&split)?;
        counts.push(Count::new(format!("{category} queries"), pairs.len(), query_count));
        counts.push(Count::new(format!("{category} pictures"), names.len(), image_count));
        let gallery: Vec<usize> = names
            .iter()
            .map(|name| add(&mut images, name, &image_folders))
            .collect();
        let members: std::collections::HashSet<usize> = gallery.iter().copied().collect();
        let mut list = Vec::with_capacity(pairs.len());
        for (number, pair) in pairs.iter().enumerate() {
            let target = images.row(&Id::text(&pair.target)).filter(|row| members.contains(row));
            let target = target.ok_or_else(|| {
                let reason = format!(
                    "the target `{}` of query {number} is not in `{}`",
                    pair.target,
                    split.display()
                );
                annotation(&captions, reason)
            })?;
            let reference = add(&mut images, &pair.candidate, &image_folders);
            list.push(Query {
                id: number.to_string(),
                images: vec![reference],
                text: text(&pair.captions, choice.template),
                caption: text(&pair.captions, "searle"),
                truth: Truth::Items(vec![target]),
                cluster: reference,
                ..Query::default()
            });
        }
        tasks.push((category, gallery, list));
    }
    let variants = [
        ("original", "original gallery, query picture kept", false, false),
        (
            "original-removed",
            "original gallery, query picture removed",
            false,
            true,
        ),
        (
            "val",
            "gallery of validation queries only, query picture kept",
            true,
            false,
        ),
        (
            "val-removed",
            "gallery of validation queries only, query picture removed",
            true,
            true,
        ),
    ];
    let variants = variants.map(|(flag, name, queries_only, remove)| Variant {
        name: name.to_owned(),
        flag: flag.to_owned(),
        tasks: tasks
            .iter()
            .map(|(category, gallery, queries)| task(category, gallery, queries, queries_only, remove))
            .collect(),
    });
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        texts: Vec::new(),
        variants: variants.into(),
        counts,
        image_folders,
        open_gallery: false,
        columns: columns(),
        remarks: vec![
            "Published tables mix two galleries: MagicLens and MegaPairs use the original one, which is harder than the VAL one."
                .to_owned(),
        ],
    })
}

fn add(images: &mut Images, name: &str, folders: &[PathBuf]) -> usize {
    images.add(Id::text(name), || {
        locate(
            folders,
            &["png", "jpg", "jpeg", "JPG", "PNG"].map(|end| format!("{name}.{end}")),
        )
    })
}

fn text(captions: &[String], template: &str) -> String {
    match template {
        "megapairs" => captions.join(", and "),
        "searle" => {
            let stripped = captions
                .iter()
                .map(|caption| caption.trim_matches(['.', '?', ',', ' ']));
            stripped.collect::<Vec<_>>().join(" and ")
        }
        _ => captions.join(" and "),
    }
}

fn task(category: &str, gallery: &[usize], queries: &[Query], queries_only: bool, remove: bool) -> Task {
    let mut gallery = gallery.to_vec();
    if queries_only {
        let used: std::collections::HashSet<usize> = queries
            .iter()
            .flat_map(|query| match &query.truth {
                Truth::Items(targets) => query.images.iter().chain(targets).copied().collect::<Vec<_>>(),
                _ => query.images.clone(),
            })
            .collect();
        gallery.retain(|row| used.contains(row));
    }
    Task {
        name: category.to_owned(),
        kind: TaskKind::Composed,
        gallery,
        classes: Vec::new(),
        queries: Query::removing_own(queries, remove),
        measures: [1, 5, 10, 50]
            .map(|k| Measure::new(format!("R@{k}"), Metric::Hit(k)))
            .into(),
    }
}

fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::of_mean("R@10", "original", "R@10"),
        Column::of_mean("R@50", "original", "R@50"),
    ];
    for (category, ..) in CATEGORIES {
        for measure in ["R@10", "R@50"] {
            columns.push(Column::of_task(
                &format!("{category} {measure}"),
                "original",
                category,
                measure,
            ));
        }
    }
    columns
}
