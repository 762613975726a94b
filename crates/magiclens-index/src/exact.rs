//! Exact nearest neighbors: every vector is compared. Also the measure for any faster search.
//!
//! Vectors lie in memory as f16, as they lie in the store: half the bytes to bring in for each query.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use half::f16;
use half::slice::HalfFloatSliceExt;
use magiclens_data::{ImageId, dot};
use rayon::prelude::*;

/// Vectors of one space, a row each, in the order in which they came into the index.
#[derive(Debug)]
pub(crate) struct Matrix {
    dim: usize,
    ids: Vec<ImageId>,
    values: Vec<f16>, // [rows, dim]
}

/// Rows compared in one go by one thread: large enough to pay for the hand-over.
const ROWS_PER_TASK: usize = 2048;

impl Matrix {
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            dim,
            ids: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a row of `dim` numbers.
    pub(crate) fn push(&mut self, id: ImageId, vector: impl Iterator<Item = f16>) {
        self.ids.push(id);
        self.values.extend(vector);
        debug_assert_eq!(self.values.len(), self.ids.len() * self.dim);
    }

    /// The `limit` nearest rows, best first; ties in the order of their ids.
    ///
    /// `query` has `dim` numbers; rows in `exclude` or with a score below `min_score` are dropped.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        limit: usize,
        exclude: &[ImageId],
        min_score: Option<f32>,
    ) -> Vec<(ImageId, f32)> {
        if limit == 0 {
            return Vec::new();
        }
        let min_score = min_score.unwrap_or(f32::NEG_INFINITY);
        let best = self
            .ids
            .par_chunks(ROWS_PER_TASK)
            .zip(self.values.par_chunks(ROWS_PER_TASK * self.dim))
            .map(|(ids, rows)| {
                let mut best = Best::new(limit);
                let mut row_f32 = vec![0.0; self.dim];
                for (&id, row) in ids.iter().zip(rows.chunks_exact(self.dim)) {
                    row.convert_to_f32_slice(&mut row_f32);
                    let candidate = Candidate {
                        score: dot(query, &row_f32),
                        id,
                    };
                    if min_score <= candidate.score && best.would_take(&candidate) && !exclude.contains(&id) {
                        best.take(candidate);
                    }
                }
                best
            })
            .reduce(|| Best::new(limit), Best::merge);
        // Ascending in the order of the heap, which has the worst on top, means best first.
        best.heap
            .into_sorted_vec()
            .into_iter()
            .map(|candidate| (candidate.id, candidate.score))
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    score: f32,
    id: ImageId,
}

impl Eq for Candidate {}

/// A better candidate is less: higher score first, then the lower id.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `limit` best candidates so far, the worst of them on top.
struct Best {
    limit: usize,
    heap: BinaryHeap<Candidate>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
        }
    }

    fn would_take(&self, candidate: &Candidate) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| candidate < worst)
    }

    fn take(&mut self, candidate: Candidate) {
        if self.limit <= self.heap.len() {
            self.heap.pop();
        }
        self.heap.push(candidate);
    }

    fn merge(mut self, other: Self) -> Self {
        for candidate in other.heap {
            if self.would_take(&candidate) {
                self.take(candidate);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
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

    fn matrix(rows: &[(u32, Vec<f32>)]) -> Matrix {
        let mut matrix = Matrix::new(rows[0].1.len());
        for (n, row) in rows {
            matrix.push(id(*n), row.iter().map(|&v| f16::from_f32(v)));
        }
        matrix
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
            let found = matrix(&rows).nearest(&query, limit, &[], None);
            let expected = oracle(&rows, &query);
            assert_eq!(found.len(), limit.min(rows.len()));
            for ((found_id, score), (n, exact)) in found.iter().zip(&expected) {
                assert_eq!(*found_id, id(*n), "{} rows", rows.len());
                assert!((f64::from(*score) - exact).abs() < 1e-5, "{score} against {exact}");
            }
        }
    }

    fn check(rows: &[(u32, Vec<f32>)], limit: usize, exclude: &[u32], min_score: Option<f32>, expected: &[u32]) {
        let exclude: Vec<_> = exclude.iter().map(|&n| id(n)).collect();
        let found = matrix(rows).nearest(&[1.0, 0.0], limit, &exclude, min_score);
        let found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
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
