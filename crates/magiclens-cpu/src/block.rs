//! A block of a transformer: attention, and two linear layers with an activation between them, each added to its input.

use std::borrow::Cow;

use crate::attention::{AttentionScratch, Heads, Sequence};
use crate::linear::{Epilogue, Linear};
use crate::math::Activation;
use crate::norm::LayerNorm;
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// A token of a text: its id, and its place.
pub type Token = (u32, usize);

/// Sizes and rules of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockSizes {
    /// Width of tokens.
    pub width: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Width between the two linear layers.
    pub feed_forward: usize,
    /// Between the two linear layers.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub epsilon: f64,
    /// Scores become `cap * tanh(score / cap)`.
    pub logit_cap: Option<f64>,
    /// The place of the layer norms.
    pub order: NormOrder,
    /// True if a token sees itself and the tokens before it only.
    pub causal: bool,
}

/// The place of a block's layer norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormOrder {
    /// Before attention and linear layers: CLIP, SigLIP, MagicLens.
    Before,
    /// After what they give is added: BERT.
    After,
}

/// Tokens of some sequences, one after another.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// `[tokens, width]`
    pub(crate) values: Vec<f32>,
    /// Tokens of each sequence.
    pub(crate) lengths: Vec<usize>,
    /// Tokens of each sequence that attention sees: the first ones of it.
    pub(crate) seen: Vec<usize>,
}

impl Tokens {
    /// Begins anew with sequences that see all their tokens; `values` are the caller's to fill.
    pub(crate) fn begin(&mut self, lengths: impl Iterator<Item = usize>) {
        self.values.clear();
        self.lengths.clear();
        self.lengths.extend(lengths);
        self.seen.clone_from(&self.lengths);
    }
}

/// Memory of a forward pass, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) tokens: Tokens,
    pub(crate) normed: Vec<f32>,
    pub(crate) rows: Rows,
    pub(crate) read: Vec<f32>,
    queries: Vec<f32>,
    keys_values: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    attention: AttentionScratch,
}

impl Scratch {
    /// Takes over texts: a row of `tokens` and one of `positions` for each token, added up.
    pub(crate) fn embed(&mut self, texts: &[Vec<Token>], tokens: &[f32], positions: &[f32], width: usize) {
        self.tokens.begin(texts.iter().map(Vec::len));
        for (id, place) in texts.iter().flatten() {
            let token = &tokens[*id as usize * width..][..width];
            let position = &positions[place * width..][..width];
            let sums = token.iter().zip(position).map(|(token, position)| token + position);
            self.tokens.values.extend(sums);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Block {
    attention: SelfAttention,
    attention_norm: LayerNorm,
    feed_forward: FeedForward,
    feed_forward_norm: LayerNorm,
    order: NormOrder,
}

impl Block {
    pub(crate) fn new(precision: Precision, tensors: &Tensors<'_>, sizes: &BlockSizes) -> Result<Self, MissingTensor> {
        let norm = |name| LayerNorm::new(&tensors.within(name), sizes.width, sizes.epsilon);
        Ok(Self {
            attention: SelfAttention::new(precision, &tensors.within("attention"), sizes)?,
            attention_norm: norm("attention_norm")?,
            feed_forward: FeedForward::new(precision, tensors, sizes.width, sizes.feed_forward, sizes.activation)?,
            feed_forward_norm: norm("feed_forward_norm")?,
            order: sizes.order,
        })
    }

    /// All tokens of `scratch.tokens` through the block. With `kept`, one token of each sequence at that place is left of it: the
    /// others are seen by it and not computed further.
    pub(crate) fn forward(&self, run: Run, scratch: &mut Scratch, kept: Option<&[usize]>) {
        match self.order {
            NormOrder::Before => self
                .attention_norm
                .apply_to(run, &scratch.tokens.values, &mut scratch.normed),
            NormOrder::After => scratch.normed.clone_from(&scratch.tokens.values),
        }
        self.attention.forward(run, scratch, kept);
        if self.order == NormOrder::After {
            self.attention_norm.apply(run, &mut scratch.tokens.values);
        }
        match self.order {
            NormOrder::Before => {
                self.feed_forward_norm
                    .apply_to(run, &scratch.tokens.values, &mut scratch.normed);
            }
            NormOrder::After => scratch.normed.clone_from(&scratch.tokens.values),
        }
        self.feed_forward.forward(run, scratch);
        if self.order == NormOrder::After {
            self.feed_forward_norm.apply(run, &mut scratch.tokens.values);
        }
    }
}

/// Attention of the tokens of each sequence, with its linear layers.
#[derive(Debug)]
struct SelfAttention {
    query: Linear,
    key_value: Linear,
    output: Linear,
    heads: Heads,
    causal: bool,
}

impl SelfAttention {
    fn new(precision: Precision, tensors: &Tensors<'_>, sizes: &BlockSizes) -> Result<Self, MissingTensor> {
        let width = sizes.width;
        Ok(Self {
            query: linear(precision, tensors, "query", [width, width])?,
            key_value: key_value(precision, tensors, [width, width])?,
            output: linear(precision, tensors, "output", [width, width])?,
            heads: Heads {
                cap: sizes.logit_cap.map(|cap| cap as f32),
                ..Heads::over(width, sizes.heads)
            },
            causal: sizes.causal,
        })
    }

    /// Adds what the tokens in `scratch.normed` find to `scratch.tokens`.
    fn forward(&self, run: Run, scratch: &mut Scratch, kept: Option<&[usize]>) {
        let width = self.query.outputs();
        let (rows, normed) = (&mut scratch.rows, &mut scratch.normed);
        self.key_value
            .fill(run, rows, normed, &mut scratch.keys_values, Epilogue::STORE);
        if let Some(kept) = kept {
            keep(normed, &scratch.tokens.lengths, kept, width);
            keep(&mut scratch.tokens.values, &scratch.tokens.lengths, kept, width);
        }
        self.query
            .fill(run, rows, normed, &mut scratch.queries, Epilogue::STORE);
        scratch.mixed.resize(scratch.queries.len(), 0.0);
        let (mut first_token, mut first_query) = (0, 0);
        for (length, seen) in scratch.tokens.lengths.iter_mut().zip(&scratch.tokens.seen) {
            let queries = if kept.is_some() { 1 } else { *length };
            let at = first_query * width..(first_query + queries) * width;
            let sequence = Sequence {
                queries: &scratch.queries[at.clone()],
                keys_values: &scratch.keys_values[first_token * 2 * width..][..seen * 2 * width],
                // A single token that is kept is the last one where the order counts, and sees all.
                causal: self.causal && kept.is_none(),
            };
            let (precision, out) = (self.query.precision(), &mut scratch.mixed[at]);
            scratch.attention.attend(run, precision, &self.heads, sequence, out);
            first_token += *length;
            first_query += queries;
            *length = queries;
        }
        let Scratch {
            rows, mixed, tokens, ..
        } = scratch;
        self.output.pass(run, rows, mixed, &mut tokens.values, Epilogue::ADD);
    }
}

/// Two linear layers with an activation between them.
#[derive(Debug)]
pub(crate) struct FeedForward {
    input: Linear,
    output: Linear,
    activation: Activation,
}

impl FeedForward {
    pub(crate) fn new(
        precision: Precision,
        tensors: &Tensors<'_>,
        width: usize,
        inner: usize,
        activation: Activation,
    ) -> Result<Self, MissingTensor> {
        Ok(Self {
            input: linear(precision, tensors, "feed_forward_in", [width, inner])?,
            output: linear(precision, tensors, "feed_forward_out", [inner, width])?,
            activation,
        })
    }

    /// Adds what it makes of `scratch.normed` to `scratch.tokens`.
    pub(crate) fn forward(&self, run: Run, scratch: &mut Scratch) {
        let Scratch {
            rows,
            normed,
            hidden,
            tokens,
            ..
        } = scratch;
        self.input
            .fill(run, rows, normed, hidden, Epilogue::of(self.activation));
        self.output.pass(run, rows, hidden, &mut tokens.values, Epilogue::ADD);
    }
}

/// A linear layer of a model.
pub(crate) fn linear(
    precision: Precision,
    tensors: &Tensors<'_>,
    name: &str,
    sizes: [usize; 2],
) -> Result<Linear, MissingTensor> {
    let tensors = tensors.within(name);
    let [inputs, outputs] = sizes;
    let weights = || tensors.get_sized("weight", inputs * outputs).map(Cow::Borrowed);
    let bias = || Ok(tensors.get("bias").unwrap_or_default().to_vec());
    Linear::new(precision, &tensors, sizes, weights, bias)
}

/// The linear layers of keys and values as one.
pub(crate) fn key_value(
    precision: Precision,
    tensors: &Tensors<'_>,
    [inputs, inner]: [usize; 2],
) -> Result<Linear, MissingTensor> {
    let (key, value) = (tensors.within("key"), tensors.within("value"));
    let weights = || {
        let keys = key.get_sized("weight", inputs * inner)?.chunks_exact(inner);
        let values = value.get_sized("weight", inputs * inner)?.chunks_exact(inner);
        let rows: Vec<&[f32]> = keys.zip(values).flat_map(|(key, value)| [key, value]).collect();
        Ok(Cow::Owned(rows.concat()))
    };
    let bias = || Ok([key.get_sized("bias", inner)?, value.get_sized("bias", inner)?].concat());
    Linear::new(
        precision,
        &tensors.within("key_value"),
        [inputs, 2 * inner],
        weights,
        bias,
    )
}

/// Leaves one row of each sequence.
fn keep(values: &mut Vec<f32>, lengths: &[usize], kept: &[usize], width: usize) {
    let (mut from, mut to) = (0, 0);
    for (length, kept) in lengths.iter().zip(kept) {
        let row = (from + kept) * width;
        values.copy_within(row..row + width, to * width);
        from += length;
        to += 1;
    }
    values.truncate(to * width);
}
