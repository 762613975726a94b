//! Images to model input: resizing, squaring and normalizing.
//!
//! Resizing is `jax.image.resize(.., "bilinear")`, antialiased; for [`PreprocessConfig::Clip`] and
//! [`PreprocessConfig::PillowSquash`] Pillow's. The output is always `[3, size_px, size_px]`, channel first, row-major.

mod normalization;
mod official;
mod pillow;
mod resize;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use official::own_maximum;
use pillow::{Center, bicubic_center, squash};
use resize::{Affine, Source, letterbox, planes_of, resize_to_square};

pub use normalization::{CLIP_MEAN, CLIP_STD};
pub(crate) use pillow::shares;

pub use official::{FloatImage, model_preprocess, process_img, resize};
pub use pillow::PillowFilter;

/// Largest `size_px` that a configuration may ask for.
pub const MAX_SIZE_PX: u32 = 4096;

/// The input that a model wants.
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
    /// open_clip's way, its `image_transform` for the resize mode `shortest`: as [`PreprocessConfig::Clip`], with the center as
    /// torchvision rounds it, and then `(value / 255 - mean) / std`.
    OpenClip {
        /// Side of the square, in pixels.
        size_px: u32,
        /// Per channel, for values in 0..=1.
        mean: [f32; 3],
        /// Per channel, for values in 0..=1.
        std: [f32; 3],
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
    /// Squash to a square by Pillow, byte for byte, then `(value - mean) / std`: transformers' `SiglipImageProcessor`.
    PillowSquash {
        /// Side of the square, in pixels.
        size_px: u32,
        /// Pillow's filter.
        filter: PillowFilter,
        /// Per channel, for values in 0..=255.
        mean: [f32; 3],
        /// Per channel, for values in 0..=255.
        std: [f32; 3],
    },
    /// Scale to fit into a square, centered on a background, then `(value - mean) / std`.
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

/// A [`PreprocessConfig`] that cannot be used.
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
            | Self::OpenClip { size_px, .. }
            | Self::Squash { size_px, .. }
            | Self::PillowSquash { size_px, .. }
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
            Self::OpenClip { mean, std, .. }
            | Self::Squash { mean, std, .. }
            | Self::PillowSquash { mean, std, .. }
            | Self::Letterbox { mean, std, .. }
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
            Self::Clip { size_px } => bicubic_planes(image, size_px, Center::Before, (CLIP_MEAN, CLIP_STD)),
            Self::OpenClip { size_px, mean, std } => bicubic_planes(image, size_px, Center::Even, (mean, std)),
            Self::PillowSquash {
                size_px,
                filter,
                mean,
                std,
            } => planes(&squash(image, size_px, filter), Affine::normalize(mean, std)),
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

/// Pillow's bicubic square, normalized by mean and deviation of values in 0..=1.
fn bicubic_planes(image: &RgbImage, size_px: u32, center: Center, (mean, std): ([f32; 3], [f32; 3])) -> Vec<f32> {
    let affine = Affine::normalize(mean, std).after_scaling(1.0 / 255.0);
    planes(&bicubic_center(image, size_px, center), affine)
}

/// The samples of an image, channel first.
fn planes(image: &RgbImage, affine: Affine) -> Vec<f32> {
    planes_of(&Source::whole(image.as_raw(), image.width(), image.height()), affine)
}
