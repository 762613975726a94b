//! From vectors to ranked lists, exactly: every query against every gallery row, with the official rule for ties.
//!
//! Scores are dot products in f32. Equal scores come in DESCENDING order of their gallery position, as the MagicLens
//! code has them: `jnp.argsort` is stable and ascending, and is then reversed (`inference.py`).

use magiclens_data::dot;
use rayon::prelude::*;

/// Rows of equal width in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    dim: usize,
    values: Vec<f32>, // [rows, dim]
}

impl Matrix {
    /// No rows yet.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            values: Vec::new(),
        }
    }

    /// Space for so many rows.
    pub fn with_capacity(dim: usize, rows: usize) -> Self {
        Self {
            dim,
            values: Vec::with_capacity(dim * rows),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the row has another width.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "rows of a matrix have one width");
        self.values.extend_from_slice(row);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Width of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dim..(row + 1) * self.dim]
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim.max(1))
    }
}

/// Queries compared with the gallery in one go: their rows stay in the cache while the gallery streams by.
const QUERIES: usize = 16;

/// The scores of every gallery row for each of the queries, handed to `each` with the number of the query; queries go
/// on all cores.
pub fn score_all<T: Send>(
    queries: &Matrix,
    gallery: &Matrix,
    each: impl Fn(usize, &mut Vec<f32>) -> T + Sync,
) -> Vec<T> {
    let starts: Vec<usize> = (0..queries.len()).step_by(QUERIES).collect();
    let blocks: Vec<Vec<T>> = starts
        .par_iter()
        .map(|start| {
            let block = *start..(*start + QUERIES).min(queries.len());
            let mut scores = vec![Vec::with_capacity(gallery.len()); block.len()];
            for row in gallery.rows() {
                for (query, scores) in block.clone().zip(&mut scores) {
                    scores.push(dot(queries.row(query), row));
                }
            }
            block
                .zip(&mut scores)
                .map(|(query, scores)| each(query, scores))
                .collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// The positions of the `depth` best scores (of all, if `None`), best first, without the positions in `exclude`.
/// A NaN stands last.
pub fn rank(scores: &[f32], depth: Option<usize>, exclude: &[usize]) -> Vec<u32> {
    // One whole number a position, whose order is that of the ranking: sorting numbers is several times faster than
    // sorting positions by what they point at.
    let mut keys: Vec<u64> = (0..scores.len() as u32)
        .filter(|at| !exclude.contains(&(*at as usize)))
        .map(|at| u64::from(in_order(scores[at as usize])) << 32 | u64::from(at))
        .collect();
    if let Some(depth) = depth
        && depth < keys.len()
    {
        if depth == 0 {
            return Vec::new();
        }
        keys.select_nth_unstable_by(depth - 1, |a, b| b.cmp(a));
        keys.truncate(depth);
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.into_iter().map(|key| key as u32).collect()
}

/// A number in the order of the scores: zeros are one, whatever their sign, and a NaN is below everything.
fn in_order(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scores: &[f32], depth: Option<usize>, exclude: &[usize], expected: &[u32]) {
        assert_eq!(rank(scores, depth, exclude), expected);
    }

    #[test]
    fn ties_go_by_descending_position() {
        check(&[0.5, 1.0, 0.5, 0.5], None, &[], &[1, 3, 2, 0]);
        check(&[0.5, 1.0, 0.5, 0.5], Some(2), &[], &[1, 3]);
        check(&[0.5, 1.0, 0.5, 0.5], Some(2), &[3], &[1, 2]);
        check(&[0.5, f32::NAN, 0.7], None, &[], &[2, 0, 1]);
        check(&[0.5], Some(0), &[], &[]);
        check(&[], Some(3), &[], &[]);
        check(&[0.5], Some(3), &[0], &[]);
        check(
            &[-1.0, f32::INFINITY, -0.0, 0.0, f32::NEG_INFINITY, f32::NAN, -0.5],
            None,
            &[],
            &[1, 3, 2, 6, 0, 4, 5],
        );
    }

    #[test]
    fn a_cut_list_is_the_start_of_the_whole() {
        let scores: Vec<f32> = (0..500_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) % 37) as f32)
            .collect();
        let all = rank(&scores, None, &[7]);
        for depth in [1, 10, 250, 499, 500, 1000] {
            assert_eq!(rank(&scores, Some(depth), &[7]), all[..depth.min(all.len())]);
        }
    }

    #[test]
    fn scores_are_dot_products() {
        let mut queries = Matrix::new(3);
        let mut gallery = Matrix::new(3);
        for i in 0..40 {
            queries.push(&[i as f32, 1.0, 0.0]);
        }
        for j in 0..7 {
            gallery.push(&[1.0, j as f32, 5.0]);
        }
        let all = score_all(&queries, &gallery, |query, scores| (query, std::mem::take(scores)));
        for (at, (query, scores)) in all.iter().enumerate() {
            assert_eq!(at, *query);
            let expected: Vec<f32> = (0..7).map(|j| at as f32 + j as f32).collect();
            assert_eq!(*scores, expected);
        }
    }
}
