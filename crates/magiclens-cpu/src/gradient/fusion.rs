//! The attention fusion with its gradient.

use super::attention::{Pairs, gather};
use super::layer::{Layer, LayerScratch, LayerTape, join_pairs};
use super::linear::Linear;
use super::named::NamedGradients;
use super::pooler::{Pooler, PoolerScratch, PoolerTape};
use super::product::{Columns, OuterScratch};
use super::slots::Slots;
use crate::fusion::FusionSizes;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// A fusion with its weights packed for a step.
#[derive(Debug)]
pub struct FusionGradient {
    simd: Simd,
    width: usize,
    layers: Vec<Layer>,
    pooler: Pooler,
    /// The token of a second image, on its way into the text's.
    second: Option<Linear>,
}

/// What the way back through a fusion needs, for some pairs.
#[derive(Debug, Default)]
pub struct FusionTape {
    layers: Vec<LayerTape>,
    /// Numbers of the tokens that pairs are made of.
    given: usize,
    /// `[pairs, 2, width]`, behind the last layer.
    tokens: Vec<f32>,
    pooler: PoolerTape,
}

/// Memory of passes, kept between them.
#[derive(Debug, Default)]
pub struct FusionScratch {
    layer: LayerScratch,
    pooler: PoolerScratch,
    second: OuterScratch,
    tokens: Vec<f32>,
    slopes: Vec<f32>,
}

impl FusionGradient {
    /// Packs the tensors of a fusion.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(tensors: &Tensors<'_>, sizes: &FusionSizes, slots: &mut Slots) -> Result<Self, MissingTensor> {
        let layer = |number: usize, slots: &mut Slots| {
            Layer::new(&tensors.within(&format!("layers.{number}")), &sizes.block, slots)
        };
        Ok(Self {
            simd: Simd::get(),
            width: sizes.block.width,
            layers: (0..sizes.layers)
                .map(|number| layer(number, slots))
                .collect::<Result<_, _>>()?,
            pooler: Pooler::new(&tensors.within("pooler"), sizes, slots)?,
            second: sizes
                .second
                .then(|| second(tensors, sizes.block.width, slots))
                .transpose()?,
        })
    }

    /// Pairs of `tokens`, `[tokens, width]`, not normalized -> `[pairs, width]`, not normalized.
    pub fn forward(
        &self,
        tokens: &[f32],
        pairs: Pairs<'_>,
        tape: &mut FusionTape,
        scratch: &mut FusionScratch,
    ) -> Vec<f32> {
        let in_order = in_order(pairs.len());
        tape.given = tokens.len();
        tape.layers.resize_with(self.layers.len(), LayerTape::default);
        if self.layers.is_empty() {
            gather(tokens, pairs, self.width, &mut tape.tokens);
        }
        for (number, (layer, layer_tape)) in self.layers.iter().zip(&mut tape.layers).enumerate() {
            let next = &mut scratch.tokens;
            match number {
                0 => layer.forward(self.simd, tokens, pairs, layer_tape, next),
                _ => layer.forward(self.simd, &tape.tokens, &in_order, layer_tape, next),
            }
            std::mem::swap(next, &mut tape.tokens);
        }
        let mut out = Vec::new();
        self.pooler
            .forward(self.simd, &tape.tokens, &mut tape.pooler, &mut scratch.pooler, &mut out);
        out
    }

    /// The way back from slopes of what [`FusionGradient::forward`] gave, which are used up: adds to the sums of the weights.
    pub fn backward(
        &self,
        pairs: Pairs<'_>,
        tape: &FusionTape,
        scratch: &mut FusionScratch,
        slopes: &mut [f32],
        sums: &mut [f32],
    ) {
        let (layer, in_order) = (&mut scratch.layer, in_order(pairs.len()));
        let memory = (&mut *layer, &mut scratch.pooler);
        let of_tokens = &mut scratch.slopes;
        self.pooler
            .backward(self.simd, &tape.tokens, &tape.pooler, memory, slopes, sums, of_tokens);
        for number in (0..self.layers.len()).rev() {
            let (part, tape) = (&self.layers[number], &tape.layers[number]);
            match number {
                0 => part.backward(self.simd, pairs, tape, layer, of_tokens, sums),
                _ => {
                    part.backward(self.simd, &in_order, tape, layer, of_tokens, sums);
                    part.backward_to_tokens(self.simd, &in_order, tape, layer, of_tokens);
                }
            }
        }
    }

    /// Slopes of the tokens, `[tokens, width]`, after [`FusionGradient::backward`] with the same tape and memory.
    pub fn token_slopes<'a>(&self, pairs: Pairs<'_>, tape: &FusionTape, scratch: &'a mut FusionScratch) -> &'a [f32] {
        let slopes = &mut scratch.slopes;
        match (self.layers.first(), tape.layers.first()) {
            (Some(layer), Some(tape)) => {
                layer.backward_to_tokens(self.simd, pairs, tape, &mut scratch.layer, slopes);
            }
            _ => *slopes = join_pairs(self.simd, pairs, slopes, self.width, tape.given),
        }
        &scratch.slopes
    }

    /// Adds to text tokens, `[seconds, width]`, what the tokens of second images say, a row each. Nothing in a fusion without second images.
    pub fn add_seconds(&self, seconds: &[f32], texts: &mut [f32]) {
        if let Some(second) = &self.second {
            second.add_forward(self.simd, seconds, texts);
        }
    }

    /// The way back from the slopes of what [`FusionGradient::add_seconds`] changed: adds to those of the second images' tokens, and to
    /// the sums of the weights.
    pub fn carry_seconds_back(
        &self,
        seconds: &[f32],
        slopes: &[f32],
        scratch: &mut FusionScratch,
        of_seconds: &mut [f32],
        sums: &mut [f32],
    ) {
        if let Some(second) = &self.second {
            let slopes = Columns::all(slopes, self.width);
            second.add_sums(self.simd, &mut scratch.second, seconds, slopes, sums);
            second.add_backward(self.simd, slopes, of_seconds);
        }
    }

    /// The gradients of all tensors.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn gradients(
        &self,
        tensors: &Tensors<'_>,
        sums: &[f32],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        for (number, layer) in self.layers.iter().enumerate() {
            let part = format!("layers.{number}");
            layer.gradients(&tensors.within(&part), sums, &mut out.within(&part))?;
        }
        if let Some(second) = &self.second {
            let (weights, bias) = second.sums(sums);
            let mut out = out.within(SECOND);
            out.put("weight", weights.to_vec());
            out.put("bias", bias.to_vec());
        }
        self.pooler
            .gradients(&tensors.within("pooler"), sums, &mut out.within("pooler"))
    }
}

/// Part of a fusion's tensors.
const SECOND: &str = "second";

fn second(tensors: &Tensors<'_>, width: usize, slots: &mut Slots) -> Result<Linear, MissingTensor> {
    Linear::named(&tensors.within(SECOND), [width; 2], slots)
}

/// Pairs that lie side by side.
fn in_order(count: usize) -> Vec<[u32; 2]> {
    (0..count as u32).map(|at| [2 * at, 2 * at + 1]).collect()
}
