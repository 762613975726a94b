//! Near-duplicates: the same image in another size, format or quality.
//!
//! Each image becomes 256 bits (whether it gets lighter from left to right at 16 x 16 places of its gray 17 x 16 miniature, the
//! "difference hash") and a 16 x 16 color miniature. Two images are near-duplicates if few bits differ and the miniatures
//! are close in color; this holds through rescaling, recompression and small edits, and is looked for in the mirror as well.

use image::RgbImage;
use serde::Serialize;

use crate::ImageId;

/// Bits of 256 that may differ. Rescaled and recompressed copies differ in 0 to 12, unrelated photographs in about 128.
const MAX_BITS: u32 = 20;
/// The share of the bits set in either image that may differ. Drawings on white have few bits set, so that other ones differ in
/// few too: a face and another face of one style, for example.
const MAX_SHARE: f32 = 0.15;
/// Bits that may differ in any case: those at the edge of noise.
const NOISE_BITS: u32 = 2;
/// Mean difference of the miniatures' colors that copies may have, of 255.
const MAX_COLOR: f32 = 12.0;
/// The same for images of few bits, of which colors have to say more.
const MAX_COLOR_OF_PLAIN: f32 = 4.0;
/// Bits that are set in an image with structure; below it is plain.
const STRUCTURE: u32 = 24;
/// Bits that must be set at all: a flat image is like every other one of its color.
const MIN_STRUCTURE: u32 = 6;
const SIDE: u32 = 16;

/// An image in the form in which duplicates are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    content: ImageId,
    bits: [u64; 4],
    mirrored: [u64; 4],
    /// `[16 * 16 * 3]`
    colors: Vec<u8>,
}

/// The sort of duplicates that two images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKind {
    /// The same bytes.
    Equal,
    /// The same image in another size, format or quality.
    NearDuplicate,
    /// The same, mirrored.
    Mirrored,
}

impl Fingerprint {
    /// The fingerprint of an image; `content` is the hash of its file.
    pub fn of(content: ImageId, image: &RgbImage) -> Self {
        let [colors, finer] = miniatures(image, [SIDE as usize, SIDE as usize + 1]);
        let gray: Vec<u8> = finer.chunks_exact(3).map(gray).collect();
        let mirrored: Vec<u8> = gray
            .chunks_exact(SIDE as usize + 1)
            .flat_map(|row| row.iter().rev().copied())
            .collect();
        Self {
            content,
            bits: difference_hash(&gray),
            mirrored: difference_hash(&mirrored),
            colors,
        }
    }

    /// The hash of the file.
    pub fn content(&self) -> ImageId {
        self.content
    }

    /// The difference hash, from the left.
    pub fn bits(&self) -> [u64; 4] {
        self.bits
    }

    /// The color miniature, `[16 * 16 * 3]` row by row.
    pub fn colors(&self) -> &[u8] {
        &self.colors
    }

    /// The sort of duplicate of another image that this one is, with the number of bits that differ; `None` if it is none.
    pub fn duplicate_of(&self, other: &Self) -> Option<(DuplicateKind, u32)> {
        if self.content == other.content {
            return Some((DuplicateKind::Equal, 0));
        }
        let straight = differing(&self.bits, &other.bits);
        let mirrored = differing(&self.mirrored, &other.bits);
        // Symmetric images are as like their mirror image, but for noise.
        let (kind, bits) = if straight <= mirrored + NOISE_BITS {
            (DuplicateKind::NearDuplicate, straight)
        } else {
            (DuplicateKind::Mirrored, mirrored)
        };
        let own = match kind {
            DuplicateKind::Mirrored => &self.mirrored,
            _ => &self.bits,
        };
        let either: u32 = own.iter().zip(&other.bits).map(|(a, b)| (a | b).count_ones()).sum();
        let few = bits <= MAX_BITS && bits as f32 <= (MAX_SHARE * either as f32).max(NOISE_BITS as f32);
        let structure = self.structure().min(other.structure());
        let max_color = if structure < STRUCTURE {
            MAX_COLOR_OF_PLAIN
        } else {
            MAX_COLOR
        };
        let alike = few && structure >= MIN_STRUCTURE && self.color_distance(other, kind) <= max_color;
        alike.then_some((kind, bits))
    }

    fn structure(&self) -> u32 {
        let ones = |bits: &[u64; 4]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
        // An image that only gets darker has its structure in its mirror image.
        ones(&self.bits).max(ones(&self.mirrored))
    }

    fn color_distance(&self, other: &Self, kind: DuplicateKind) -> f32 {
        let side = SIDE as usize;
        let mut sum = 0;
        for (at, other) in other.colors.iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let column = match kind {
                DuplicateKind::Mirrored => side - 1 - pixel % side,
                _ => pixel % side,
            };
            let own = self.colors[(pixel / side * side + column) * 3 + channel];
            sum += u32::from(own.abs_diff(*other));
        }
        sum as f32 / self.colors.len() as f32
    }
}

/// A bit for each place of a gray 17 x 16 miniature: set if it is darker than the one to its right by more than noise.
fn difference_hash(gray: &[u8]) -> [u64; 4] {
    let mut bits = [0; 4];
    for (y, row) in gray.chunks_exact(SIDE as usize + 1).enumerate() {
        for (x, pair) in row.windows(2).enumerate() {
            if u16::from(pair[0]) + 2 < u16::from(pair[1]) {
                let at = y * SIDE as usize + x;
                bits[at / 64] |= 1 << (at % 64);
            }
        }
    }
    bits
}

/// The weight of a pixel that lies inside a cell as a whole.
const WHOLE: u32 = 256;

/// Miniatures of 16 rows and so many columns each: every cell is the mean of its area, pixels on its border counting in part, so that
/// a rescaled copy has the same. All of them share the sums of the rows, which are the work.
fn miniatures<const N: usize>(image: &RgbImage, columns: [usize; N]) -> [Vec<u8>; N] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return columns.map(|columns| vec![0; columns * SIDE as usize * 3]);
    }
    let columns = columns.map(|columns| areas(columns, width));
    let mut small = [(); N].map(|()| Vec::new());
    let mut sums = vec![0_u32; width * 3];
    for (top, weights) in areas(SIDE as usize, height) {
        sums.fill(0);
        let rows = || image.as_raw()[top * width * 3..].chunks_exact(width * 3).zip(&weights);
        // Whole rows are nearly all of them, and only added up.
        for (row, _) in rows().filter(|(_, weight)| **weight == WHOLE) {
            for (sum, sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(u32::from(*sample));
            }
        }
        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(WHOLE));
        for (row, weight) in rows().filter(|(_, weight)| **weight != WHOLE) {
            for (sum, sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(weight * u32::from(*sample));
            }
        }
        let row_weight: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        for (small, columns) in small.iter_mut().zip(&columns) {
            for (left, weights) in columns {
                let mut total = [0_u64; 3];
                for (sum, weight) in sums[left * 3..].chunks_exact(3).zip(weights) {
                    total = [0, 1, 2].map(|channel| total[channel] + u64::from(*weight) * u64::from(sum[channel]));
                }
                let weight = row_weight * weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
                small.extend(total.map(|total| ((total + weight / 2) / weight) as u8));
            }
        }
    }
    small
}

/// Cuts a length into equal cells: for each the first pixel, and how much of it and the following ones lies inside, in 256ths.
fn areas(cells: usize, length: usize) -> Vec<(usize, Vec<u32>)> {
    let whole = WHOLE as usize;
    let area = |cell: usize| {
        let (start, end) = (cell * length * whole / cells, (cell + 1) * length * whole / cells);
        let inside = |pixel: usize| (end.min((pixel + 1) * whole) - start.max(pixel * whole)) as u32;
        let first = start / whole;
        (first, (first..end.div_ceil(whole)).map(inside).collect())
    };
    (0..cells).map(area).collect()
}

/// Luma with the weights of Rec. 601, as Pillow's `convert("L")`.
fn gray(pixel: &[u8]) -> u8 {
    ((u32::from(pixel[0]) * 19_595 + u32::from(pixel[1]) * 38_470 + u32::from(pixel[2]) * 7_471 + 0x8000) >> 16) as u8
}

fn differing(a: &[u64; 4], b: &[u64; 4]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;

    /// An image with structure: blobs that depend on the seed.
    fn scene(seed: u32, side: u32) -> RgbImage {
        let wave = |x: f32, y: f32, k: u32| {
            let a = (seed.wrapping_mul(2_654_435_761).wrapping_add(k * 40_503) >> 8) as f32 / 65536.0;
            ((x * (1.0 + a % 5.0) + y * (1.0 + (a * 7.0) % 5.0) + a) * 6.0).sin()
        };
        RgbImage::from_fn(side, side, |x, y| {
            let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
            Rgb([0, 1, 2].map(|k| (127.0 + 60.0 * wave(x, y, k) + 60.0 * wave(y, x, k + 3)) as u8))
        })
    }

    fn print(image: &RgbImage) -> Fingerprint {
        Fingerprint::of(ImageId::of_bytes(image.as_raw()), image)
    }

    #[test]
    fn copies_are_found_and_others_are_not() {
        for seed in 0..20 {
            let original = scene(seed, 128);
            let own = print(&original);
            let smaller = imageops::resize(&original, 90, 70, imageops::FilterType::Lanczos3);
            let (kind, bits) = own.duplicate_of(&print(&smaller)).unwrap();
            assert_eq!(kind, DuplicateKind::NearDuplicate, "seed {seed}: {bits}");
            let mut bytes = std::io::Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 40)
                .encode_image(&original)
                .unwrap();
            let jpeg = image::load_from_memory(bytes.get_ref()).unwrap().to_rgb8();
            assert_eq!(own.duplicate_of(&print(&jpeg)).unwrap().0, DuplicateKind::NearDuplicate);
            let mirrored = imageops::flip_horizontal(&original);
            assert_eq!(own.duplicate_of(&print(&mirrored)).unwrap().0, DuplicateKind::Mirrored);
            assert_eq!(own.duplicate_of(&own), Some((DuplicateKind::Equal, 0)));
            for other in seed + 1..20 {
                assert_eq!(own.duplicate_of(&print(&scene(other, 128))), None, "{seed} and {other}");
            }
        }
    }

    /// A disc on white, as icons are.
    fn disc(side: u32, x: f32, radius: f32) -> RgbImage {
        RgbImage::from_fn(side, side, |px, py| {
            let (dx, dy) = (px as f32 / side as f32 - x, py as f32 / side as f32 - 0.5);
            if dx * dx + dy * dy < radius * radius {
                Rgb([200, 40, 40])
            } else {
                Rgb([255; 3])
            }
        })
    }

    #[test]
    fn plain_images_are_held_to_their_colors() {
        let own = print(&disc(120, 0.5, 0.3));
        assert_eq!(
            own.duplicate_of(&print(&disc(64, 0.5, 0.3))).map(|(kind, _)| kind),
            Some(DuplicateKind::NearDuplicate)
        );
        assert_eq!(own.duplicate_of(&print(&disc(120, 0.5, 0.15))), None);
        assert_eq!(own.duplicate_of(&print(&disc(120, 0.3, 0.3))), None);
    }

    #[test]
    fn another_color_or_a_flat_image_is_no_copy() {
        let original = scene(3, 64);
        let mut red = original.clone();
        red.pixels_mut().for_each(|pixel| pixel.0[0] = pixel.0[0] / 4 + 190);
        assert_eq!(print(&original).duplicate_of(&print(&red)), None);
        let gray = |value| RgbImage::from_pixel(40, 40, Rgb([value; 3]));
        assert_eq!(print(&gray(200)).duplicate_of(&print(&gray(203))), None);
    }
}
