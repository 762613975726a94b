//! The losses and their slopes: functions of embeddings, in shares side by side.

use magiclens_cpu::gradient::{Contrastive, ContrastivePart};
use rayon::prelude::*;

/// A loss and its slopes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// The mean over queries.
    pub value: f32,
    /// Share of queries whose own target has the highest score among the columns.
    pub accuracy: f32,
    /// Slope by the factor on the cosines.
    pub temperature_slope: f32,
    /// `[queries, dim]`
    pub query_slopes: Vec<f32>,
    /// `[columns, dim]`
    pub candidate_slopes: Vec<f32>,
}

/// Rows of a loss, all of unit length.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings<'a> {
    /// Numbers of a row.
    pub dim: usize,
    /// `[queries, dim]`
    pub queries: &'a [f32],
    /// `[columns, dim]`, where query `i`'s own target is row `i`, and negatives follow the targets.
    pub candidates: &'a [f32],
}

/// The contrastive loss of MagicLens (paper section 3.2, equation 1): each query against all columns of the batch, one cross
/// entropy.
///
/// `temperature` is the factor on the cosines; `also_right`, `[queries, columns]`, is true where a column is another right answer
/// of that row and so no negative. The sums, and so the last bits, depend on the number of shares.
pub fn contrastive(embeddings: Embeddings<'_>, temperature: f32, also_right: &[bool], shares: usize) -> Loss {
    let Embeddings {
        dim,
        queries,
        candidates,
    } = embeddings;
    let (count, columns) = (queries.len() / dim, candidates.len() / dim);
    let all = Contrastive::new(candidates, dim, temperature);
    let share = count.div_ceil(shares).max(1);
    let parts: Vec<ContrastivePart> = queries
        .par_chunks(share * dim)
        .zip(also_right.par_chunks(share * columns))
        .enumerate()
        .map(|(at, (queries, also_right))| all.part(queries, at * share, also_right))
        .collect();
    mean(parts, count)
}

/// CLIP's symmetric loss between images and their captions, row by row; `also_right`, `[rows, rows]`, is true where another row
/// says the same, and symmetric. Captions are the candidates of the result.
pub fn captions(embeddings: Embeddings<'_>, temperature: f32, also_right: &[bool], shares: usize) -> Loss {
    let forth = contrastive(embeddings, temperature, also_right, shares);
    let exchanged = Embeddings {
        queries: embeddings.candidates,
        candidates: embeddings.queries,
        ..embeddings
    };
    let back = contrastive(exchanged, temperature, also_right, shares);
    let middle = |a: f32, b: f32| (a + b) / 2.0;
    let all = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| middle(*a, *b)).collect();
    Loss {
        value: middle(forth.value, back.value),
        accuracy: middle(forth.accuracy, back.accuracy),
        temperature_slope: middle(forth.temperature_slope, back.temperature_slope),
        query_slopes: all(&forth.query_slopes, &back.candidate_slopes),
        candidate_slopes: all(&forth.candidate_slopes, &back.query_slopes),
    }
}

/// Joins parts, whose sums become means over all queries.
fn mean(parts: Vec<ContrastivePart>, count: usize) -> Loss {
    let share = (count as f32).recip();
    let mut loss = Loss::default();
    let (mut value, mut hits, mut temperature_slope) = (0.0, 0, 0.0);
    for part in parts {
        value += part.loss;
        hits += part.hits;
        temperature_slope += part.temperature_slope;
        loss.query_slopes.extend(part.query_slopes);
        match loss.candidate_slopes.is_empty() {
            true => loss.candidate_slopes = part.candidate_slopes,
            false => {
                let both = loss.candidate_slopes.iter_mut().zip(part.candidate_slopes);
                both.for_each(|(sum, slope)| *sum += slope);
            }
        }
    }
    let slopes = loss.query_slopes.iter_mut().chain(&mut loss.candidate_slopes);
    slopes.for_each(|slope| *slope *= share);
    Loss {
        value: (value / count as f64) as f32,
        accuracy: hits as f32 * share,
        temperature_slope: (temperature_slope / count as f64) as f32,
        ..loss
    }
}
