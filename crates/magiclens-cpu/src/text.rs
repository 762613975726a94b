//! Text transformers: ids become tokens, blocks mix them, and one vector is read.

use crate::block::{Block, BlockSizes, Scratch, Token, linear};
use crate::linear::{Epilogue, Linear};
use crate::norm::LayerNorm;
use crate::packed::Numbers;
use crate::pool::Pool;
use crate::precision::Precision;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// Sizes of a [`TextTransformer`].
#[derive(Clone, Copy, Debug)]
pub struct TextSizes {
    /// Of every block.
    pub block: BlockSizes,
    /// Number of blocks.
    pub layers: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Positions that exist.
    pub positions: usize,
    /// Width of the output.
    pub dim: usize,
}

impl TextSizes {
    /// The id of a class token.
    pub fn class(&self) -> u32 {
        self.vocabulary as u32
    }

    /// The id of a class token that no token sees, not even itself.
    pub fn hidden_class(&self) -> u32 {
        self.class() + 1
    }
}

/// A text transformer with packed weights, read at the last token: CLIP's, SigLIP's and CoCa's.
#[derive(Debug)]
pub struct TextTransformer {
    sizes: TextSizes,
    /// Behind the vocabulary CoCa's class token, twice: as it is, and as one that nothing sees.
    tokens: Numbers<f32>,
    positions: Numbers<f32>,
    blocks: Vec<Block>,
    final_norm: LayerNorm,
    projection: Linear,
    memory: Pool<Scratch>,
}

impl TextTransformer {
    /// Packs the tensors of a tower.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(precision: Precision, tower: &Tensors<'_>, sizes: TextSizes) -> Result<Self, MissingTensor> {
        Self::pack(precision, tower, sizes, 0, || Ok(Vec::new()))
    }

    /// CoCa's, whose transformer is in `transformer`. Its texts end with the class token, which sees itself or, as
    /// [`TextSizes::hidden_class`], does not; both stand behind the vocabulary.
    ///
    /// # Errors
    /// See [`TextTransformer::new`].
    pub fn with_class(precision: Precision, tower: &Tensors<'_>, sizes: TextSizes) -> Result<Self, MissingTensor> {
        let class = || Ok(tower.get_sized("class_embedding", sizes.block.width)?.repeat(2));
        Self::pack(precision, &tower.within("transformer"), sizes, 2, class)
    }

    /// With tokens behind those of the vocabulary.
    fn pack(
        precision: Precision,
        transformer: &Tensors<'_>,
        sizes: TextSizes,
        more: usize,
        tokens: impl FnOnce() -> Result<Vec<f32>, MissingTensor>,
    ) -> Result<Self, MissingTensor> {
        let width = sizes.block.width;
        let blocks = (0..sizes.layers)
            .map(|layer| Block::new(precision, &transformer.within(&format!("blocks.{layer}")), &sizes.block));
        let all_tokens = || {
            let vocabulary = transformer.get_sized("token_embedding.weight", sizes.vocabulary * width)?;
            Ok([vocabulary, &tokens()?].concat())
        };
        Ok(Self {
            tokens: transformer.array("tokens", (sizes.vocabulary + more) * width, all_tokens)?,
            positions: transformer.tensor("position_embedding", sizes.positions * width)?,
            blocks: blocks.collect::<Result<_, _>>()?,
            final_norm: LayerNorm::new(&transformer.within("final_norm"), width, sizes.block.epsilon)?,
            projection: linear(precision, transformer, "projection", [width, sizes.dim])?,
            sizes,
            memory: Pool::default(),
        })
    }

    /// Texts -> `[texts, dim]`, each read at its last token. Ids and places must exist; a text has a token at least. `threads`
    /// share each layer.
    pub fn forward(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32> {
        let run = Run::on(threads);
        if texts.is_empty() {
            return Vec::new();
        }
        self.memory.with(|scratch| {
            scratch.embed(texts, &self.tokens, &self.positions, self.sizes.block.width);
            for (text, seen) in texts.iter().zip(&mut scratch.tokens.seen) {
                let ends_hidden = text.last().is_some_and(|(id, _)| *id == self.sizes.hidden_class());
                *seen -= usize::from(ends_hidden);
            }
            let (last, first) = self.blocks.split_last().expect("a transformer has blocks");
            first.iter().for_each(|block| block.forward(run, scratch, None));
            let ends: Vec<usize> = texts.iter().map(|text| text.len() - 1).collect();
            last.forward(run, scratch, Some(&ends));
            self.final_norm.apply(run, &mut scratch.tokens.values);
            let (mut out, read) = (Vec::new(), &scratch.tokens.values);
            self.projection
                .fill(run, &mut scratch.rows, read, &mut out, Epilogue::STORE);
            out
        })
    }
}
