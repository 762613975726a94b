//! EfficientNet-Lite: inverted residual blocks with ReLU6, without squeeze-and-excitation.
//! Source: TensorFlow `efficientnet/lite`. Batch norms are folded into the convolutions at import, so that training
//! with frozen statistics and inference are the same computation.

use burn::module::{Module, Param};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::{ImageNetwork, Lite, LiteBlockSizes, LiteSizes, MissingTensor, Precision, Tensors};
use serde::{Deserialize, Serialize};

use super::sentence::{Sentence, SentenceConfig, direction};
use super::tower::{FeatureProjection, ImageTower, ImageTowerConfig, Tower};
use crate::array::NamedWeights;
use crate::parameters::tensors_of;

/// One block's sizes: kernel side, stride, expansion of the input width, output width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockSpec {
    kernel: usize,
    stride: usize,
    expand: usize,
    out: usize,
}

/// Sizes of an [`EfficientNetLite`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetLiteConfig {
    /// Side of the square input in pixels.
    pub image_px: usize,
    /// Blocks (from 0) whose outputs, averaged over space, join the head's features: line and color live early.
    pub taps: Vec<usize>,
    /// The reading as a sentence, if there is one. It is part of the trunk and joins its features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<SentenceConfig>,
}

/// Width of the head of EfficientNet-Lite0.
const HEAD_WIDTH: usize = 1280;
const STEM_WIDTH: usize = 32;
/// Weight of what the classifier knows, against a map of unit length, in the place among sentences.
const KNOWN: f64 = 2.0;

impl EfficientNetLiteConfig {
    /// (repeats, kernel, stride of the first, expansion, width) of EfficientNet-Lite0.
    const STAGES: [(usize, usize, usize, usize, usize); 7] = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ];

    fn blocks() -> Vec<BlockSpec> {
        let repeat = |(repeats, kernel, stride, expand, out)| {
            (0..repeats).map(move |i| BlockSpec {
                kernel,
                stride: if i == 0 { stride } else { 1 },
                expand,
                out,
            })
        };
        Self::STAGES.into_iter().flat_map(repeat).collect()
    }

    /// Number of blocks.
    pub fn block_count() -> usize {
        Self::blocks().len()
    }

    /// Width of what is averaged: head and taps.
    pub fn averages(&self) -> usize {
        let blocks = Self::blocks();
        HEAD_WIDTH + self.taps.iter().map(|tap| blocks[*tap].out).sum::<usize>()
    }

    /// Builds the network with random weights.
    pub fn init_trunk(&self, device: &Device) -> EfficientNetLite {
        let mut width = STEM_WIDTH;
        let mut blocks = Vec::new();
        for spec in Self::blocks() {
            blocks.push(LiteBlock::init(width, spec, device));
            width = spec.out;
        }
        EfficientNetLite {
            stem: SameConv2d::init([3, STEM_WIDTH], 3, 2, 1, device),
            blocks,
            head: SameConv2d::init([width, HEAD_WIDTH], 1, 1, 1, device),
            sentence: self.sentence.map(|sentence| sentence.init(HEAD_WIDTH, device)),
            taps: self.taps.clone(),
        }
    }
}

impl ImageTowerConfig for EfficientNetLiteConfig {
    type Tower = EfficientNetLiteTower;

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn shares_sentences(&self) -> bool {
        self.sentence.is_some()
    }

    fn fixed_dim(&self) -> Option<usize> {
        self.sentence.map(|sentence| sentence.width)
    }

    fn check(&self) -> Result<(), String> {
        self.sentence.map_or(Ok(()), |sentence| sentence.check())?;
        let blocks = Self::block_count();
        match self.taps.iter().find(|tap| **tap >= blocks) {
            Some(tap) => Err(format!("`taps` names block {tap}, but there are {blocks}")),
            None => Ok(()),
        }
    }

    fn init(&self, dim: usize, device: &Device) -> EfficientNetLiteTower {
        let features = self.averages() + self.sentence.map_or(0, |sentence| sentence.width);
        EfficientNetLiteTower {
            trunk: self.init_trunk(device),
            projection: FeatureProjection::init(features, dim, device),
            map: self
                .sentence
                .map(|sentence| FeatureProjection::init(self.averages(), sentence.width, device)),
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn ImageNetwork>, MissingTensor> {
        let block = |spec: BlockSpec| LiteBlockSizes {
            kernel: spec.kernel,
            stride: spec.stride,
            expand: spec.expand,
            out: spec.out,
        };
        let sizes = LiteSizes {
            image_px: self.image_px,
            stem: STEM_WIDTH,
            blocks: Self::blocks().into_iter().map(block).collect(),
            head: HEAD_WIDTH,
            taps: self.taps.clone(),
            dim,
            sentence: self.sentence.map(|sentence| sentence.sizes()),
        };
        Ok(Box::new(Lite::new(precision, tower, &sizes)?))
    }
}

/// EfficientNet-Lite0 and a learned projection; with a reading as a sentence also a map of the averages into the space of sentences.
#[derive(Module, Debug)]
pub struct EfficientNetLiteTower {
    /// The pretrained network.
    pub trunk: EfficientNetLite,
    /// Features to fusion width.
    pub projection: FeatureProjection,
    /// Averages to sentences.
    pub map: Option<FeatureProjection>,
}

impl Tower for EfficientNetLiteTower {
    fn projection(&self) -> Option<&FeatureProjection> {
        Some(&self.projection)
    }

    fn projection_mut(&mut self) -> Option<&mut FeatureProjection> {
        Some(&mut self.projection)
    }

    fn trunk_weights(&self) -> Option<NamedWeights> {
        Some(tensors_of(&self.trunk))
    }

    fn sentence_map_mut(&mut self) -> Option<&mut FeatureProjection> {
        self.map.as_mut()
    }
}

impl ImageTower for EfficientNetLiteTower {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.row(self.trunk.forward(images))
    }

    fn features(&self, images: Tensor<4>) -> Option<Tensor<2>> {
        Some(self.trunk.forward(images))
    }

    fn project(&self, features: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.row(features))
    }
}

impl EfficientNetLiteTower {
    /// `[batch, features]` -> `[batch, dim]`, or sentences and that, `[batch, 2 dim]`: the direction of what the classifier knows and of the mapped
    /// averages together. Where it is unsure its vector is short, and the map decides.
    fn row(&self, features: Tensor<2>) -> Tensor<2> {
        let projected = self.projection.forward(features.clone());
        let Some((sentence, map)) = self.trunk.sentence.as_ref().zip(self.map.as_ref()) else {
            return projected;
        };
        let ([_, width], [_, dim]) = (features.dims(), projected.dims());
        let averages = features.narrow(1, 0, width - dim);
        let known = sentence.forward(averages.clone().narrow(1, 0, HEAD_WIDTH)) * KNOWN;
        let mapped = direction(map.forward(averages));
        Tensor::cat(vec![direction(known + mapped), projected], 1)
    }
}

/// EfficientNet-Lite0, and what its classifier says.
#[derive(Module, Debug)]
pub struct EfficientNetLite {
    stem: SameConv2d,
    blocks: Vec<LiteBlock>,
    head: SameConv2d,
    sentence: Option<Sentence>,
    #[module(skip)]
    taps: Vec<usize>,
}

impl EfficientNetLite {
    /// `images`: `[batch, 3, height, width]`, normalized -> `[batch, features]`: head, then taps, averaged over space, then the sentence.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.trace(images).features
    }

    /// [`EfficientNetLite::forward`], keeping each block's average: `[batch, block width]`.
    pub fn trace(&self, images: Tensor<4>) -> LiteTrace {
        let mut maps = relu6(self.stem.forward(images)); // [batch, 32, height / 2, width / 2]
        let mut pooled = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            maps = block.forward(maps);
            pooled.push(average(maps.clone()));
        }
        let head = average(relu6(self.head.forward(maps))); // [batch, 1280]
        let mut parts = vec![head.clone()];
        parts.extend(self.taps.iter().map(|tap| pooled[*tap].clone()));
        let mut features = Tensor::cat(parts, 1);
        if let Some(sentence) = &self.sentence {
            features = Tensor::cat(vec![features, direction(sentence.forward(head))], 1);
        }
        LiteTrace {
            features,
            blocks: pooled,
        }
    }
}

/// Values inside of an [`EfficientNetLite`].
#[derive(Debug)]
pub struct LiteTrace {
    /// `[batch, features]`
    pub features: Tensor<2>,
    /// Each block's output, averaged over space: `[batch, block width]`.
    pub blocks: Vec<Tensor<2>>,
}

/// Expand, filter each channel, project; added to the input where the shapes allow it.
#[derive(Module, Debug)]
pub struct LiteBlock {
    expand: Option<SameConv2d>,
    depthwise: SameConv2d,
    project: SameConv2d,
    residual: bool,
}

impl LiteBlock {
    fn init(width: usize, spec: BlockSpec, device: &Device) -> Self {
        let inner = width * spec.expand;
        Self {
            expand: (spec.expand > 1).then(|| SameConv2d::init([width, inner], 1, 1, 1, device)),
            depthwise: SameConv2d::init([inner, inner], spec.kernel, spec.stride, inner, device),
            project: SameConv2d::init([inner, spec.out], 1, 1, 1, device),
            residual: spec.stride == 1 && width == spec.out,
        }
    }

    /// `[batch, width, h, w]` -> `[batch, out, ceil(h / stride), ceil(w / stride)]`.
    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        let inner = match &self.expand {
            Some(expand) => relu6(expand.forward(maps.clone())),
            None => maps.clone(),
        };
        let out = self.project.forward(relu6(self.depthwise.forward(inner)));
        if self.residual { out + maps } else { out }
    }
}

/// A convolution with TensorFlow's "SAME" padding: the output has `ceil(size / stride)` pixels, and an odd pixel of
/// padding goes after, not before.
#[derive(Module, Debug)]
pub struct SameConv2d {
    /// `[out, in / groups, kernel, kernel]`
    weight: Param<Tensor<4>>,
    /// `[out]`
    bias: Param<Tensor<1>>,
    stride: usize,
    groups: usize,
}

impl SameConv2d {
    fn init(channels: [usize; 2], kernel: usize, stride: usize, groups: usize, device: &Device) -> Self {
        let [input, output] = channels;
        let fan_in = input / groups * kernel * kernel;
        let normal = Distribution::Normal(0.0, (2.0 / fan_in as f64).sqrt());
        Self {
            weight: Param::from_tensor(Tensor::random([output, input / groups, kernel, kernel], normal, device)),
            bias: Param::from_tensor(Tensor::zeros([output], device)),
            stride,
            groups,
        }
    }

    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = maps.dims();
        let weight = self.weight.val();
        let [_, _, kernel, _] = weight.dims();
        let pad = |size: usize| {
            let total = ((size.div_ceil(self.stride) - 1) * self.stride + kernel).saturating_sub(size);
            (total / 2, total - total / 2)
        };
        let options = ConvOptions::new_with_padding([self.stride; 2], [pad(height), pad(width)], [1, 1], self.groups);
        conv2d(maps, weight, Some(self.bias.val()), options)
    }
}

fn relu6(maps: Tensor<4>) -> Tensor<4> {
    maps.clamp(0.0, 6.0)
}

/// `[batch, channels, h, w]` -> `[batch, channels]`.
fn average(maps: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = maps.dims();
    maps.reshape([batch, channels, height * width])
        .mean_dim(2)
        .squeeze_dim(2)
}
