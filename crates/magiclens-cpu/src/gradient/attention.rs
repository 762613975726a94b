//! Attention between two tokens. A probability of one is one minus that of the other, so a head has two for each pair.

use super::vector::{add_two_scaled, dot};
use crate::attention::Heads;
use crate::math::exp;
use crate::simd::{Simd, vectorized};

/// Places of the two tokens of each pair among all tokens, the first before the second. Pairs may share tokens.
pub(super) type Pairs<'a> = &'a [[u32; 2]];

/// Logits of a pair and a head: of each token with each.
const LOGITS: usize = 4;

/// Mixed values of both tokens of each pair, `[pairs, 2, inner]`, from `[tokens, 3 * inner]`: queries, keys, values. The capped
/// logits, `[pairs, 4, heads]`, are kept for the way back.
pub(super) fn forward(
    simd: Simd,
    heads: &Heads,
    tokens: &[f32],
    pairs: Pairs<'_>,
    logits: &mut Vec<f32>,
    mixed: &mut Vec<f32>,
) {
    logits.resize(pairs.len() * LOGITS * heads.count, 0.0);
    mixed.resize(pairs.len() * 2 * heads.inner(), 0.0);
    mix_pairs(simd, heads, tokens, pairs, logits, mixed);
}

/// Slopes of queries, keys and values from those of the mixed values.
pub(super) fn backward(
    simd: Simd,
    heads: &Heads,
    tokens: &[f32],
    pairs: Pairs<'_>,
    logits: &[f32],
    slopes: &[f32],
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(tokens.len(), 0.0);
    let all = pairs.iter().zip(logits.chunks_exact(LOGITS * heads.count));
    for ((&pair, logits), slopes) in all.zip(slopes.chunks_exact(2 * heads.inner())) {
        let width = 3 * heads.inner();
        let row = |place: u32| &tokens[place as usize * width..][..width];
        let out = two_rows(out, width, pair);
        backward_pair(simd, heads, pair.map(row), logits, slopes, out);
    }
}

/// The tokens of pairs, side by side.
pub(super) fn gather(tokens: &[f32], pairs: Pairs<'_>, width: usize, out: &mut Vec<f32>) {
    out.clear();
    for place in pairs.as_flattened() {
        out.extend_from_slice(&tokens[*place as usize * width..][..width]);
    }
}

/// Two rows at once.
pub(super) fn two_rows(rows: &mut [f32], width: usize, [first, second]: [u32; 2]) -> [&mut [f32]; 2] {
    let (before, from_second) = rows.split_at_mut(second as usize * width);
    [
        &mut before[first as usize * width..][..width],
        &mut from_second[..width],
    ]
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Slope of a capped logit by the logit before.
#[inline(always)]
pub(super) fn cap_slope(cap: Option<f32>, capped: f32) -> f32 {
    cap.map_or(1.0, |cap| 1.0 - (capped / cap) * (capped / cap))
}

/// `cap * tanh(logit / cap)`
#[inline(always)]
pub(super) fn cap_all<const FMA: bool>(cap: Option<f32>, logits: &mut [f32]) {
    if let Some(cap) = cap {
        logits
            .iter_mut()
            .for_each(|logit| *logit = cap * crate::math::tanh::<FMA>(*logit / cap));
    }
}

vectorized! {
    fn mix_pairs(heads: &Heads, tokens: &[f32], pairs: Pairs<'_>, logits: &mut [f32], mixed: &mut [f32]) {
        let (inner, width, count) = (heads.inner(), heads.width, heads.count);
        let rows = logits.chunks_exact_mut(LOGITS * count).zip(mixed.chunks_exact_mut(2 * inner));
        for (pair, (logits, mixed)) in pairs.iter().zip(rows) {
            let tokens = pair.map(|place| &tokens[place as usize * 3 * inner..][..3 * inner]);
            for head in 0..count {
                let part = |number: usize| tokens.map(|token| &token[number * inner + head * width..][..width]);
                let (queries, keys) = (part(0), part(1));
                for at in 0..LOGITS {
                    logits[at * count + head] = heads.scale * dot::<FMA>(queries[at / 2], keys[at % 2]);
                }
            }
            cap_all::<FMA>(heads.cap, logits);
            for head in 0..count {
                let [first, second] = tokens.map(|token| &token[2 * inner + head * width..][..width]);
                for token in 0..2 {
                    let own = sigmoid::<FMA>(logits[2 * token * count + head] - logits[(2 * token + 1) * count + head]);
                    let mixed = &mut mixed[token * inner + head * width..][..width];
                    for ((mixed, first), second) in mixed.iter_mut().zip(first).zip(second) {
                        *mixed = second + own * (first - second);
                    }
                }
            }
        }
    }
}

vectorized! {
    fn backward_pair(heads: &Heads, tokens: [&[f32]; 2], logits: &[f32], slopes: &[f32], out: [&mut [f32]; 2]) {
        let (inner, width, count) = (heads.inner(), heads.width, heads.count);
        let [out_first, out_second] = out;
        for head in 0..count {
            let place = |number: usize| number * inner + head * width;
            let part = |number: usize| tokens.map(|token| &token[place(number)..][..width]);
            let (queries, keys, values) = (part(0), part(1), part(2));
            let slopes = [0, 1].map(|token| &slopes[token * inner + head * width..][..width]);
            let mut probabilities = [[0.0_f32; 2]; 2];
            let mut logit_slopes = [[0.0_f32; 2]; 2];
            for token in 0..2 {
                let capped = [0, 1].map(|other| logits[(2 * token + other) * count + head]);
                let first = sigmoid::<FMA>(capped[0] - capped[1]);
                let of_first = dot::<FMA>(slopes[token], values[0]) - dot::<FMA>(slopes[token], values[1]);
                let along = of_first * first * (1.0 - first) * heads.scale;
                probabilities[token] = [first, 1.0 - first];
                logit_slopes[token] = [
                    along * cap_slope(heads.cap, capped[0]),
                    -along * cap_slope(heads.cap, capped[1]),
                ];
            }
            for (token, out) in [&mut *out_first, &mut *out_second].into_iter().enumerate() {
                let of_keys = [logit_slopes[0][token], logit_slopes[1][token]];
                let of_values = [probabilities[0][token], probabilities[1][token]];
                add_two_scaled::<FMA>(&mut out[place(0)..][..width], logit_slopes[token], keys);
                add_two_scaled::<FMA>(&mut out[place(1)..][..width], of_keys, queries);
                add_two_scaled::<FMA>(&mut out[place(2)..][..width], of_values, slopes);
            }
        }
    }
}
