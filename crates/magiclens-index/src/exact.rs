//! Exact nearest neighbors: every vector is compared. Also the measure for any faster search.
//!
//! Vectors lie in memory as f16, as they lie in the store: half the bytes to bring in for each query.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use half::f16;
use half::slice::HalfFloatSliceExt;
use magiclens_data::ImageId;
use rayon::prelude::*;

/// Vectors of one space, a row each, in the order in which they came into the index.
#[derive(Debug)]
pub struct Rows {
    dim: usize,
    ids: Vec<ImageId>,
    values: Vec<f16>, // [rows, dim]
    /// No other value of this process has the number.
    number: u64,
}

/// A row with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The score.
    pub score: f32,
    /// The image of the row.
    pub id: ImageId,
    /// The place of the row, for [`Rows::row`].
    pub row: usize,
}

/// The rows that are wanted of all that have a score.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Most rows.
    pub limit: usize,
    /// Images to drop, for example the query's own.
    pub exclude: &'a [ImageId],
    /// Rows with a lower score are dropped.
    pub min_score: Option<f32>,
}

/// Rows compared in one go by one thread: large enough to pay for the hand-over.
const ROWS_PER_TASK: usize = 2048;

impl<'a> Selection<'a> {
    /// The best `limit` rows of all.
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            exclude: &[],
            min_score: None,
        }
    }

    /// Without these images.
    pub fn without(self, exclude: &'a [ImageId]) -> Self {
        Self { exclude, ..self }
    }
}

impl Rows {
    pub(crate) fn new(dim: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            dim,
            ids: Vec::new(),
            values: Vec::new(),
            number: NEXT.fetch_add(1, Atomic::Relaxed),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Equal for equal rows only, within this process.
    pub fn version(&self) -> (u64, usize) {
        // Rows are added, never changed.
        (self.number, self.len())
    }

    /// The vector at a place, `[dim]`.
    pub fn row(&self, row: usize) -> Vec<f32> {
        let values = &self.values[row * self.dim..][..self.dim];
        values.iter().map(|value| value.to_f32()).collect()
    }

    /// All vectors in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Vec<f32>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// Adds a row of `dim` numbers.
    pub(crate) fn push(&mut self, id: ImageId, vector: impl Iterator<Item = f16>) {
        self.ids.push(id);
        self.values.extend(vector);
        debug_assert_eq!(self.values.len(), self.ids.len() * self.dim);
    }

    /// The rows with the highest scores, best first; ties in the order of their ids.
    pub fn best(&self, selection: &Selection<'_>, score: impl Fn(&[f32]) -> f32 + Sync) -> Vec<Found> {
        if selection.limit == 0 {
            return Vec::new();
        }
        let min_score = selection.min_score.unwrap_or(f32::NEG_INFINITY);
        let best = self
            .ids
            .par_chunks(ROWS_PER_TASK)
            .zip(self.values.par_chunks(ROWS_PER_TASK * self.dim))
            .enumerate()
            .map(|(chunk, (ids, rows))| {
                let mut best = Best::new(selection.limit);
                let mut row_f32 = vec![0.0; self.dim];
                for (place, (&id, row)) in ids.iter().zip(rows.chunks_exact(self.dim)).enumerate() {
                    row.convert_to_f32_slice(&mut row_f32);
                    let found = Found {
                        score: score(&row_f32),
                        id,
                        row: chunk * ROWS_PER_TASK + place,
                    };
                    if min_score <= found.score && best.would_take(&found) && !selection.exclude.contains(&id) {
                        best.take(found);
                    }
                }
                best
            })
            .reduce(|| Best::new(selection.limit), Best::merge);
        // Ascending in the order of the heap, which has the worst on top, means best first.
        best.heap.into_sorted_vec().into_iter().map(|found| found.0).collect()
    }
}

/// A row in the order of the heap: the better one is less, by a higher score, then by the lower id.
#[derive(Clone, Copy, Debug)]
struct Ranked(Found);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0, &other.0);
        other.score.total_cmp(&one.score).then(one.id.cmp(&other.id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `limit` best rows so far, the worst of them on top.
struct Best {
    limit: usize,
    heap: BinaryHeap<Ranked>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
        }
    }

    fn would_take(&self, found: &Found) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| Ranked(*found) < *worst)
    }

    fn take(&mut self, found: Found) {
        if self.limit <= self.heap.len() {
            self.heap.pop();
        }
        self.heap.push(Ranked(found));
    }

    fn merge(mut self, other: Self) -> Self {
        for Ranked(found) in other.heap {
            if self.would_take(&found) {
                self.take(found);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use magiclens_data::dot;

    use super::*;

    fn id(n: u32) -> ImageId {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        ImageId::from_bytes(bytes)
    }

    /// Numbers in [-1, 1) that look random and are the same everywhere.
    fn noise(seed: u32, len: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn rows_of(rows: &[(u32, Vec<f32>)]) -> Rows {
        let mut found = Rows::new(rows[0].1.len());
        for (n, row) in rows {
            found.push(id(*n), row.iter().map(|&v| f16::from_f32(v)));
        }
        found
    }

    /// The answer by definition: f64 over the same f16 numbers, a full sort.
    fn oracle(rows: &[(u32, Vec<f32>)], query: &[f32]) -> Vec<(u32, f64)> {
        let mut scores: Vec<(u32, f64)> = rows
            .iter()
            .map(|(n, row)| {
                (
                    *n,
                    row.iter()
                        .zip(query)
                        .map(|(r, q)| f16::from_f32(*r).to_f64() * f64::from(*q))
                        .sum(),
                )
            })
            .collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores
    }

    #[test]
    fn equals_the_oracle_on_any_size() {
        for (rows, dim, limit) in [(1, 3, 5), (7, 16, 3), (100, 33, 10), (5000, 40, 25), (9001, 8, 100)] {
            let rows: Vec<_> = (0..rows).map(|n| (n, noise(n, dim))).collect();
            let query = noise(u32::MAX, dim);
            let selection = Selection::first(limit);
            let in_memory = rows_of(&rows);
            let found = in_memory.best(&selection, |row| dot(&query, row));
            let expected = oracle(&rows, &query);
            assert_eq!(found.len(), limit.min(rows.len()));
            for (
                Found {
                    score,
                    id: found_id,
                    row,
                },
                (n, exact),
            ) in found.iter().zip(&expected)
            {
                assert_eq!(*found_id, id(*n), "{} rows", rows.len());
                assert!((f64::from(*score) - exact).abs() < 1e-5, "{score} against {exact}");
                assert_eq!(dot(&query, &in_memory.row(*row)), *score);
            }
            assert!(in_memory.iter().eq((0..rows.len()).map(|row| in_memory.row(row))));
        }
    }

    fn check(rows: &[(u32, Vec<f32>)], limit: usize, exclude: &[u32], min_score: Option<f32>, expected: &[u32]) {
        let exclude: Vec<_> = exclude.iter().map(|&n| id(n)).collect();
        let selection = Selection {
            limit,
            exclude: &exclude,
            min_score,
        };
        let found = rows_of(rows).best(&selection, |row| dot(&[1.0, 0.0], row));
        let found: Vec<_> = found.into_iter().map(|found| found.id).collect();
        assert_eq!(found, expected.iter().map(|&n| id(n)).collect::<Vec<_>>());
    }

    #[test]
    fn ties_exclusion_and_threshold() {
        let rows = [
            (9, vec![0.5, 0.0]),
            (3, vec![0.5, 1.0]),
            (5, vec![0.5, 0.0]),
            (7, vec![1.0, 0.0]),
            (1, vec![-1.0, 0.0]),
        ];
        check(&rows, 9, &[], None, &[7, 3, 5, 9, 1]);
        check(&rows, 2, &[], None, &[7, 3]);
        check(&rows, 3, &[7, 3], None, &[5, 9, 1]);
        check(&rows, 9, &[], Some(0.5), &[7, 3, 5, 9]);
        check(&rows, 9, &[], Some(2.0), &[]);
        check(&rows, 0, &[], None, &[]);
    }

    #[test]
    fn a_nan_does_not_win() {
        let rows = [(1, vec![f32::NAN, 0.0]), (2, vec![0.1, 0.0])];
        check(&rows, 1, &[], None, &[2]);
    }
}
