//! CLIP's text tower: a causal transformer, read at the first end-of-text token.
//! Source: scenic `projects/baselines/clip/layers.py`, `TextEncoder`.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, Linear, LinearConfig};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::clip_block::{ClipBlock, clip_norm};
use crate::tokenizer::clip::TokenIds;

/// Sizes of a [`ClipText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipTextConfig {
    /// Width of the tokens.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each block.
    pub heads: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Tokens of a text, both markers included.
    pub context_length: usize,
}

impl ClipTextConfig {
    /// Builds the tower with random weights, projecting to `dim`.
    pub fn init(&self, dim: usize, device: &Device) -> ClipText {
        let positions = Tensor::random(
            [self.context_length, self.width],
            Distribution::Normal(0.0, 0.01),
            device,
        );
        ClipText {
            token_embedding: EmbeddingConfig::new(self.vocabulary, self.width).init(device),
            position_embedding: Param::from_tensor(positions),
            blocks: (0..self.layers)
                .map(|_| ClipBlock::init(self.width, self.heads, device))
                .collect(),
            final_norm: clip_norm(self.width, device),
            projection: LinearConfig::new(self.width, dim).with_bias(false).init(device),
        }
    }
}

/// CLIP's text transformer with its projection into the shared space.
#[derive(Module, Debug)]
pub struct ClipText {
    token_embedding: Embedding,
    position_embedding: Param<Tensor<2>>,
    blocks: Vec<ClipBlock>,
    final_norm: LayerNorm,
    projection: Linear,
}

/// Where a [`ClipText`] was looked into, for parity tests.
#[derive(Debug)]
pub struct ClipTextTrace {
    /// `[batch, context_length, width]` after each block.
    pub blocks: Vec<Tensor<3>>,
    /// `[batch, context_length, width]` after the last layer norm.
    pub final_norm: Tensor<3>,
    /// `[batch, dim]`, not normalised.
    pub embedding: Tensor<2>,
}

impl ClipText {
    /// One row of ids a text -> `[batch, dim]`, not normalised.
    pub fn forward(&self, ids: &[TokenIds]) -> Tensor<2> {
        self.trace(ids).embedding
    }

    /// [`ClipText::forward`], keeping what every part gave.
    pub fn trace(&self, ids: &[TokenIds]) -> ClipTextTrace {
        let device = self.position_embedding.val().device();
        let allowed = allowed_positions(ids, &device); // [batch, 1, seq, seq]
        let mut tokens = self.token_embedding.forward(id_tensor(ids, &device)); // [batch, seq, width]
        tokens = tokens + self.position_embedding.val().unsqueeze();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            tokens = block.forward(tokens, Some(allowed.clone()));
            blocks.push(tokens.clone());
        }
        let final_norm = self.final_norm.forward(tokens); // [batch, seq, width]
        let ends = ids.iter().enumerate().map(|(row, ids)| {
            final_norm
                .clone()
                .slice([row..row + 1, end_position(ids)..end_position(ids) + 1])
                .squeeze_dim::<2>(1)
        });
        let embedding = self.projection.forward(Tensor::cat(ends.collect(), 0)); // [batch, dim]
        ClipTextTrace {
            blocks,
            final_norm,
            embedding,
        }
    }
}

/// `[batch, context_length]`
fn id_tensor(ids: &[TokenIds], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i64> = ids.iter().flatten().map(|id| i64::from(*id)).collect();
    Tensor::from_data(
        TensorData::new(flat, [ids.len(), ids.first().map_or(0, |row| row.len())]),
        device,
    )
}

/// The first position of the largest id: the end-of-text token has the largest id of the vocabulary, and a truncated
/// text ends with it, so the first one is the true end.
pub(crate) fn end_position(ids: &TokenIds) -> usize {
    let largest = ids.iter().max().copied().unwrap_or_default();
    ids.iter().position(|id| *id == largest).unwrap_or_default()
}

/// `[batch, 1, seq, seq]`: a token sees itself and what is before it, never an id of 0. The reference masks padding by
/// `id > 0`, which also hides the real token 0 (an inner `!`).
fn allowed_positions(ids: &[TokenIds], device: &Device) -> Tensor<4, Bool> {
    let length = ids.first().map_or(0, |row| row.len());
    let mut allowed = Vec::with_capacity(ids.len() * length * length);
    for row in ids {
        for query in 0..length {
            allowed.extend((0..length).map(|key| key <= query && row[query] > 0 && row[key] > 0));
        }
    }
    Tensor::from_data(TensorData::new(allowed, [ids.len(), 1, length, length]), device)
}
