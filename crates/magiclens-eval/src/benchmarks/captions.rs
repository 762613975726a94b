//! The common part of Flickr30k and COCO: images with captions, searched in both directions by the two towers alone
//! (MagicLens, Table 17; LAION-AI/CLIP_benchmark `metrics/zeroshot_retrieval.py`).
//!
//! R@k is 1 if any right one is among the first k: an image has five captions, a caption one image.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::EvalError;
use crate::annotations::{Images, locate, read_json};
use crate::benchmark::{Benchmark, Column, Count, Measure, Metric, Query, Task, TaskKind, TextEntry, Truth, Variant};
use crate::id::Id;

/// An image with its captions.
pub(super) struct Captioned {
    pub(super) id: Id,
    pub(super) path: PathBuf,
    pub(super) captions: Vec<String>,
}

/// Karpathy's form of a captioned data set.
#[derive(Deserialize)]
struct Karpathy {
    images: Vec<KarpathyImage>,
}

#[derive(Deserialize)]
struct KarpathyImage {
    filename: String,
    #[serde(default)]
    filepath: String,
    split: String,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

/// Advice to users whose list of captions is missing.
pub(super) const HINT: &str =
    "both lists are public: CLIP_benchmark's retrieval annotations, or Karpathy's caption datasets";

/// The test part of a list in Karpathy's form.
pub(super) fn from_karpathy(list: &Path, roots: &[PathBuf]) -> Result<Vec<Captioned>, EvalError> {
    let file: Karpathy = read_json(list)?;
    let test = file.images.into_iter().filter(|image| image.split == "test");
    let captioned = test.map(|image| Captioned {
        id: Id::text(&image.filename),
        path: {
            let nested = Path::new(&image.filepath).join(&image.filename);
            locate(roots, &[image.filename, nested.to_string_lossy().into_owned()])
        },
        captions: image.sentences.into_iter().map(|sentence| sentence.raw).collect(),
    });
    Ok(captioned.collect())
}

/// A variant: flag, name, captions of an image at most.
pub(super) type CaptionLimit<'a> = (&'a str, &'a str, usize);

/// The benchmark of these images; `published` counts images and captions.
pub(super) fn build(captioned: Vec<Captioned>, limits: &[CaptionLimit<'_>], published: (usize, usize)) -> Benchmark {
    let mut images = Images::default();
    let mut texts = Vec::new();
    let mut rows: Vec<(usize, Vec<usize>)> = Vec::with_capacity(captioned.len());
    for image in captioned {
        let first = texts.len();
        let entries = image.captions.into_iter().enumerate().map(|(number, text)| TextEntry {
            id: Id::text(format!("{}#{number}", image.id)),
            text,
        });
        texts.extend(entries);
        rows.push((images.add(image.id, || image.path), (first..texts.len()).collect()));
    }
    let variants = limits
        .iter()
        .map(|(flag, name, limit)| Variant::new(flag, name, tasks(&images, &texts, &rows, *limit)))
        .collect();
    Benchmark {
        columns: limits.first().map(|(flag, ..)| columns(flag)).unwrap_or_default(),
        counts: vec![
            Count::new("images", rows.len(), published.0),
            Count::new("captions", texts.len(), published.1),
        ],
        images: images.entries,
        texts,
        variants,
        remarks: vec!["The two towers alone are measured, without fusion, as in the paper.".to_owned()],
        ..Benchmark::default()
    }
}

fn columns(variant: &str) -> Vec<Column> {
    let directions = [("I->T", "image to text"), ("T->I", "text to image")];
    let columns = directions.into_iter().flat_map(|(short, task)| {
        ["R@1", "R@5", "R@10"].map(|label| Column::of_task(&format!("{short} {label}"), variant, task, label))
    });
    columns.collect()
}

fn tasks(images: &Images, texts: &[TextEntry], rows: &[(usize, Vec<usize>)], limit: usize) -> Vec<Task> {
    let used = |own: &[usize]| own[..own.len().min(limit)].to_vec();
    let task = |name: &str, kind, gallery, queries| Task {
        name: name.to_owned(),
        kind,
        gallery,
        queries,
        measures: Measure::at("R", [1, 5, 10], Metric::Hit).into(),
        ..Task::default()
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
