//! Vision transformers: patches become tokens, blocks mix them, and one vector is read.

use crate::block::{Block, BlockSizes, FeedForward, Scratch, linear};
use crate::linear::{Epilogue, Linear};
use crate::norm::LayerNorm;
use crate::packed::Numbers;
use crate::pool::Pool;
use crate::pooling::{Probe, ProbeScratch, ProbeSizes};
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// Sizes of a [`Vit`].
#[derive(Clone, Copy, Debug)]
pub struct VitSizes {
    /// Of every block.
    pub block: BlockSizes,
    /// Number of blocks.
    pub layers: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Side of the square input in pixels; a rest that fills no patch is not looked at.
    pub image_px: usize,
    /// Width of the output.
    pub dim: usize,
    /// The vector that is read.
    pub reading: Reading,
}

/// The vector that is read of an image's tokens.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// CLIP: the class token, behind a layer norm and a projection.
    Class,
    /// CoCa: what a learned query finds, behind a layer norm and a projection. Tensors of the transformer are in `vit`, those of the query in
    /// `pooler`.
    Query(ProbeSizes),
    /// SigLIP: what a learned query finds behind a layer norm, and a feed-forward layer; there is no class token.
    Probe,
}

/// Colors of an image.
const COLORS: usize = 3;

/// A vision transformer with packed weights.
#[derive(Debug)]
pub struct Vit {
    sizes: VitSizes,
    patches: Linear,
    class: Option<Numbers<f32>>,
    positions: Numbers<f32>,
    pre_norm: Option<LayerNorm>,
    blocks: Vec<Block>,
    post_norm: LayerNorm,
    head: Head,
    memory: Pool<Memory>,
}

#[derive(Debug)]
enum Head {
    Class {
        projection: Linear,
    },
    Query {
        token_norm: LayerNorm,
        probe: Probe,
        projection: Linear,
    },
    Probe {
        probe: Probe,
        norm: LayerNorm,
        feed_forward: FeedForward,
    },
}

#[derive(Debug, Default)]
struct Memory {
    scratch: Scratch,
    patches: Vec<f32>,
    rows: Rows,
    probe: ProbeScratch,
}

impl VitSizes {
    fn side(&self) -> usize {
        self.image_px / self.patch_px
    }

    /// Numbers of an image.
    fn pixels(&self) -> usize {
        COLORS * self.image_px * self.image_px
    }
}

impl Vit {
    /// Packs the tensors of a tower.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(precision: Precision, tower: &Tensors<'_>, sizes: VitSizes) -> Result<Self, MissingTensor> {
        let (width, epsilon) = (sizes.block.width, sizes.block.epsilon);
        let transformer = match sizes.reading {
            Reading::Query(_) => tower.within("vit"),
            _ => tower.clone(),
        };
        let norm = |name, width| LayerNorm::new(&transformer.within(name), width, epsilon);
        let has_class = !matches!(sizes.reading, Reading::Probe);
        let inputs = COLORS * sizes.patch_px * sizes.patch_px;
        let blocks = (0..sizes.layers)
            .map(|layer| Block::new(precision, &transformer.within(&format!("blocks.{layer}")), &sizes.block));
        Ok(Self {
            patches: linear(precision, &transformer, "patch_embedding", [inputs, width])?,
            class: match has_class {
                true => Some(transformer.tensor("class_embedding", width)?),
                false => None,
            },
            positions: {
                let tokens = sizes.side().pow(2) + usize::from(has_class);
                transformer.tensor("position_embedding", tokens * width)?
            },
            pre_norm: match has_class {
                true => Some(norm("pre_norm", width)?),
                false => None,
            },
            blocks: blocks.collect::<Result<_, _>>()?,
            post_norm: norm("post_norm", sizes.read_width())?,
            head: Head::new(precision, tower, &transformer, &sizes)?,
            sizes,
            memory: Pool::default(),
        })
    }

    /// `images`: `[batch, 3, image_px, image_px]`, preprocessed -> `[batch, dim]`. `threads` share each layer.
    pub fn forward(&self, images: &[f32], threads: usize) -> Vec<f32> {
        self.forward_by(Run::on(threads), images)
    }

    pub(crate) fn forward_by(&self, run: Run, images: &[f32]) -> Vec<f32> {
        if images.is_empty() {
            return Vec::new();
        }
        self.memory.with(|memory| {
            self.embed(run, memory, images);
            let Memory { scratch, probe, .. } = memory;
            let (last, first) = self.blocks.split_last().expect("a transformer has blocks");
            first.iter().for_each(|block| block.forward(run, scratch, None));
            // Only the class token of the last block is read.
            let kept = vec![0; scratch.tokens.lengths.len()];
            let is_class = matches!(self.head, Head::Class { .. });
            last.forward(run, scratch, is_class.then_some(&kept));
            self.read(run, scratch, probe)
        })
    }

    /// Patches with their positions, class token first.
    fn embed(&self, run: Run, memory: &mut Memory, images: &[f32]) {
        let Memory {
            scratch, patches, rows, ..
        } = memory;
        let (width, side) = (self.sizes.block.width, self.sizes.side());
        let tokens = side * side + usize::from(self.class.is_some());
        let batch = images.len() / self.sizes.pixels();
        scratch.tokens.begin((0..batch).map(|_| tokens));
        scratch.tokens.values.resize(batch * tokens * width, 0.0);
        let images = images.chunks_exact(self.sizes.pixels());
        for (image, tokens) in images.zip(scratch.tokens.values.chunks_exact_mut(tokens * width)) {
            cut_patches(image, &self.sizes, patches);
            let (class, cut) = tokens.split_at_mut(self.class.as_ref().map_or(0, |class| class.len()));
            class.copy_from_slice(self.class.as_deref().unwrap_or_default());
            self.patches.pass(run, rows, patches, cut, Epilogue::STORE);
            tokens
                .iter_mut()
                .zip(&*self.positions)
                .for_each(|(token, position)| *token += position);
        }
        if let Some(norm) = &self.pre_norm {
            norm.apply(run, &mut scratch.tokens.values);
        }
    }

    /// The vector of each image.
    fn read(&self, run: Run, scratch: &mut Scratch, probe_memory: &mut ProbeScratch) -> Vec<f32> {
        let Scratch { tokens, read, .. } = scratch;
        let projection = match &self.head {
            Head::Class { projection } => {
                read.clone_from(&tokens.values);
                projection
            }
            Head::Query {
                token_norm,
                probe,
                projection,
            } => {
                token_norm.apply(run, &mut tokens.values);
                probe.forward(run, probe_memory, &tokens.values, &tokens.lengths, read);
                projection
            }
            Head::Probe {
                probe,
                norm,
                feed_forward,
            } => {
                self.post_norm.apply(run, &mut tokens.values);
                probe.forward(run, probe_memory, &tokens.values, &tokens.lengths, read);
                tokens.values.clone_from(read);
                norm.apply_to(run, read, &mut scratch.normed);
                feed_forward.forward(run, scratch);
                return scratch.tokens.values.clone();
            }
        };
        self.post_norm.apply(run, read);
        let mut out = Vec::new();
        projection.fill(run, &mut scratch.rows, read, &mut out, Epilogue::STORE);
        out
    }
}

impl VitSizes {
    /// Width of what is read.
    fn read_width(&self) -> usize {
        match self.reading {
            Reading::Query(sizes) => sizes.width,
            _ => self.block.width,
        }
    }
}

impl Head {
    fn new(
        precision: Precision,
        tower: &Tensors<'_>,
        transformer: &Tensors<'_>,
        sizes: &VitSizes,
    ) -> Result<Self, MissingTensor> {
        let BlockSizes {
            width,
            heads,
            feed_forward,
            activation,
            epsilon,
            ..
        } = sizes.block;
        let projection = || linear(precision, transformer, "projection", [sizes.read_width(), sizes.dim]);
        match sizes.reading {
            Reading::Class => Ok(Self::Class {
                projection: projection()?,
            }),
            Reading::Query(probe) => {
                let pooler = tower.within("pooler");
                let query_norm = LayerNorm::new(&pooler.within("query_norm"), probe.width, epsilon)?;
                let query = || {
                    let mut query = pooler.get_sized("query", probe.width)?.to_vec();
                    query_norm.apply(Run::on(1), &mut query);
                    Ok(query)
                };
                Ok(Self::Query {
                    token_norm: LayerNorm::new(&pooler.within("token_norm"), width, epsilon)?,
                    probe: Probe::new(precision, &pooler.within("attention"), &probe, query)?,
                    projection: projection()?,
                })
            }
            Reading::Probe => {
                let pooling = tower.within("pooling");
                let probe = ProbeSizes {
                    tokens: width,
                    width,
                    inner: width,
                    heads,
                    logit_cap: None,
                };
                let query = || Ok(pooling.get_sized("probe", width)?.to_vec());
                Ok(Self::Probe {
                    probe: Probe::new(precision, &pooling.within("attention"), &probe, query)?,
                    norm: LayerNorm::new(&pooling.within("norm"), width, epsilon)?,
                    feed_forward: FeedForward::new(precision, &pooling, width, feed_forward, activation)?,
                })
            }
        }
    }
}

/// `[3, image_px, image_px]` -> patches row by row, the numbers of each in the order y, x, color.
fn cut_patches(image: &[f32], sizes: &VitSizes, patches: &mut Vec<f32>) {
    let (side, patch_px, image_px) = (sizes.side(), sizes.patch_px, sizes.image_px);
    patches.resize(side * side * COLORS * patch_px * patch_px, 0.0);
    let plane = image_px * image_px;
    let (mut rows, _) = patches.as_chunks_mut::<COLORS>();
    for y in 0..side {
        for x in 0..side {
            let (patch, rest) = rows.split_at_mut(patch_px * patch_px);
            rows = rest;
            for (line, pixels) in patch.chunks_exact_mut(patch_px).enumerate() {
                let from = (y * patch_px + line) * image_px + x * patch_px;
                for (at, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = [0, 1, 2].map(|color| image[color * plane + from + at]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::block::NormOrder;
    use crate::math::Activation;
    use crate::simd::{Simd, Width};
    use crate::testing::noise;

    const WIDTH: usize = 32;

    fn sizes(reading: Reading) -> VitSizes {
        VitSizes {
            block: BlockSizes {
                width: WIDTH,
                heads: 4,
                feed_forward: 80,
                activation: Activation::QuickGelu,
                epsilon: 1e-5,
                logit_cap: None,
                order: NormOrder::Before,
                causal: false,
            },
            layers: 2,
            patch_px: 4,
            // The last pixels fill no patch.
            image_px: 30,
            dim: 20,
            reading,
        }
    }

    /// Random tensors of every name that any reading asks for.
    fn tensors() -> BTreeMap<String, Vec<f32>> {
        let mut tensors = BTreeMap::new();
        let mut add = |name: &str, count: usize| {
            let seed = tensors.len() as u32 + 1;
            tensors.insert(
                name.to_owned(),
                noise(count, seed).into_iter().map(|value| value * 0.3).collect(),
            );
        };
        for part in ["", "vit."] {
            add(&format!("{part}patch_embedding.weight"), 48 * WIDTH);
            add(&format!("{part}class_embedding"), WIDTH);
            add(&format!("{part}position_embedding"), 50 * WIDTH);
            add(&format!("{part}projection.weight"), WIDTH * 20);
            for norm in ["pre_norm", "post_norm"] {
                add(&format!("{part}{norm}.gamma"), WIDTH);
                add(&format!("{part}{norm}.beta"), WIDTH);
            }
            for block in 0..2 {
                let block = format!("{part}blocks.{block}.");
                for layer in ["query", "key", "value", "output"] {
                    add(&format!("{block}attention.{layer}.weight"), WIDTH * WIDTH);
                    add(&format!("{block}attention.{layer}.bias"), WIDTH);
                }
                for norm in ["attention_norm", "feed_forward_norm"] {
                    add(&format!("{block}{norm}.gamma"), WIDTH);
                    add(&format!("{block}{norm}.beta"), WIDTH);
                }
                add(&format!("{block}feed_forward_in.weight"), WIDTH * 80);
                add(&format!("{block}feed_forward_in.bias"), 80);
                add(&format!("{block}feed_forward_out.weight"), 80 * WIDTH);
                add(&format!("{block}feed_forward_out.bias"), WIDTH);
            }
        }
        add("pooler.query", WIDTH);
        for layer in ["query", "key", "value", "output"] {
            add(&format!("pooler.attention.{layer}.weight"), WIDTH * WIDTH);
            add(&format!("pooler.attention.{layer}.bias"), WIDTH);
        }
        for norm in ["query_norm", "token_norm"] {
            add(&format!("pooler.{norm}.gamma"), WIDTH);
            add(&format!("pooler.{norm}.beta"), WIDTH);
        }
        tensors
    }

    fn vit(precision: Precision, reading: Reading, tensors: &BTreeMap<String, Vec<f32>>) -> Vit {
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        Vit::new(precision, &Tensors::new(&find), sizes(reading)).unwrap()
    }

    #[test]
    fn an_image_gives_the_same_alone_together_and_on_any_threads() {
        let tensors = tensors();
        let query = ProbeSizes {
            tokens: WIDTH,
            width: WIDTH,
            inner: WIDTH,
            heads: 2,
            logit_cap: None,
        };
        let images = noise(3 * 3 * 30 * 30, 99);
        for reading in [Reading::Class, Reading::Query(query)] {
            for precision in Precision::ALL {
                let vit = vit(precision, reading, &tensors);
                let simd = Simd::get();
                let together = vit.forward_by(Run { simd, threads: 1 }, &images);
                assert_eq!(together.len(), 3 * 20);
                for threads in [2, 8] {
                    assert_eq!(vit.forward_by(Run { simd, threads }, &images), together, "{precision}");
                }
                for (image, expected) in images.chunks_exact(3 * 30 * 30).zip(together.chunks_exact(20)) {
                    assert_eq!(vit.forward(image, 1), expected, "{precision}");
                }
                assert!(vit.forward(&[], 2).is_empty());
            }
        }
    }

    #[test]
    fn instruction_sets_agree() {
        let tensors = tensors();
        let images = noise(3 * 30 * 30, 98);
        for precision in Precision::ALL {
            let vit = vit(precision, Reading::Class, &tensors);
            let [portable, avx2, avx512] = [Width::Portable, Width::Avx2, Width::Avx512].map(|width| {
                let simd = Simd::detect(width);
                vit.forward_by(Run { simd, threads: 1 }, &images)
            });
            if precision == Precision::F32 {
                assert_eq!(avx2, avx512, "every sum is made in the same order");
            }
            let tolerance = if precision == Precision::F32 { 1e-4 } else { 0.1 };
            for (found, expected) in avx512.iter().zip(&portable) {
                assert!(
                    (found - expected).abs() < tolerance,
                    "{precision}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn a_tensor_that_is_missing_or_of_another_size_is_named() {
        let mut tensors = tensors();
        tensors.insert("blocks.1.attention.key.bias".to_owned(), vec![0.0; 3]);
        let find = |name: &str| tensors.get(name).map(Vec::as_slice);
        let error = Vit::new(Precision::F32, &Tensors::new(&find), sizes(Reading::Class)).unwrap_err();
        assert_eq!(error, MissingTensor("blocks.1.attention.key.bias".to_owned()));
    }
}
