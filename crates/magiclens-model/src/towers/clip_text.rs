//! CLIP's text tower: a causal transformer, read at the first end-of-text token.
//! Source: scenic `projects/baselines/clip/layers.py`, `TextEncoder`; openai/CLIP `clip/model.py`, `encode_text`.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, Linear, LinearConfig};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData};
use magiclens_cpu::{MissingTensor, Precision, Tensors, TextNetwork, TextSizes, TextTransformer, Token};
use serde::{Deserialize, Serialize};

use super::clip_block::{CLIP_NORM_EPS, ClipActivation, ClipBlock, ClipBlockConfig, clip_norm};
use super::tower::{PseudoWord, TextTower, TextTowerConfig, Tower, check_blocks};
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::clip::{CONTEXT_LENGTH, ClipTokenizer, VOCABULARY};

/// The tokens that a token of a text sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipTextMask {
    /// Scenic's: itself and what is before it, never an id of 0. That is meant for the padding, but also hides the real
    /// token 0, a `!` with something directly behind it.
    #[default]
    CausalWithoutZero,
    /// OpenAI's, open_clip's and transformers': itself and what is before it. The padding comes after the end marker.
    Causal,
}

impl ClipTextMask {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

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
    /// Inner width of the feed-forward layers; 4 * `width` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<usize>,
    /// Of the feed-forward layers.
    #[serde(default, skip_serializing_if = "ClipActivation::is_default")]
    pub activation: ClipActivation,
    /// The tokens that a token sees.
    #[serde(default, skip_serializing_if = "ClipTextMask::is_default")]
    pub mask: ClipTextMask,
}

impl ClipTextConfig {
    /// Inner width of the feed-forward layers.
    pub fn feed_forward(&self) -> usize {
        self.feed_forward.unwrap_or(4 * self.width)
    }

    pub(super) fn sizes(&self, dim: usize) -> TextSizes {
        TextSizes {
            block: self.block().sizes(CLIP_NORM_EPS, true),
            layers: self.layers,
            vocabulary: self.vocabulary,
            positions: self.context_length,
            dim,
        }
    }

    fn block(&self) -> ClipBlockConfig {
        ClipBlockConfig {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward(),
            activation: self.activation,
        }
    }
}

impl TextTowerConfig for ClipTextConfig {
    type Tower = ClipText;

    fn check(&self) -> Result<(), String> {
        check_blocks(
            self.width,
            self.layers,
            self.heads,
            self.feed_forward.unwrap_or(self.width),
        )?;
        match (self.context_length, self.vocabulary) {
            (CONTEXT_LENGTH, VOCABULARY) => Ok(()),
            (length, vocabulary) => Err(format!(
                "`context_length` {length} and `vocabulary` {vocabulary} are not the tokenizer's {CONTEXT_LENGTH} and {VOCABULARY}"
            )),
        }
    }

    fn tokenizer(&self, _folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError> {
        Ok(Box::new(ClipTokenizer::new()))
    }

    fn init(&self, dim: usize, device: &Device) -> ClipText {
        let block = self.block();
        let positions = Tensor::random(
            [self.context_length, self.width],
            Distribution::Normal(0.0, 0.01),
            device,
        );
        ClipText {
            token_embedding: EmbeddingConfig::new(self.vocabulary, self.width).init(device),
            position_embedding: Param::from_tensor(positions),
            blocks: (0..self.layers).map(|_| block.init(device)).collect(),
            final_norm: clip_norm(self.width, device),
            projection: LinearConfig::new(self.width, dim).with_bias(false).init(device),
            mask: self.mask,
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn TextNetwork>, MissingTensor> {
        Ok(Box::new(TextTransformer::new(precision, tower, self.sizes(dim))?))
    }

    /// Those up to the end marker, which sees no later one; without those that nothing sees.
    fn tokens(&self, ids: &[u32]) -> Vec<Token> {
        let hides_zero = self.mask == ClipTextMask::CausalWithoutZero;
        let read = ids.iter().copied().zip(0..=end_position(ids));
        read.filter(|(id, _)| !hides_zero || *id > 0).collect()
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
    #[module(skip)]
    mask: ClipTextMask,
}

/// Values inside of a [`ClipText`], for parity tests.
#[derive(Debug)]
pub struct ClipTextTrace {
    /// `[batch, context_length, width]` after each block.
    pub blocks: Vec<Tensor<3>>,
    /// `[batch, context_length, width]` after the last layer norm.
    pub final_norm: Tensor<3>,
    /// `[batch, dim]`, not normalized.
    pub embedding: Tensor<2>,
}

impl Tower for ClipText {}

impl TextTower for ClipText {
    /// burn's CPU backend hardly uses a second core inside one operation, so small pieces run side by side.
    fn batch(&self) -> usize {
        8
    }

    fn forward(&self, ids: &[&[u32]]) -> Tensor<2> {
        self.trace(ids).embedding
    }

    fn word_width(&self) -> Option<usize> {
        let [_, width] = self.position_embedding.val().dims();
        Some(width)
    }

    fn forward_with_words(&self, ids: &[&[u32]], words: &[PseudoWord<'_>]) -> Tensor<2> {
        let tokens = self.embed(ids); // [batch, seq, width]
        let (device, [batch, seq, width]) = (tokens.device(), tokens.dims());
        let vectors: Vec<f32> = words.iter().flat_map(|word| word.vector).copied().collect();
        let vectors = Tensor::<2>::from_data(TensorData::new(vectors, [batch, width]), &device);
        let taken: Vec<bool> = words
            .iter()
            .flat_map(|word| (0..seq).map(|position| word.positions.contains(&position)))
            .collect();
        let taken = Tensor::<3, Bool>::from_data(TensorData::new(taken, [batch, seq, 1]), &device);
        let shape = [batch, seq, width];
        let tokens = tokens.mask_where(taken.expand(shape), vectors.unsqueeze_dim::<3>(1).expand(shape));
        self.run(ids, tokens).embedding
    }
}

impl ClipText {
    /// [`TextTower::forward`], keeping the output of every part.
    pub fn trace(&self, ids: &[&[u32]]) -> ClipTextTrace {
        self.run(ids, self.embed(ids))
    }

    /// `[batch, seq, width]`, without positions.
    pub(super) fn embed(&self, ids: &[&[u32]]) -> Tensor<3> {
        let device = self.position_embedding.val().device();
        self.token_embedding.forward(id_tensor(ids, &device))
    }

    /// `tokens`: `[batch, seq, width]`, without positions.
    fn run(&self, ids: &[&[u32]], tokens: Tensor<3>) -> ClipTextTrace {
        let allowed = self.allowed_positions(ids, &tokens.device()); // [batch, 1, seq, seq]
        let (blocks, tokens) = self.transform(tokens, &allowed);
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

    /// `tokens`: `[batch, seq, width]` without positions, `allowed`: `[batch, 1, seq, seq]` -> `[batch, seq, width]` behind
    /// each block, and behind the last one.
    pub(super) fn transform(&self, tokens: Tensor<3>, allowed: &Tensor<4, Bool>) -> (Vec<Tensor<3>>, Tensor<3>) {
        let mut tokens = tokens + self.position_embedding.val().unsqueeze();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            tokens = block.forward(tokens, Some(allowed.clone()));
            blocks.push(tokens.clone());
        }
        (blocks, tokens)
    }

    /// `[batch, width]`, of one token a text -> `[batch, dim]`.
    pub(super) fn read_out(&self, read: Tensor<2>) -> Tensor<2> {
        self.projection.forward(self.final_norm.forward(read))
    }

    /// `[batch, 1, seq, seq]`: true where a token (third axis) sees another (last axis).
    fn allowed_positions(&self, ids: &[&[u32]], device: &Device) -> Tensor<4, Bool> {
        let hides_zero = self.mask == ClipTextMask::CausalWithoutZero;
        let length = ids.first().map_or(0, |row| row.len());
        let seen = |row: &[u32], position: usize| !hides_zero || row[position] > 0;
        allowed_where(ids, length, device, |row, query, key| {
            key <= query && seen(row, query) && seen(row, key)
        })
    }
}

/// `[batch, 1, length, length]`: true where `sees(ids, query, key)`.
pub(super) fn allowed_where(
    ids: &[&[u32]],
    length: usize,
    device: &Device,
    sees: impl Fn(&[u32], usize, usize) -> bool,
) -> Tensor<4, Bool> {
    let mut allowed = Vec::with_capacity(ids.len() * length * length);
    for row in ids {
        for query in 0..length {
            allowed.extend((0..length).map(|key| sees(row, query, key)));
        }
    }
    Tensor::from_data(TensorData::new(allowed, [ids.len(), 1, length, length]), device)
}

/// `[batch, context_length]`
pub(super) fn id_tensor(ids: &[&[u32]], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i64> = ids.iter().copied().flatten().map(|id| i64::from(*id)).collect();
    Tensor::from_data(
        TensorData::new(flat, [ids.len(), ids.first().map_or(0, |row| row.len())]),
        device,
    )
}

/// The first position of the largest id: the end-of-text token has the largest id of the vocabulary, and a truncated
/// text ends with it, so the first one is the true end.
fn end_position(ids: &[u32]) -> usize {
    let largest = ids.iter().max().copied().unwrap_or_default();
    ids.iter().position(|id| *id == largest).unwrap_or_default()
}
