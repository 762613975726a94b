//! The triplets of each step: a function of the seed and the step alone, so that a run can go on anywhere.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use magiclens_data::{Image, ImageId, Triplet};
use magiclens_metrics::Random;

use crate::TrainError;

/// A triplet with rows of tables in the place of ids and texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Row of the query image.
    pub query: usize,
    /// Row of the instruction among the texts.
    pub instruction: usize,
    /// Rows of all right images.
    pub targets: Vec<usize>,
}

/// Triplets by rows of an image list and a text list.
#[derive(Debug)]
pub struct TripletTable {
    /// The triplets, in the order of the file.
    pub rows: Vec<Row>,
    /// Every different instruction once; the first is the empty text.
    pub texts: Vec<String>,
}

impl TripletTable {
    /// Replaces ids by rows of `images`.
    ///
    /// # Errors
    /// An image that the list lacks; no triplets at all.
    pub fn new(triplets: &[Triplet], images: &[Image], file: &Path) -> Result<Self, TrainError> {
        if triplets.is_empty() {
            return Err(TrainError::NoTriplets { file: file.into() });
        }
        let image_rows: HashMap<ImageId, usize> = images.iter().enumerate().map(|(row, p)| (p.id, row)).collect();
        let row_of = |id: &ImageId| {
            let unknown = || TrainError::UnknownImage {
                file: file.into(),
                id: id.to_string(),
            };
            image_rows.get(id).copied().ok_or_else(unknown)
        };
        let mut texts = vec![String::new()];
        let mut text_rows: HashMap<&str, usize> = HashMap::from([("", 0)]);
        let mut rows = Vec::with_capacity(triplets.len());
        for triplet in triplets {
            let instruction = *text_rows.entry(&triplet.instruction).or_insert_with(|| {
                texts.push(triplet.instruction.clone());
                texts.len() - 1
            });
            let targets = triplet.targets.iter().map(row_of).collect::<Result<_, _>>()?;
            rows.push(Row {
                query: row_of(&triplet.query)?,
                instruction,
                targets,
            });
        }
        Ok(Self { rows, texts })
    }
}

/// The image and text rows of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Image and text row of each query.
    pub queries: Vec<(usize, usize)>,
    /// Every image that is a candidate, once; encoded with the empty text.
    pub images: Vec<usize>,
    /// For each column of the loss, its place in `images`: targets in the order of the queries, then the query images.
    pub columns: Vec<usize>,
    /// `queries.len() * columns.len()`, row-major: whether the column is another right answer of the row.
    pub also_right: Vec<bool>,
}

/// The triplets of step `step` (from 0): a different shuffle each time all were seen, the target drawn among the right ones.
pub fn batch(table: &TripletTable, seed: u64, step: usize, batch_size: usize, query_negatives: bool) -> Batch {
    let rows = &table.rows;
    let per_epoch = (rows.len() / batch_size).max(1);
    let order = epoch_order(rows.len(), seed, step / per_epoch);
    let start = (step % per_epoch) * batch_size;
    let mut rng = Random::seed_from_u64(mix(seed, step as u64));
    let chosen: Vec<&Row> = order[start..].iter().take(batch_size).map(|at| &rows[*at]).collect();
    let mut target = |row: &&Row| row.targets[rng.below(row.targets.len())];
    let mut candidates: Vec<usize> = chosen.iter().map(&mut target).collect();
    if query_negatives {
        candidates.extend(chosen.iter().map(|row| row.query));
    }
    let (images, columns) = distinct(&candidates);
    Batch {
        queries: chosen.iter().map(|row| (row.query, row.instruction)).collect(),
        images,
        columns,
        also_right: also_right(&chosen, &candidates),
    }
}

/// Each candidate once, and the place of each column in that list.
fn distinct(candidates: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut images = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut place = |image: &usize| {
        *places.entry(*image).or_insert_with(|| {
            images.push(*image);
            images.len() - 1
        })
    };
    let columns = candidates.iter().map(&mut place).collect();
    (images, columns)
}

/// For each row and column: whether the column is a right answer of the row, and not its own target.
fn also_right(rows: &[&Row], candidates: &[usize]) -> Vec<bool> {
    let of_row = |(own, row): (usize, &&Row)| {
        let right: HashSet<usize> = row.targets.iter().copied().collect();
        let is_right = move |(column, image): (usize, &usize)| column != own && right.contains(image);
        candidates.iter().enumerate().map(is_right).collect::<Vec<bool>>()
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}

/// `count` different numbers below `below` in ascending order, all of them if there are no more, for the caption loss of a step.
pub fn sample(below: usize, count: usize, seed: u64, step: usize) -> Vec<usize> {
    let mut rng = Random::seed_from_u64(mix(seed ^ 0xCA97, step as u64));
    let mut chosen = BTreeSet::new();
    while chosen.len() < count.min(below) {
        chosen.insert(rng.below(below));
    }
    chosen.into_iter().collect()
}

fn epoch_order(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    Random::seed_from_u64(mix(seed ^ 0xE70C, epoch as u64)).shuffle(&mut order);
    order
}

fn mix(seed: u64, number: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TripletTable {
        // Query image, instruction, right images.
        let rows = [(0, 1, vec![1, 2]), (3, 2, vec![2]), (1, 1, vec![0]), (4, 2, vec![5])];
        let rows = rows
            .into_iter()
            .map(|(query, instruction, targets)| Row {
                query,
                instruction,
                targets,
            })
            .collect();
        TripletTable {
            rows,
            texts: vec![String::new(), "a".into(), "b".into()],
        }
    }

    #[test]
    fn every_triplet_comes_once_an_epoch() {
        let table = table();
        let mut seen: Vec<_> = (0..2)
            .flat_map(|step| batch(&table, 7, step, 2, true).queries)
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, [(0, 1), (1, 1), (3, 2), (4, 2)]);
    }

    #[test]
    fn a_step_is_a_function_of_seed_and_step() {
        let table = table();
        assert_eq!(batch(&table, 7, 5, 2, true), batch(&table, 7, 5, 2, true));
        let differs = (0..20).any(|step| batch(&table, 7, step, 2, true) != batch(&table, 8, step, 2, true));
        assert!(differs);
    }

    #[test]
    fn other_right_answers_are_no_negatives_but_the_own_target_is_kept() {
        let table = table();
        for step in 0..10 {
            let batch = batch(&table, 1, step, 4, true);
            let width = batch.columns.len();
            assert_eq!(width, 8);
            for (row, (query, _)) in batch.queries.iter().enumerate() {
                let right = &table.rows.iter().find(|r| r.query == *query).unwrap().targets;
                assert!(right.contains(&batch.images[batch.columns[row]]));
                for (column, place) in batch.columns.iter().enumerate() {
                    let masked = batch.also_right[row * width + column];
                    assert_eq!(masked, column != row && right.contains(&batch.images[*place]));
                }
            }
        }
    }

    #[test]
    fn without_query_negatives_only_targets_are_columns() {
        assert_eq!(batch(&table(), 1, 0, 4, false).columns.len(), 4);
    }

    #[test]
    fn a_sample_has_as_many_numbers_as_promised() {
        for (below, count) in [(100, 90), (100, 100), (7, 100), (1, 1), (5, 0), (0, 3)] {
            for step in 0..20 {
                let found = sample(below, count, 7, step);
                assert_eq!(found.len(), count.min(below), "{count} of {below}");
                assert!(found.is_sorted_by(|a, b| a < b) && found.iter().all(|number| *number < below));
                assert_eq!(found, sample(below, count, 7, step));
            }
        }
    }
}
