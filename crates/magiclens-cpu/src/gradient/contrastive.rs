//! The contrastive loss with its gradient, some queries at a time, so that the matrix of all logits never exists.

use super::product::{Columns, ColumnsMut, Finish, OuterScratch, Right, add_outer, multiply};
use super::vector::{dot, largest, sum_of};
use crate::math::exp;
use crate::simd::{Simd, vectorized};

/// Queries whose logits exist at the same time.
const BLOCK: usize = 64;

/// The columns of a contrastive loss: each query's own target, then negatives. All rows have length 1.
#[derive(Debug)]
pub struct Contrastive<'a> {
    simd: Simd,
    width: usize,
    candidates: &'a [f32],
    temperature: f32,
    forward: Right,
    backward: Right,
}

/// Losses and slopes of some queries.
#[derive(Debug, Default)]
pub struct ContrastivePart {
    /// Sum of the losses.
    pub loss: f64,
    /// Queries whose own target has the highest score, the first of equal ones.
    pub hits: usize,
    /// Slope of the sum of the losses by the temperature.
    pub temperature_slope: f64,
    /// `[queries, width]`: slopes of the sum of the losses.
    pub query_slopes: Vec<f32>,
    /// `[columns, width]`
    pub candidate_slopes: Vec<f32>,
}

impl<'a> Contrastive<'a> {
    /// Candidates, `[columns, width]`, and the factor on the cosines.
    pub fn new(candidates: &'a [f32], width: usize, temperature: f32) -> Self {
        let matrix = Columns::all(candidates, width);
        Self {
            simd: Simd::get(),
            width,
            candidates,
            temperature,
            forward: Right::of_transposed(matrix),
            backward: Right::of(matrix),
        }
    }

    /// The losses of some queries, `[queries, width]`, whose own targets are the columns from `first` on. `masked`,
    /// `[queries, columns]`, is true where a column is another right answer.
    pub fn part(&self, queries: &[f32], first: usize, masked: &[bool]) -> ContrastivePart {
        let columns = self.candidates.len() / self.width;
        let mut part = ContrastivePart {
            query_slopes: vec![0.0; queries.len()],
            candidate_slopes: vec![0.0; self.candidates.len()],
            ..ContrastivePart::default()
        };
        let (mut logits, mut exps, mut scratch) = (Vec::new(), vec![0.0; columns], OuterScratch::default());
        let blocks = queries.chunks(BLOCK * self.width).zip(masked.chunks(BLOCK * columns));
        let slopes = part.query_slopes.chunks_mut(BLOCK * self.width);
        for (at, ((queries, masked), slopes)) in blocks.zip(slopes).enumerate() {
            let queries = Columns::all(queries, self.width);
            logits.resize(queries.rows() * columns, 0.0);
            multiply(
                self.simd,
                queries,
                &self.forward,
                &mut ColumnsMut::all(&mut logits, columns),
                Finish::STORE,
            );
            let own = first + at * BLOCK;
            let rows = logits.chunks_exact_mut(columns).zip(masked.chunks_exact(columns));
            for (own, (logits, masked)) in (own..).zip(rows) {
                let mut row = RowLoss::default();
                row_loss(self.simd, logits, masked, own, self.temperature, &mut exps, &mut row);
                part.loss += row.loss;
                part.hits += usize::from(row.is_hit);
                part.temperature_slope += row.temperature_slope;
            }
            let logits = Columns::all(&logits, columns);
            multiply(
                self.simd,
                logits,
                &self.backward,
                &mut ColumnsMut::all(slopes, self.width),
                Finish::STORE,
            );
            add_outer(self.simd, &mut scratch, logits, queries, &mut part.candidate_slopes);
        }
        part
    }
}

/// The loss of one query.
#[derive(Default)]
struct RowLoss {
    loss: f64,
    is_hit: bool,
    temperature_slope: f64,
}

vectorized! {
    /// Cosines become slopes of the loss by the cosines. `exps` is memory of as many numbers.
    fn row_loss(cosines: &mut [f32], masked: &[bool], own: usize, temperature: f32, exps: &mut [f32], loss: &mut RowLoss) {
        let best = largest(cosines);
        loss.is_hit = cosines.iter().position(|cosine| *cosine == best) == Some(own);
        for ((exp, cosine), masked) in exps.iter_mut().zip(&*cosines).zip(masked) {
            *exp = if *masked { f32::MIN } else { *cosine };
        }
        let most = largest(exps);
        // A masked column's logit is so low that nothing of it is left.
        exps.iter_mut().for_each(|x| *x = if *x == f32::MIN { 0.0 } else { exp::<FMA>((*x - most) * temperature) });
        let sum = sum_of(exps, exps, |exp, _| exp);
        let own_cosine = cosines[own];
        loss.loss = f64::from((most - own_cosine) * temperature) + f64::from(sum).ln();
        loss.temperature_slope = f64::from(dot::<FMA>(exps, cosines) / sum - own_cosine);
        let factor = temperature / sum;
        cosines.iter_mut().zip(exps).for_each(|(cosine, exp)| *cosine = *exp * factor);
        cosines[own] -= temperature;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    const WIDTH: usize = 6;

    /// The losses by definition, in f64.
    fn expected(queries: &[f32], candidates: &[f32], first: usize, masked: &[bool], temperature: f64) -> f64 {
        let columns = candidates.len() / WIDTH;
        let of_row = |(row, query): (usize, &[f32])| {
            let dot = |candidate: &[f32]| -> f64 {
                query
                    .iter()
                    .zip(candidate)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            let logits: Vec<f64> = candidates
                .chunks_exact(WIDTH)
                .map(|row| temperature * dot(row))
                .collect();
            let seen = (0..columns).filter(|column| !masked[row * columns + column]);
            seen.map(|column| logits[column].exp()).sum::<f64>().ln() - logits[first + row]
        };
        queries.chunks_exact(WIDTH).enumerate().map(of_row).sum()
    }

    #[test]
    fn loss_and_slopes_are_those_of_the_definition() {
        // More than a block of queries, the second of two parts.
        let (count, columns, first, temperature) = (70, 150, 70, 7.0_f32);
        let (mut queries, mut candidates) = (noise(count * WIDTH, 1), noise(columns * WIDTH, 2));
        let masked: Vec<bool> = (0..count * columns)
            .map(|at| at % 7 == 0 && at % columns != first + at / columns)
            .collect();
        let part = Contrastive::new(&candidates, WIDTH, temperature).part(&queries, first, &masked);
        let loss = |queries: &[f32], candidates: &[f32], temperature| {
            expected(queries, candidates, first, &masked, temperature)
        };
        let found = loss(&queries, &candidates, f64::from(temperature));
        assert!((part.loss - found).abs() < 1e-3, "{} for {found}", part.loss);
        let by_temperature = |t: f64| loss(&queries, &candidates, t);
        let measured = (by_temperature(7.001) - by_temperature(6.999)) / 0.002;
        assert!((part.temperature_slope - measured).abs() < 1e-3 * measured.abs());
        for at in [0, 17, 65 * WIDTH + 3] {
            let slope = |rows: &mut Vec<f32>, loss: &dyn Fn(&[f32]) -> f64| {
                let start = rows[at];
                rows[at] = start + 1e-2;
                let above = loss(rows);
                rows[at] = start - 1e-2;
                let below = loss(rows);
                rows[at] = start;
                (above - below) / 2e-2
            };
            let of_queries = slope(&mut queries, &|rows| loss(rows, &candidates, f64::from(temperature)));
            let of_candidates = slope(&mut candidates, &|rows| loss(&queries, rows, f64::from(temperature)));
            for (found, measured) in [
                (part.query_slopes[at], of_queries),
                (part.candidate_slopes[at], of_candidates),
            ] {
                let error = (f64::from(found) - measured).abs();
                assert!(error < 2e-3 * (1.0 + measured.abs()), "{found} for {measured} at {at}");
            }
        }
    }

    #[test]
    fn the_first_of_equal_scores_is_the_hit() {
        let (queries, candidates) = ([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]);
        let part = Contrastive::new(&candidates, 2, 1.0).part(&queries, 0, &[false; 4]);
        assert_eq!(part.hits, 1);
        // Two equal logits.
        assert!((part.loss - 2.0 * 2.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_masked_column_far_above_the_own_one_takes_nothing_away() {
        let (queries, candidates) = ([1.0, 0.0], [-1.0, 0.0, 1.0, 0.0, -1.0, 0.0]);
        let part = Contrastive::new(&candidates, 2, 100.0).part(&queries, 0, &[false, true, false]);
        assert!((part.loss - 2.0_f64.ln()).abs() < 1e-6, "{}", part.loss);
        assert_eq!(part.hits, 0);
    }
}
