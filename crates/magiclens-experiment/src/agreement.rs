//! A score of instructions that needs no labels and no trained model: triplets that are asked for in like words should be
//! about like changes.
//!
//! The change of a triplet is the difference of its target's and its query's frozen image features, as a unit vector. Its
//! score is the mean cosine between its change and those of the [`NEIGHBORS`] triplets whose instructions are nearest in the
//! frozen text features, among a sample of [`SAMPLE`]. A wrong instruction has neighbors with other changes; a vague one has
//! neighbors with all kinds of them.

use magiclens_metrics::{Matrix, Random, area_under_curve, mean, rank, score_all};
use magiclens_train::batches::Row;
use magiclens_train::feature_table::FeatureTable;
use serde::{Deserialize, Serialize};

/// Triplets that are looked at.
const SAMPLE: usize = 3000;
/// Neighbors of each.
const NEIGHBORS: usize = 10;
/// Decides the sample.
const SEED: u64 = 20_260_511;

/// The agreement of the instructions of a data set with the changes that they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Agreement {
    /// Mean score of the sample.
    pub(crate) mean: f64,
    /// The share of pairs in which a sound instruction has a higher score than a damaged one; `None` without damaged ones.
    pub(crate) area_under_curve: Option<f64>,
}

/// The agreement of triplets; `is_damaged` has a value for each.
pub(crate) fn agreement(rows: &[Row], images: &FeatureTable, texts: &FeatureTable, is_damaged: &[bool]) -> Agreement {
    let mut sample: Vec<usize> = (0..rows.len()).collect();
    Random::seed_from_u64(SEED).shuffle(&mut sample);
    sample.truncate(SAMPLE);
    let (mut changes, mut words) = (Matrix::new(images.width), Matrix::new(texts.width));
    for &place in &sample {
        let row = &rows[place];
        let (query, target) = (feature(images, row.query), feature(images, row.targets[0]));
        changes.push(&unit(target.iter().zip(query).map(|(a, b)| a - b).collect()));
        words.push(&unit(feature(texts, row.instruction).to_vec()));
    }
    let scores: Vec<f32> = score_all(&words, &words, |own, scores| {
        let nearest = rank(scores, Some(NEIGHBORS), &[own]);
        let cosine = |other: &u32| f64::from(dot(changes.row(own), changes.row(*other as usize)));
        mean(nearest.iter().map(cosine)) as f32
    });
    let of = |damaged: bool| -> Vec<f32> {
        let scored = sample.iter().zip(&scores);
        let kept = scored.filter(|(place, score)| is_damaged[**place] == damaged && score.is_finite());
        kept.map(|(_, score)| *score).collect()
    };
    Agreement {
        mean: mean(scores.iter().map(|score| f64::from(*score))),
        area_under_curve: area_under_curve(&of(false), &of(true)),
    }
}

fn feature(table: &FeatureTable, row: usize) -> &[f32] {
    &table.values[row * table.width..(row + 1) * table.width]
}

/// A vector of zeros stays one.
fn unit(vector: Vec<f32>) -> Vec<f32> {
    let norm = dot(&vector, &vector).sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|value| value / norm).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty things, each plain, in another look and in another color; instruction 1 asks for the look, instruction 2 for the
    /// color.
    fn data() -> (Vec<Row>, FeatureTable, FeatureTable) {
        let things = 40;
        let mut random = Random::seed_from_u64(2);
        let mut values = Vec::new();
        for _ in 0..things {
            let thing: Vec<f32> = (0..6).map(|_| random.between(-1.0, 1.0)).collect();
            for change in [[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]] {
                values.extend(&thing);
                values.extend(change);
            }
        }
        let images = FeatureTable { width: 8, values };
        let texts = FeatureTable {
            width: 3,
            values: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        };
        let row = |thing: usize, change: usize| Row {
            query: 3 * thing,
            second: None,
            instruction: change,
            targets: vec![3 * thing + change],
            hard_negatives: Vec::new(),
        };
        let rows = [1, 2].map(|change| (0..things).map(move |thing| row(thing, change)));
        (rows.into_iter().flatten().collect(), images, texts)
    }

    #[test]
    fn wrong_instructions_agree_less_and_are_told_apart() {
        let (mut rows, images, texts) = data();
        let sound = agreement(&rows, &images, &texts, &[false; 80]);
        assert_eq!(sound.area_under_curve, None);
        let mut damaged = [false; 80];
        for at in (0..40).step_by(5) {
            rows[at].instruction = 2;
            damaged[at] = true;
        }
        let found = agreement(&rows, &images, &texts, &damaged);
        assert!(found.mean < sound.mean - 0.02, "{found:?} {sound:?}");
        assert!(found.area_under_curve.unwrap() > 0.9, "{found:?}");
        assert_eq!(found, agreement(&rows, &images, &texts, &damaged));
    }
}
