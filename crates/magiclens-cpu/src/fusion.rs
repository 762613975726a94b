//! The fusion of an image vector and a text vector.

use crate::block::{Block, BlockSizes, Scratch};
use crate::linear::{Epilogue, Linear};
use crate::norm::LayerNorm;
use crate::pool::Pool;
use crate::pooling::{Probe, ProbeScratch, ProbeSizes};
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// Sizes of an [`AttentionFusion`].
#[derive(Clone, Copy, Debug)]
pub struct FusionSizes {
    /// Of every block; its width is that of the vectors.
    pub block: BlockSizes,
    /// Number of blocks.
    pub layers: usize,
    /// Width of the pooling's queries, keys and values.
    pub pooler_inner: usize,
    /// Whether a text may be about a second image.
    pub second: bool,
}

/// MagicLens' fusion with packed weights: blocks over the two tokens [image; text], which a learned query pools.
#[derive(Debug)]
pub struct AttentionFusion {
    width: usize,
    blocks: Vec<Block>,
    pooler: Probe,
    norm: LayerNorm,
    /// The token of a second image, on its way into the text's.
    second: Option<Linear>,
    memory: Pool<(Scratch, ProbeScratch)>,
}

impl AttentionFusion {
    /// Packs the tensors of a fusion.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(precision: Precision, tensors: &Tensors<'_>, sizes: FusionSizes) -> Result<Self, MissingTensor> {
        // Two tokens take no time; there is nothing to win by bytes.
        let precision = precision.without_bytes(Simd::get());
        let BlockSizes {
            width,
            heads,
            logit_cap,
            epsilon,
            ..
        } = sizes.block;
        let blocks = (0..sizes.layers)
            .map(|layer| Block::new(precision, &tensors.within(&format!("layers.{layer}")), &sizes.block));
        let pooler = tensors.within("pooler");
        let probe = ProbeSizes {
            tokens: width,
            width,
            inner: sizes.pooler_inner,
            heads,
            logit_cap,
        };
        let query = || Ok(pooler.get_sized("query", width)?.to_vec());
        Ok(Self {
            width,
            blocks: blocks.collect::<Result<_, _>>()?,
            pooler: Probe::new(precision, &pooler.within("attention"), &probe, query)?,
            norm: LayerNorm::new(&pooler.within("norm"), width, epsilon)?,
            second: sizes.second.then(|| second(precision, tensors, width)).transpose()?,
            memory: Pool::default(),
        })
    }

    /// Adds to a text's vector, `[dim]`, what the vector of a second image says, where there is a place for one.
    pub fn add_second(&self, image: &[f32], text: &mut [f32]) {
        if let Some(second) = &self.second {
            second.pass(Run::on(1), &mut Rows::default(), image, text, Epilogue::ADD);
        }
    }

    /// `images`, `texts`: `[pairs, dim]`, not normalized -> `[pairs, dim]`, not normalized. `threads` share each layer.
    pub fn forward(&self, images: &[f32], texts: &[f32], threads: usize) -> Vec<f32> {
        let run = Run::on(threads);
        let mut out = Vec::new();
        self.memory.with(|(scratch, probe)| {
            let pairs = images.chunks_exact(self.width).zip(texts.chunks_exact(self.width));
            scratch.tokens.begin(pairs.clone().map(|_| 2));
            for (image, text) in pairs {
                scratch.tokens.values.extend_from_slice(image);
                scratch.tokens.values.extend_from_slice(text);
            }
            self.blocks.iter().for_each(|block| block.forward(run, scratch, None));
            let tokens = &scratch.tokens;
            self.pooler
                .forward(run, probe, &tokens.values, &tokens.lengths, &mut out);
        });
        self.norm.apply(run, &mut out);
        out
    }
}

fn second(precision: Precision, tensors: &Tensors<'_>, width: usize) -> Result<Linear, MissingTensor> {
    let tensors = tensors.within("second");
    let weights = || Ok(tensors.get_sized("weight", width * width)?.into());
    let bias = || Ok(tensors.get_sized("bias", width)?.to_vec());
    Linear::new(precision, &tensors, [width; 2], weights, bias)
}
