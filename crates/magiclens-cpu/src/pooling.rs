//! A learned query that looks at all tokens.

use crate::attention::{AttentionScratch, Heads, Sequence};
use crate::block::{key_value, linear};
use crate::linear::{Epilogue, Linear};
use crate::packed::Numbers;
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// Sizes and rules of an attention whose only query is learned.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSizes {
    /// Width of tokens.
    pub tokens: usize,
    /// Width of the query, and of what comes out.
    pub width: usize,
    /// Width of queries, keys and values over all heads.
    pub inner: usize,
    /// Number of heads.
    pub heads: usize,
    /// Scores become `cap * tanh(score / cap)`.
    pub logit_cap: Option<f64>,
}

/// The attention of a learned query. What it makes of the query alone is computed once.
#[derive(Debug)]
pub(crate) struct Probe {
    /// `[inner]`
    query: Numbers<f32>,
    key_value: Linear,
    output: Linear,
    heads: Heads,
}

/// Memory of a [`Probe`].
#[derive(Debug, Default)]
pub(crate) struct ProbeScratch {
    rows: Rows,
    keys_values: Vec<f32>,
    mixed: Vec<f32>,
    attention: AttentionScratch,
}

impl Probe {
    /// `probe` gives the query, `[width]`, behind its layer norm where it has one; `attention` holds the linear layers.
    pub(crate) fn new(
        precision: Precision,
        attention: &Tensors<'_>,
        sizes: &ProbeSizes,
        probe: impl FnOnce() -> Result<Vec<f32>, MissingTensor>,
    ) -> Result<Self, MissingTensor> {
        let heads = Heads {
            cap: sizes.logit_cap.map(|cap| cap as f32),
            ..Heads::over(sizes.inner, sizes.heads)
        };
        let query = || projected_query(attention, sizes, &heads, &probe()?);
        Ok(Self {
            query: attention.array("probe", sizes.inner, query)?,
            key_value: key_value(precision, attention, [sizes.tokens, sizes.inner])?,
            output: linear(precision, attention, "output", [sizes.inner, sizes.width])?,
            heads,
        })
    }

    /// The answer of each sequence of `tokens` to the query, a row each.
    pub(crate) fn forward(
        &self,
        run: Run,
        scratch: &mut ProbeScratch,
        tokens: &[f32],
        lengths: &[usize],
        out: &mut Vec<f32>,
    ) {
        let (inner, precision) = (self.heads.inner(), self.key_value.precision());
        let ProbeScratch { rows, keys_values, .. } = scratch;
        self.key_value.fill(run, rows, tokens, keys_values, Epilogue::STORE);
        scratch.mixed.resize(lengths.len() * inner, 0.0);
        let mut first = 0;
        for (length, out) in lengths.iter().zip(scratch.mixed.chunks_exact_mut(inner)) {
            let sequence = Sequence {
                queries: &self.query,
                keys_values: &scratch.keys_values[first * 2 * inner..][..length * 2 * inner],
                causal: false,
            };
            scratch.attention.attend(run, precision, &self.heads, sequence, out);
            first += length;
        }
        self.output
            .fill(run, &mut scratch.rows, &scratch.mixed, out, Epilogue::STORE);
    }
}

/// The query through its linear layer, times the learned scale of each dimension of a head where there is one: `[inner]`.
fn projected_query(
    attention: &Tensors<'_>,
    sizes: &ProbeSizes,
    heads: &Heads,
    probe: &[f32],
) -> Result<Vec<f32>, MissingTensor> {
    let query = attention.within("query");
    let weights = query.get_sized("weight", sizes.width * sizes.inner)?;
    let bias = query.get_sized("bias", sizes.inner)?;
    let mut sums: Vec<f64> = bias.iter().map(|bias| f64::from(*bias)).collect();
    for (value, row) in probe.iter().zip(weights.chunks_exact(sizes.inner)) {
        let both = sums.iter_mut().zip(row);
        both.for_each(|(sum, weight)| *sum += f64::from(*value) * f64::from(*weight));
    }
    if let Ok(scale) = attention.get_sized("per_dim_scale", heads.width) {
        for (at, sum) in sums.iter_mut().enumerate() {
            let scale = f64::from(scale[at % heads.width]);
            // The reference multiplies by 1 / softplus(0), written as 1.442695041.
            *sum *= scale.exp().ln_1p() * std::f64::consts::LOG2_E;
        }
    }
    Ok(sums.into_iter().map(|sum| sum as f32).collect())
}
