//! CoCa's text tower: CLIP's causal transformer with a learned class token behind the ids, read at that token.
//! Source: open_clip `transformer.py`, `TextTransformer`, where `embed_cls` is true.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Distribution, Tensor};
use magiclens_cpu::{MissingTensor, Precision, Tensors, TextNetwork, TextTransformer, Token};
use serde::{Deserialize, Serialize};

use super::clip_text::{ClipText, ClipTextConfig, ClipTextMask, allowed_where};
use super::tower::{TextTower, TextTowerConfig, Tower};
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::coca::CocaTokenizer;

/// Sizes of a [`CocaText`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CocaTextConfig {
    /// The transformer. The class token is the last one of its `context_length`.
    pub transformer: ClipTextConfig,
}

impl TextTowerConfig for CocaTextConfig {
    type Tower = CocaText;

    fn check(&self) -> Result<(), String> {
        self.transformer.check()?;
        match self.transformer.mask {
            ClipTextMask::Causal => Ok(()),
            ClipTextMask::CausalWithoutZero => Err("`mask` must be `causal` below a class token".into()),
        }
    }

    fn tokenizer(&self, _folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError> {
        Ok(Box::new(CocaTokenizer::new()))
    }

    fn init(&self, dim: usize, device: &Device) -> CocaText {
        let class = Tensor::random([self.transformer.width], Distribution::Normal(0.0, 0.01), device);
        CocaText {
            transformer: self.transformer.init(dim, device),
            class_embedding: Param::from_tensor(class),
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn TextNetwork>, MissingTensor> {
        let sizes = self.transformer.sizes(dim);
        Ok(Box::new(TextTransformer::with_class(precision, tower, sizes)?))
    }

    /// Those that others see, and the class token.
    fn tokens(&self, ids: &[u32]) -> Vec<Token> {
        let sizes = self.transformer.sizes(0);
        let is_seen = |key: usize| key == 0 || ids[key - 1] > 0;
        let class = match is_seen(ids.len()) {
            true => sizes.class(),
            false => sizes.hidden_class(),
        };
        let all = ids.iter().copied().zip(0..).filter(|(_, place)| is_seen(*place));
        all.chain([(class, ids.len())]).collect()
    }
}

/// CoCa's text transformer with its class token and a projection into the shared space.
#[derive(Module, Debug)]
pub struct CocaText {
    transformer: ClipText,
    /// `[width]`
    class_embedding: Param<Tensor<1>>,
}

impl Tower for CocaText {}

impl TextTower for CocaText {
    fn batch(&self) -> usize {
        self.transformer.batch()
    }

    fn forward(&self, ids: &[&[u32]]) -> Tensor<2> {
        let tokens = self.transformer.embed(ids); // [batch, ids, width]
        let [batch, count, width] = tokens.dims();
        let class = self.class_embedding.val().reshape([1, 1, width]);
        let tokens = Tensor::cat(vec![tokens, class.expand([batch, 1, width])], 1); // [batch, ids + 1, width]
        let allowed = allowed_positions(ids, count + 1, &tokens.device());
        let (_, tokens) = self.transformer.transform(tokens, &allowed);
        self.transformer.read_out(tokens.narrow(1, count, 1).squeeze_dim(1))
    }
}

/// `[batch, 1, length, length]`: a token sees itself and what is before it, but nothing that stands behind an id of 0.
/// Such an id is meant to be padding; published weights were trained with that mask being off by one, so that the first
/// padding is seen, and the token behind a real `!` is not.
fn allowed_positions(ids: &[&[u32]], length: usize, device: &Device) -> Tensor<4, Bool> {
    allowed_where(ids, length, device, |row, query, key| {
        key <= query && (key == 0 || row[key - 1] > 0)
    })
}
