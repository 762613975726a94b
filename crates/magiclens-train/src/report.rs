//! The recall report: for each relation, how often the right picture is found, by the model and by its rivals. Rivals
//! use the same weights: the image alone, the text alone, and the sum of both towers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use burn::tensor::Device;
use magiclens_data::{Embedding, ImageId, Picture, Triplet};
use magiclens_model::embedder::{normalize_all, to_rows};
use magiclens_model::{Embedder, ModelError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::features::{image_features, read_pictures, text_features};
use crate::gradients::FeatureTable;
use crate::head::Head;
use crate::metrics::{average_precision_at_k, mean_with_interval, recall_at_k};

/// How far down the list the report looks.
const DEPTH: usize = 10;
/// Rows computed at once.
const CHUNK: usize = 256;

/// A way to answer a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Image and instruction, fused, against targets.
    MagicLens,
    /// The image with the empty text, against targets.
    ImageOnly,
    /// The instruction's text vector against image vectors.
    TextOnly,
    /// The sum of the unit image and text vectors against image vectors.
    Sum,
}

impl Method {
    /// All of them, the model first.
    pub const ALL: [Self; 4] = [Self::MagicLens, Self::ImageOnly, Self::TextOnly, Self::Sum];

    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::MagicLens => "image + instruction",
            Self::ImageOnly => "image only",
            Self::TextOnly => "text only",
            Self::Sum => "sum of both",
        }
    }
}

/// A mean and the half width of its 95 % interval, both in 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean over queries.
    pub mean: f64,
    /// Half the width of the 95 % interval, queries of one root concept counted as dependent.
    pub half_width: f64,
}

/// The figures of one relation and method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Queries measured.
    pub queries: usize,
    /// Right pictures a query, on average.
    pub mean_targets: f64,
    /// Share of queries with a right picture first.
    pub recall_at_1: Measured,
    /// Share of queries with a right picture among the first ten.
    pub recall_at_10: Measured,
    /// Mean average precision at ten.
    pub map_at_10: Measured,
}

/// A report: relation -> method -> figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Pictures in the gallery.
    pub gallery: usize,
    /// The figures.
    pub relations: BTreeMap<String, BTreeMap<Method, Scores>>,
}

/// Tower outputs of everything a report needs: rows `[dim]`, not normalised.
#[derive(Debug)]
pub struct TowerOutputs {
    /// A row for each gallery picture.
    pub images: Vec<Vec<f32>>,
    /// A row for each instruction.
    pub texts: HashMap<String, Vec<f32>>,
}

impl TowerOutputs {
    /// Tower outputs of trunk features that are already there.
    pub fn from_features(head: &Head, images: &FeatureTable, texts: &[&str], text_features: &FeatureTable) -> Self {
        let device = Device::flex();
        let images = in_chunks(images.len(), |rows| {
            to_rows(head.project_images(images.tensor(rows, &device)))
        });
        let rows = in_chunks(text_features.len(), |rows| {
            to_rows(head.project_texts(text_features.tensor(rows, &device)))
        });
        let texts = texts.iter().map(|text| text.to_string()).zip(rows).collect();
        Self { images, texts }
    }

    /// Reads every picture of a gallery and every instruction. Models with a frozen trunk keep its features in `cache`.
    ///
    /// # Errors
    /// A picture that cannot be read, or a cache that cannot be written.
    pub fn compute(
        embedder: &Embedder,
        collection: &Path,
        gallery: &[Picture],
        triplets: &[Triplet],
        cache: &Path,
        progress: &dyn Fn(usize),
    ) -> Result<Self, TrainError> {
        let texts: BTreeSet<&str> = triplets.iter().map(|triplet| triplet.instruction.as_str()).collect();
        let texts: Vec<&str> = texts.into_iter().collect();
        if let Some(head) = Head::of(embedder.model()) {
            let images = image_features(embedder, collection, gallery, cache, progress)?;
            return Ok(Self::from_features(
                &head,
                &images,
                &texts,
                &text_features(embedder, &texts, cache, &|_| ())?,
            ));
        }
        let mut images = Vec::with_capacity(gallery.len());
        for pictures in gallery.chunks(CHUNK) {
            images.extend(embedder.encode_images(&read_pictures(collection, pictures)?)?);
            progress(pictures.len());
        }
        let rows = embedder.encode_texts(&texts)?;
        Ok(Self {
            images,
            texts: texts.iter().map(|text| text.to_string()).zip(rows).collect(),
        })
    }
}

fn in_chunks(count: usize, rows: impl Fn(std::ops::Range<usize>) -> Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    (0..count)
        .step_by(CHUNK)
        .flat_map(|start| rows(start..(start + CHUNK).min(count)))
        .collect()
}

/// Runs every query against the gallery by every method. The query picture itself is left out of its ranking, ties go
/// by the order of the gallery. Triplets whose query is not in the gallery are not counted.
///
/// # Errors
/// When the model gives no direction for a row.
pub fn report(
    embedder: &Embedder,
    gallery: &[Picture],
    triplets: &[Triplet],
    outputs: &TowerOutputs,
    methods: &[Method],
) -> Result<Report, ModelError> {
    let rows: HashMap<ImageId, usize> = gallery
        .iter()
        .enumerate()
        .map(|(row, picture)| (picture.id, row))
        .collect();
    let roots = cluster_numbers(gallery);
    let asked: Vec<(&Triplet, usize)> = triplets
        .iter()
        .filter_map(|triplet| rows.get(&triplet.query).map(|row| (triplet, *row)))
        .collect();
    let targets = embedder.embed_targets(&outputs.images)?;
    let images = normalize_all(outputs.images.iter().cloned())?;

    let mut relations: BTreeMap<String, BTreeMap<Method, Scores>> = BTreeMap::new();
    for method in methods {
        let queries = query_vectors(embedder, *method, &asked, outputs, &targets, &images)?;
        let gallery_vectors = match method {
            Method::MagicLens | Method::ImageOnly => &targets,
            Method::TextOnly | Method::Sum => &images,
        };
        let matrix: Vec<&[f32]> = gallery_vectors.iter().map(Embedding::as_slice).collect();
        let results: Vec<QueryResult> = asked
            .par_iter()
            .zip(&queries)
            .map(|((triplet, own), query)| {
                let ranked = nearest(query.as_slice(), &matrix, *own);
                let right: Vec<usize> = triplet.targets.iter().filter_map(|id| rows.get(id).copied()).collect();
                let is_right = |row: usize| right.contains(&row);
                QueryResult {
                    relation: &triplet.relation,
                    cluster: roots[*own],
                    targets: right.len(),
                    at_1: recall_at_k(&ranked, is_right, 1),
                    at_10: recall_at_k(&ranked, is_right, DEPTH),
                    precision: average_precision_at_k(&ranked, is_right, right.len(), DEPTH),
                }
            })
            .collect();
        let mut by_relation: BTreeMap<&str, Vec<&QueryResult>> = BTreeMap::new();
        for result in &results {
            by_relation.entry(result.relation).or_default().push(result);
        }
        for (relation, results) in by_relation {
            relations
                .entry(relation.to_string())
                .or_default()
                .insert(*method, scores(&results));
        }
    }
    Ok(Report {
        gallery: gallery.len(),
        relations,
    })
}

struct QueryResult<'a> {
    relation: &'a str,
    cluster: usize,
    targets: usize,
    at_1: f64,
    at_10: f64,
    precision: f64,
}

fn scores(results: &[&QueryResult]) -> Scores {
    let measured = |value: fn(&QueryResult) -> f64| {
        let values: Vec<(f64, usize)> = results.iter().map(|result| (value(result), result.cluster)).collect();
        let (mean, half_width) = mean_with_interval(&values);
        Measured { mean, half_width }
    };
    Scores {
        queries: results.len(),
        mean_targets: results.iter().map(|result| result.targets as f64).sum::<f64>() / results.len() as f64,
        recall_at_1: measured(|result| result.at_1),
        recall_at_10: measured(|result| result.at_10),
        map_at_10: measured(|result| result.precision),
    }
}

fn query_vectors(
    embedder: &Embedder,
    method: Method,
    asked: &[(&Triplet, usize)],
    outputs: &TowerOutputs,
    targets: &[Embedding],
    images: &[Embedding],
) -> Result<Vec<Embedding>, ModelError> {
    let text = |triplet: &Triplet| outputs.texts.get(&triplet.instruction).cloned().unwrap_or_default();
    match method {
        Method::ImageOnly => Ok(asked.iter().map(|(_, row)| targets[*row].clone()).collect()),
        Method::MagicLens => {
            let images: Vec<Vec<f32>> = asked.iter().map(|(_, row)| outputs.images[*row].clone()).collect();
            let texts: Vec<Vec<f32>> = asked.iter().map(|(triplet, _)| text(triplet)).collect();
            embedder.fuse(&images, &texts)
        }
        Method::TextOnly => normalize_all(asked.iter().map(|(triplet, _)| text(triplet))),
        Method::Sum => {
            let texts = normalize_all(asked.iter().map(|(triplet, _)| text(triplet)))?;
            let sums = asked.iter().zip(&texts).map(|((_, row), text)| {
                images[*row]
                    .as_slice()
                    .iter()
                    .zip(text.as_slice())
                    .map(|(image, text)| image + text)
                    .collect()
            });
            normalize_all(sums)
        }
    }
}

/// The rows of the highest cosines, best first, without `own`.
fn nearest(query: &[f32], gallery: &[&[f32]], own: usize) -> Vec<usize> {
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(DEPTH + 1);
    for (row, vector) in gallery.iter().enumerate() {
        let score: f32 = query.iter().zip(*vector).map(|(a, b)| a * b).sum();
        if row == own || (best.len() == DEPTH && score <= best[DEPTH - 1].0) {
            continue;
        }
        let at = best.partition_point(|(other, _)| other.total_cmp(&score).is_ge());
        best.insert(at, (score, row));
        best.truncate(DEPTH);
    }
    best.into_iter().map(|(_, row)| row).collect()
}

/// One number for each root concept.
fn cluster_numbers(gallery: &[Picture]) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    gallery
        .iter()
        .map(|picture| {
            let next = numbers.len();
            *numbers.entry(picture.root.as_str()).or_insert(next)
        })
        .collect()
}

impl Report {
    /// The report as a Markdown table, one line for a relation and method; `extra` adds lines of other weights, such as
    /// the model trained without query negatives.
    pub fn to_markdown(&self, extra: &[(&str, &Report)]) -> String {
        let mut lines = vec![
            "| relation (queries) | method | R@1 | R@10 | mAP@10 |".to_string(),
            "|---|---|---|---|---|".to_string(),
        ];
        for (relation, methods) in &self.relations {
            let mut line = |label: &str, scores: &Scores| {
                let cell = |m: Measured| format!("{:.1} ± {:.1}", 100.0 * m.mean, 100.0 * m.half_width);
                lines.push(format!(
                    "| {relation} ({}) | {label} | {} | {} | {} |",
                    scores.queries,
                    cell(scores.recall_at_1),
                    cell(scores.recall_at_10),
                    cell(scores.map_at_10),
                ));
            };
            for (method, scores) in methods {
                line(method.label(), scores);
            }
            for (label, report) in extra {
                if let Some(scores) = report
                    .relations
                    .get(relation)
                    .and_then(|methods| methods.get(&Method::MagicLens))
                {
                    line(label, scores);
                }
            }
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_leaves_the_own_row_out_and_keeps_order() {
        let rows: Vec<Vec<f32>> = vec![vec![1.0, 0.0], vec![0.8, 0.6], vec![0.0, 1.0], vec![0.8, 0.6]];
        let gallery: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        assert_eq!(nearest(&[1.0, 0.0], &gallery, 0), [1, 3, 2]);
        assert_eq!(nearest(&[0.0, 1.0], &gallery, 2), [1, 3, 0]);
    }

    #[test]
    fn nearest_finds_what_sorting_finds() {
        let rows: Vec<Vec<f32>> = (0..200).map(|i| vec![((i * 37) % 200) as f32]).collect();
        let gallery: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let mut expected: Vec<usize> = (1..200).collect();
        expected.sort_by(|a, b| rows[*b][0].total_cmp(&rows[*a][0]));
        assert_eq!(nearest(&[1.0], &gallery, 0), expected[..DEPTH]);
    }
}
