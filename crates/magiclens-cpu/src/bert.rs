//! MiniLM: a BERT whose tokens are averaged, and a projection of that.

use crate::block::{Block, BlockSizes, Scratch, Token};
use crate::norm::LayerNorm;
use crate::packed::Numbers;
use crate::pool::Pool;
use crate::precision::Precision;
use crate::projection::Projection;
use crate::run::Run;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};
use crate::text::TextSizes;

/// A BERT with packed weights.
#[derive(Debug)]
pub struct Bert {
    width: usize,
    tokens: Numbers<f32>,
    /// With the segment, which is always the first one.
    positions: Numbers<f32>,
    embedding_norm: LayerNorm,
    blocks: Vec<Block>,
    projection: Projection,
    /// True if the mean itself stands before its projection.
    keeps_mean: bool,
    memory: Pool<Scratch>,
}

impl Bert {
    /// Packs the tensors of a tower: those of the network are in `trunk`. With `keeps_mean`, which is for a width of `dim`, the mean of the
    /// tokens stands before its projection.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(
        precision: Precision,
        tower: &Tensors<'_>,
        sizes: TextSizes,
        keeps_mean: bool,
    ) -> Result<Self, MissingTensor> {
        let trunk = tower.within("trunk");
        // Bytes turn MiniLM's vectors too far.
        let precision = precision.without_bytes(Simd::get());
        let BlockSizes { width, epsilon, .. } = sizes.block;
        let with_segment = || {
            let segment = trunk.get_sized("segment_embedding.weight", 2 * width)?[..width].iter();
            let positions = trunk.get_sized("position_embedding.weight", sizes.positions * width)?;
            let sums = positions
                .iter()
                .zip(segment.cycle())
                .map(|(position, segment)| position + segment);
            Ok(sums.collect())
        };
        let blocks = (0..sizes.layers)
            .map(|layer| Block::new(precision, &trunk.within(&format!("blocks.{layer}")), &sizes.block));
        Ok(Self {
            width,
            tokens: trunk.tensor("token_embedding.weight", sizes.vocabulary * width)?,
            positions: trunk.array("positions", sizes.positions * width, with_segment)?,
            embedding_norm: LayerNorm::new(&trunk.within("embedding_norm"), width, epsilon)?,
            blocks: blocks.collect::<Result<_, _>>()?,
            projection: Projection::new(precision, &tower.within("projection"), [width, sizes.dim])?,
            keeps_mean,
            memory: Pool::default(),
        })
    }

    /// Texts -> `[texts, dim]`, behind their means where those are kept, `[texts, 2 dim]`. Ids and places must exist; a text has a
    /// token at least. `threads` share each layer.
    pub fn forward(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32> {
        let means = self.features(texts, threads);
        let projected = self.projection.apply(&means);
        if !self.keeps_mean {
            return projected;
        }
        let pairs = means.chunks_exact(self.width).zip(projected.chunks_exact(self.width));
        pairs.flat_map(|(mean, projected)| [mean, projected].concat()).collect()
    }

    /// The same texts -> `[texts, width]`: the mean over the tokens of each, before the projection.
    pub fn features(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32> {
        let run = Run::on(threads);
        self.memory.with(|scratch| {
            scratch.embed(texts, &self.tokens, &self.positions, self.width);
            self.embedding_norm.apply(run, &mut scratch.tokens.values);
            self.blocks.iter().for_each(|block| block.forward(run, scratch, None));
            let mut tokens = scratch.tokens.values.chunks_exact(self.width);
            let mut means = Vec::with_capacity(texts.len() * self.width);
            for text in texts {
                let mut sum = vec![0.0_f32; self.width];
                for token in tokens.by_ref().take(text.len()) {
                    sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
                }
                means.extend(sum.into_iter().map(|sum| sum / text.len() as f32));
            }
            means
        })
    }
}
