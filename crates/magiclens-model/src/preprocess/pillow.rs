//! Pillow's resizing, byte for byte: of no more than the square in the center that CLIP looks at, or of the whole image to a
//! square.
//!
//! The horizontal pass comes first, as in every Pillow up to 12; Pillow 13 begins with the vertical one where it takes that
//! to be faster, which moves single bytes of some tall images. Source: python-pillow `src/libImaging/Resample.c`; transformers `image_transforms.py`, `get_resize_output_image_size` and
//! `center_crop`.

use std::ops::Range;

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Weights are whole numbers of 2^-22, so that a sum of bytes fits into 32 bits.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A filter of Pillow's `resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PillowFilter {
    /// `Resampling.BILINEAR`, number 2: a triangle.
    Bilinear,
    /// `Resampling.BICUBIC`, number 3: Keys' cubic convolution with a = -0.5.
    Bicubic,
}

impl PillowFilter {
    /// Reach, in pixels of the smaller grid.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Weight at a distance.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => bicubic(x),
        }
    }
}

/// The place of a square on the longer side, where an odd number of pixels is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Center {
    /// transformers: the larger half lies behind the square.
    Before,
    /// torchvision, `center_crop`: half of the rest is rounded to the even number.
    Even,
}

impl Center {
    fn range(self, length: usize, side: usize) -> Range<usize> {
        let rest = length - side;
        let start = match self {
            Self::Before => rest / 2,
            Self::Even => rest / 2 + usize::from(rest % 4 == 3),
        };
        start..start + side
    }
}

/// Resizes until the shorter side has `side` pixels, and cuts the square out of the center: what
/// `image.resize(.., BICUBIC)` and a crop give. Only the square is ever computed, so that a long strip costs no memory.
pub(crate) fn bicubic_center(image: &RgbImage, side: u32, center: Center) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (columns, rows) = if image.width() <= image.height() {
        (side as usize, longer(side, height, width))
    } else {
        (longer(side, width, height), side as usize)
    };
    let cut = |input, output| {
        let range = center.range(output, side as usize);
        Axis::new(PillowFilter::Bicubic, input, output, range)
    };
    resample(image, &cut(width, columns), &cut(height, rows), side)
}

/// Resizes the whole image to a square, whatever its shape: `image.resize((side, side), filter)`.
pub(crate) fn squash(image: &RgbImage, side: u32, filter: PillowFilter) -> RgbImage {
    let whole = |input: u32| Axis::new(filter, input as usize, side as usize, 0..side as usize);
    resample(image, &whole(image.width()), &whole(image.height()), side)
}

/// `side` outputs along each axis, the horizontal ones first.
fn resample(image: &RgbImage, horizontal: &Axis, vertical: &Axis, side: u32) -> RgbImage {
    let width = image.width() as usize;
    let needed = vertical.inputs();
    let mut mixed = Vec::with_capacity(needed.len() * side as usize * 3);
    for y in needed.clone() {
        let row = &image.as_raw()[y * width * 3..(y + 1) * width * 3];
        for tap in &horizontal.taps {
            for channel in 0..3 {
                mixed.push(tap.sum(|x| row[x * 3 + channel]));
            }
        }
    }
    let row_length = side as usize * 3;
    let mut squared = Vec::with_capacity(side as usize * row_length);
    for tap in &vertical.taps {
        squared.extend((0..row_length).map(|at| tap.sum(|y| mixed[(y - needed.start) * row_length + at])));
    }
    RgbImage::from_raw(side, side, squared).expect("there are as many samples as the square needs")
}

/// The longer side where the shorter one becomes `side`, rounded down as Python's `int` does.
fn longer(side: u32, long: usize, short: usize) -> usize {
    (u64::from(side) * long as u64 / short as u64) as usize
}

/// The mixture of one output pixel: from `start` on, a weight for each input pixel.
struct Taps {
    start: usize,
    weights: Vec<i32>,
}

impl Taps {
    fn sum(&self, sample: impl Fn(usize) -> u8) -> u8 {
        let half = 1 << (PRECISION_BITS - 1);
        let weights = self.weights.iter().enumerate();
        let sum: i32 = weights.fold(half, |sum, (at, &weight)| {
            sum.wrapping_add(weight.wrapping_mul(i32::from(sample(self.start + at))))
        });
        (sum >> PRECISION_BITS).clamp(0, 255) as u8
    }
}

/// The wanted outputs along one axis.
struct Axis {
    taps: Vec<Taps>,
}

impl Axis {
    fn new(filter: PillowFilter, input: usize, output: usize, wanted: Range<usize>) -> Self {
        let taps = wanted.map(|at| {
            if input == output {
                let weights = vec![1 << PRECISION_BITS];
                return Taps { start: at, weights };
            }
            taps(filter, input, output, at)
        });
        Self { taps: taps.collect() }
    }

    /// The inputs that any output needs.
    fn inputs(&self) -> Range<usize> {
        let start = self.taps.iter().map(|tap| tap.start).min().unwrap_or(0);
        let end = self.taps.iter().map(|tap| tap.start + tap.weights.len()).max();
        start..end.unwrap_or(0)
    }
}

/// The mixture of output `at` of `output` along an axis of `input`: the first input, and the shares of it and those behind it.
/// torch's `interpolate` with `antialias` has the same.
pub(crate) fn shares(filter: PillowFilter, input: usize, output: usize, at: usize) -> (usize, Vec<f64>) {
    let scale = input as f64 / output as f64;
    let widened = scale.max(1.0);
    let support = filter.support() * widened;
    let center = (at as f64 + 0.5) * scale;
    // Casts cut toward zero, and below zero is zero.
    let start = (center - support + 0.5) as usize;
    let end = ((center + support + 0.5) as usize).min(input);
    let weights: Vec<f64> = (start..end)
        .map(|position| filter.weight((position as f64 - center + 0.5) * (1.0 / widened)))
        .collect();
    let total: f64 = weights.iter().sum();
    (start, weights.iter().map(|weight| weight / total).collect())
}

fn taps(filter: PillowFilter, input: usize, output: usize, at: usize) -> Taps {
    let (start, weights) = shares(filter, input, output, at);
    let whole = |share: &f64| {
        let scaled = share * f64::from(1 << PRECISION_BITS);
        // Rounded half away from zero.
        (scaled + 0.5f64.copysign(scaled)) as i32
    };
    Taps {
        start,
        weights: weights.iter().map(whole).collect(),
    }
}

/// Keys' cubic convolution with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_one_at_its_center_and_zero_at_other_pixels() {
        for (x, expected) in [
            (0.0, 1.0),
            (1.0, 0.0),
            (-1.0, 0.0),
            (2.0, 0.0),
            (0.5, 0.5625),
            (1.5, -0.0625),
        ] {
            assert_eq!(bicubic(x), expected, "{x}");
        }
    }

    #[test]
    fn doubling_mixes_the_weights_worked_out_by_hand() {
        // Two pixels become four. The center of the first output is 0.25, its reach [-1.75, 2.25]: both inputs, at
        // distances 0.25 and 1.25 with weights 0.8671875 and -0.0703125.
        let first = taps(PillowFilter::Bicubic, 2, 4, 0);
        let total = 0.8671875 - 0.0703125;
        let expected = [0.8671875 / total, -0.0703125 / total].map(|weight| (weight * 4194304.0_f64).round() as i32);
        assert_eq!((first.start, first.weights.as_slice()), (0, &expected[..]));
        // 100 and 200: 100 - 100 * 0.0882 = 91.2, and mirrored 208.8.
        let image = RgbImage::from_fn(2, 2, |x, _| image::Rgb([100 + 100 * x as u8; 3]));
        let doubled = bicubic_center(&image, 4, Center::Before);
        let row: Vec<u8> = (0..4).map(|x| doubled.get_pixel(x, 1).0[0]).collect();
        assert_eq!(row, [91, 121, 179, 209]);
    }

    #[test]
    fn half_a_rest_is_rounded_as_each_program_does() {
        // Python's `round` gives 0, 0, 1, 2, 2, 2, 3, 4 for halves of 0 to 7.
        let starts = |center: Center| (0..8).map(|rest| center.range(5 + rest, 5).start).collect::<Vec<_>>();
        assert_eq!(starts(Center::Before), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(starts(Center::Even), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn a_strip_of_any_length_costs_only_its_square() {
        let strip = RgbImage::from_pixel(100_000, 1, image::Rgb([7, 8, 9]));
        let square = bicubic_center(&strip, 64, Center::Even);
        assert!(square.pixels().all(|pixel| pixel.0 == [7, 8, 9]));
    }
}
