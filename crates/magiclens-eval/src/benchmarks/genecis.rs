//! GeneCIS (Vaze et al. 2023): an image and one word, which keeps or changes an attribute or an object; a short list of
//! candidates for each query.
//!
//! - Files: `{focus,change}_{attribute,object}.json` (in the folder or in `genecis/`); images of COCO val2017 for objects
//!   (`val2017/`, `coco/val2017/`), of Visual Genome for attributes (`VG_100K_all/`, `VG_100K/`, `VG_100K_2/`).
//! - Query text: the condition as it is (facebookresearch/genecis; the template of MagicLens is not published).
//! - Gallery: the target and the query's own distractors, 10 or 15 images. Attribute images are the object's box, widened
//!   by 0.7 and padded to a black square (`datasets/vaw_dataset.py`). Lists of unusual length are left out, as there.
//! - Figures: R@1, 2, 3 a task; the headline is the mean R@1 of the four. Noise of the benchmark itself: 0.2 (its README).
//!   Counts: 2,000 / 2,112 / 1,960 / 1,960 queries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, folders, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Crop, Measure, Metric, Query, Scope, Task, TaskKind, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "genecis",
    title: "GeneCIS",
    folder: "genecis",
    layout: "genecis/{focus,change}_{attribute,object}.json, coco/val2017/, VG_100K_all/",
    splits: &["test"],
    templates: &["condition"],
    load,
};

/// Tasks in the order of published tables, with their number of queries.
const TASKS: [(&str, usize); 4] = [
    ("focus_attribute", 2000),
    ("change_attribute", 2112),
    ("focus_object", 1960),
    ("change_object", 1960),
];

#[derive(Deserialize)]
struct Template {
    condition: String,
    reference: Shown,
    target: Shown,
    gallery: Vec<Shown>,
}

/// An image of COCO, or an object in an image of Visual Genome.
#[derive(Deserialize)]
struct Shown {
    val_image_id: Option<i64>,
    image_id: Option<i64>,
    instance_bbox: Option<[f64; 4]>,
}

fn load(data: &Path, _choice: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let coco = folders(
        data,
        &[
            "val2017",
            "coco/val2017",
            "COCO/val2017",
            "coco/images/val2017",
            "coco",
            "images",
        ],
    );
    let genome = folders(
        data,
        &[
            "VG_100K_all",
            "VG_100K",
            "VG_100K_2",
            "visual_genome",
            "visual_genome/VG_100K_all",
            "visual_genome/VG_100K",
            "visual_genome/VG_100K_2",
            "vg",
            "vg/VG_100K_all",
            "vg/VG_100K",
            "vg/VG_100K_2",
        ],
    );
    let mut images = Images::default();
    let (mut tasks, mut counts, mut remarks) = (Vec::new(), Vec::new(), Vec::new());
    for (name, published) in TASKS {
        let places = [format!("{name}.json"), format!("genecis/{name}.json")].map(|place| data.join(place));
        let Some(path) = places.iter().find(|path| path.exists()) else {
            counts.push(Count::new(format!("{name} queries"), 0, published));
            remarks.push(format!("`{name}.json` is not there: the mean is over the other tasks."));
            continue;
        };
        let templates: Vec<Template> = read_json(path)?;
        let usual = usual_length(&templates);
        let dropped = templates
            .iter()
            .filter(|template| template.gallery.len() != usual)
            .count();
        if dropped > 0 {
            remarks.push(format!(
                "{name}: {dropped} of {} queries have another number of candidates than {}, and are left out, as in the official code.",
                templates.len(),
                usual + 1
            ));
        }
        let kept = templates
            .iter()
            .enumerate()
            .filter(|(_, template)| template.gallery.len() == usual);
        let queries: Vec<Query> = kept
            .map(|(number, template)| {
                query(number, template, &mut images, &coco, &genome)
                    .map_err(|reason| annotation(path, format!("query {number}: {reason}")))
            })
            .collect::<Result<_, _>>()?;
        if queries.is_empty() {
            return Err(annotation(path, "there is no query in it"));
        }
        counts.push(Count::new(format!("{name} queries"), queries.len(), published));
        tasks.push(Task {
            name: name.to_owned(),
            kind: TaskKind::Composed,
            gallery: Vec::new(),
            classes: Vec::new(),
            queries,
            measures: [1, 2, 3]
                .map(|k| Measure::new(format!("R@{k}"), Metric::Hit(k)).within(Scope::Subset))
                .into(),
        });
    }
    if tasks.is_empty() {
        return Err(EvalError::NoAnnotations {
            data: data.to_owned(),
            what: "query templates".to_owned(),
            tried: TASKS.map(|(name, _)| format!("genecis/{name}.json")).into(),
            hint: "take the folder `genecis` of github.com/facebookresearch/genecis".to_owned(),
        });
    }
    let mut columns = vec![Column::of_mean("mean R@1", "official", "R@1")];
    for (name, _) in TASKS {
        for measure in ["R@1", "R@2", "R@3"] {
            columns.push(Column::of_task(&format!("{name} {measure}"), "official", name, measure));
        }
    }
    remarks.push("Differences below 0.2 are noise of the benchmark (README of facebookresearch/genecis).".to_owned());
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        texts: Vec::new(),
        variants: vec![Variant {
            name: "candidates of each query".to_owned(),
            flag: "official".to_owned(),
            tasks,
        }],
        counts,
        image_folders: Vec::new(),
        open_gallery: false,
        columns,
        remarks,
    })
}

/// The most frequent number of distractors; the smallest of several.
fn usual_length(templates: &[Template]) -> usize {
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for template in templates {
        *lengths.entry(template.gallery.len()).or_default() += 1;
    }
    let most = lengths.values().max().copied().unwrap_or(0);
    lengths
        .iter()
        .find(|(_, count)| **count == most)
        .map_or(0, |(length, _)| *length)
}

fn query(
    number: usize,
    template: &Template,
    images: &mut Images,
    coco: &[PathBuf],
    genome: &[PathBuf],
) -> Result<Query, &'static str> {
    let reference = add(&template.reference, images, coco, genome, 1)?;
    let target = add(&template.target, images, coco, genome, 1)?;
    let mut subset = vec![target];
    for shown in &template.gallery {
        // Some lists hold an image twice, even the target, and only the first place is right.
        let mut copy = 1;
        let row = loop {
            let row = add(shown, images, coco, genome, copy)?;
            if !subset.contains(&row) {
                break row;
            }
            copy += 1;
        };
        subset.push(row);
    }
    Ok(Query {
        id: number.to_string(),
        images: vec![reference],
        text: template.condition.clone(),
        caption: template.condition.clone(),
        truth: Truth::Items(vec![target]),
        subset,
        cluster: reference,
        ..Query::default()
    })
}

/// The row of an image or an object; its second copy in a list has `#2` behind its name.
fn add(
    shown: &Shown,
    images: &mut Images,
    coco: &[PathBuf],
    genome: &[PathBuf],
    copy: usize,
) -> Result<usize, &'static str> {
    let (name, folders, file, crop) = match (shown.val_image_id, shown.image_id, shown.instance_bbox) {
        (Some(id), _, _) => (Id::from(id), coco, format!("{id:012}.jpg"), None),
        (None, Some(id), Some([left, top, width, height])) => (
            Id::text(format!("{id}:{left},{top},{width},{height}")),
            genome,
            format!("{id}.jpg"),
            Some(Crop {
                left,
                top,
                width,
                height,
            }),
        ),
        _ => return Err("a picture has neither `val_image_id` nor `image_id` with `instance_bbox`"),
    };
    let name = if copy == 1 {
        name
    } else {
        Id::text(format!("{name}#{copy}"))
    };
    Ok(images.add_cropped(name, || locate(folders, &[file]), crop))
}
