//! Resizing as `jax.image.resize(.., "bilinear")` does, antialiased, with a linear map of each value.

/// `value * scale + shift` per channel.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    scale: [f32; 3],
    shift: [f32; 3],
}

impl Affine {
    pub(super) const IDENTITY: Self = Self {
        scale: [1.0; 3],
        shift: [0.0; 3],
    };

    pub(super) fn normalize(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self {
            scale: std.map(f32::recip),
            shift: [0, 1, 2].map(|channel| -mean[channel] / std[channel]),
        }
    }

    /// Multiplies by `factor` first.
    pub(super) fn after_scaling(self, factor: f32) -> Self {
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
pub(super) struct Source<'a, T> {
    samples: &'a [T],
    row_stride: usize,
    width: usize,
    height: usize,
}

impl<'a, T> Source<'a, T> {
    pub(super) fn whole(samples: &'a [T], width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self {
            samples,
            row_stride: width * 3,
            width,
            height,
        }
    }

    /// The largest square, an odd pixel more below and to the right left out.
    pub(super) fn central_square(self) -> Self {
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

/// The place of the resized image on the output, in pixels.
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

pub(super) fn resize_to_square<T: Copy + Into<f32>>(source: &Source<'_, T>, size_px: u32, affine: Affine) -> Vec<f32> {
    resize_to(source, [size_px as usize; 2], affine)
}

/// Resizes to `[height, width]`: `[3, height, width]`, each value mapped by `affine`.
pub(super) fn resize_to<T: Copy + Into<f32>>(
    source: &Source<'_, T>,
    [height, width]: [usize; 2],
    affine: Affine,
) -> Vec<f32> {
    let mut planes = vec![0.0; 3 * height * width];
    let (left, top) = (0, 0);
    let window = Window {
        left,
        top,
        width,
        height,
    };
    resize_into(source, &mut planes, [height, width], window, affine);
    planes
}

/// The samples as they are, each mapped by `affine`.
pub(super) fn planes_of(source: &Source<'_, u8>, affine: Affine) -> Vec<f32> {
    let mut planes = Vec::with_capacity(source.samples.len());
    for channel in 0..3 {
        let samples = source.samples.iter().skip(channel).step_by(3);
        planes.extend(samples.map(|&sample| affine.apply(channel, f32::from(sample))));
    }
    planes
}

pub(super) fn letterbox(source: &Source<'_, u8>, size_px: u32, affine: Affine, background: [u8; 3]) -> Vec<f32> {
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
pub(super) fn channels_last(planes: &[f32]) -> Vec<f32> {
    let pixels = planes.len() / 3;
    (0..pixels)
        .flat_map(|pixel| [0, 1, 2].map(|channel| planes[channel * pixels + pixel]))
        .collect()
}
