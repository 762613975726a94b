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
    /// Row of the second image, if the instruction is about two.
    pub second: Option<usize>,
    /// Row of the instruction among the texts.
    pub instruction: usize,
    /// Rows of all right images.
    pub targets: Vec<usize>,
    /// Rows of wrong images that are easily taken for right ones.
    pub hard_negatives: Vec<usize>,
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
            let rows_of = |ids: &[ImageId]| ids.iter().map(row_of).collect::<Result<_, _>>();
            rows.push(Row {
                query: row_of(&triplet.query)?,
                second: triplet.second.as_ref().map(row_of).transpose()?,
                instruction,
                targets: rows_of(&triplet.targets)?,
                hard_negatives: rows_of(&triplet.hard_negatives)?,
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
    /// Row of the second image of each query that has one.
    pub seconds: Vec<Option<usize>>,
    /// Every image that is a candidate, once; encoded with the empty text.
    pub images: Vec<usize>,
    /// For each column of the loss, its place in `images`: targets in the order of the queries, then the other candidates.
    pub columns: Vec<usize>,
    /// `queries.len() * columns.len()`, row-major: whether the column is another right answer of the row.
    pub also_right: Vec<bool>,
}

/// Candidates of a batch: the target of each triplet, and what joins them as negatives of all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// Triplets.
    pub size: usize,
    /// Whether the query images join.
    pub query_negatives: bool,
    /// Hard negatives of each triplet that join, drawn where it has more.
    pub hard_negatives: usize,
    /// Images whose mirrored views are in the rows behind them all: the view of image `i` is row `i + mirrored`. A coin for each triplet
    /// decides which of both all its images are. 0 is none.
    pub mirrored: usize,
}

/// The triplets of step `step` (from 0): a different shuffle each time all were seen, the target drawn among the right ones.
pub fn batch(table: &TripletTable, seed: u64, step: usize, settings: BatchSettings) -> Batch {
    let (rows, size) = (&table.rows, settings.size);
    let per_epoch = (rows.len() / size).max(1);
    let order = epoch_order(rows.len(), seed, step / per_epoch);
    let start = (step % per_epoch) * size;
    let mut rng = Random::seed_from_u64(mix(seed, step as u64));
    let chosen: Vec<&Row> = order[start..].iter().take(size).map(|at| &rows[*at]).collect();
    let mut target = |row: &&Row| row.targets[rng.below(row.targets.len())];
    let mut candidates: Vec<(usize, usize)> = chosen.iter().map(&mut target).enumerate().collect();
    if settings.query_negatives {
        candidates.extend(chosen.iter().map(|row| row.query).enumerate());
    }
    candidates.extend(hard_negatives(&chosen, settings.hard_negatives, seed, step));
    let views = views(chosen.len(), settings.mirrored, seed, step);
    let seen: Vec<usize> = candidates.iter().map(|(owner, image)| image + views[*owner]).collect();
    let candidates: Vec<usize> = candidates.into_iter().map(|(_, image)| image).collect();
    let (images, columns) = distinct(&seen);
    let seen = chosen.iter().zip(&views);
    Batch {
        queries: seen
            .clone()
            .map(|(row, view)| (row.query + view, row.instruction))
            .collect(),
        seconds: seen.map(|(row, view)| row.second.map(|second| second + view)).collect(),
        images,
        columns,
        also_right: also_right(&chosen, &candidates),
    }
}

/// For each triplet how far its images' rows are moved: not at all, or to the mirrored views.
fn views(triplets: usize, mirrored: usize, seed: u64, step: usize) -> Vec<usize> {
    let mut rng = Random::seed_from_u64(mix(seed ^ 0x3177, step as u64));
    (0..triplets).map(|_| mirrored * rng.below(2)).collect()
}

/// At most `count` hard negatives of each triplet, which their own draws choose, with the triplet's number.
fn hard_negatives(rows: &[&Row], count: usize, seed: u64, step: usize) -> Vec<(usize, usize)> {
    let mut rng = Random::seed_from_u64(mix(seed ^ 0x4A2D, step as u64));
    let mut of_row = |(owner, row): (usize, &&Row)| {
        let mut left = row.hard_negatives.clone();
        let draws = count.min(left.len());
        let draw = |_| (owner, left.swap_remove(rng.below(left.len())));
        (0..draws).map(draw).collect()
    };
    rows.iter()
        .enumerate()
        .flat_map(|row| -> Vec<(usize, usize)> { of_row(row) })
        .collect()
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

    const PLAIN: BatchSettings = BatchSettings {
        size: 4,
        query_negatives: true,
        hard_negatives: 0,
        mirrored: 0,
    };
    const PAIRS: BatchSettings = BatchSettings { size: 2, ..PLAIN };

    fn table() -> TripletTable {
        // Query image, instruction, right images, hard negatives.
        let rows = [
            (0, 1, vec![1, 2], vec![6, 7, 8]),
            (3, 2, vec![2], vec![1]),
            (1, 1, vec![0], vec![]),
            (4, 2, vec![5], vec![2, 6]),
        ];
        let rows = rows
            .into_iter()
            .map(|(query, instruction, targets, hard_negatives)| Row {
                query,
                second: None,
                instruction,
                targets,
                hard_negatives,
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
        let mut seen: Vec<_> = (0..2).flat_map(|step| batch(&table, 7, step, PAIRS).queries).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(0, 1), (1, 1), (3, 2), (4, 2)]);
    }

    #[test]
    fn a_step_is_a_function_of_seed_and_step() {
        let table = table();
        assert_eq!(batch(&table, 7, 5, PAIRS), batch(&table, 7, 5, PAIRS));
        let differs = (0..20).any(|step| batch(&table, 7, step, PAIRS) != batch(&table, 8, step, PAIRS));
        assert!(differs);
    }

    #[test]
    fn other_right_answers_are_no_negatives_but_the_own_target_is_kept() {
        let table = table();
        for step in 0..10 {
            let batch = batch(&table, 1, step, PLAIN);
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
        let settings = BatchSettings {
            query_negatives: false,
            ..PLAIN
        };
        assert_eq!(batch(&table(), 1, 0, settings).columns.len(), 4);
    }

    /// The images of the columns behind targets and query images.
    fn drawn(batch: &Batch) -> Vec<usize> {
        let mut images: Vec<usize> = batch.columns[8..].iter().map(|place| batch.images[*place]).collect();
        images.sort_unstable();
        images
    }

    #[test]
    fn hard_negatives_join_behind_the_other_columns() {
        let table = table();
        let with = |hard_negatives| BatchSettings {
            hard_negatives,
            ..PLAIN
        };
        let mut firsts = HashSet::new();
        for step in 0..40 {
            let plain = batch(&table, 1, step, PLAIN);
            let (one, all) = (batch(&table, 1, step, with(1)), batch(&table, 1, step, with(9)));
            // One of 6 7 8, then 1, then one of 2 6; the triplet without any gives none.
            let found = drawn(&one);
            assert_eq!((found.len(), found[0]), (3, 1), "{found:?}");
            firsts.insert(found);
            assert_eq!(drawn(&all), [1, 2, 6, 6, 7, 8]);
            // The other columns are what they are without, and each image is a candidate once.
            for more in [&one, &all] {
                assert_eq!(
                    (&more.queries, &more.columns[..8]),
                    (&plain.queries, &plain.columns[..])
                );
                assert_eq!(more.images.iter().collect::<HashSet<_>>().len(), more.images.len());
            }
            assert_eq!(one, batch(&table, 1, step, with(1)));
        }
        // 6, 7 or 8, and 2 or 6.
        assert_eq!(firsts.len(), 6);
    }

    #[test]
    fn a_hard_negative_that_is_right_for_another_row_is_masked_there() {
        let table = table();
        let settings = BatchSettings {
            hard_negatives: 9,
            ..PLAIN
        };
        let batch = batch(&table, 1, 0, settings);
        let width = batch.columns.len();
        for (row, (query, _)) in batch.queries.iter().enumerate() {
            let masked = |image: usize| {
                let behind = (8..width).filter(|column| batch.images[batch.columns[*column]] == image);
                behind
                    .map(|column| batch.also_right[row * width + column])
                    .collect::<Vec<_>>()
            };
            // Right for query 0 are 1 and 2, for query 3 it is 2.
            assert_eq!(masked(1), [*query == 0], "query {query}");
            assert_eq!(masked(2), [*query == 0 || *query == 3], "query {query}");
            assert_eq!((masked(6), masked(7)), (vec![false; 2], vec![false]), "query {query}");
        }
    }

    #[test]
    fn all_images_of_a_triplet_are_mirrored_or_none() {
        let table = table();
        let plain = BatchSettings {
            hard_negatives: 9,
            ..PLAIN
        };
        let mirrored = BatchSettings { mirrored: 9, ..plain };
        let mut seen = HashSet::new();
        for step in 0..20 {
            let (plain, found) = (batch(&table, 1, step, plain), batch(&table, 1, step, mirrored));
            assert_eq!(plain.also_right, found.also_right);
            let column = |batch: &Batch, at: usize| batch.images[batch.columns[at]];
            for (row, ((before, text), (after, same_text))) in plain.queries.iter().zip(&found.queries).enumerate() {
                let view = after - before;
                assert!((view == 0 || view == 9) && text == same_text);
                assert_eq!(column(&found, row), column(&plain, row) + view, "target");
                assert_eq!(
                    column(&found, row + 4),
                    column(&plain, row + 4) + view,
                    "query as a negative"
                );
                seen.insert((*before, view));
            }
            for at in 8..plain.columns.len() {
                assert_eq!(column(&found, at) % 9, column(&plain, at), "hard negative");
            }
        }
        assert_eq!(seen.len(), 8, "each of four queries both ways");
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
