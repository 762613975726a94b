//! MiniLM: a post-norm BERT encoder whose token outputs are averaged into a sentence vector.
//! Source: transformers `BertModel`; sentence-transformers `all-MiniLM-L6-v2` (mean pooling).

use std::path::Path;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use magiclens_cpu::{
    Activation, Bert, BlockSizes, MissingTensor, NormOrder, Precision, Tensors, TextNetwork, TextSizes,
};
use serde::{Deserialize, Serialize};

use super::tower::{Projected, TextTower, TextTowerConfig, check_blocks, tokenizer_file};
use crate::ModelError;
use crate::attention::{Attention, AttentionConfig};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::wordpiece::MiniLmTokenizer;

/// The epsilon of every layer norm of BERT.
const NORM_EPS: f64 = 1e-12;

/// Sizes of a [`MiniLm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiniLmConfig {
    /// Width of the tokens.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each block.
    pub heads: usize,
    /// Width of the feed-forward layers.
    pub feed_forward: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Positions that exist.
    pub max_positions: usize,
    /// True if the mean over the tokens stands first in a row, as the text's place in the space of sentences.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sentence: bool,
}

impl MiniLmConfig {
    /// all-MiniLM-L6-v2.
    pub const L6: Self = Self {
        width: 384,
        layers: 6,
        heads: 12,
        feed_forward: 1536,
        vocabulary: 30522,
        max_positions: 512,
        sentence: false,
    };

    /// Builds the encoder with random weights.
    pub fn init_trunk(&self, device: &Device) -> MiniLm {
        MiniLm {
            token_embedding: EmbeddingConfig::new(self.vocabulary, self.width).init(device),
            position_embedding: EmbeddingConfig::new(self.max_positions, self.width).init(device),
            segment_embedding: EmbeddingConfig::new(2, self.width).init(device),
            embedding_norm: bert_norm(self.width, device),
            blocks: (0..self.layers).map(|_| BertBlock::init(self, device)).collect(),
            keeps_mean: self.sentence,
        }
    }
}

impl TextTowerConfig for MiniLmConfig {
    type Tower = MiniLmTower;

    fn check(&self) -> Result<(), String> {
        check_blocks(self.width, self.layers, self.heads, self.feed_forward)
    }

    fn shares_sentences(&self) -> bool {
        self.sentence
    }

    fn fixed_dim(&self) -> Option<usize> {
        self.sentence.then_some(self.width)
    }

    fn tokenizer(&self, folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError> {
        Ok(Box::new(tokenizer_file(folder, MiniLmTokenizer::from_bytes)?))
    }

    fn init(&self, dim: usize, device: &Device) -> MiniLmTower {
        let trunk = self.init_trunk(device);
        Projected::init(trunk, self.width, dim, device)
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn TextNetwork>, MissingTensor> {
        let block = BlockSizes {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward,
            activation: Activation::Gelu,
            epsilon: NORM_EPS,
            logit_cap: None,
            order: NormOrder::After,
            causal: false,
        };
        let sizes = TextSizes {
            block,
            layers: self.layers,
            vocabulary: self.vocabulary,
            positions: self.max_positions,
            dim,
        };
        Ok(Box::new(Bert::new(precision, tower, sizes, self.sentence)?))
    }
}

/// MiniLM and a learned projection.
pub type MiniLmTower = Projected<MiniLm>;

impl TextTower for MiniLmTower {
    fn batch(&self) -> usize {
        64
    }

    fn forward(&self, ids: &[&[u32]]) -> Tensor<2> {
        let means = self.trunk.forward(ids);
        let projected = self.projection.forward(means.clone());
        match self.trunk.keeps_mean {
            true => Tensor::cat(vec![means, projected], 1),
            false => projected,
        }
    }

    fn features(&self, ids: &[&[u32]]) -> Option<Tensor<2>> {
        Some(self.trunk.forward(ids))
    }
}

/// The encoder of all-MiniLM-L6-v2 and its kin.
#[derive(Module, Debug)]
pub struct MiniLm {
    token_embedding: Embedding,
    position_embedding: Embedding,
    segment_embedding: Embedding,
    embedding_norm: LayerNorm,
    blocks: Vec<BertBlock>,
    #[module(skip)]
    keeps_mean: bool,
}

/// Attention and a GELU feed-forward, each added to its input and then normalized.
#[derive(Module, Debug)]
pub struct BertBlock {
    attention: Attention,
    attention_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
    feed_forward_norm: LayerNorm,
}

impl MiniLm {
    /// Texts of one and the same length in tokens -> `[batch, width]`, the mean over tokens, not normalized. Equal
    /// lengths need no padding and no mask; [`crate::Embedder`] groups its texts by length.
    pub fn forward(&self, ids: &[&[u32]]) -> Tensor<2> {
        self.hidden_states(ids).mean_dim(1).squeeze_dim(1)
    }

    /// `[batch, seq, width]` after the last block.
    pub fn hidden_states(&self, ids: &[&[u32]]) -> Tensor<3> {
        let device = self.token_embedding.weight.val().device();
        let (batch, length) = (ids.len(), ids.first().map_or(0, |row| row.len()));
        let flat: Vec<i64> = ids.iter().flat_map(|row| row.iter().map(|id| i64::from(*id))).collect();
        let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(flat, [batch, length]), &device);
        let positions: Tensor<2, Int> = Tensor::arange(0..length as i64, &device).unsqueeze();
        let segments: Tensor<2, Int> = Tensor::zeros([1, 1], &device);
        let tokens = self.token_embedding.forward(ids) // [batch, seq, width]
            + self.position_embedding.forward(positions)
            + self.segment_embedding.forward(segments);
        self.blocks
            .iter()
            .fold(self.embedding_norm.forward(tokens), |tokens, block| {
                block.forward(tokens)
            })
    }
}

impl BertBlock {
    fn init(config: &MiniLmConfig, device: &Device) -> Self {
        Self {
            attention: AttentionConfig::plain(config.width, config.heads).init(device),
            attention_norm: bert_norm(config.width, device),
            feed_forward_in: LinearConfig::new(config.width, config.feed_forward).init(device),
            feed_forward_out: LinearConfig::new(config.feed_forward, config.width).init(device),
            feed_forward_norm: bert_norm(config.width, device),
        }
    }

    /// `[batch, seq, width]` -> `[batch, seq, width]`.
    fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        let attended = self.attention.forward(tokens.clone(), tokens.clone(), None);
        let tokens = self.attention_norm.forward(tokens + attended);
        let hidden = gelu(self.feed_forward_in.forward(tokens.clone())); // [batch, seq, feed_forward]
        self.feed_forward_norm
            .forward(tokens + self.feed_forward_out.forward(hidden))
    }
}

fn bert_norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(NORM_EPS).init(device)
}
