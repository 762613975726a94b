//! The pooler: a learned query that looks at both tokens. As there is only one query, the keys' weights become one column a head;
//! and as probabilities add up to one, tokens can be mixed before they become values, which halves that product.

use super::attention::{cap_all, cap_slope, sigmoid};
use super::layer::LayerScratch;
use super::linear::Linear;
use super::named::NamedGradients;
use super::norm::Normed;
use super::probe::Probe;
use super::product::{Columns, ColumnsMut};
use super::slots::{Slot, Slots};
use super::vector::dot;
use crate::fusion::FusionSizes;
use crate::simd::{Simd, vectorized};
use crate::tensors::{MissingTensor, Tensors};

/// The pooler with its weights packed for a step.
#[derive(Debug)]
pub(super) struct Pooler {
    width: usize,
    inner: usize,
    cap: Option<f32>,
    epsilon: f32,
    probe: Probe,
    /// Tokens to logits, `[width, heads]`.
    keys: Linear,
    /// For each head mixed tokens to values.
    values: Vec<Linear>,
    output: Linear,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    gamma_sums: Slot,
    beta_sums: Slot,
}

/// What the way back through the pooler needs.
#[derive(Debug, Default)]
pub(super) struct PoolerTape {
    /// `[pairs, 2, heads]`, capped.
    logits: Vec<f32>,
    /// `[pairs, heads]`: the probability of the first token.
    probabilities: Vec<f32>,
    /// `[pairs, inner]`
    values: Vec<f32>,
    normed: Normed,
}

/// Memory of the pooler.
#[derive(Debug, Default)]
pub(super) struct PoolerScratch {
    mixed: Vec<f32>,
    mixed_slopes: Vec<f32>,
    logit_slopes: Vec<f32>,
    pooled: Vec<f32>,
}

impl Pooler {
    pub(super) fn new(tensors: &Tensors<'_>, sizes: &FusionSizes, slots: &mut Slots) -> Result<Self, MissingTensor> {
        let (width, inner) = (sizes.block.width, sizes.pooler_inner);
        let (attention, norm) = (tensors.within("attention"), tensors.within("norm"));
        let probe = Probe::new(tensors, [width, inner], sizes.block.heads)?;
        let (weights, bias) = probe.keys(&attention)?;
        let values = attention.within("value");
        let (all, bias_all) = (
            values.get_sized("weight", width * inner)?,
            values.get_sized("bias", inner)?,
        );
        let head = |bias: &[f32], first: usize, slots: &mut Slots| {
            let rows = all.chunks_exact(inner).flat_map(|row| &row[first..first + bias.len()]);
            Linear::new(&rows.copied().collect::<Vec<f32>>(), bias.to_vec(), slots)
        };
        let heads = bias_all.chunks(inner / sizes.block.heads).enumerate();
        Ok(Self {
            width,
            inner,
            cap: sizes.block.logit_cap.map(|cap| cap as f32),
            epsilon: sizes.block.epsilon as f32,
            keys: Linear::new(&weights, bias, slots),
            values: heads.map(|(at, bias)| head(bias, at * bias.len(), slots)).collect(),
            output: Linear::named(&attention.within("output"), [inner, width], slots)?,
            gamma: norm.get_sized("gamma", width)?.to_vec(),
            beta: norm.get_sized("beta", width)?.to_vec(),
            gamma_sums: slots.take(width),
            beta_sums: slots.take(width),
            probe,
        })
    }

    /// `[pairs, 2, width]` -> `[pairs, width]`.
    pub(super) fn forward(
        &self,
        simd: Simd,
        tokens: &[f32],
        tape: &mut PoolerTape,
        scratch: &mut PoolerScratch,
        out: &mut Vec<f32>,
    ) {
        let heads = self.values.len();
        let pairs = tokens.len() / (2 * self.width);
        self.keys.forward(simd, tokens, &mut tape.logits);
        tape.probabilities.resize(pairs * heads, 0.0);
        weigh(simd, self.cap, heads, &mut tape.logits, &mut tape.probabilities);
        tape.values.resize(pairs * self.inner, 0.0);
        scratch.mixed.resize(pairs * self.width, 0.0);
        for (head, values) in self.values.iter().enumerate() {
            mix(
                simd,
                tokens,
                &tape.probabilities[head..],
                heads,
                &mut scratch.mixed,
                self.width,
            );
            let mut out = ColumnsMut {
                values: &mut tape.values,
                width: self.inner,
                first: head * values.outputs,
            };
            values.forward_columns(simd, &scratch.mixed, &mut out);
        }
        self.output.forward(simd, &tape.values, &mut scratch.pooled);
        tape.normed.load(simd, &scratch.pooled, self.width, self.epsilon);
        out.resize(pairs * self.width, 0.0);
        scale_and_shift(simd, &tape.normed.units, &self.gamma, &self.beta, out);
    }

    /// Slopes of `tokens`, `[pairs, 2, width]`, into `out`, from those of what they became.
    #[expect(
        clippy::too_many_arguments,
        reason = "a pass: what it reads, its memory, and what it writes"
    )]
    pub(super) fn backward(
        &self,
        simd: Simd,
        tokens: &[f32],
        tape: &PoolerTape,
        memory: (&mut LayerScratch, &mut PoolerScratch),
        slopes: &mut [f32],
        sums: &mut [f32],
        out: &mut Vec<f32>,
    ) {
        let (LayerScratch { outer, wide, narrow }, scratch) = memory;
        let (width, heads) = (self.width, self.values.len());
        add_norm_sums(simd, slopes, &tape.normed.units, self.gamma_sums.of_mut(sums));
        super::vector::add_rows(simd, slopes, width, 0, self.beta_sums.of_mut(sums));
        scale(simd, slopes, &self.gamma);
        narrow.clear();
        narrow.resize(slopes.len(), 0.0);
        tape.normed.add_backward(simd, slopes, narrow);
        self.output
            .add_sums(simd, outer, &tape.values, Columns::all(narrow, width), sums);
        self.output.backward(simd, Columns::all(narrow, width), wide);
        out.clear();
        out.resize(tokens.len(), 0.0);
        scratch.logit_slopes.resize(tape.logits.len(), 0.0);
        scratch.mixed.resize(slopes.len(), 0.0);
        for (head, values) in self.values.iter().enumerate() {
            let probabilities = &tape.probabilities[head..];
            mix(simd, tokens, probabilities, heads, &mut scratch.mixed, width);
            let columns = Columns {
                values: wide,
                width: self.inner,
                first: head * values.outputs,
                count: values.outputs,
            };
            values.add_sums(simd, outer, &scratch.mixed, columns, sums);
            values.backward(simd, columns, &mut scratch.mixed_slopes);
            let place = HeadPlace {
                head,
                heads,
                cap: self.cap,
            };
            let (logits, logit_slopes) = (&tape.logits, &mut scratch.logit_slopes);
            unmix(
                simd,
                place,
                tokens,
                [probabilities, logits],
                &scratch.mixed_slopes,
                logit_slopes,
                out,
            );
        }
        let logit_slopes = Columns::all(&scratch.logit_slopes, heads);
        self.keys.add_sums(simd, outer, tokens, logit_slopes, sums);
        self.keys.add_backward(simd, logit_slopes, out);
    }

    pub(super) fn gradients(
        &self,
        tensors: &Tensors<'_>,
        sums: &[f32],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        let (weight_sums, bias_sums) = self.keys.sums(sums);
        self.probe.gradients(tensors, [weight_sums, bias_sums], out)?;
        let mut weights = vec![0.0; self.width * self.inner];
        let mut bias = Vec::with_capacity(self.inner);
        for (head, values) in self.values.iter().enumerate() {
            let (of_weights, of_bias) = values.sums(sums);
            bias.extend_from_slice(of_bias);
            let rows = weights
                .chunks_exact_mut(self.inner)
                .zip(of_weights.chunks_exact(values.outputs));
            rows.for_each(|(row, sums)| row[head * sums.len()..][..sums.len()].copy_from_slice(sums));
        }
        let mut value = out.within("attention.value");
        value.put("weight", weights);
        value.put("bias", bias);
        let (weights, bias) = self.output.sums(sums);
        let mut output = out.within("attention.output");
        output.put("weight", weights.to_vec());
        output.put("bias", bias.to_vec());
        let mut norm = out.within("norm");
        norm.put("gamma", self.gamma_sums.of(sums).to_vec());
        norm.put("beta", self.beta_sums.of(sums).to_vec());
        Ok(())
    }
}

/// A head among others.
#[derive(Clone, Copy)]
struct HeadPlace {
    head: usize,
    heads: usize,
    cap: Option<f32>,
}

vectorized! {
    /// Caps logits, `[pairs, 2, heads]`, and makes the probabilities of the first tokens of them.
    fn weigh(cap: Option<f32>, heads: usize, logits: &mut [f32], probabilities: &mut [f32]) {
        cap_all::<FMA>(cap, logits);
        let rows = logits.chunks_exact(2 * heads).zip(probabilities.chunks_exact_mut(heads));
        for (logits, probabilities) in rows {
            let (first, second) = logits.split_at(heads);
            for ((probability, first), second) in probabilities.iter_mut().zip(first).zip(second) {
                *probability = sigmoid::<FMA>(first - second);
            }
        }
    }
}

vectorized! {
    /// The sum of both tokens by the probability of the first, which stands at every `step`th place.
    fn mix(tokens: &[f32], probabilities: &[f32], step: usize, out: &mut [f32], width: usize) {
        let rows = tokens.chunks_exact(2 * width).zip(out.chunks_exact_mut(width));
        for ((tokens, out), probability) in rows.zip(probabilities.iter().step_by(step)) {
            let (first, second) = tokens.split_at(width);
            for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
                *out = second + probability * (first - second);
            }
        }
    }
}

vectorized! {
    /// Slopes of a head's logits, and what mixed tokens' slopes add to those of the tokens; `attention`: probabilities and logits.
    fn unmix(
        place: HeadPlace,
        tokens: &[f32],
        attention: [&[f32]; 2],
        mixed_slopes: &[f32],
        logit_slopes: &mut [f32],
        out: &mut [f32],
    ) {
        let (HeadPlace { head, heads, cap }, [probabilities, logits]) = (place, attention);
        let pairs = logits.len() / (2 * heads);
        let width = mixed_slopes.len() / pairs.max(1);
        let rows = tokens.chunks_exact(2 * width).zip(out.chunks_exact_mut(2 * width));
        for (pair, ((tokens, out), slopes)) in rows.zip(mixed_slopes.chunks_exact(width)).enumerate() {
            let (first, second) = tokens.split_at(width);
            let probability = probabilities[pair * heads];
            let along = dot::<FMA>(slopes, first) - dot::<FMA>(slopes, second);
            let along = along * probability * (1.0 - probability);
            for (token, sign) in [(0, 1.0), (1, -1.0)] {
                let at = (2 * pair + token) * heads + head;
                logit_slopes[at] = sign * along * cap_slope(cap, logits[at]);
            }
            let (out_first, out_second) = out.split_at_mut(width);
            for ((first, second), slope) in out_first.iter_mut().zip(out_second).zip(slopes) {
                *first += probability * slope;
                *second += (1.0 - probability) * slope;
            }
        }
    }
}

vectorized! {
    fn scale_and_shift(units: &[f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
        for (units, out) in units.chunks_exact(gamma.len()).zip(out.chunks_exact_mut(gamma.len())) {
            for (((out, unit), gamma), beta) in out.iter_mut().zip(units).zip(gamma).zip(beta) {
                *out = crate::math::mul_add::<FMA>(*unit, *gamma, *beta);
            }
        }
    }
}

vectorized! {
    fn scale(rows: &mut [f32], factors: &[f32]) {
        for row in rows.chunks_exact_mut(factors.len()) {
            row.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
    }
}

vectorized! {
    /// Adds `slopes * units` of all rows.
    fn add_norm_sums(slopes: &[f32], units: &[f32], sums: &mut [f32]) {
        for (slopes, units) in slopes.chunks_exact(sums.len()).zip(units.chunks_exact(sums.len())) {
            for ((sum, slope), unit) in sums.iter_mut().zip(slopes).zip(units) {
                *sum = crate::math::mul_add::<FMA>(*slope, *unit, *sum);
            }
        }
    }
}
