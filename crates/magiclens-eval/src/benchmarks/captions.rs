//! What Flickr30k and COCO share: images with captions, searched in both directions by the two towers alone
//! (MagicLens, Table 17; LAION-AI/CLIP_benchmark `metrics/zeroshot_retrieval.py`).
//!
//! R@k is 1 if any right one is among the first k: an image has five captions, a caption one image.

use crate::annotations::Images;
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, TaskKind, TextEntry, Truth, Variant};
use crate::id::Id;

/// An image with its captions.
pub(super) struct Captioned {
    pub(super) id: Id,
    pub(super) path: std::path::PathBuf,
    pub(super) captions: Vec<String>,
}

/// A variant: flag, name, captions of an image at most.
pub(super) type CaptionLimit<'a> = (&'a str, &'a str, usize);

/// The benchmark of these images.
pub(super) fn build(
    name: &str,
    captioned: Vec<Captioned>,
    limits: &[CaptionLimit<'_>],
    counts: Vec<Count>,
) -> Benchmark {
    let mut images = Images::default();
    let mut texts = Vec::new();
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::with_capacity(captioned.len());
    for image in captioned {
        let mut own = Vec::with_capacity(image.captions.len());
        for (number, text) in image.captions.into_iter().enumerate() {
            own.push(texts.len());
            texts.push(TextEntry {
                id: Id::text(format!("{}#{number}", image.id)),
                text,
            });
        }
        rows.push((images.add(image.id, || image.path), own));
    }
    let variants = limits
        .iter()
        .map(|(flag, name, limit)| Variant {
            name: name.to_string(),
            flag: flag.to_string(),
            tasks: tasks(&images, &texts, &rows, *limit),
        })
        .collect();
    let columns = limits.first().into_iter().flat_map(|(flag, ..)| {
        [("I->T", "image to text"), ("T->I", "text to image")]
            .into_iter()
            .flat_map(move |(short, task)| {
                ["R@1", "R@5", "R@10"].map(|label| Column::of_task(&format!("{short} {label}"), flag, task, label))
            })
    });
    Benchmark {
        name: name.to_owned(),
        columns: columns.collect(),
        images: images.entries,
        texts,
        variants,
        counts,
        image_folders: Vec::new(),
        open_gallery: false,
        remarks: vec!["The two towers alone are measured, without fusion, as in the paper.".to_owned()],
    }
}

fn tasks(images: &Images, texts: &[TextEntry], rows: &[(usize, Vec<usize>)], limit: usize) -> Vec<Task> {
    let used = |own: &[usize]| own[..own.len().min(limit)].to_vec();
    let task = |name: &str, kind, gallery, queries| Task {
        name: name.to_owned(),
        kind,
        gallery,
        classes: Vec::new(),
        queries,
        measures: [1, 5, 10]
            .map(|k| Measure::new(format!("R@{k}"), Metric::Hit(k)))
            .into(),
    };
    let image_queries = rows.iter().map(|(image, own)| Query {
        id: images.entries[*image].id.to_string(),
        images: vec![*image],
        truth: Truth::Items(used(own)),
        cluster: *image,
        ..Query::default()
    });
    let text_queries = rows.iter().flat_map(|(image, own)| {
        used(own).into_iter().map(|text| Query {
            id: texts[text].id.to_string(),
            text: texts[text].text.clone(),
            truth: Truth::Items(vec![*image]),
            cluster: *image,
            ..Query::default()
        })
    });
    vec![
        task(
            "image to text",
            TaskKind::ImageToText,
            rows.iter().flat_map(|(_, own)| used(own)).collect(),
            image_queries.collect(),
        ),
        task(
            "text to image",
            TaskKind::TextToImage,
            rows.iter().map(|(image, _)| *image).collect(),
            text_queries.collect(),
        ),
    ]
}
