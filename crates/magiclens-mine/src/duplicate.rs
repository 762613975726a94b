//! Copies across the corpus: images on too many pages, near-copies on other pages, pages that show nearly the same images.
//!
//! A join of the shards. Each sends *candidates* to buckets by what could match: an image's id, the bands of its fingerprint (equal
//! bits at one of sixteen places; copies share at least one), the min-hashes of a page's set of images. A bucket compares its
//! candidates and sends *decisions* back: to the shards of an image that stands on too many pages, and to all shards each *link*
//! of a copy to an earlier image or page that it matches. A shard resolves the links of all buckets by one rule ([`drops`]): in
//! their order, an item stays unless it matches one that stays. So nothing goes as a copy of what went itself.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use magiclens_data::fingerprint::Fingerprint;
use magiclens_data::{Digest, ImageId};
use serde::{Deserialize, Serialize};

use crate::table::{Row, ShuffleWriter};

/// Limits of what counts as the same image or page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicateConfig {
    /// Tasks that the join is cut into; memory of one is that of the candidates in it.
    pub buckets: usize,
    /// Pages that an image with its near-copies may stand on. What stands on more belongs to the site, not to a page: icons, buttons, headers.
    pub max_pages: usize,
    /// Bits of 256 that may differ between near-copies. Rescaled and recompressed copies differ in 0 to 12 (`magiclens_data::fingerprint`).
    pub max_bits: u32,
    /// Mean difference of the 4 x 4 color miniatures of near-copies, of 255.
    #[serde(rename = "max_colour")]
    pub max_color: f32,
    /// Bits that must be set for a fingerprint to be compared: drawings with less structure are compared by content only.
    pub min_structure: u32,
    /// Share of images that two pages may have in common (intersection over union). Above it the smaller page goes: translations, print
    /// views, pages of one gallery.
    pub max_overlap: f64,
    /// Candidates compared with one another under one band; the rest is only counted. Bounds the work on a band that everything has.
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

/// The part of a fingerprint by which an image's copies are found.
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
        let bits = self.bits.iter().flat_map(|word| word.to_le_bytes());
        bits.chain(self.colors.iter().copied()).collect()
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

    /// The bands by which copies are found; none of a drawing with little structure.
    fn telling_bands(&self, config: &DuplicateConfig) -> impl Iterator<Item = (usize, u16)> {
        let structure: u32 = self.bits.iter().map(|word| word.count_ones()).sum();
        let bands = if structure < config.min_structure { 0 } else { BANDS };
        let bits = self.bits;
        let values = (0..bands).map(move |band| (band, (bits[band / 4] >> (band % 4 * 16)) as u16));
        // A band of one tone is everywhere and says nothing.
        values.filter(|(_, value)| !matches!(*value, 0 | u16::MAX))
    }

    fn is_copy(&self, other: &Self, config: &DuplicateConfig) -> bool {
        let bits = self.bits.iter().zip(other.bits);
        let differing: u32 = bits.map(|(a, b)| (a ^ b).count_ones()).sum();
        let colors = self.colors.iter().zip(&other.colors);
        let color: u32 = colors.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        differing <= config.max_bits && color as f32 <= config.max_color * self.colors.len() as f32
    }
}

/// One place of something that could match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    shard: usize,
    page: String,
    /// The image, or all images of the page.
    #[serde(rename = "pictures")]
    images: Vec<ImageId>,
}

/// A page of a shard, larger ones first: the order in which pages stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PageOfShard {
    images: Reverse<usize>,
    pub(crate) page: String,
    pub(crate) shard: usize,
}

/// A decision of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// To its shards: the image, with its near-copies, stands on too many pages.
    TooManyPages(ImageId),
    /// To its shards: the image stands on these pages, in order.
    Pages(ImageId, Vec<String>),
    /// To all: the first image is a near-copy of the second, which has the smaller id.
    CopyOf(ImageId, ImageId),
    /// To all: the first page shows nearly the same images as the second, which comes before it.
    PageLike(PageOfShard, PageOfShard),
    /// To a shard, from buckets of earlier versions: another shard has the page, too, and keeps it.
    CrawledAgain(String),
    /// To a shard, from buckets of earlier versions: the first page shows nearly the same images as the second, which stays.
    Overlaps(String, String),
}

/// The destination of decisions that all shards read.
pub const ALL_SHARDS: usize = usize::MAX;

/// Sends the candidates of a page: `images` with their prints.
///
/// # Errors
/// A temporary file that cannot be written.
pub fn send_candidates(
    sent: &mut ShuffleWriter<Candidate>,
    config: &DuplicateConfig,
    shard: usize,
    page: &str,
    images: &[(ImageId, Print)],
) -> anyhow::Result<()> {
    let mut send = |key: String, images: Vec<ImageId>, bytes: Vec<u8>| {
        let bucket = (Digest::of(&key).seed() % config.buckets as u64) as usize;
        let candidate = Candidate {
            shard,
            page: page.to_owned(),
            images,
        };
        sent.send(bucket, key, &candidate, bytes)
    };
    for (id, print) in images {
        send(format!("picture:{id}"), vec![*id], Vec::new())?;
        for (band, value) in print.telling_bands(config) {
            send(format!("band:{band}:{value:04x}"), vec![*id], print.to_bytes())?;
        }
    }
    let mut all: Vec<ImageId> = images.iter().map(|(id, _)| *id).collect();
    all.sort_unstable();
    for seed in 0..MIN_HASHES {
        if let Some(least) = all.iter().map(|id| Digest::of(format!("{seed}:{id}")).seed()).min() {
            send(format!("group:{seed}:{least:016x}"), all.clone(), Vec::new())?;
        }
    }
    Ok(())
}

/// Compares the candidates of one bucket, given in the order of their keys, and sends its decisions.
///
/// # Errors
/// A row that is no candidate.
pub fn decide(
    candidates: &[Row<Candidate>],
    config: &DuplicateConfig,
    sent: &mut ShuffleWriter<Decision>,
) -> anyhow::Result<()> {
    let mut decisions: BTreeSet<(usize, Decision)> = BTreeSet::new();
    for rows in candidates.chunk_by(|a, b| a.key == b.key) {
        if rows[0].key.starts_with("picture:") {
            decide_image(rows, config, &mut decisions);
        } else if rows[0].key.starts_with("band:") {
            decide_band(rows, config, &mut decisions)?;
        } else {
            decide_pages(rows, config, &mut decisions);
        }
    }
    for (destination, decision) in decisions {
        sent.send(destination, "", &decision, Vec::new())?;
    }
    Ok(())
}

fn decide_image(rows: &[Row<Candidate>], config: &DuplicateConfig, decisions: &mut BTreeSet<(usize, Decision)>) {
    let pages: BTreeSet<&String> = rows.iter().map(|row| &row.value.page).collect();
    if pages.len() < 2 {
        return;
    }
    for candidate in rows.iter().map(|row| &row.value) {
        let id = candidate.images[0];
        let decision = if config.max_pages < pages.len() {
            Decision::TooManyPages(id)
        } else {
            Decision::Pages(id, pages.iter().map(|page| (*page).clone()).collect())
        };
        decisions.insert((candidate.shard, decision));
    }
}

fn decide_band(
    rows: &[Row<Candidate>],
    config: &DuplicateConfig,
    decisions: &mut BTreeSet<(usize, Decision)>,
) -> anyhow::Result<()> {
    // Each different image once, in the order of ids, with all its places.
    let mut images: BTreeMap<ImageId, (Print, Vec<&Candidate>)> = BTreeMap::new();
    for row in rows {
        let id = row.value.images[0];
        let image = match images.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert((Print::from_bytes(&row.bytes)?, Vec::new())),
        };
        image.1.push(&row.value);
    }
    let images: Vec<_> = images.into_iter().take(config.max_band_members).collect();
    let is_copy = |a: usize, b: usize| images[a].1.0.is_copy(&images[b].1.0, config);
    let links = links(images.len(), images.len(), is_copy);
    let mut everywhere: BTreeSet<ImageId> = BTreeSet::new();
    for family in families(&links) {
        let family = || family.iter().map(|at| &images[*at]);
        let places = || family().flat_map(|(id, (_, places))| places.iter().map(move |place| (*id, *place)));
        let pages: BTreeSet<&String> = places().map(|(_, place)| &place.page).collect();
        if config.max_pages < pages.len() {
            everywhere.extend(family().map(|(id, _)| *id));
            decisions.extend(places().map(|(id, place)| (place.shard, Decision::TooManyPages(id))));
        }
    }
    for ((id, _), matched) in images.iter().zip(links).filter(|((id, _), _)| !everywhere.contains(id)) {
        let link = |earlier: usize| Decision::CopyOf(*id, images[earlier].0);
        decisions.extend(matched.into_iter().map(|earlier| (ALL_SHARDS, link(earlier))));
    }
    Ok(())
}

/// The families of two and more: images that match no earlier one lead; each other image belongs to the first leader that it matches.
fn families(links: &[Vec<usize>]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, matched) in links.iter().enumerate() {
        let leader = matched.iter().find(|earlier| families.contains_key(*earlier));
        families.entry(*leader.unwrap_or(&at)).or_default().push(at);
    }
    families.into_values().filter(|family| family.len() > 1)
}

fn decide_pages(rows: &[Row<Candidate>], config: &DuplicateConfig, decisions: &mut BTreeSet<(usize, Decision)>) {
    let order = |page: &Candidate| PageOfShard {
        images: Reverse(page.images.len()),
        page: page.page.clone(),
        shard: page.shard,
    };
    let pages: BTreeMap<PageOfShard, &Candidate> = rows.iter().map(|row| (order(&row.value), &row.value)).collect();
    let pages: Vec<(PageOfShard, &Candidate)> = pages.into_iter().collect();
    let is_like = |a: usize, b: usize| config.max_overlap < overlap(&pages[a].1.images, &pages[b].1.images);
    let links = links(pages.len(), config.max_band_members, is_like);
    for ((page, _), matched) in pages.iter().zip(links) {
        let link = |earlier: usize| Decision::PageLike(page.clone(), pages[earlier].0.clone());
        decisions.extend(matched.into_iter().map(|earlier| (ALL_SHARDS, link(earlier))));
    }
}

/// Items that match a leader and are compared all the same: should the leader go, they may still match one another.
const MAX_FOLLOWERS: usize = 8;

/// For each of `items`, in order, the earlier ones that it matches, among those that lead (match no earlier leader), of which there
/// are at most `max_leaders`, and the first few of the others. So the work is bounded where everything matches everything.
fn links(items: usize, max_leaders: usize, matches: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let (mut leaders, mut followers) = (Vec::new(), Vec::new());
    let link = |item| {
        let matched = |others: &[usize]| -> Vec<usize> {
            let others = others.iter().copied();
            others.filter(|other| matches(item, *other)).collect()
        };
        let (mut found, followed) = (matched(&leaders), matched(&followers));
        if found.is_empty() {
            if leaders.len() < max_leaders {
                leaders.push(item);
            }
        } else if followers.len() < MAX_FOLLOWERS {
            followers.push(item);
        }
        found.extend(followed);
        found.sort_unstable();
        found
    };
    (0..items).map(link).collect()
}

/// The items that go, of linked ones: in their order, each that matches an earlier one that stays.
pub fn drops<T: Ord + Clone>(links: &BTreeMap<T, BTreeSet<T>>) -> BTreeSet<T> {
    let mut dropped: BTreeSet<T> = BTreeSet::new();
    for (item, matched) in links {
        if matched.iter().any(|earlier| !dropped.contains(earlier)) {
            dropped.insert(item.clone());
        }
    }
    dropped
}

/// Intersection over union of two sorted lists.
fn overlap(a: &[ImageId], b: &[ImageId]) -> f64 {
    let common = a.iter().filter(|id| b.binary_search(id).is_ok()).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, imageops};

    use super::*;
    use crate::store::Store;
    use crate::table::Shuffle;

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

    fn decisions(pages: &[SeenPage<'_>], config: &DuplicateConfig) -> BTreeSet<(usize, Decision)> {
        const CANDIDATES: Shuffle<Candidate> = Shuffle::new("candidates");
        const DECISIONS: Shuffle<Decision> = Shuffle::new("decisions");
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).unwrap();
        let mut sent = CANDIDATES.create(&store, 0).unwrap();
        for (shard, page, images) in pages {
            send_candidates(&mut sent, config, *shard, page, images).unwrap();
        }
        sent.publish().unwrap();
        for bucket in 0..config.buckets {
            let rows = CANDIDATES.received(&store, 1, bucket);
            let rows: Vec<_> = rows.collect::<anyhow::Result<_>>().unwrap();
            let mut sent = DECISIONS.create(&store, bucket).unwrap();
            decide(&rows, config, &mut sent).unwrap();
            sent.publish().unwrap();
        }
        let to = |shard| {
            DECISIONS
                .received(&store, config.buckets, shard)
                .map(move |row| (shard, row.unwrap().value))
        };
        (0..4).chain([ALL_SHARDS]).flat_map(to).collect()
    }

    #[test]
    fn all_shards_learn_of_an_image_on_too_many_pages() {
        let config = DuplicateConfig {
            max_pages: 2,
            ..DuplicateConfig::default()
        };
        let logo = image(1, 64);
        let page =
            |shard, name: &'static str, own| (shard, name, vec![logo.clone(), image(own, 64), image(own + 1, 64)]);
        let found = decisions(&[page(0, "a", 10), page(1, "b", 20), page(1, "c", 30)], &config);
        let expected = [(0, Decision::TooManyPages(logo.0)), (1, Decision::TooManyPages(logo.0))];
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
        let found = decisions(
            &[
                (0, "a", vec![large.clone(), image(6, 64)]),
                (2, "b", vec![small.clone(), image(7, 64)]),
            ],
            &config,
        );
        let (leader, copy) = (large.0.min(small.0), large.0.max(small.0));
        assert_eq!(found, BTreeSet::from([(ALL_SHARDS, Decision::CopyOf(copy, leader))]));
    }

    #[test]
    fn of_two_pages_with_the_same_images_the_smaller_goes() {
        let config = DuplicateConfig::default();
        let common: Vec<_> = (0..8).map(|n| image(n + 40, 64)).collect();
        let more: Vec<_> = common.iter().cloned().chain([image(60, 64)]).collect();
        let found = decisions(&[(0, "a", common.clone()), (3, "b", more)], &config);
        let likes: Vec<_> = found.iter().filter(|(shard, _)| *shard == ALL_SHARDS).collect();
        let [(_, Decision::PageLike(gone, stays))] = likes[..] else {
            panic!("{likes:?}")
        };
        assert_eq!((gone.page.as_str(), gone.shard), ("a", 0));
        assert_eq!((stays.page.as_str(), stays.shard), ("b", 3));
        // Each of the eight is on two pages, which both shards are told.
        assert_eq!(found.len(), 1 + 2 * 8);
    }

    #[test]
    fn a_copy_of_a_copy_that_goes_stays() {
        let check = |links: &[(u32, u32)], dropped: &[u32]| {
            let mut by_item: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for (item, earlier) in links {
                by_item.entry(*item).or_default().insert(*earlier);
            }
            assert_eq!(drops(&by_item), dropped.iter().copied().collect(), "{links:?}");
        };
        check(&[(2, 1)], &[2]);
        check(&[(2, 1), (3, 2)], &[2]);
        check(&[(3, 2), (2, 1), (4, 3)], &[2, 4]);
        check(&[(2, 1), (3, 1), (3, 2)], &[2, 3]);
        check(&[(2, 1), (3, 2), (3, 1), (4, 2)], &[2, 3]);
    }

    /// Three images of which neighbors are near-copies, but not the first and the last: they share bands with their neighbor only.
    fn chain() -> [(ImageId, Print); 3] {
        let print = |n: u8, flipped: &[usize]| {
            let mut bits = [0x5a5a_5a5a_5a5a_5a5a_u64; 4];
            for bit in flipped {
                bits[bit / 64] ^= 1 << (bit % 64);
            }
            (
                ImageId::from_bytes([n; 16]),
                Print {
                    bits,
                    colors: vec![0; 48],
                },
            )
        };
        let firsts: Vec<usize> = (0..8).map(|band| band * 16).collect();
        let lasts: Vec<usize> = (8..16).map(|band| band * 16).collect();
        [print(1, &firsts), print(2, &[]), print(3, &lasts)]
    }

    #[test]
    fn chains_give_one_decision_in_any_order_and_distribution() {
        let [first, middle, last] = chain();
        let config = DuplicateConfig {
            buckets: 3,
            ..DuplicateConfig::default()
        };
        assert!(first.1.is_copy(&middle.1, &config) && middle.1.is_copy(&last.1, &config));
        assert!(!first.1.is_copy(&last.1, &config));
        let page = |shard, name: &'static str, image: &(ImageId, Print)| (shard, name, vec![image.clone()]);
        let pages = [page(0, "a", &first), page(1, "b", &middle), page(2, "c", &last)];
        let mut reversed = pages.clone();
        reversed.reverse();
        let found = decisions(&pages, &config);
        assert_eq!(found, decisions(&reversed, &config));
        let mut links: BTreeMap<ImageId, BTreeSet<ImageId>> = BTreeMap::new();
        for (_, decision) in found {
            let Decision::CopyOf(copy, of) = decision else {
                panic!("{decision:?}")
            };
            links.entry(copy).or_default().insert(of);
        }
        assert_eq!(links.len(), 2, "both links are known");
        assert_eq!(
            drops(&links),
            BTreeSet::from([middle.0]),
            "the last is a copy of nothing that stays"
        );
    }

    #[test]
    fn followers_of_a_leader_that_goes_are_compared() {
        // 1 to 3 match 0 and one another; 0 may go by another bucket.
        assert_eq!(links(4, 10, |_, _| true), [vec![], vec![0], vec![0, 1], vec![0, 1, 2]]);
        assert_eq!(
            links(100, 10, |_, _| true).iter().map(Vec::len).max(),
            Some(1 + MAX_FOLLOWERS)
        );
        assert_eq!(links(3, 1, |_, _| false), [[0; 0]; 3]);
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let id = |n: u8| ImageId::from_bytes([n; 16]);
        assert_eq!(overlap(&[id(1), id(2), id(3)], &[id(2), id(3), id(4)]), 0.5);
        assert_eq!(overlap(&[], &[]), 0.0);
    }
}
