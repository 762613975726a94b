//! The scores on the dev part of a collection, by which settings are chosen: R@1, R@10 and mAP@10 of each relation, with
//! the gallery, the rule for ties and the formulas of `magiclens eval own --split dev`.

use std::collections::BTreeMap;

use burn::tensor::Device;
use magiclens_collection::RowTriplet;
use magiclens_metrics::{Judged, Matrix, average_precision_at_k, hit_at_k, mean, rank, score_all};
use magiclens_model::rows::to_rows;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::feature_table::FeatureTable;
use crate::head::Head;

/// The depth to which rankings are looked at.
const DEPTH: usize = 10;
/// Rows embedded in one go.
const CHUNK: usize = 256;
/// Row of the empty text.
const EMPTY: usize = 0;

/// The scores of one relation, in 0..=1: means over its queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevScores {
    /// Share of queries with a right image first.
    pub recall_at_1: f64,
    /// Share of queries with a right image among the first ten.
    pub recall_at_10: f64,
    /// Mean average precision at ten.
    pub map_at_10: f64,
}

/// The mean R@10 of the relations, by which a run with patience ends; NaN if there are none.
pub fn mean_recall_at_10<K>(scores: &BTreeMap<K, DevScores>) -> f64 {
    mean(scores.values().map(|scores| scores.recall_at_10))
}

/// The triplets of the dev part, on features of towers.
#[derive(Debug)]
pub struct Dev {
    triplets: Vec<RowTriplet>,
    /// Row of each triplet's instruction.
    instructions: Vec<usize>,
    images: FeatureTable,
    texts: FeatureTable,
}

impl Dev {
    /// The texts whose features are needed: the empty one, with which targets are fused, then each different instruction
    /// once.
    pub fn texts(triplets: &[RowTriplet]) -> Vec<&str> {
        let mut texts: Vec<&str> = triplets.iter().map(|asked| asked.instruction.as_str()).collect();
        texts.push("");
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// `images` has a row for each image of the part, which are the gallery; `texts` one for each of [`Dev::texts`].
    pub fn new(triplets: Vec<RowTriplet>, images: FeatureTable, texts: FeatureTable) -> Self {
        let known = Self::texts(&triplets);
        let instructions = triplets
            .iter()
            .map(|asked| known.partition_point(|text| *text < asked.instruction.as_str()))
            .collect();
        Self {
            triplets,
            instructions,
            images,
            texts,
        }
    }

    /// Takes features of trained towers in the place of those there are.
    pub(crate) fn replace(&mut self, images: Option<FeatureTable>, texts: Option<FeatureTable>) {
        if let Some(images) = images {
            self.images = images;
        }
        if let Some(texts) = texts {
            self.texts = texts;
        }
    }

    /// The scores of each relation. The query image is removed from its own ranking.
    pub fn scores(&self, head: &Head) -> BTreeMap<&str, DevScores> {
        let images: Vec<(usize, usize)> = (0..self.images.len()).map(|row| (row, EMPTY)).collect();
        let asked = self.triplets.iter().map(|asked| asked.query);
        let asked: Vec<(usize, usize)> = asked.zip(self.instructions.iter().copied()).collect();
        let [gallery, queries] = [images, asked].map(|pairs| embed_pairs(head, &self.images, &self.texts, &pairs));
        let judged = score_all(&queries, &gallery, |query, scores| {
            let asked = &self.triplets[query];
            let ranked = rank(scores, Some(DEPTH), &[asked.query]);
            let is_right = ranked.iter().map(|row| asked.targets.contains(&(*row as usize)));
            Judged::by(is_right, asked.targets.len())
        });
        let mut relations: BTreeMap<&str, Vec<Judged>> = BTreeMap::new();
        for (asked, judged) in self.triplets.iter().zip(judged) {
            relations.entry(&asked.relation).or_default().push(judged);
        }
        let scores = |judged: Vec<Judged>| DevScores {
            recall_at_1: mean(judged.iter().map(|judged| hit_at_k(judged, 1))),
            recall_at_10: mean(judged.iter().map(|judged| hit_at_k(judged, DEPTH))),
            map_at_10: mean(judged.iter().map(|judged| average_precision_at_k(judged, DEPTH))),
        };
        relations
            .into_iter()
            .map(|(relation, judged)| (relation, scores(judged)))
            .collect()
    }
}

/// Embeddings of pairs of an image row and a text row, on all cores.
pub fn embed_pairs(head: &Head, images: &FeatureTable, texts: &FeatureTable, pairs: &[(usize, usize)]) -> Matrix {
    let device = Device::flex();
    let pieces: Vec<Vec<Vec<f32>>> = pairs
        .par_chunks(CHUNK)
        .map(|pairs| {
            let images = images.tensor(pairs.iter().map(|pair| pair.0), &device);
            let texts = texts.tensor(pairs.iter().map(|pair| pair.1), &device);
            to_rows(head.embed(images, texts))
        })
        .collect();
    let rows: Vec<Vec<f32>> = pieces.into_iter().flatten().collect();
    let mut matrix = Matrix::with_capacity(rows.first().map_or(0, Vec::len), rows.len());
    rows.iter().for_each(|row| matrix.push(row));
    matrix
}
