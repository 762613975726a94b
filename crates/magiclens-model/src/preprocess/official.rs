//! The official preprocessing step by step, as the reference's recorded values want it.

use image::RgbImage;

use super::normalization::{CLIP_MEAN, CLIP_STD};
use super::resize::{Affine, Source, channels_last, resize_to, resize_to_square};

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
    let affine = Affine::IDENTITY.after_scaling(1.0 / own_maximum(image));
    let planes = resize_to_square(&source, size_px, affine);
    FloatImage {
        width: size_px,
        height: size_px,
        samples: channels_last(&planes),
    }
}

/// The steps of the official model itself with its input in [0, 1]: the largest square in the center, resized and
/// normalized. Returns `[3, size_px, size_px]`.
pub fn model_preprocess(image: &FloatImage, size_px: u32) -> Vec<f32> {
    let source = Source::whole(&image.samples, image.width, image.height).central_square();
    resize_to_square(&source, size_px, Affine::normalize(CLIP_MEAN, CLIP_STD))
}

/// Plain resizing without normalization, `[height, width, 3]` to `[height, width, 3]`.
pub fn resize(image: &FloatImage, width: u32, height: u32) -> FloatImage {
    let source = Source::whole(&image.samples, image.width, image.height);
    let planes = resize_to(&source, [height as usize, width as usize], Affine::IDENTITY);
    FloatImage {
        width,
        height,
        samples: channels_last(&planes),
    }
}

/// The image's largest sample, or the divisor of a black one in the official code.
pub(super) fn own_maximum(image: &RgbImage) -> f32 {
    const AGAINST_ZERO: f32 = 1e-12;
    f32::from(image.as_raw().iter().copied().max().unwrap_or(0)) + AGAINST_ZERO
}
