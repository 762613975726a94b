//! Text transformers: ids become tokens, blocks mix them, and one vector is read.

use crate::block::{Block, BlockSizes, Scratch, Token, linear};
use crate::linear::{Epilogue, Linear};
use crate::norm::LayerNorm;
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
    tokens: Vec<f32>,
    positions: Vec<f32>,
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
        let width = sizes.block.width;
        let blocks = (0..sizes.layers)
            .map(|layer| Block::new(precision, &tower.within(&format!("blocks.{layer}")), &sizes.block));
        Ok(Self {
            tokens: tower
                .get_sized("token_embedding.weight", sizes.vocabulary * width)?
                .to_vec(),
            positions: tower.get_sized("position_embedding", sizes.positions * width)?.to_vec(),
            blocks: blocks.collect::<Result<_, _>>()?,
            final_norm: LayerNorm::new(&tower.within("final_norm"), width, sizes.block.epsilon)?,
            projection: linear(precision, tower, "projection", [width, sizes.dim])?,
            sizes,
            memory: Pool::default(),
        })
    }

    /// CoCa's, whose transformer is in `transformer`. Its texts end with the class token, which sees itself or, as
    /// [`TextSizes::hidden_class`], does not; both stand behind the vocabulary.
    ///
    /// # Errors
    /// See [`TextTransformer::new`].
    pub fn with_class(precision: Precision, tower: &Tensors<'_>, sizes: TextSizes) -> Result<Self, MissingTensor> {
        let class = tower.get_sized("class_embedding", sizes.block.width)?;
        let mut network = Self::new(precision, &tower.within("transformer"), sizes)?;
        network.tokens.extend([class, class].concat());
        Ok(network)
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
