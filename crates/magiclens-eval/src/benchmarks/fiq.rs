//! FashionIQ (Wu et al. 2021), validation split: a garment and two captions find another garment of its category.
//!
//! - Files: `captions/cap.{dress,shirt,toptee}.val.json`, `image_splits/split.*.val.json`, `images/ID.{png,jpg}`, as
//!   XiaoxiaoGuo/fashion-iq publishes them.
//! - Query text: the two captions joined with " and " (google-deepmind/magiclens `data_utils.py`); `megapairs` joins with
//!   ", and " (MegaPairs); `searle` strips `.?, ` from both first (miccunifi/SEARLE `validate.py`, one of its two orders).
//! - Gallery: all images of the category's validation split ("original", what MagicLens and MegaPairs use), or only the
//!   images of validation queries ("val"). The query image stays in the gallery (`inference.py`).
//! - Metrics: R@10 and R@50 a category, and their mean over the three. Counts: 2,017 / 2,038 / 1,961 queries, 3,817 / 6,346 /
//!   5,373 images.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, OwnImage, Query, Task, Truth, Variant};
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

/// The published measures.
const MEASURES: [&str; 2] = ["R@10", "R@50"];

const HINT: &str = "take `captions` and `image_splits` of github.com/XiaoxiaoGuo/fashion-iq";

#[derive(Deserialize)]
struct Pair {
    candidate: String,
    target: String,
    captions: Vec<String>,
}

/// A category with its gallery and its queries.
struct Category {
    name: &'static str,
    gallery: Vec<usize>,
    queries: Vec<Query>,
}

fn load(data: &Path, choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let image_folders = folders(data, &["images", "resized_image", "resized_images"]);
    let mut images = Images::default();
    let (mut counts, mut categories) = (Vec::new(), Vec::new());
    for (name, query_count, image_count) in CATEGORIES {
        let category = category(data, name, choice.template, &image_folders, &mut images)?;
        counts.push(Count::new(
            format!("{name} queries"),
            category.queries.len(),
            query_count,
        ));
        counts.push(Count::new(
            format!("{name} images"),
            category.gallery.len(),
            image_count,
        ));
        categories.push(category);
    }
    let mut columns: Vec<Column> = MEASURES.map(|label| Column::of_mean(label, "original", label)).into();
    let names = CATEGORIES.map(|(category, ..)| category);
    columns.extend(Column::of_tasks("original", names, &MEASURES));
    Ok(Benchmark {
        images: images.entries,
        variants: variants(&categories),
        counts,
        image_folders,
        columns,
        remarks: vec![
            "Published tables mix two galleries: MagicLens and MegaPairs use the original one, which is harder than the VAL one."
                .to_owned(),
        ],
        ..Benchmark::default()
    })
}

fn category(
    data: &Path,
    name: &'static str,
    template: &str,
    folders: &[PathBuf],
    images: &mut Images,
) -> Result<Category, EvalError> {
    let captions = [format!("captions/cap.{name}.val.json")];
    let captions = find(data, &format!("captions of {name}"), &captions, HINT)?;
    let split = [format!("image_splits/split.{name}.val.json")];
    let split = find(data, &format!("split of {name}"), &split, HINT)?;
    let pairs: Vec<Pair> = read_json(&captions)?;
    let gallery: Vec<String> = read_json(&split)?;
    let gallery: Vec<usize> = gallery.iter().map(|name| add(images, name, folders)).collect();
    let members: HashSet<usize> = gallery.iter().copied().collect();
    let queries = pairs.iter().enumerate().map(|(number, pair)| {
        let target = images.row(&Id::text(&pair.target)).filter(|row| members.contains(row));
        let target = target.ok_or_else(|| {
            let (target, split) = (&pair.target, split.display());
            let reason = format!("the target `{target}` of query {number} is not in `{split}`");
            annotation(&captions, reason)
        })?;
        let reference = add(images, &pair.candidate, folders);
        Ok(Query {
            id: number.to_string(),
            images: vec![reference],
            text: text(&pair.captions, template),
            caption: text(&pair.captions, "searle"),
            truth: Truth::Items(vec![target]),
            cluster: reference,
            ..Query::default()
        })
    });
    let queries = queries.collect::<Result<_, EvalError>>()?;
    Ok(Category { name, gallery, queries })
}

/// Both galleries, each with the query image in it and without it.
fn variants(categories: &[Category]) -> Vec<Variant> {
    let galleries = [
        ("original", "original gallery", false),
        ("val", "gallery of validation queries only", true),
    ];
    let both = galleries.into_iter().flat_map(|(flag, gallery, queries_only)| {
        [OwnImage::Kept, OwnImage::Removed].map(|own| {
            let flag = match own {
                OwnImage::Kept => flag.to_owned(),
                OwnImage::Removed => format!("{flag}-removed"),
            };
            let name = format!("{gallery}, query image {}", own.word());
            let tasks = categories.iter().map(|category| task(category, queries_only, own));
            Variant::new(&flag, &name, tasks.collect())
        })
    });
    both.collect()
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

fn task(category: &Category, queries_only: bool, own: OwnImage) -> Task {
    let mut gallery = category.gallery.clone();
    if queries_only {
        let targets = |query: &Query| match &query.truth {
            Truth::Items(targets) => targets.clone(),
            Truth::Hidden | Truth::Class(_) => Vec::new(),
        };
        let used = |query: &Query| [query.images.clone(), targets(query)].concat();
        let used: HashSet<usize> = category.queries.iter().flat_map(used).collect();
        gallery.retain(|row| used.contains(row));
    }
    Task {
        name: category.name.to_owned(),
        gallery,
        queries: own.of(&category.queries),
        measures: Measure::at("R", [1, 5, 10, 50], Metric::Hit).into(),
        ..Task::default()
    }
}
