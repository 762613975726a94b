//! The part of an image that a benchmark shows.

use image::{GenericImage, Rgb, RgbImage, imageops};

use crate::benchmark::Crop;

/// GeneCIS widens an object's box by this share of its size (`datasets/vaw_dataset.py`, `DILATION`).
const DILATION: f64 = 0.7;

impl Crop {
    /// Cuts the widened box out and pads it to a black square.
    ///
    /// As in `datasets/vaw_dataset.py`: the box grows to the left and top by 0.7 of its size as far as the image goes, and
    /// is 1.7 times its size from there. Edges are rounded as Python rounds them, half to even.
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        let left = (self.left - DILATION * self.width).max(0.0);
        let top = (self.top - DILATION * self.height).max(0.0);
        let right = (left + (1.0 + DILATION) * self.width).min(f64::from(image.width()));
        let bottom = (top + (1.0 + DILATION) * self.height).min(f64::from(image.height()));
        let edge = |value: f64, end: u32| (value.round_ties_even().max(0.0) as u32).min(end);
        let (left, right) = (edge(left, image.width()), edge(right, image.width()));
        let (top, bottom) = (edge(top, image.height()), edge(bottom, image.height()));
        // A box outside the image leaves one pixel, so that a wrong annotation costs one query and not the run.
        let (width, height) = ((right.saturating_sub(left)).max(1), (bottom.saturating_sub(top)).max(1));
        let (left, top) = (left.min(image.width() - 1), top.min(image.height() - 1));
        let part = imageops::crop_imm(
            image,
            left,
            top,
            width.min(image.width() - left),
            height.min(image.height() - top),
        );
        pad_to_square(&part.to_image())
    }
}

/// Black above and below, or left and right; an odd pixel goes to the far side.
fn pad_to_square(part: &RgbImage) -> RgbImage {
    let side = part.width().max(part.height());
    if part.width() == part.height() {
        return part.clone();
    }
    let mut square = RgbImage::from_pixel(side, side, Rgb([0; 3]));
    let (x, y) = ((side - part.width()) / 2, (side - part.height()) / 2);
    square.copy_from(part, x, y).expect("the part fits into its square");
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pixel says where it is.
    fn image(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8 + 1, y as u8 + 1, 9]))
    }

    fn check(
        crop: [f64; 4],
        side: u32,
        first: (u32, u32),
        first_pixel: [u8; 3],
        last: (u32, u32),
        last_pixel: [u8; 3],
    ) {
        let [left, top, width, height] = crop;
        let found = Crop {
            left,
            top,
            width,
            height,
        }
        .apply(&image(100, 80));
        assert_eq!((found.width(), found.height()), (side, side));
        assert_eq!(found.get_pixel(first.0, first.1).0, first_pixel);
        assert_eq!(found.get_pixel(last.0, last.1).0, last_pixel);
    }

    #[test]
    fn boxes_by_hand() {
        // x: 40 - 7 = 33 to 33 + 17 = 50; y: 30 - 14 = 16 to 16 + 34 = 50: 17 x 34, padded by 8 on the left and 9 on the right.
        check([40.0, 30.0, 10.0, 20.0], 34, (8, 0), [34, 17, 9], (24, 33), [50, 50, 9]);
        check([40.0, 30.0, 10.0, 20.0], 34, (7, 0), [0, 0, 0], (25, 33), [0, 0, 0]);
        // Cut off at the left edge: the width counts from 0, not from the box.
        check([2.0, 30.0, 10.0, 10.0], 17, (0, 0), [1, 24, 9], (16, 16), [17, 40, 9]);
        // Cut off at the right edge: 96 - 7 = 89 to 100.
        check(
            [96.0, 30.0, 10.0, 10.0],
            17,
            (3, 0),
            [90, 24, 9],
            (13, 16),
            [100, 40, 9],
        );
        // 0.5 rounds to even: 2.5 - 0.7 * 2 = 1.1 -> 1; 1.1 + 3.4 = 4.5 -> 4.
        check([2.5, 2.5, 2.0, 2.0], 3, (0, 0), [2, 2, 9], (2, 2), [4, 4, 9]);
    }

    #[test]
    fn a_box_outside_the_image_does_not_panic() {
        for crop in [
            [200.0, 200.0, 10.0, 10.0],
            [-50.0, -50.0, 1.0, 1.0],
            [0.0, 0.0, 0.0, 0.0],
            [f64::NAN, 0.0, 1.0, 1.0],
        ] {
            let [left, top, width, height] = crop;
            Crop {
                left,
                top,
                width,
                height,
            }
            .apply(&image(10, 10));
        }
    }
}
