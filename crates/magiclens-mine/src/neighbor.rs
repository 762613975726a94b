//! Pairs across the corpus: an image and its nearest neighbors by several encoders, with hard negatives from the same neighborhood
//! (MegaPairs, arXiv 2412.14475, section 3.1). Pages limit what can be paired; encoders do not.
//!
//! Exact within a cluster: images go to the nearest of a few centers, which are images of the corpus chosen by hash.
//! A small corpus has one cluster and every neighbor is found.

use std::collections::{BTreeMap, HashSet};

use magiclens_data::ImageId;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::encoder::{EncoderConfig, score_name, similarity};
use crate::page::{Described, ImagePair, Origin};
use crate::pair::rounded;

/// The neighbors that become pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeighborConfig {
    /// Whether pairs across the corpus are made at all.
    pub enabled: bool,
    /// The encoders, each with its band of similarity.
    pub encoders: Vec<NeighborBand>,
    /// Targets that an image gets by one encoder, best first.
    #[serde(rename = "targets_per_picture")]
    pub targets_per_image: usize,
    /// Hard negatives of a pair: the next neighbors. MegaPairs trains with four.
    pub hard_negatives: usize,
    /// Images a cluster should have; the work of a cluster grows with its square.
    pub cluster_size: usize,
    /// Images that a cluster may hold in memory, some kilobytes each; further ones are dropped and counted.
    pub max_cluster_size: usize,
    /// Clusters that an image joins, nearest first, so that neighbors across a border meet.
    #[serde(rename = "clusters_per_picture")]
    pub clusters_per_image: usize,
}

/// The band of similarity of one encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborBand {
    /// The encoder's name.
    pub encoder: String,
    /// Neighbors below it are none. MegaPairs: 0.8 of EVA-CLIP's similarity.
    pub min: f32,
    /// Neighbors above it are copies. MegaPairs: 0.96.
    pub max: f32,
    /// Similarity by this encoder that pairs of other encoders need. Encoders err in different ways: a dialog looks like every other
    /// dialog, and two captions may share their words by chance.
    pub floor: f32,
}

impl Default for NeighborConfig {
    fn default() -> Self {
        let band = |encoder: &str, min, max, floor| NeighborBand {
            encoder: encoder.into(),
            min,
            max,
            floor,
        };
        Self {
            enabled: true,
            encoders: vec![
                band("image", 0.88, 0.97, 0.7),
                band("look", 0.94, 0.988, 0.84),
                band("text", 0.65, 0.96, 0.25),
            ],
            targets_per_image: 2,
            hard_negatives: 4,
            cluster_size: 20_000,
            max_cluster_size: 100_000,
            clusters_per_image: 2,
        }
    }
}

/// An image of a cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// The image.
    pub described: Described,
    /// Whether the cluster is the nearest of its clusters: there it looks for neighbors, in the others it is found.
    pub is_home: bool,
    /// Its unit vectors by the encoders of the bands, in their order; zeros for an image without words.
    pub vectors: Vec<Vec<f32>>,
}

/// The clusters that a vector joins: the nearest centers, first the nearest; of equal ones the first.
pub fn clusters_of(vector: &[f32], centers: &[Vec<f32>], count: usize) -> Vec<usize> {
    let mut ranked: Vec<(usize, f32)> = centers
        .iter()
        .map(|center| similarity(vector, center))
        .enumerate()
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter().take(count).map(|(cluster, _)| cluster).collect()
}

/// The pairs of a cluster by the encoder of band `band`, in the order of query and rank. Members of one page are no pairs: the
/// page makes those.
pub fn neighbor_pairs(
    members: &[Member],
    band: usize,
    config: &NeighborConfig,
    encoders: &[EncoderConfig],
) -> Vec<ImagePair> {
    // An image on pages of several shards asks once, from the first page: each shard would write its triplets again.
    let mut queries: BTreeMap<ImageId, &Member> = BTreeMap::new();
    for member in members.iter().filter(|member| member.is_home) {
        let query = queries.entry(member.described.image).or_insert(member);
        if key(member) < key(query) {
            *query = member;
        }
    }
    let queries: Vec<&Member> = queries.into_values().collect();
    let pairs: Vec<Vec<ImagePair>> = queries
        .par_iter()
        .map(|query| pairs_of(query, members, band, config, encoders))
        .collect();
    pairs.into_iter().flatten().collect()
}

fn pairs_of(
    query: &Member,
    members: &[Member],
    by: usize,
    config: &NeighborConfig,
    encoders: &[EncoderConfig],
) -> Vec<ImagePair> {
    let near = nearest(query, members, by, config);
    let (targets, rest) = near.split_at(config.targets_per_image.min(near.len()));
    let pair = |target: &&Member| ImagePair {
        query: query.described.clone(),
        target: target.described.clone(),
        origin: Origin::Neighbor(config.encoders[by].encoder.clone()),
        scores: scores(query, target, config, encoders),
        hard_negatives: rest.iter().map(|member| member.described.clone()).collect(),
    };
    targets.iter().map(pair).collect()
}

/// The images of other pages in the band, best first: targets and hard negatives.
fn nearest<'a>(query: &Member, members: &'a [Member], by: usize, config: &NeighborConfig) -> Vec<&'a Member> {
    let band = &config.encoders[by];
    let is_other = |member: &&Member| {
        member.described.image != query.described.image && member.described.page_url != query.described.page_url
    };
    let in_band = members.iter().filter(is_other).filter_map(|member| {
        let found = similarity(&query.vectors[by], &member.vectors[by]);
        let agree = || {
            let floors = config.encoders.iter().map(|other| other.floor).enumerate();
            let reaches = |(at, floor): (usize, f32)| floor <= similarity(&query.vectors[at], &member.vectors[at]);
            floors.filter(|(at, _)| *at != by).all(reaches)
        };
        (band.min < found && found < band.max && agree()).then_some((member, found))
    });
    let mut near: Vec<(&Member, f32)> = in_band.collect();
    near.sort_by(|a, b| b.1.total_cmp(&a.1).then(key(a.0).cmp(&key(b.0))));
    // An image that stands on several pages is one neighbor.
    let mut seen = HashSet::new();
    let near = near.into_iter().map(|(member, _)| member);
    near.filter(|member| seen.insert(member.described.image))
        .take(config.targets_per_image + config.hard_negatives)
        .collect()
}

fn scores(
    query: &Member,
    target: &Member,
    config: &NeighborConfig,
    encoders: &[EncoderConfig],
) -> BTreeMap<String, f64> {
    let score = |(at, band): (usize, &NeighborBand)| {
        let similarity = similarity(&query.vectors[at], &target.vectors[at]);
        (score_name(encoders, &band.encoder), rounded(similarity))
    };
    config.encoders.iter().enumerate().map(score).collect()
}

fn key(member: &Member) -> (ImageId, &str) {
    (member.described.image, &member.described.page_url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::default_encoders;
    use crate::page::Metadata;
    use crate::page::tests::described;

    fn member(n: u8, page: &str, angle: f32) -> Member {
        let described = Described {
            page_url: page.into(),
            ..described(n, Metadata::default())
        };
        Member {
            described,
            is_home: true,
            vectors: vec![vec![angle.cos(), angle.sin()], vec![1.0]],
        }
    }

    #[test]
    fn the_band_and_other_pages_only() {
        let members = [
            member(1, "a", 0.0),
            member(2, "a", 0.3),  // on the same page
            member(3, "b", 0.01), // a copy
            member(4, "b", 0.3),
            member(5, "c", 0.4),
            member(6, "d", 0.5),
            member(4, "e", 0.3), // the fourth, on another page
            member(7, "f", 1.5), // far
        ];
        let band = |encoder: &str, floor| NeighborBand {
            encoder: encoder.into(),
            min: 0.8,
            max: 0.99,
            floor,
        };
        let config = NeighborConfig {
            encoders: vec![band("look", 0.0), band("text", 0.5)],
            targets_per_image: 2,
            hard_negatives: 1,
            ..NeighborConfig::default()
        };
        let names = default_encoders();
        let found = neighbor_pairs(&members, 0, &config, &names);
        let of_first: Vec<_> = found
            .iter()
            .filter(|pair| pair.query.image == members[0].described.image)
            .collect();
        let targets: Vec<u8> = of_first.iter().map(|pair| pair.target.image.to_bytes()[0]).collect();
        assert_eq!(targets, [4, 5]);
        assert_eq!(of_first[0].hard_negatives[0].image.to_bytes()[0], 6);
        assert_eq!(of_first[0].scores["look:image_trunk"], rounded(0.3_f32.cos()));
        assert_eq!(of_first[0].scores["text:text_trunk"], 1.0);
        assert_eq!(of_first[0].origin, Origin::Neighbor("look".into()));
        // Where it is no member at home it is found, but does not look.
        let mut guests = members.to_vec();
        guests.iter_mut().for_each(|member| member.is_home = false);
        assert_eq!(neighbor_pairs(&guests, 0, &config, &names), []);
        let strict = NeighborConfig {
            encoders: vec![band("look", 0.0), band("text", 1.1)],
            ..config
        };
        assert_eq!(neighbor_pairs(&members, 0, &strict, &names), []);
    }

    #[test]
    fn vectors_join_the_nearest_centers() {
        let centers = [vec![1.0, 0.0], vec![0.0, 1.0], vec![-1.0, 0.0], vec![1.0, 0.0]];
        assert_eq!(clusters_of(&[0.9, 0.1], &centers, 2), [0, 3]);
        assert_eq!(clusters_of(&[0.0, 0.0], &centers, 1), [0]);
    }
}
