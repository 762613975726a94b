//! Copies across the corpus: images on too many pages, near-copies on other pages, pages that show nearly the same images.
//!
//! A join over what the shards saw. Each shard sends *sightings* to buckets by what could match: an image's id, the bands of its
//! fingerprint (equal bits at one of sixteen places; copies share at least one), the min-hashes of a page's set of images. A bucket compares
//! what fell into it and sends *verdicts* back to the shards concerned.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use magiclens_data::ImageId;
use magiclens_data::fingerprint::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::rows::{Row, Shuffle};

/// When images and pages are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicateConfig {
    /// Tasks that the join is cut into; memory of one is that of the sightings in it.
    pub buckets: usize,
    /// Pages that an image with its near-copies may stand on. What stands on more belongs to the site, not to a page: icons, buttons, headers.
    pub max_pages: usize,
    /// Bits of 256 that may differ between near-copies. Rescaled and recompressed copies differ in 0 to 12 (`magiclens_data::fingerprint`).
    pub max_bits: u32,
    /// Mean difference of the 4 x 4 color miniatures of near-copies, of 255.
    #[serde(rename = "max_colour")]
    pub max_color: f32,
    /// Bits that must be set for a fingerprint to tell anything: drawings with less structure are compared by content only.
    pub min_structure: u32,
    /// Share of images that two pages may have in common (intersection over union). Above it the smaller page goes: translations, print
    /// views, pages of one gallery.
    pub max_overlap: f64,
    /// Sightings compared with one another under one band; the rest is only counted. Bounds the work on a band that everything has.
    pub max_band_members: usize,
}

impl Default for DuplicateConfig {
    fn default() -> Self {
        Self {
            buckets: 16,
            max_pages: 5,
            max_bits: 12,
            max_color: 10.0,
            min_structure: 24,
            max_overlap: 0.7,
            max_band_members: 1000,
        }
    }
}

/// The bands of a fingerprint of 256 bits.
const BANDS: usize = 16;
/// Min-hashes of a page: two pages that share 70 % of their images share one with a probability of 1 - 0.3^6 > 99.9 %.
const MIN_HASHES: u64 = 6;

/// What an image's copies are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    bits: [u64; 4],
    /// `[4 * 4 * 3]`
    colors: Vec<u8>,
}

impl Print {
    /// The short form of a fingerprint.
    pub fn of(print: &Fingerprint) -> Self {
        let pixel = |x: usize, y: usize, channel: usize| u32::from(print.colors()[(y * 16 + x) * 3 + channel]);
        let mean = |at: usize| {
            let (cell, channel) = (at / 3, at % 3);
            let (left, top) = (cell % 4 * 4, cell / 4 * 4);
            let sum: u32 = (0..16).map(|n| pixel(left + n % 4, top + n / 4, channel)).sum();
            ((sum + 8) / 16) as u8
        };
        Self {
            bits: print.bits(),
            colors: (0..48).map(mean).collect(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.bits
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .chain(self.colors.iter().copied())
            .collect()
    }

    fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        ensure!(
            bytes.len() == 32 + 48,
            "a fingerprint has {} bytes, but 80 are needed",
            bytes.len()
        );
        let word = |at: usize| u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"));
        Ok(Self {
            bits: [0, 1, 2, 3].map(word),
            colors: bytes[32..].to_vec(),
        })
    }

    fn bands(&self) -> impl Iterator<Item = (usize, u16)> {
        let bits = self.bits;
        (0..BANDS).map(move |band| (band, (bits[band / 4] >> (band % 4 * 16)) as u16))
    }

    fn structure(&self) -> u32 {
        self.bits.iter().map(|word| word.count_ones()).sum()
    }

    fn is_copy(&self, other: &Self, config: &DuplicateConfig) -> bool {
        let differing: u32 = self
            .bits
            .iter()
            .zip(other.bits)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        let color: u32 = self
            .colors
            .iter()
            .zip(&other.colors)
            .map(|(a, b)| u32::from(a.abs_diff(*b)))
            .sum();
        differing <= config.max_bits && color as f32 <= config.max_color * self.colors.len() as f32
    }
}

/// Where something was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sighting {
    shard: usize,
    page: String,
    /// The image, or all images of the page.
    #[serde(rename = "pictures")]
    images: Vec<ImageId>,
}

/// What a bucket tells a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The image, with its near-copies, stands on too many pages.
    TooManyPages(ImageId),
    /// The image is a near-copy of another one that stays.
    CopyOf(ImageId, ImageId),
    /// The image stands on these pages, in order.
    Pages(ImageId, Vec<String>),
    /// Another shard has the page, too, and keeps it.
    CrawledAgain(String),
    /// The first page shows nearly the same images as the second, which stays.
    Overlaps(String, String),
}

/// Sends the sightings of a page: `images` with their prints.
///
/// # Errors
/// None in practice: every value fits JSON.
pub fn send_sightings(
    shuffle: &mut Shuffle,
    config: &DuplicateConfig,
    shard: usize,
    page: &str,
    images: &[(ImageId, Print)],
) -> anyhow::Result<()> {
    let mut send = |key: String, images: Vec<ImageId>, bytes: Vec<u8>| {
        let bucket = (hash(&key) % config.buckets as u64) as usize;
        let sighting = Sighting {
            shard,
            page: page.to_owned(),
            images,
        };
        shuffle.send(bucket, Row::new(key, &sighting, bytes)?);
        anyhow::Ok(())
    };
    for (id, print) in images {
        send(format!("picture:{id}"), vec![*id], Vec::new())?;
        if print.structure() < config.min_structure {
            continue;
        }
        for (band, value) in print.bands() {
            // A band of one tone is everywhere and says nothing.
            if value != 0 && value != u16::MAX {
                send(format!("band:{band}:{value:04x}"), vec![*id], print.to_bytes())?;
            }
        }
    }
    let mut all: Vec<ImageId> = images.iter().map(|(id, _)| *id).collect();
    all.sort_unstable();
    for seed in 0..MIN_HASHES {
        if let Some(least) = all.iter().map(|id| hash(&format!("{seed}:{id}"))).min() {
            send(format!("group:{seed}:{least:016x}"), all.clone(), Vec::new())?;
        }
    }
    Ok(())
}

/// Compares the sightings of one bucket, given in the order of their keys, and sends verdicts to the shards.
///
/// # Errors
/// A row that is no sighting.
pub fn judge(rows: Vec<Row>, config: &DuplicateConfig) -> anyhow::Result<Shuffle> {
    let mut verdicts: BTreeSet<(usize, Verdict)> = BTreeSet::new();
    for rows in rows.chunk_by(|a, b| a.key == b.key) {
        let key = rows[0].key.as_str();
        let sightings: Vec<Sighting> = rows.iter().map(Row::parse).collect::<anyhow::Result<_>>()?;
        if key.starts_with("picture:") {
            judge_image(&sightings, config, &mut verdicts);
        } else if key.starts_with("band:") {
            judge_band(rows, &sightings, config, &mut verdicts)?;
        } else {
            judge_groups(&sightings, config, &mut verdicts);
        }
    }
    let mut shuffle = Shuffle::default();
    for (shard, verdict) in verdicts {
        shuffle.send(shard, Row::new(String::new(), &verdict, Vec::new())?);
    }
    Ok(shuffle)
}

fn judge_image(sightings: &[Sighting], config: &DuplicateConfig, verdicts: &mut BTreeSet<(usize, Verdict)>) {
    let pages: BTreeSet<&String> = sightings.iter().map(|sighting| &sighting.page).collect();
    if pages.len() < 2 {
        return;
    }
    for sighting in sightings {
        let id = sighting.images[0];
        let verdict = if config.max_pages < pages.len() {
            Verdict::TooManyPages(id)
        } else {
            Verdict::Pages(id, pages.iter().map(|page| (*page).clone()).collect())
        };
        verdicts.insert((sighting.shard, verdict));
    }
}

fn judge_band(
    rows: &[Row],
    sightings: &[Sighting],
    config: &DuplicateConfig,
    verdicts: &mut BTreeSet<(usize, Verdict)>,
) -> anyhow::Result<()> {
    // Each different image once, in the order of ids, with all its places.
    let mut images: BTreeMap<ImageId, (Print, Vec<&Sighting>)> = BTreeMap::new();
    for (row, sighting) in rows.iter().zip(sightings) {
        let id = sighting.images[0];
        match images.get_mut(&id) {
            Some((_, places)) => places.push(sighting),
            None => {
                images.insert(id, (Print::from_bytes(&row.bytes)?, vec![sighting]));
            }
        }
    }
    // The smallest id of a family leads it. Copies of copies are no copies: chains would join what is not alike.
    let mut families: Vec<Vec<ImageId>> = Vec::new();
    for (id, (print, _)) in images.iter().take(config.max_band_members) {
        let found = families
            .iter_mut()
            .find(|family| images[&family[0]].0.is_copy(print, config));
        match found {
            Some(family) => family.push(*id),
            None => families.push(vec![*id]),
        }
    }
    for family in families.iter().filter(|family| family.len() > 1) {
        let places = || {
            family
                .iter()
                .flat_map(|id| images[id].1.iter().map(move |place| (*id, *place)))
        };
        let pages: BTreeSet<&String> = places().map(|(_, place)| &place.page).collect();
        for (id, place) in places() {
            if config.max_pages < pages.len() {
                verdicts.insert((place.shard, Verdict::TooManyPages(id)));
            } else if id != family[0] {
                verdicts.insert((place.shard, Verdict::CopyOf(id, family[0])));
            }
        }
    }
    Ok(())
}

fn judge_groups(sightings: &[Sighting], config: &DuplicateConfig, verdicts: &mut BTreeSet<(usize, Verdict)>) {
    let mut pages: Vec<&Sighting> = sightings.iter().collect();
    pages.sort_by_key(|page| (std::cmp::Reverse(page.images.len()), &page.page, page.shard));
    pages.dedup_by(|a, b| a.page == b.page && a.shard == b.shard);
    let mut kept: Vec<&Sighting> = Vec::new();
    for page in pages {
        match kept
            .iter()
            .find(|other| config.max_overlap < overlap(&other.images, &page.images))
        {
            // Within a shard the step `pages` has seen to it.
            Some(other) if other.page == page.page && other.shard == page.shard => {}
            Some(other) if other.page == page.page => {
                verdicts.insert((page.shard, Verdict::CrawledAgain(page.page.clone())));
            }
            Some(other) => {
                // Both shards are told: the one that stays must not leave its pairs to the one that goes.
                for shard in [page.shard, other.shard] {
                    verdicts.insert((shard, Verdict::Overlaps(page.page.clone(), other.page.clone())));
                }
            }
            None if kept.len() < config.max_band_members => kept.push(page),
            None => {}
        }
    }
}

/// Intersection over union of two sorted lists.
fn overlap(a: &[ImageId], b: &[ImageId]) -> f64 {
    let common = a.iter().filter(|id| b.binary_search(id).is_ok()).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// The same number on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    u64::from_le_bytes(
        blake3::hash(text.as_bytes()).as_bytes()[..8]
            .try_into()
            .expect("eight bytes"),
    )
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, imageops};

    use super::*;

    fn scene(seed: u32, side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
            let wave = |k: f32| {
                (127.0 + 120.0 * ((x * (5.0 + k) + y * (3.0 + seed as f32) * k + seed as f32) * 4.0).sin()) as u8
            };
            Rgb([wave(1.0), wave(1.7), wave(2.3)])
        })
    }

    fn image(seed: u32, side: u32) -> (ImageId, Print) {
        let pixels = scene(seed, side);
        let id = ImageId::of_bytes(pixels.as_raw());
        (id, Print::of(&Fingerprint::of(id, &pixels)))
    }

    /// Shard, page and images.
    type SeenPage<'a> = (usize, &'a str, Vec<(ImageId, Print)>);

    fn verdicts(pages: &[SeenPage<'_>], config: &DuplicateConfig) -> BTreeSet<(usize, Verdict)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sightings");
        let mut shuffle = Shuffle::default();
        for (shard, page, images) in pages {
            send_sightings(&mut shuffle, config, *shard, page, images).unwrap();
        }
        shuffle.write(std::fs::File::create(&path).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        for bucket in 0..config.buckets {
            let rows = crate::rows::received(&path, bucket)
                .unwrap()
                .collect::<anyhow::Result<Vec<_>>>()
                .unwrap();
            let out = folder.path().join("verdicts");
            judge(rows, config)
                .unwrap()
                .write(std::fs::File::create(&out).unwrap())
                .unwrap();
            for shard in 0..4 {
                for row in crate::rows::received(&out, shard).unwrap() {
                    found.insert((shard, row.unwrap().parse().unwrap()));
                }
            }
        }
        found
    }

    #[test]
    fn a_image_on_too_many_pages_is_told_to_every_shard() {
        let config = DuplicateConfig {
            max_pages: 2,
            ..DuplicateConfig::default()
        };
        let logo = image(1, 64);
        let page =
            |shard, name: &'static str, own| (shard, name, vec![logo.clone(), image(own, 64), image(own + 1, 64)]);
        let found = verdicts(&[page(0, "a", 10), page(1, "b", 20), page(1, "c", 30)], &config);
        let expected = [(0, Verdict::TooManyPages(logo.0)), (1, Verdict::TooManyPages(logo.0))];
        assert_eq!(found, BTreeSet::from(expected));
    }

    #[test]
    fn a_smaller_copy_elsewhere_follows_the_smallest_id() {
        let config = DuplicateConfig::default();
        let (large, small) = (image(5, 200), {
            let pixels = imageops::resize(&scene(5, 200), 120, 120, imageops::FilterType::Triangle);
            let id = ImageId::of_bytes(pixels.as_raw());
            (id, Print::of(&Fingerprint::of(id, &pixels)))
        });
        let found = verdicts(
            &[
                (0, "a", vec![large.clone(), image(6, 64)]),
                (2, "b", vec![small.clone(), image(7, 64)]),
            ],
            &config,
        );
        let (leader, copy) = (large.0.min(small.0), large.0.max(small.0));
        let shard = if copy == large.0 { 0 } else { 2 };
        assert_eq!(found, BTreeSet::from([(shard, Verdict::CopyOf(copy, leader))]));
    }

    #[test]
    fn of_two_pages_with_the_same_images_the_smaller_goes() {
        let config = DuplicateConfig::default();
        let common: Vec<_> = (0..8).map(|n| image(n + 40, 64)).collect();
        let more: Vec<_> = common.iter().cloned().chain([image(60, 64)]).collect();
        let found = verdicts(&[(0, "a", common.clone()), (3, "b", more)], &config);
        assert!(
            found.contains(&(0, Verdict::Overlaps("a".into(), "b".into()))),
            "{found:?}"
        );
        let overlaps = found
            .iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Overlaps(..)))
            .count();
        assert_eq!(overlaps, 2);
        // Each of the eight is on two pages, which both shards are told.
        assert_eq!(found.len(), 2 + 2 * 8);
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let id = |n: u8| ImageId::from_bytes([n; 16]);
        assert_eq!(overlap(&[id(1), id(2), id(3)], &[id(2), id(3), id(4)]), 0.5);
        assert_eq!(overlap(&[], &[]), 0.0);
    }
}
