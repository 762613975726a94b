//! A layer of the fusion: attention and a ReLU feed-forward, each behind a layer norm and added to its input.

use super::attention::{self, Pairs, gather, two_rows};
use super::linear::Linear;
use super::named::NamedGradients;
use super::norm::Normed;
use super::normed_linear::NormedLinear;
use super::product::{Columns, OuterScratch};
use super::slots::Slots;
use super::vector::{add, stop_slopes};
use crate::attention::Heads;
use crate::block::BlockSizes;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// A layer with its weights packed for a step.
#[derive(Debug)]
pub(super) struct Layer {
    width: usize,
    heads: Heads,
    query_key_value: NormedLinear,
    output: Linear,
    feed_forward_in: NormedLinear,
    feed_forward_out: Linear,
}

/// What the way back through a layer needs.
#[derive(Debug, Default)]
pub(super) struct LayerTape {
    normed: Normed,
    query_key_value: Vec<f32>,
    logits: Vec<f32>,
    mixed: Vec<f32>,
    middle: Normed,
    hidden: Vec<f32>,
}

/// Memory of a way back.
#[derive(Debug, Default)]
pub(super) struct LayerScratch {
    pub(super) outer: OuterScratch,
    pub(super) wide: Vec<f32>,
    pub(super) narrow: Vec<f32>,
}

impl Layer {
    pub(super) fn new(tensors: &Tensors<'_>, sizes: &BlockSizes, slots: &mut Slots) -> Result<Self, MissingTensor> {
        let (width, wide, epsilon) = (sizes.width, sizes.feed_forward, sizes.epsilon);
        let parts = &["attention.query", "attention.key", "attention.value"];
        let feed_forward = (&["feed_forward_in"], [width, wide]);
        let mut normed = |norm, parts, size| NormedLinear::named(tensors, norm, parts, size, epsilon, &mut *slots);
        let query_key_value = normed("attention_norm", parts, [width, width])?;
        let feed_forward_in = normed("feed_forward_norm", feed_forward.0, feed_forward.1)?;
        Ok(Self {
            width,
            heads: Heads {
                cap: sizes.logit_cap.map(|cap| cap as f32),
                ..Heads::over(width, sizes.heads)
            },
            query_key_value,
            output: Linear::named(&tensors.within("attention.output"), [width, width], slots)?,
            feed_forward_in,
            feed_forward_out: Linear::named(&tensors.within("feed_forward_out"), [wide, width], slots)?,
        })
    }

    /// `[tokens, width]` -> `[pairs, 2, width]`.
    pub(super) fn forward(
        &self,
        simd: Simd,
        tokens: &[f32],
        pairs: Pairs<'_>,
        tape: &mut LayerTape,
        out: &mut Vec<f32>,
    ) {
        let normed = &self.query_key_value;
        tape.normed.load(simd, tokens, self.width, normed.epsilon);
        normed
            .linear
            .forward(simd, &tape.normed.units, &mut tape.query_key_value);
        let (logits, mixed) = (&mut tape.logits, &mut tape.mixed);
        attention::forward(simd, &self.heads, &tape.query_key_value, pairs, logits, mixed);
        gather(tokens, pairs, self.width, out);
        self.output.add_forward(simd, &tape.mixed, out);
        let normed = &self.feed_forward_in;
        tape.middle.load(simd, out, self.width, normed.epsilon);
        normed.linear.forward_relu(simd, &tape.middle.units, &mut tape.hidden);
        self.feed_forward_out.add_forward(simd, &tape.hidden, out);
    }

    /// Turns slopes of `[pairs, 2, width]` into those of queries, keys and values, `[tokens, 3 * width]` in `scratch.wide`,
    /// and into those of the tokens beside attention, and adds up what they say about the weights.
    pub(super) fn backward(
        &self,
        simd: Simd,
        pairs: Pairs<'_>,
        tape: &LayerTape,
        scratch: &mut LayerScratch,
        slopes: &mut [f32],
        sums: &mut [f32],
    ) {
        let LayerScratch { outer, wide, narrow } = scratch;
        let (width, hidden) = (self.width, self.feed_forward_out.inputs);
        let out = Columns::all(slopes, width);
        self.feed_forward_out.add_sums(simd, outer, &tape.hidden, out, sums);
        self.feed_forward_out.backward(simd, out, wide);
        stop_slopes(simd, wide, &tape.hidden);
        let normed = &self.feed_forward_in.linear;
        normed.add_sums(simd, outer, &tape.middle.units, Columns::all(wide, hidden), sums);
        normed.backward(simd, Columns::all(wide, hidden), narrow);
        tape.middle.add_backward(simd, narrow, slopes);

        let out = Columns::all(slopes, width);
        self.output.add_sums(simd, outer, &tape.mixed, out, sums);
        self.output.backward(simd, out, narrow);
        let (tokens, logits) = (&tape.query_key_value, &tape.logits);
        attention::backward(simd, &self.heads, tokens, pairs, logits, narrow, wide);
        let all = Columns::all(wide, 3 * width);
        self.query_key_value
            .linear
            .add_sums(simd, outer, &tape.normed.units, all, sums);
    }

    /// Slopes of the tokens, after [`Layer::backward`]: through attention, and beside it from the slopes of the pairs.
    pub(super) fn backward_to_tokens(
        &self,
        simd: Simd,
        pairs: Pairs<'_>,
        tape: &LayerTape,
        scratch: &mut LayerScratch,
        slopes: &mut Vec<f32>,
    ) {
        let (width, LayerScratch { wide, narrow, .. }) = (self.width, scratch);
        let in_order = |(at, pair): (u32, &[u32; 2])| *pair == [2 * at, 2 * at + 1];
        if !(0..).zip(pairs).all(in_order) {
            *slopes = join_pairs(simd, pairs, slopes, width, tape.normed.units.len());
        }
        self.query_key_value
            .linear
            .backward(simd, Columns::all(wide, 3 * width), narrow);
        tape.normed.add_backward(simd, narrow, slopes);
    }

    pub(super) fn gradients(
        &self,
        tensors: &Tensors<'_>,
        sums: &[f32],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        self.query_key_value.gradients(tensors, sums, out)?;
        self.feed_forward_in.gradients(tensors, sums, out)?;
        for (name, linear) in [
            ("attention.output", &self.output),
            ("feed_forward_out", &self.feed_forward_out),
        ] {
            let (weights, bias) = linear.sums(sums);
            let mut out = out.within(name);
            out.put("weight", weights.to_vec());
            out.put("bias", bias.to_vec());
        }
        Ok(())
    }
}

/// Slopes of tokens from those of pairs, where a token may belong to several.
pub(super) fn join_pairs(simd: Simd, pairs: Pairs<'_>, slopes: &[f32], width: usize, tokens: usize) -> Vec<f32> {
    let mut joined = vec![0.0; tokens];
    for (&pair, slopes) in pairs.iter().zip(slopes.chunks_exact(2 * width)) {
        let rows = two_rows(&mut joined, width, pair).into_iter();
        rows.zip(slopes.chunks_exact(width))
            .for_each(|(row, slopes)| add(simd, row, slopes));
    }
    joined
}
