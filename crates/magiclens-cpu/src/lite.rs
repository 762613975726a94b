//! EfficientNet-Lite: inverted residual blocks with ReLU6. Maps are pixels of channels, `[height, width, channels]`, so that a
//! convolution over one pixel is a linear layer.

use std::borrow::Cow;
use std::ops::Range;

use crate::linear::{Epilogue, Linear};
use crate::math::Activation;
use crate::packed::Numbers;
use crate::pool::Pool;
use crate::precision::Precision;
use crate::projection::Projection;
use crate::rows::Rows;
use crate::run::Run;
use crate::sentence::{Sentence, SentenceSizes, unit};
use crate::simd::{Simd, vectorized};
use crate::tensors::{MissingTensor, Tensors};

/// Sizes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteBlockSizes {
    /// Side of the filter of each channel.
    pub kernel: usize,
    /// Pixels from one filtered place to the next.
    pub stride: usize,
    /// The input's width is multiplied by it.
    pub expand: usize,
    /// Width of the output.
    pub out: usize,
}

/// Sizes of a [`Lite`].
#[derive(Clone, Debug)]
pub struct LiteSizes {
    /// Side of the square input in pixels.
    pub image_px: usize,
    /// Width behind the first convolution.
    pub stem: usize,
    /// All blocks.
    pub blocks: Vec<LiteBlockSizes>,
    /// Width behind the last convolution.
    pub head: usize,
    /// Blocks whose averages join the features.
    pub taps: Vec<usize>,
    /// Width of the output.
    pub dim: usize,
    /// The reading as a sentence, `[dim]`. Its direction joins the features; the sum of it and of a map of the other features stands before the
    /// projection in the output, at unit length.
    pub sentence: Option<SentenceSizes>,
}

const COLORS: usize = 3;

/// Weight of what the classifier knows, against a map of unit length, in the place among sentences.
const KNOWN: f32 = 2.0;

/// EfficientNet-Lite with packed weights, and a projection of its features.
#[derive(Debug)]
pub struct Lite {
    image_px: usize,
    stem: Stem,
    blocks: Vec<LiteBlock>,
    head: Linear,
    taps: Vec<usize>,
    /// Its vector is the last part of the features.
    sentence: Option<Sentence>,
    /// The other features into the space of sentences.
    map: Option<Projection>,
    dim: usize,
    projection: Projection,
    memory: Pool<Memory>,
}

/// Memory of a pass, kept between calls.
#[derive(Debug, Default)]
struct Memory {
    maps: Maps,
    inner: Maps,
    filtered: Maps,
    out: Maps,
    rows: Rows,
    pooled: Vec<f32>,
}

/// A square of pixels.
#[derive(Debug, Default)]
struct Maps {
    side: usize,
    /// `[side, side, channels]`
    values: Vec<f32>,
}

impl Lite {
    /// Packs the tensors of a tower: those of the network are in `trunk`.
    ///
    /// # Errors
    /// A tensor that is missing or has another size.
    pub fn new(precision: Precision, tower: &Tensors<'_>, sizes: &LiteSizes) -> Result<Self, MissingTensor> {
        let trunk = tower.within("trunk");
        // Layers this narrow gain no speed by bytes.
        let precision = precision.without_bytes(Simd::get());
        let mut width = sizes.stem;
        let mut blocks = Vec::new();
        for (number, block) in sizes.blocks.iter().enumerate() {
            blocks.push(LiteBlock::new(
                precision,
                &trunk.within(&format!("blocks.{number}")),
                width,
                block,
            )?);
            width = block.out;
        }
        let taps = sizes.taps.iter().map(|tap| sizes.blocks[*tap].out);
        let features = sizes.head + taps.sum::<usize>();
        let (mut sentence, mut map) = (None, None);
        if let Some(sizes_of) = sizes.sentence {
            let tensors = trunk.within("sentence");
            sentence = Some(Sentence::new(&tensors, sizes.head, sizes_of)?);
            map = Some(Projection::new(
                precision,
                &tower.within("map"),
                [features, sizes_of.width],
            )?);
        }
        let features = features + sizes.sentence.map_or(0, |sentence| sentence.width);
        Ok(Self {
            image_px: sizes.image_px,
            stem: Stem::new(&trunk.within("stem"), sizes.stem)?,
            blocks,
            head: pointwise(precision, &trunk.within("head"), [width, sizes.head])?,
            taps: sizes.taps.clone(),
            sentence,
            map,
            dim: sizes.dim,
            projection: Projection::new(precision, &tower.within("projection"), [features, sizes.dim])?,
            memory: Pool::default(),
        })
    }

    /// `images`: `[batch, 3, image_px, image_px]`, normalized -> `[batch, dim]`, behind their sentences where there are any, `[batch, 2 dim]`.
    /// `threads` share each layer.
    pub fn forward(&self, images: &[f32], threads: usize) -> Vec<f32> {
        self.project(&self.features(images, threads))
    }

    /// `[batch, features]` -> what [`Lite::forward`] gives.
    pub fn project(&self, features: &[f32]) -> Vec<f32> {
        let projected = self.projection.apply(features);
        let Some((sentence, map)) = self.sentence.as_ref().zip(self.map.as_ref()) else {
            return projected;
        };
        let rows = projected.chunks_exact(self.dim);
        let width = features.len() / rows.len().max(1);
        let pairs = features.chunks_exact(width.max(1)).zip(rows);
        pairs
            .flat_map(|(features, projected)| {
                let averages = &features[..width - self.dim];
                let known = sentence.read(&averages[..self.head.outputs()]);
                let mapped = unit(map.apply(averages));
                let both = known.iter().zip(mapped).map(|(known, mapped)| KNOWN * known + mapped);
                [unit(both.collect()), projected.to_vec()].concat()
            })
            .collect()
    }

    /// The same images -> `[batch, features]`, before the projection: head, then taps, averaged over space, then sentences.
    pub fn features(&self, images: &[f32], threads: usize) -> Vec<f32> {
        let run = Run::on(threads);
        let mut features = Vec::new();
        self.memory.with(|memory| {
            for image in images.chunks_exact(COLORS * self.image_px * self.image_px) {
                self.add_features(run, memory, image, &mut features);
            }
        });
        features
    }

    fn add_features(&self, run: Run, memory: &mut Memory, image: &[f32], features: &mut Vec<f32>) {
        let first = features.len();
        self.stem.forward(run, image, self.image_px, memory);
        memory.pooled.clear();
        let mut averages = Vec::with_capacity(self.taps.len());
        for (number, block) in self.blocks.iter().enumerate() {
            block.forward(run, memory);
            if self.taps.contains(&number) {
                let from = memory.pooled.len();
                average(&memory.maps.values, block.project.outputs(), &mut memory.pooled);
                averages.push((number, from..memory.pooled.len()));
            }
        }
        let Memory { maps, inner, rows, .. } = memory;
        apply(run, &self.head, rows, maps, inner, RELU6);
        average(&inner.values, self.head.outputs(), features);
        for tap in &self.taps {
            let found = averages.iter().find(|(number, _)| number == tap);
            features.extend_from_slice(&memory.pooled[found.map_or(0..0, |(_, at)| at.clone())]);
        }
        if let Some(sentence) = &self.sentence {
            let vector = sentence.read(&features[first..first + self.head.outputs()]);
            features.extend(unit(vector));
        }
    }
}

const RELU6: Epilogue = Epilogue {
    adds: false,
    activation: Activation::Relu6,
};

/// The first convolution: three by three pixels, every second one.
#[derive(Debug)]
struct Stem {
    layer: Linear,
}

/// Side and stride of the first convolution.
const STEM_SIDE: usize = 3;
const STEM_STRIDE: usize = 2;

impl Stem {
    fn new(tensors: &Tensors<'_>, width: usize) -> Result<Self, MissingTensor> {
        const INPUTS: usize = COLORS * STEM_SIDE * STEM_SIDE;
        // `[out, color, y, x]` becomes `[color * y * x, out]`. Colors of bytes would be too coarse.
        Ok(Self {
            layer: pointwise(Precision::F32, tensors, [INPUTS, width])?,
        })
    }

    fn forward(&self, run: Run, image: &[f32], image_px: usize, memory: &mut Memory) {
        let Memory { maps, inner, rows, .. } = memory;
        let place = Places::new(image_px, STEM_SIDE, STEM_STRIDE);
        inner.side = place.out;
        inner.values.clear();
        for (y, x) in (0..place.out).flat_map(|y| (0..place.out).map(move |x| (y, x))) {
            for color in image.chunks_exact(image_px * image_px) {
                for (line, column) in (0..STEM_SIDE).flat_map(|line| (0..STEM_SIDE).map(move |column| (line, column))) {
                    let pixel = place.input(y, line).zip(place.input(x, column));
                    inner.values.push(pixel.map_or(0.0, |(y, x)| color[y * image_px + x]));
                }
            }
        }
        apply(run, &self.layer, rows, inner, maps, RELU6);
    }
}

/// Places of a filter with TensorFlow's "SAME" padding along one axis.
#[derive(Clone, Copy)]
struct Places {
    size: usize,
    stride: usize,
    before: usize,
    out: usize,
}

impl Places {
    fn new(size: usize, kernel: usize, stride: usize) -> Self {
        let out = size.div_ceil(stride);
        let padding = ((out - 1) * stride + kernel).saturating_sub(size);
        Self {
            size,
            stride,
            // An odd pixel of padding goes after.
            before: padding / 2,
            out,
        }
    }

    /// The pixel under a part of the filter; `None` in the padding.
    fn input(self, out: usize, part: usize) -> Option<usize> {
        (out * self.stride + part)
            .checked_sub(self.before)
            .filter(|at| *at < self.size)
    }
}

/// Expand, filter each channel, project; added to the input where the shapes allow it.
#[derive(Debug)]
struct LiteBlock {
    expand: Option<Linear>,
    depthwise: Depthwise,
    project: Linear,
    is_residual: bool,
}

impl LiteBlock {
    fn new(
        precision: Precision,
        tensors: &Tensors<'_>,
        width: usize,
        sizes: &LiteBlockSizes,
    ) -> Result<Self, MissingTensor> {
        let inner = width * sizes.expand;
        let expand = tensors.within("expand");
        Ok(Self {
            expand: match sizes.expand {
                1 => None,
                _ => Some(pointwise(precision, &expand, [width, inner])?),
            },
            depthwise: Depthwise::new(&tensors.within("depthwise"), inner, sizes)?,
            project: pointwise(precision, &tensors.within("project"), [inner, sizes.out])?,
            is_residual: sizes.stride == 1 && width == sizes.out,
        })
    }

    /// `memory.maps` through the block.
    fn forward(&self, run: Run, memory: &mut Memory) {
        let Memory {
            maps,
            inner,
            filtered,
            out,
            rows,
            ..
        } = memory;
        let expanded = match &self.expand {
            Some(expand) => {
                apply(run, expand, rows, maps, inner, RELU6);
                &*inner
            }
            None => &*maps,
        };
        let place = Places::new(expanded.side, self.depthwise.kernel, self.depthwise.stride);
        let channels = self.depthwise.bias.len();
        filtered.side = place.out;
        filtered.values.resize(place.out * place.out * channels, 0.0);
        filter(run.simd, &self.depthwise, place, &expanded.values, &mut filtered.values);
        match self.is_residual {
            true => apply(run, &self.project, rows, filtered, maps, Epilogue::ADD),
            false => {
                apply(run, &self.project, rows, filtered, out, Epilogue::STORE);
                std::mem::swap(maps, out);
            }
        }
    }
}

/// A layer over every pixel.
fn apply(run: Run, layer: &Linear, rows: &mut Rows, maps: &Maps, out: &mut Maps, epilogue: Epilogue) {
    out.side = maps.side;
    layer.fill(run, rows, &maps.values, &mut out.values, epilogue);
}

/// A convolution over one pixel: `[out, in, 1, 1]`.
fn pointwise(
    precision: Precision,
    tensors: &Tensors<'_>,
    [inputs, outputs]: [usize; 2],
) -> Result<Linear, MissingTensor> {
    let weights = || {
        let weights = tensors.get_sized("weight", inputs * outputs)?;
        Ok(Cow::Owned(transpose(weights, outputs)))
    };
    let bias = || Ok(tensors.get_sized("bias", outputs)?.to_vec());
    Linear::new(precision, tensors, [inputs, outputs], weights, bias)
}

/// `[rows, ..]` -> `[.., rows]`
fn transpose(values: &[f32], rows: usize) -> Vec<f32> {
    let inner = values.len() / rows;
    (0..values.len())
        .map(|at| values[(at % rows) * inner + at / rows])
        .collect()
}

/// A filter for each channel.
#[derive(Debug)]
struct Depthwise {
    kernel: usize,
    stride: usize,
    /// `[kernel * kernel, channels]`
    weights: Numbers<f32>,
    bias: Numbers<f32>,
}

impl Depthwise {
    fn new(tensors: &Tensors<'_>, channels: usize, sizes: &LiteBlockSizes) -> Result<Self, MissingTensor> {
        let count = channels * sizes.kernel * sizes.kernel;
        let transposed = || Ok(transpose(tensors.get_sized("weight", count)?, channels));
        Ok(Self {
            kernel: sizes.kernel,
            stride: sizes.stride,
            weights: tensors.array("filters", count, transposed)?,
            bias: tensors.tensor("bias", channels)?,
        })
    }
}

/// Channels that are added up side by side.
const LANES: usize = 16;

vectorized! {
    /// Filters every channel of square maps, and cuts the result to 0..=6.
    fn filter(layer: &Depthwise, place: Places, maps: &[f32], out: &mut [f32]) {
        let channels = layer.bias.len();
        for (at, out) in out.chunks_exact_mut(channels).enumerate() {
            let window = Window::new(layer.kernel, place, at);
            match channels.is_multiple_of(LANES) {
                true => filter_pixel::<LANES, FMA>(layer, &window, maps, out),
                false => filter_pixel::<1, FMA>(layer, &window, maps, out),
            }
        }
    }
}

/// The pixels under the filter at one place of the output, without padding.
struct Window {
    kernel: usize,
    /// Pixels in a line of the input.
    size: usize,
    lines: Range<usize>,
    columns: Range<usize>,
    /// The pixel under the first part of the filter that is not in the padding.
    first: usize,
}

impl Window {
    #[inline(always)]
    fn new(kernel: usize, place: Places, at: usize) -> Self {
        let (y, x) = (at / place.out * place.stride, at % place.out * place.stride);
        let parts = |from: usize| {
            let first = place.before.saturating_sub(from);
            first..kernel.min(place.size + place.before - from).max(first)
        };
        let (lines, columns) = (parts(y), parts(x));
        Self {
            kernel,
            size: place.size,
            first: (y + lines.start - place.before) * place.size + x + columns.start - place.before,
            lines,
            columns,
        }
    }
}

/// One pixel of the output, some channels at a time, whose sums stay in registers.
#[inline(always)]
fn filter_pixel<const COUNT: usize, const FMA: bool>(
    layer: &Depthwise,
    window: &Window,
    maps: &[f32],
    out: &mut [f32],
) {
    let (maps, weights) = (maps.as_chunks::<COUNT>().0, layer.weights.as_chunks::<COUNT>().0);
    let (bias, out) = (layer.bias.as_chunks::<COUNT>().0, out.as_chunks_mut::<COUNT>().0);
    let chunks = bias.len();
    for (chunk, (out, bias)) in out.iter_mut().zip(bias).enumerate() {
        let mut sums = *bias;
        for (down, line) in window.lines.clone().enumerate() {
            let mut pixel = (window.first + down * window.size) * chunks + chunk;
            let mut weight = (line * window.kernel + window.columns.start) * chunks + chunk;
            for _ in window.columns.clone() {
                for lane in 0..COUNT {
                    sums[lane] = crate::math::mul_add::<FMA>(maps[pixel][lane], weights[weight][lane], sums[lane]);
                }
                pixel += chunks;
                weight += chunks;
            }
        }
        Activation::Relu6.apply::<FMA>(&mut sums);
        *out = sums;
    }
}

/// Adds the mean of each channel over all pixels to `means`.
fn average(maps: &[f32], channels: usize, means: &mut Vec<f32>) {
    let from = means.len();
    means.resize(from + channels, 0.0);
    let sums = &mut means[from..];
    let pixels = maps.chunks_exact(channels);
    let count = pixels.len() as f32;
    for pixel in pixels {
        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    sums.iter_mut().for_each(|sum| *sum /= count);
}
