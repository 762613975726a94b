//! SigLIP's text tower: a transformer whose tokens see all others, padding included, read at the last one.
//! Source: transformers `models/siglip/modeling_siglip.py`, `SiglipTextModel`.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::{MissingTensor, Precision, Tensors, TextNetwork, TextSizes, TextTransformer};
use serde::{Deserialize, Serialize};

use super::clip_block::{ClipActivation, ClipBlock, ClipBlockConfig};
use super::clip_text::id_tensor;
use super::siglip_vit::SIGLIP_NORM_EPS;
use super::tower::{TextTower, TextTowerConfig, Tower, check_blocks, check_size, tokenizer_file};
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::siglip::SiglipTokenizer;

/// Entries of a vocabulary that are believed; Gemma's has 256,000.
const MAX_VOCABULARY: usize = 1 << 24;

/// Sizes of a [`SiglipText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiglipTextConfig {
    /// Width of the tokens.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each block.
    pub heads: usize,
    /// Inner width of the feed-forward layers.
    pub feed_forward: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Tokens of every text, padding included.
    pub context_length: usize,
}

impl SiglipTextConfig {
    fn block(&self) -> ClipBlockConfig {
        ClipBlockConfig {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward,
            activation: ClipActivation::GeluTanh,
        }
    }
}

impl TextTowerConfig for SiglipTextConfig {
    type Tower = SiglipText;

    fn check(&self) -> Result<(), String> {
        check_blocks(self.width, self.layers, self.heads, self.feed_forward)?;
        check_size("context_length", self.context_length)?;
        match self.vocabulary {
            1..=MAX_VOCABULARY => Ok(()),
            vocabulary => Err(format!(
                "`vocabulary` {vocabulary} is not between 1 and {MAX_VOCABULARY}"
            )),
        }
    }

    fn tokenizer(&self, folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError> {
        let read = |bytes: &[u8]| SiglipTokenizer::from_bytes(bytes, self.context_length, self.vocabulary);
        Ok(Box::new(tokenizer_file(folder, read)?))
    }

    fn has_logit_bias(&self) -> bool {
        true
    }

    fn init(&self, dim: usize, device: &Device) -> SiglipText {
        let block = self.block();
        let positions = [self.context_length, self.width];
        SiglipText {
            token_embedding: EmbeddingConfig::new(self.vocabulary, self.width).init(device),
            position_embedding: Param::from_tensor(Tensor::random(positions, Distribution::Normal(0.0, 0.01), device)),
            blocks: (0..self.layers)
                .map(|_| block.init_with(SIGLIP_NORM_EPS, device))
                .collect(),
            final_norm: LayerNormConfig::new(self.width)
                .with_epsilon(SIGLIP_NORM_EPS)
                .init(device),
            projection: LinearConfig::new(self.width, dim).init(device),
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn TextNetwork>, MissingTensor> {
        let sizes = TextSizes {
            block: self.block().sizes(SIGLIP_NORM_EPS, false),
            layers: self.layers,
            vocabulary: self.vocabulary,
            positions: self.context_length,
            dim,
        };
        Ok(Box::new(TextTransformer::new(precision, tower, sizes)?))
    }
}

/// SigLIP's text transformer with its projection into the shared space.
#[derive(Module, Debug)]
pub struct SiglipText {
    token_embedding: Embedding,
    position_embedding: Param<Tensor<2>>,
    blocks: Vec<ClipBlock>,
    final_norm: LayerNorm,
    projection: Linear,
}

impl Tower for SiglipText {}

impl TextTower for SiglipText {
    /// burn's CPU backend hardly uses a second core inside one operation, so small pieces run side by side.
    fn batch(&self) -> usize {
        8
    }

    /// Rows of `context_length` ids, as the tokenizer gives them.
    fn forward(&self, ids: &[&[u32]]) -> Tensor<2> {
        let device = self.position_embedding.val().device();
        let tokens = self.token_embedding.forward(id_tensor(ids, &device)); // [batch, seq, width]
        let tokens = tokens + self.position_embedding.val().unsqueeze();
        let tokens = self
            .blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(tokens, None));
        let [_batch, seq, _width] = tokens.dims();
        let last = tokens.narrow(1, seq - 1, 1).squeeze_dim::<2>(1); // [batch, width]
        self.projection.forward(self.final_norm.forward(last))
    }
}
