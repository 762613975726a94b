//! Attention of the tokens of a sequence. Scores live for eight queries at a time and are never written as a matrix.

use rayon::prelude::*;

use crate::kernels::{self, COLUMNS, Panel, ROWS, RowWords, Tile};
use crate::lines::Lines;
use crate::out::Out;
use crate::precision::{Precision, to_bf16};
use crate::rows::Rows;
use crate::run::Run;
use crate::simd::vectorized;

/// Sizes and rules of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) count: usize,
    /// Width of a head.
    pub(crate) width: usize,
    /// Scores are multiplied by it.
    pub(crate) scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub(crate) cap: Option<f32>,
}

impl Heads {
    /// Heads over a width, with the usual scale.
    pub(crate) fn over(inner: usize, count: usize) -> Self {
        let width = inner / count.max(1);
        Self {
            count,
            width,
            scale: (width as f32).sqrt().recip(),
            cap: None,
        }
    }

    /// Width of all heads.
    pub(crate) fn inner(&self) -> usize {
        self.count * self.width
    }
}

/// One sequence: its queries, and its tokens as keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    /// `[queries, inner]`
    pub(crate) queries: &'a [f32],
    /// `[tokens, 2 * inner]`: keys, then values.
    pub(crate) keys_values: &'a [f32],
    /// True if query `i` sees the tokens up to `i` only.
    pub(crate) causal: bool,
}

impl Sequence<'_> {
    /// Tokens that can be seen.
    fn tokens(&self, heads: &Heads) -> usize {
        self.keys_values.len() / (2 * heads.inner())
    }
}

/// Memory for attention, kept between calls: that of each thread.
#[derive(Debug, Default)]
pub(crate) struct AttentionScratch {
    workers: Vec<Worker>,
}

/// Memory of one thread.
#[derive(Debug, Default)]
struct Worker {
    panels: HeadPanels,
    /// `[ROWS, padded tokens]`
    scores: Vec<f32>,
    queries: Rows,
    probabilities: Rows,
}

/// Keys and values of a head as the kernels read them.
#[derive(Debug, Default)]
struct HeadPanels {
    keys: Lines,
    values: Lines,
}

impl AttentionScratch {
    /// The values that each query finds: `[queries, inner]`. Threads share the heads.
    pub(crate) fn attend(
        &mut self,
        run: Run,
        precision: Precision,
        heads: &Heads,
        sequence: Sequence<'_>,
        out: &mut [f32],
    ) {
        let head = HeadRun {
            run: Run { threads: 1, ..run },
            // Scores and probabilities of bytes would be too coarse.
            precision: precision.without_bytes(run.simd),
            heads,
            sequence,
            out: Out::new(out, heads.inner()),
        };
        let threads = run.threads.clamp(1, heads.count.max(1));
        self.workers
            .resize_with(threads.max(self.workers.len()), Worker::default);
        let attend = |(first, worker): (usize, &mut Worker)| {
            for number in (first..heads.count).step_by(threads) {
                worker.attend(&head, number);
            }
        };
        match threads {
            1 => attend((0, &mut self.workers[0])),
            _ => self.workers[..threads].par_iter_mut().enumerate().for_each(attend),
        }
    }
}

/// All that the attention of one head needs.
struct HeadRun<'a> {
    run: Run,
    precision: Precision,
    heads: &'a Heads,
    sequence: Sequence<'a>,
    out: Out<'a>,
}

impl HeadPanels {
    /// Packs keys as `[head width, tokens]` and values as `[tokens, head width]`.
    fn pack(&mut self, precision: Precision, heads: &Heads, head: usize, keys_values: &[f32]) {
        let (inner, width) = (heads.inner(), heads.width);
        let tokens = keys_values.chunks_exact(2 * inner);
        let count = tokens.len();
        let deep = precision.words(width);
        self.keys.clear(count.div_ceil(COLUMNS) * deep * COLUMNS);
        let from = head * width;
        for (token, row) in tokens.clone().enumerate() {
            let key = &row[from..from + width];
            let place = (token / COLUMNS) * deep * COLUMNS + token % COLUMNS;
            let column = self.keys[place..].iter_mut().step_by(COLUMNS);
            match precision {
                Precision::F32 => column.zip(key).for_each(|(word, value)| *word = value.to_bits()),
                _ => column
                    .zip(key.chunks(2))
                    .for_each(|(word, pair)| *word = pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0))),
            }
        }
        let deep = precision.words(count);
        self.values.clear(width.div_ceil(COLUMNS) * deep * COLUMNS);
        let per_word = precision.per_word();
        for (at, rows) in keys_values.chunks(per_word * 2 * inner).enumerate() {
            let (low, high) = rows.split_at(2 * inner);
            for first in (0..width).step_by(COLUMNS) {
                let columns = inner + from + first..inner + from + width.min(first + COLUMNS);
                let place = (first / COLUMNS * deep + at) * COLUMNS;
                let words = self.values[place..].iter_mut();
                let high = high.get(columns.clone()).unwrap_or_default().iter().copied();
                let low = low[columns].iter().copied();
                match precision {
                    Precision::F32 => words.zip(low).for_each(|(word, value)| *word = value.to_bits()),
                    _ => words
                        .zip(low.zip(high.chain(std::iter::repeat(0.0))))
                        .for_each(|(word, (low, high))| *word = pair_word(low, high)),
                }
            }
        }
    }
}

fn pair_word(low: f32, high: f32) -> u32 {
    u32::from(to_bf16(low)) | u32::from(to_bf16(high)) << 16
}

impl Worker {
    /// The attention of a head, which nobody else computes.
    fn attend(&mut self, head: &HeadRun<'_>, number: usize) {
        let HeadRun {
            precision,
            heads,
            sequence,
            ..
        } = *head;
        self.panels.pack(precision, heads, number, sequence.keys_values);
        let (inner, from) = (heads.inner(), number * heads.width);
        for first in (0..head.out.rows()).step_by(ROWS) {
            let count = ROWS.min(head.out.rows() - first);
            let rows = &sequence.queries[first * inner + from..][..(count - 1) * inner + heads.width];
            self.score(head, rows);
            self.weigh(head, first, count);
            self.mix(head, first, count, from);
        }
    }

    /// Scores of some queries, which lie `inner` apart, with all tokens.
    fn score(&mut self, head: &HeadRun<'_>, queries: &[f32]) {
        let HeadRun {
            run,
            precision,
            heads,
            sequence,
            ..
        } = *head;
        let inner = heads.inner();
        let padded = sequence.tokens(heads).next_multiple_of(COLUMNS);
        self.scores.resize(ROWS * padded, 0.0);
        self.queries.load(run, precision, queries, heads.width, inner);
        let count = queries.len().div_ceil(inner);
        let mut tile = Tile::new();
        let size = precision.words(heads.width) * COLUMNS;
        for (number, words) in self.panels.keys.chunks_exact(size).enumerate() {
            let panel = Panel { words, start: &[] };
            kernels::multiply(
                run.simd,
                precision,
                self.queries.words(queries, 0),
                count,
                panel,
                &mut tile,
            );
            for row in 0..count {
                self.scores[row * padded + number * COLUMNS..][..COLUMNS].copy_from_slice(tile.row(row));
            }
        }
    }

    /// Turns scores into probabilities; the first of `count` rows are those of query `first`.
    fn weigh(&mut self, head: &HeadRun<'_>, first: usize, count: usize) {
        let tokens = head.sequence.tokens(head.heads);
        let padded = tokens.next_multiple_of(COLUMNS);
        for (row, scores) in self.scores.chunks_exact_mut(padded).take(count).enumerate() {
            let seen = match head.sequence.causal {
                true => tokens.min(first + row + 1),
                false => tokens,
            };
            let (visible, hidden) = scores.split_at_mut(seen);
            softmax(head.run.simd, head.heads, visible);
            hidden.fill(0.0);
        }
    }

    /// The values of all tokens by their probabilities, into the rows from `first` on, from column `from` on.
    fn mix(&mut self, head: &HeadRun<'_>, first: usize, count: usize, from: usize) {
        let HeadRun {
            run,
            precision,
            heads,
            out,
            ..
        } = *head;
        let padded = self.scores.len() / ROWS;
        let scores = &self.scores[..count * padded];
        self.probabilities.load(run, precision, scores, padded, padded);
        let rows: RowWords<'_> = self.probabilities.words(scores, 0);
        let mut tile = Tile::new();
        let size = self.panels.values.len() / heads.width.div_ceil(COLUMNS);
        for (number, words) in self.panels.values.chunks_exact(size).enumerate() {
            let panel = Panel { words, start: &[] };
            kernels::multiply(run.simd, precision, rows, count, panel, &mut tile);
            let column = number * COLUMNS;
            let columns = COLUMNS.min(heads.width - column);
            for row in 0..count {
                // SAFETY: a head is one thread's, and its columns no other head's.
                let out = unsafe { out.part(first + row, from + column, columns) };
                out.copy_from_slice(&tile.row(row)[..columns]);
            }
        }
    }
}

/// Numbers that are compared or added up side by side.
const LANES: usize = 16;

vectorized! {
    /// Scales scores, caps them, and makes probabilities of them.
    fn softmax(heads: &Heads, scores: &mut [f32]) {
        match heads.cap {
            None => scores.iter_mut().for_each(|score| *score *= heads.scale),
            Some(cap) => scores.iter_mut().for_each(|score| {
                *score = cap * crate::math::tanh::<FMA>(*score * heads.scale / cap);
            }),
        }
        let mut largest = [f32::MIN; LANES];
        let (chunks, rest) = scores.as_chunks::<LANES>();
        for chunk in chunks {
            for (largest, score) in largest.iter_mut().zip(chunk) {
                *largest = if *score > *largest { *score } else { *largest };
            }
        }
        let largest = largest.iter().chain(rest).fold(f32::MIN, |a, b| a.max(*b));
        let mut sums = [0.0_f32; LANES];
        let (chunks, rest) = scores.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = crate::math::exp::<FMA>(*score - largest);
                *sum += *score;
            }
        }
        let mut sum: f32 = sums.iter().sum();
        for score in rest {
            *score = crate::math::exp::<FMA>(*score - largest);
            sum += *score;
        }
        let factor = sum.recip();
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Simd, Width};
    use crate::testing::noise;

    /// Attention by definition, in f64.
    fn expected(heads: &Heads, sequence: Sequence<'_>) -> Vec<f64> {
        let inner = heads.inner();
        let tokens: Vec<&[f32]> = sequence.keys_values.chunks_exact(2 * inner).collect();
        let mut out = Vec::new();
        for (at, query) in sequence.queries.chunks_exact(inner).enumerate() {
            let seen = if sequence.causal { at + 1 } else { tokens.len() };
            for head in 0..heads.count {
                let from = head * heads.width;
                let score = |token: &&[f32]| {
                    let both = query[from..from + heads.width].iter().zip(&token[from..]);
                    let score = both.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * f64::from(heads.scale);
                    match heads.cap {
                        Some(cap) => f64::from(cap) * (score / f64::from(cap)).tanh(),
                        None => score,
                    }
                };
                let weights: Vec<f64> = tokens[..seen].iter().map(|token| score(token).exp()).collect();
                let total: f64 = weights.iter().sum();
                for column in 0..heads.width {
                    let both = weights.iter().zip(&tokens);
                    let sum: f64 = both
                        .map(|(weight, token)| weight * f64::from(token[inner + from + column]))
                        .sum();
                    out.push(sum / total);
                }
            }
        }
        out
    }

    #[test]
    fn attention_is_its_definition() {
        for (tokens, count, width, causal, cap) in [
            (1, 1, 4, false, None),
            (2, 4, 16, false, Some(5.0)),
            (50, 3, 64, false, None),
            (77, 2, 33, true, None),
            (197, 2, 64, false, None),
        ] {
            let heads = Heads {
                cap,
                ..Heads::over(count * width, count)
            };
            let inner = heads.inner();
            let (queries, keys_values) = (noise(tokens * inner, 1), noise(tokens * 2 * inner, 2));
            let sequence = Sequence {
                queries: &queries,
                keys_values: &keys_values,
                causal,
            };
            let expected = expected(&heads, sequence);
            for width in [Width::Portable, Width::Avx2, Width::Avx512] {
                let simd = Simd::detect(width);
                for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 0.1), (Precision::Int8, 0.1)] {
                    for threads in [1, 3] {
                        let mut out = vec![0.0; tokens * inner];
                        let mut scratch = AttentionScratch::default();
                        scratch.attend(Run { simd, threads }, precision, &heads, sequence, &mut out);
                        for (found, expected) in out.iter().zip(&expected) {
                            let error = (f64::from(*found) - expected).abs();
                            assert!(error < tolerance, "{tokens} {precision} {simd}: {found} for {expected}");
                        }
                    }
                }
            }
        }
    }
}
