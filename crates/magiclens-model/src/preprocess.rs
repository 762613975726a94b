//! Images to model input: resizing, squaring and normalizing.
//!
//! Resizing is `jax.image.resize(.., "bilinear")`, antialiased; for [`PreprocessConfig::Clip`] Pillow's bicubic. The output is always `[3, size_px, size_px]`, channel
//! first, row-major.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::pillow::bicubic_center;

/// Mean of CLIP's training images, per channel, for values in [0, 1].
pub const CLIP_MEAN: [f32; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Standard deviation of CLIP's training images, per channel, for values in [0, 1].
#[expect(clippy::excessive_precision, reason = "the digits are CLIP's own")]
pub const CLIP_STD: [f32; 3] = [0.26862954, 0.26130258, 0.27577711];

/// Largest `size_px` that a configuration may ask for.
pub const MAX_SIZE_PX: u32 = 4096;

/// How a model wants its images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PreprocessConfig {
    /// The official way: divide by the image's own maximum, squash to a square, CLIP mean and deviation.
    Official {
        /// Side of the square, in pixels.
        size_px: u32,
    },
    /// CLIP's own way, transformers' `CLIPImageProcessor`: Pillow's bicubic until the shorter side fits, the square in the
    /// center, CLIP mean and deviation.
    Clip {
        /// Side of the square, in pixels.
        size_px: u32,
    },
    /// Squash to a square, then `(value - mean) / std`.
    Squash {
        /// Side of the square, in pixels.
        size_px: u32,
        /// Per channel, for values in 0..=255.
        mean: [f32; 3],
        /// Per channel, for values in 0..=255.
        std: [f32; 3],
    },
    /// Scale to fit into a square, centerd on a background, then `(value - mean) / std`.
    Letterbox {
        /// Side of the square, in pixels.
        size_px: u32,
        /// Per channel, for values in 0..=255.
        mean: [f32; 3],
        /// Per channel, for values in 0..=255.
        std: [f32; 3],
        /// Color of the bars, RGB.
        background: [u8; 3],
    },
}

/// Why a [`PreprocessConfig`] cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// The side is zero or absurd.
    #[error("`size_px` is {0}, but must be between 1 and {MAX_SIZE_PX}")]
    Size(u32),
    /// The mean or the deviation cannot normalize anything.
    #[error("`mean` {mean:?} and `std` {std:?} must be finite, and `std` above zero")]
    Normalization {
        /// As configured.
        mean: [f32; 3],
        /// As configured.
        std: [f32; 3],
    },
}

impl PreprocessConfig {
    /// Side of the square that [`Self::apply`] makes, in pixels.
    pub fn size_px(&self) -> u32 {
        match *self {
            Self::Official { size_px }
            | Self::Clip { size_px }
            | Self::Squash { size_px, .. }
            | Self::Letterbox { size_px, .. } => size_px,
        }
    }

    /// Refuses sizes and normalizations that make no image.
    pub fn check(&self) -> Result<(), PreprocessError> {
        let size_px = self.size_px();
        if !(1..=MAX_SIZE_PX).contains(&size_px) {
            return Err(PreprocessError::Size(size_px));
        }
        match *self {
            Self::Squash { mean, std, .. } | Self::Letterbox { mean, std, .. }
                if !(mean.iter().all(|value| value.is_finite())
                    && std.iter().all(|value| value.is_finite() && 0.0 < *value)) =>
            {
                Err(PreprocessError::Normalization { mean, std })
            }
            _ => Ok(()),
        }
    }

    /// The model input, `[3, size_px, size_px]`. An image without pixels counts as one black pixel.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        let black = RgbImage::new(1, 1);
        let image = if image.is_empty() { &black } else { image };
        let source = Source::whole(image.as_raw(), image.width(), image.height());
        match *self {
            Self::Official { size_px } => {
                let unit = Affine::normalize(CLIP_MEAN, CLIP_STD);
                resize_to_square(&source, size_px, unit.after_scaling(1.0 / own_maximum(image)))
            }
            Self::Clip { size_px } => {
                let bytes = bicubic_center(image, size_px);
                let affine = Affine::normalize(CLIP_MEAN, CLIP_STD).after_scaling(1.0 / 255.0);
                planes_of(&Source::whole(bytes.as_raw(), size_px, size_px), affine)
            }
            Self::Squash { size_px, mean, std } => resize_to_square(&source, size_px, Affine::normalize(mean, std)),
            Self::Letterbox {
                size_px,
                mean,
                std,
                background,
            } => letterbox(&source, size_px, Affine::normalize(mean, std), background),
        }
    }
}

/// An image with float samples, row-major, channels last: `[height, width, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImage {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` samples.
    pub samples: Vec<f32>,
}

impl FloatImage {
    /// The samples divided by 255.
    pub fn from_rgb(image: &RgbImage) -> Self {
        let samples = image.as_raw().iter().map(|&sample| f32::from(sample) / 255.0).collect();
        Self {
            width: image.width(),
            height: image.height(),
            samples,
        }
    }
}

/// The official `process_img`: divide by the image's own maximum, then squash to `size_px` x `size_px`.
pub fn process_img(image: &RgbImage, size_px: u32) -> FloatImage {
    let source = Source::whole(image.as_raw(), image.width(), image.height());
    let planes = resize_to_square(
        &source,
        size_px,
        Affine::IDENTITY.after_scaling(1.0 / own_maximum(image)),
    );
    FloatImage {
        width: size_px,
        height: size_px,
        samples: channels_last(&planes),
    }
}

/// What the official model does itself with its input in [0, 1]: the largest square in the center, resized and
/// normalized. Returns `[3, size_px, size_px]`.
pub fn model_preprocess(image: &FloatImage, size_px: u32) -> Vec<f32> {
    let source = Source::whole(&image.samples, image.width, image.height).central_square();
    resize_to_square(&source, size_px, Affine::normalize(CLIP_MEAN, CLIP_STD))
}

/// Plain resizing without normalization, `[height, width, 3]` to `[height, width, 3]`.
pub fn resize(image: &FloatImage, width: u32, height: u32) -> FloatImage {
    let source = Source::whole(&image.samples, image.width, image.height);
    let mut planes = vec![0.0; 3 * width as usize * height as usize];
    let window = Window {
        left: 0,
        top: 0,
        width: width as usize,
        height: height as usize,
    };
    resize_into(
        &source,
        &mut planes,
        [height as usize, width as usize],
        window,
        Affine::IDENTITY,
    );
    FloatImage {
        width,
        height,
        samples: channels_last(&planes),
    }
}

/// `value * scale + shift` per channel.
#[derive(Clone, Copy)]
struct Affine {
    scale: [f32; 3],
    shift: [f32; 3],
}

impl Affine {
    const IDENTITY: Self = Self {
        scale: [1.0; 3],
        shift: [0.0; 3],
    };

    fn normalize(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self {
            scale: std.map(f32::recip),
            shift: [0, 1, 2].map(|channel| -mean[channel] / std[channel]),
        }
    }

    /// Multiplies by `factor` first.
    fn after_scaling(self, factor: f32) -> Self {
        Self {
            scale: self.scale.map(|scale| scale * factor),
            shift: self.shift,
        }
    }

    fn apply(&self, channel: usize, value: f32) -> f32 {
        value * self.scale[channel] + self.shift[channel]
    }
}

/// A rectangle of interleaved RGB samples.
struct Source<'a, T> {
    samples: &'a [T],
    row_stride: usize,
    width: usize,
    height: usize,
}

impl<'a, T> Source<'a, T> {
    fn whole(samples: &'a [T], width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self {
            samples,
            row_stride: width * 3,
            width,
            height,
        }
    }

    /// The largest square, an odd pixel more below and to the right left out.
    fn central_square(self) -> Self {
        let side = self.width.min(self.height);
        let (left, top) = ((self.width - side) / 2, (self.height - side) / 2);
        let samples = &self.samples[top * self.row_stride + left * 3..];
        Self {
            samples,
            width: side,
            height: side,
            ..self
        }
    }

    fn row(&self, y: usize) -> &'a [T] {
        &self.samples[y * self.row_stride..][..self.width * 3]
    }
}

/// Where the resized image goes on the output, in pixels.
#[derive(Clone, Copy)]
struct Window {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// The weights along one axis: output `o` is the sum of `weights[o][k] * input[starts[o] + k]`.
struct Axis {
    starts: Vec<usize>,
    taps: usize,
    weights: Vec<f32>,
}

impl Axis {
    /// A triangle filter, widened by the factor when shrinking; weights sum to one. An unchanged axis is copied.
    fn new(input: usize, output: usize) -> Self {
        if input == output {
            return Self {
                starts: (0..output).collect(),
                taps: 1,
                weights: vec![1.0; output],
            };
        }
        let step = input as f64 / output as f64;
        let radius = step.max(1.0);
        // So many whole numbers lie strictly within the radius of any center.
        let taps = ((2.0 * radius).ceil() as usize).min(input);
        let mut axis = Self {
            starts: Vec::with_capacity(output),
            taps,
            weights: Vec::with_capacity(output * taps),
        };
        for index in 0..output {
            let center = (index as f64 + 0.5) * step - 0.5;
            let start = (((center - radius).floor() + 1.0).max(0.0) as usize).min(input - taps);
            let weight = |tap: usize| (1.0 - (center - (start + tap) as f64).abs() / radius).max(0.0);
            let total: f64 = (0..taps).map(weight).sum();
            axis.starts.push(start);
            axis.weights.extend((0..taps).map(|tap| (weight(tap) / total) as f32));
        }
        axis
    }

    /// Start of the inputs and their weights.
    fn taps_of(&self, output: usize) -> (usize, &[f32]) {
        (self.starts[output], &self.weights[output * self.taps..][..self.taps])
    }
}

/// The image's largest sample, or what the official code divides a black one by.
fn own_maximum(image: &RgbImage) -> f32 {
    const AGAINST_ZERO: f32 = 1e-12;
    f32::from(image.as_raw().iter().copied().max().unwrap_or(0)) + AGAINST_ZERO
}

fn resize_to_square<T: Copy + Into<f32>>(source: &Source<'_, T>, size_px: u32, affine: Affine) -> Vec<f32> {
    let side = size_px as usize;
    let mut planes = vec![0.0; 3 * side * side];
    let window = Window {
        left: 0,
        top: 0,
        width: side,
        height: side,
    };
    resize_into(source, &mut planes, [side, side], window, affine);
    planes
}

/// The samples as they are, each mapped by `affine`.
fn planes_of(source: &Source<'_, u8>, affine: Affine) -> Vec<f32> {
    let mut planes = Vec::with_capacity(source.samples.len());
    for channel in 0..3 {
        let samples = source.samples.iter().skip(channel).step_by(3);
        planes.extend(samples.map(|&sample| affine.apply(channel, f32::from(sample))));
    }
    planes
}

fn letterbox(source: &Source<'_, u8>, size_px: u32, affine: Affine, background: [u8; 3]) -> Vec<f32> {
    let side = size_px as usize;
    let longest = source.width.max(source.height);
    let fit = |length: usize| ((length * side + longest / 2) / longest).clamp(1, side.max(1));
    let (width, height) = (fit(source.width), fit(source.height));
    let window = Window {
        left: (side - width) / 2,
        top: (side - height) / 2,
        width,
        height,
    };
    let mut planes = Vec::with_capacity(3 * side * side);
    for (channel, &value) in background.iter().enumerate() {
        planes.resize(planes.len() + side * side, affine.apply(channel, f32::from(value)));
    }
    resize_into(source, &mut planes, [side, side], window, affine);
    planes
}

/// Resizes `source` into a window of `planes` (`[3, height, width]`) and maps each value by `affine`.
fn resize_into<T: Copy + Into<f32>>(
    source: &Source<'_, T>,
    planes: &mut [f32],
    [plane_height, plane_width]: [usize; 2],
    window: Window,
    affine: Affine,
) {
    let vertical = Axis::new(source.height, window.height);
    let horizontal = Axis::new(source.width, window.width);
    let mut mixed = vec![0.0; source.width * 3];
    for y in 0..window.height {
        mix_rows(source, &vertical, y, &mut mixed);
        for x in 0..window.width {
            let (start, weights) = horizontal.taps_of(x);
            let mut sum = [0.0f32; 3];
            for (pixel, &weight) in mixed[start * 3..].chunks_exact(3).zip(weights) {
                sum[0] += weight * pixel[0];
                sum[1] += weight * pixel[1];
                sum[2] += weight * pixel[2];
            }
            let offset = (window.top + y) * plane_width + window.left + x;
            for (channel, value) in sum.into_iter().enumerate() {
                planes[channel * plane_height * plane_width + offset] = affine.apply(channel, value);
            }
        }
    }
}

/// One output row of the vertical pass, at the source's width. Whole rows at a time, so that the compiler vectorizes.
fn mix_rows<T: Copy + Into<f32>>(source: &Source<'_, T>, vertical: &Axis, y: usize, mixed: &mut [f32]) {
    let (start, weights) = vertical.taps_of(y);
    mixed.fill(0.0);
    for (tap, &weight) in weights.iter().enumerate().filter(|&(_, &weight)| weight != 0.0) {
        for (sum, &sample) in mixed.iter_mut().zip(source.row(start + tap)) {
            *sum += weight * sample.into();
        }
    }
}

/// `[3, pixels]` to `[pixels, 3]`.
fn channels_last(planes: &[f32]) -> Vec<f32> {
    let pixels = planes.len() / 3;
    (0..pixels)
        .flat_map(|pixel| [0, 1, 2].map(|channel| planes[channel * pixels + pixel]))
        .collect()
}
