//! Near-duplicates between a training set and the pictures of a benchmark: what was trained on cannot be measured with.
//!
//! Each picture becomes 256 bits (whether it gets lighter from left to right at 16 x 16 places of its grey 17 x 16 miniature, the
//! "difference hash") and a 16 x 16 colour miniature. Two pictures are near-duplicates if few bits differ and the miniatures
//! are close in colour; this holds through rescaling, recompression and small edits, and is looked for in the mirror as well. Equal files
//! are found by content.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use image::{RgbImage, imageops};
use magiclens_data::ImageId;
use magiclens_data::decode::{Limits, decode_rgb};
use rayon::prelude::*;
use serde::Serialize;

use crate::EvalError;
use crate::benchmark::{Benchmark, Truth};
use crate::pictures::{Step, is_picture_name, read_file};

/// Bits of 256 that may differ. Rescaled and recompressed copies differ in 0 to 12, unrelated photographs in about 128.
const MAX_BITS: u32 = 20;
/// The share of the bits set in either picture that may differ. Drawings on white have few bits set, so that other ones differ in
/// few too: a face and another face of one style, for example.
const MAX_SHARE: f32 = 0.15;
/// Bits that may differ in any case: those at the edge of noise.
const NOISE_BITS: u32 = 2;
/// Mean difference of the miniatures' colours that copies may have, of 255.
const MAX_COLOUR: f32 = 12.0;
/// The same for pictures of few bits, of which colours have to say more.
const MAX_COLOUR_OF_PLAIN: f32 = 4.0;
/// Bits that are set in a picture with structure; below it is plain.
const STRUCTURE: u32 = 24;
/// Bits that must be set at all: a flat picture is like every other one of its colour.
const MIN_STRUCTURE: u32 = 6;
const SIDE: u32 = 16;

/// A picture in the form in which duplicates are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    content: ImageId,
    bits: [u64; 4],
    mirrored: [u64; 4],
    /// `[16 * 16 * 3]`
    colours: Vec<u8>,
}

/// How two pictures belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// The same bytes.
    Equal,
    /// The same picture in another size, format or quality.
    NearDuplicate,
    /// The same, mirrored.
    Mirrored,
}

/// A picture of the benchmark that stands in the training set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// The benchmark's picture.
    pub picture: PathBuf,
    /// The training picture that is most like it.
    pub training: PathBuf,
    /// How.
    pub likeness: Likeness,
    /// Bits of 256 that differ.
    pub bits: u32,
}

/// What leaked into training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leakage {
    /// The benchmark.
    pub benchmark: String,
    /// Pictures of the benchmark that were looked at.
    pub pictures: usize,
    /// Training pictures that they were compared with.
    pub training_pictures: usize,
    /// Pictures of either side that could not be read, and were not compared.
    pub unreadable: usize,
    /// Every picture of the benchmark with a near-duplicate, in the order of their paths.
    pub leaks: Vec<Leak>,
    /// Queries of the reported variant.
    pub queries: usize,
    /// Those whose query picture leaked.
    pub queries_with_leaked_picture: usize,
    /// Those with a right answer that leaked.
    pub queries_with_leaked_truth: usize,
}

/// Leaks that a person is shown; JSON has them all.
const SHOWN: usize = 20;

impl fmt::Display for Leakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} pictures have a near-duplicate among {} training pictures ({} unreadable)",
            self.benchmark,
            self.leaks.len(),
            self.pictures,
            self.training_pictures,
            self.unreadable
        )?;
        writeln!(
            f,
            "  queries: {}; with a leaked query picture {}, with a leaked right answer {}",
            self.queries, self.queries_with_leaked_picture, self.queries_with_leaked_truth
        )?;
        for leak in self.leaks.iter().take(SHOWN) {
            let (picture, training) = (leak.picture.display(), leak.training.display());
            writeln!(
                f,
                "  {picture}  is  {training}  ({:?}, {} bits differ)",
                leak.likeness, leak.bits
            )?;
        }
        if SHOWN < self.leaks.len() {
            writeln!(f, "  .. and {} more; `--json` lists all", self.leaks.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl Fingerprint {
    /// The fingerprint of a picture; `content` is the hash of its file.
    pub fn of(content: ImageId, picture: &RgbImage) -> Self {
        let mirrored = imageops::flip_horizontal(picture);
        Self {
            content,
            bits: difference_hash(picture),
            mirrored: difference_hash(&mirrored),
            colours: imageops::resize(picture, SIDE, SIDE, imageops::FilterType::Triangle).into_raw(),
        }
    }

    /// How this picture is like another one, with the number of bits that differ; `None` if it is not.
    pub fn likeness(&self, other: &Self) -> Option<(Likeness, u32)> {
        if self.content == other.content {
            return Some((Likeness::Equal, 0));
        }
        let straight = differing(&self.bits, &other.bits);
        let mirrored = differing(&self.mirrored, &other.bits);
        let (likeness, bits) = if straight <= mirrored {
            (Likeness::NearDuplicate, straight)
        } else {
            (Likeness::Mirrored, mirrored)
        };
        let own = match likeness {
            Likeness::Mirrored => &self.mirrored,
            _ => &self.bits,
        };
        let either: u32 = own.iter().zip(&other.bits).map(|(a, b)| (a | b).count_ones()).sum();
        let few = bits <= MAX_BITS && bits as f32 <= (MAX_SHARE * either as f32).max(NOISE_BITS as f32);
        let structure = self.structure().min(other.structure());
        let max_colour = if structure < STRUCTURE {
            MAX_COLOUR_OF_PLAIN
        } else {
            MAX_COLOUR
        };
        let alike = few && structure >= MIN_STRUCTURE && self.colour_distance(other, likeness) <= max_colour;
        alike.then_some((likeness, bits))
    }

    fn structure(&self) -> u32 {
        let ones = |bits: &[u64; 4]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
        // A picture that only gets darker has its structure in its mirror image.
        ones(&self.bits).max(ones(&self.mirrored))
    }

    fn colour_distance(&self, other: &Self, likeness: Likeness) -> f32 {
        let side = SIDE as usize;
        let mut sum = 0;
        for (at, other) in other.colours.iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            let column = match likeness {
                Likeness::Mirrored => side - 1 - pixel % side,
                _ => pixel % side,
            };
            let own = self.colours[(pixel / side * side + column) * 3 + channel];
            sum += u32::from(own.abs_diff(*other));
        }
        sum as f32 / self.colours.len() as f32
    }
}

/// Whether each place of the miniature is darker than the one to its right, by more than noise.
fn difference_hash(picture: &RgbImage) -> [u64; 4] {
    let small = imageops::resize(
        &imageops::grayscale(picture),
        SIDE + 1,
        SIDE,
        imageops::FilterType::Triangle,
    );
    let mut bits = [0; 4];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (here, right) = (small.get_pixel(x, y).0[0], small.get_pixel(x + 1, y).0[0]);
            if u16::from(here) + 2 < u16::from(right) {
                let at = (y * SIDE + x) as usize;
                bits[at / 64] |= 1 << (at % 64);
            }
        }
    }
    bits
}

fn differing(a: &[u64; 4], b: &[u64; 4]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Looks for the pictures of a benchmark in a training set: every picture file under `training` or, for a collection, the files
/// that the caller chose of it.
///
/// # Errors
/// None for single pictures; they are counted.
pub fn leakage(
    benchmark: &Benchmark,
    training: &[PathBuf],
    progress: &(dyn Fn(Step<'_>) + Sync),
) -> Result<Leakage, EvalError> {
    let mut paths: Vec<&Path> = benchmark.images.iter().map(|image| image.path.as_path()).collect();
    paths.sort_unstable();
    paths.dedup();
    let own = fingerprints("benchmark pictures", &paths, progress);
    let training: Vec<&Path> = training.iter().map(PathBuf::as_path).collect();
    let trained = fingerprints("training pictures", &training, progress);
    let by_content: HashMap<ImageId, &Path> = trained.iter().map(|(path, print)| (print.content, *path)).collect();

    progress(Step::Start("comparisons", own.len()));
    let leaks: Vec<Leak> = own
        .par_iter()
        .filter_map(|(path, print)| {
            let found = match by_content.get(&print.content) {
                Some(equal) => Some((Likeness::Equal, 0, *equal)),
                None => nearest(print, &trained),
            };
            progress(Step::Advance(1));
            let (likeness, bits, training) = found?;
            Some(Leak {
                picture: path.to_path_buf(),
                training: training.to_owned(),
                likeness,
                bits,
            })
        })
        .collect();
    progress(Step::Done);
    Ok(summary(
        benchmark,
        leaks,
        paths.len() + training.len() - own.len() - trained.len(),
        own.len(),
        trained.len(),
    ))
}

/// Every picture file under a folder, in order.
pub fn picture_files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let files = walk
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path);
    files.filter(|path| is_picture_name(path)).collect()
}

fn nearest<'a>(print: &Fingerprint, trained: &[(&'a Path, Fingerprint)]) -> Option<(Likeness, u32, &'a Path)> {
    let alike = trained.iter().filter_map(|(path, other)| {
        let (likeness, bits) = print.likeness(other)?;
        Some((likeness, bits, *path))
    });
    alike.min_by_key(|(likeness, bits, _)| (*bits, *likeness))
}

fn fingerprints<'a>(
    what: &str,
    paths: &[&'a Path],
    progress: &(dyn Fn(Step<'_>) + Sync),
) -> Vec<(&'a Path, Fingerprint)> {
    progress(Step::Start(what, paths.len()));
    let prints = paths.par_iter().filter_map(|path| {
        let read = read_file(path).ok().and_then(|(_, bytes)| {
            let picture = decode_rgb(&bytes, &Limits::default()).ok()?;
            Some((*path, Fingerprint::of(ImageId::of_bytes(&bytes), &picture)))
        });
        progress(Step::Advance(1));
        read
    });
    let prints = prints.collect();
    progress(Step::Done);
    prints
}

fn summary(
    benchmark: &Benchmark,
    leaks: Vec<Leak>,
    unreadable: usize,
    pictures: usize,
    training_pictures: usize,
) -> Leakage {
    let leaked: std::collections::HashSet<&Path> = leaks.iter().map(|leak| leak.picture.as_path()).collect();
    let is_leaked = |row: &usize| leaked.contains(benchmark.images[*row].path.as_path());
    let tasks: Vec<_> = benchmark
        .variants
        .first()
        .into_iter()
        .flat_map(|variant| &variant.tasks)
        .collect();
    let queries = || {
        tasks
            .iter()
            .flat_map(|task| task.queries.iter().map(move |query| (task, query)))
    };
    let with_truth = queries().filter(|(task, query)| match &query.truth {
        Truth::Hidden => false,
        Truth::Items(rows) => task.kind != crate::benchmark::TaskKind::ImageToText && rows.iter().any(is_leaked),
        Truth::Class(class) => {
            let members = task
                .gallery
                .iter()
                .zip(&task.classes)
                .filter(|(_, found)| *found == class);
            members.into_iter().any(|(row, _)| is_leaked(row))
        }
    });
    Leakage {
        benchmark: benchmark.name.clone(),
        pictures,
        training_pictures,
        unreadable,
        queries: queries().count(),
        queries_with_leaked_picture: queries()
            .filter(|(_, query)| query.images.iter().any(is_leaked))
            .count(),
        queries_with_leaked_truth: with_truth.count(),
        leaks,
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A picture with structure: blobs that depend on the seed.
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

    fn print(picture: &RgbImage) -> Fingerprint {
        Fingerprint::of(ImageId::of_bytes(picture.as_raw()), picture)
    }

    #[test]
    fn copies_are_found_and_others_are_not() {
        for seed in 0..20 {
            let original = scene(seed, 128);
            let own = print(&original);
            let smaller = imageops::resize(&original, 90, 70, imageops::FilterType::Lanczos3);
            let (likeness, bits) = own.likeness(&print(&smaller)).unwrap();
            assert_eq!(likeness, Likeness::NearDuplicate, "seed {seed}: {bits}");
            let mut bytes = std::io::Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 40)
                .encode_image(&original)
                .unwrap();
            let jpeg = image::load_from_memory(bytes.get_ref()).unwrap().to_rgb8();
            assert_eq!(own.likeness(&print(&jpeg)).unwrap().0, Likeness::NearDuplicate);
            let mirrored = imageops::flip_horizontal(&original);
            assert_eq!(own.likeness(&print(&mirrored)).unwrap().0, Likeness::Mirrored);
            assert_eq!(own.likeness(&own), Some((Likeness::Equal, 0)));
            for other in seed + 1..20 {
                assert_eq!(own.likeness(&print(&scene(other, 128))), None, "{seed} and {other}");
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
    fn plain_pictures_are_held_to_their_colours() {
        let own = print(&disc(120, 0.5, 0.3));
        assert_eq!(
            own.likeness(&print(&disc(64, 0.5, 0.3))).map(|(likeness, _)| likeness),
            Some(Likeness::NearDuplicate)
        );
        assert_eq!(own.likeness(&print(&disc(120, 0.5, 0.15))), None);
        assert_eq!(own.likeness(&print(&disc(120, 0.3, 0.3))), None);
    }

    #[test]
    fn another_colour_or_a_flat_picture_is_no_copy() {
        let original = scene(3, 64);
        let mut red = original.clone();
        red.pixels_mut().for_each(|pixel| pixel.0[0] = pixel.0[0] / 4 + 190);
        assert_eq!(print(&original).likeness(&print(&red)), None);
        let grey = |value| RgbImage::from_pixel(40, 40, Rgb([value; 3]));
        assert_eq!(print(&grey(200)).likeness(&print(&grey(203))), None);
    }
}
