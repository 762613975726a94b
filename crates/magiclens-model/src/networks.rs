//! The towers and the fusion of a model for the CPU, and texts and images on their way through them.

use std::borrow::Borrow;

use image::RgbImage;
use magiclens_cpu::{AttentionFusion, ImageNetwork, MissingTensor, Precision, Tensors, TextNetwork, Token};
use rayon::prelude::*;

use crate::config::ModelConfig;
use crate::fusion::FusionConfig;

/// Pairs of vectors that go through the fusion in one piece.
const PAIRS: usize = 32;

/// Tokens of texts that go through a tower in one piece. Weights are read from memory once for each piece.
const TOKENS: usize = 256;

/// Towers and fusion with packed weights.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(crate) image: Box<dyn ImageNetwork>,
    pub(crate) text: Box<dyn TextNetwork>,
    /// None for a sum.
    fusion: Option<AttentionFusion>,
}

impl Networks {
    pub(crate) fn new(
        config: &ModelConfig,
        precision: Precision,
        tensors: &Tensors<'_>,
    ) -> Result<Self, MissingTensor> {
        Ok(Self {
            image: config
                .vision
                .network(config.dim, precision, &tensors.within("vision"))?,
            text: config.text.network(config.dim, precision, &tensors.within("text"))?,
            fusion: match &config.fusion {
                FusionConfig::Attention(fusion) => {
                    let sizes = fusion.sizes(config.dim);
                    Some(AttentionFusion::new(precision, &tensors.within("fusion"), sizes)?)
                }
                FusionConfig::Sum => None,
            },
        })
    }

    /// Adds to a text's token what that of a second image says, where the fusion has a place for it.
    pub(crate) fn add_second(&self, image: &[f32], text: &mut [f32]) {
        if let Some(fusion) = &self.fusion {
            fusion.add_second(image, text);
        }
    }

    /// Row `i` is image `i` fused with text `i`, not normalized. The lists are of one length.
    pub(crate) fn fuse(&self, images: &[Vec<f32>], texts: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let Some(fusion) = &self.fusion else {
            let sum = |(image, text): (&Vec<f32>, &Vec<f32>)| image.iter().zip(text).map(|(a, b)| a + b).collect();
            return images.iter().zip(texts).map(sum).collect();
        };
        let threads = threads_for(images.len().div_ceil(PAIRS));
        let fuse = |(images, texts): (&[Vec<f32>], &[Vec<f32>])| -> Vec<Vec<f32>> {
            let fused = fusion.forward(&images.concat(), &texts.concat(), threads);
            fused
                .chunks_exact(fused.len() / images.len())
                .map(<[f32]>::to_vec)
                .collect()
        };
        let pieces = images.par_chunks(PAIRS).zip(texts.par_chunks(PAIRS));
        pieces.flat_map_iter(fuse).collect()
    }
}

/// A row for each image: an image a thread, or several threads an image where there are few.
pub(crate) fn image_rows<I: Borrow<RgbImage> + Sync>(
    config: &ModelConfig,
    images: &[I],
    forward: impl Fn(&[f32], usize) -> Vec<f32> + Sync,
) -> Vec<Vec<f32>> {
    let threads = threads_for(images.len());
    let encode = |image: &I| {
        let pixels: Vec<f32> = config.preprocess.apply(image.borrow()).into_iter().collect();
        forward(&pixels, threads)
    };
    images.par_iter().map(encode).collect()
}

/// A row for each text. Texts of about one length go together.
pub(crate) fn text_rows(
    config: &ModelConfig,
    ids: &[Vec<u32>],
    forward: impl Fn(&[Vec<Token>], usize) -> Vec<f32> + Sync,
) -> Vec<Vec<f32>> {
    let mut texts: Vec<(usize, Vec<Token>)> = ids.iter().map(|ids| config.text.tokens(ids)).enumerate().collect();
    texts.sort_by_key(|(_, tokens)| tokens.len());
    let pieces = pieces(&texts);
    let threads = threads_for(pieces.len());
    let encode = |piece: &&[(usize, Vec<Token>)]| {
        let tokens: Vec<Vec<Token>> = piece.iter().map(|(_, tokens)| tokens.clone()).collect();
        let values = forward(&tokens, threads);
        let width = values.len() / piece.len();
        let rows = values.chunks_exact(width.max(1)).map(<[f32]>::to_vec);
        piece.iter().map(|(place, _)| *place).zip(rows).collect::<Vec<_>>()
    };
    let encoded: Vec<Vec<(usize, Vec<f32>)>> = pieces.par_iter().map(encode).collect();
    let mut rows = vec![Vec::new(); ids.len()];
    for (place, row) in encoded.into_iter().flatten() {
        rows[place] = row;
    }
    rows
}

/// Cuts texts into pieces of at most [`TOKENS`], or of one text.
fn pieces(texts: &[(usize, Vec<Token>)]) -> Vec<&[(usize, Vec<Token>)]> {
    let (mut pieces, mut first, mut tokens) = (Vec::new(), 0, 0);
    for (at, (_, text)) in texts.iter().enumerate() {
        if at > first && tokens + text.len() > TOKENS {
            pieces.push(&texts[first..at]);
            (first, tokens) = (at, 0);
        }
        tokens += text.len();
    }
    if first < texts.len() {
        pieces.push(&texts[first..]);
    }
    pieces
}

/// Threads for each of some items, so that all cores have work.
fn threads_for(items: usize) -> usize {
    rayon::current_num_threads().div_ceil(items.max(1))
}
