//! Pairs of a page: which two images are related but not the same (MagicLens, section 3.1, "scoring and filtering").
//!
//! The paper scores pairs with CLIP over images and metadata and keeps those that belong together; its thresholds are not
//! published. A pair here has an image similarity and a text similarity, and is kept in a band of both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::encoder::similarity;
use crate::page::{Described, ImagePair, Origin};
use crate::stage::{Outcome, Stage};
use magiclens_web::DropReason;

/// Which pairs are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairConfig {
    /// The encoder that says how alike two images are.
    pub image_encoder: String,
    /// The encoder that says how alike their words are.
    pub text_encoder: String,
    /// Below it two images have nothing to do with one another. MegaPairs (arXiv 2412.14475, section 3.1) keeps (0.8, 0.96) of EVA-CLIP's
    /// similarity; the scale is another one for every encoder. For `small` see docs/mining.md.
    pub min_image_similarity: f32,
    /// Above it two images are the same.
    pub max_image_similarity: f32,
    /// Below it the words about two images have nothing to do with one another.
    pub min_text_similarity: f32,
    /// Above it the words do not tell two images apart, so that no instruction can.
    pub max_text_similarity: f32,
    /// Pairs (both directions count as one) that a page may give, best first, so that no page outweighs all others.
    pub max_pairs_per_page: usize,
    /// Pairs of a page that one image may be in.
    #[serde(rename = "max_pairs_per_picture")]
    pub max_pairs_per_image: usize,
    /// Whether each pair is also used backwards.
    pub both_directions: bool,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self {
            image_encoder: "image".into(),
            text_encoder: "text".into(),
            min_image_similarity: 0.2,
            max_image_similarity: 0.97,
            min_text_similarity: 0.15,
            max_text_similarity: 0.98,
            max_pairs_per_page: 20,
            max_pairs_per_image: 4,
            both_directions: true,
        }
    }
}

/// An image of a page with its two vectors.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The image.
    pub described: Described,
    /// Its unit vector.
    pub image: Vec<f32>,
    /// The unit vector of its words, or zeros.
    pub text: Vec<f32>,
}

/// Keeps pairs in the band.
#[derive(Debug)]
pub struct Band<'a>(pub &'a PairConfig);

impl Stage for Band<'_> {
    type Item = ImagePair;
    type Output = ImagePair;

    fn name(&self) -> &'static str {
        "pair"
    }

    fn process(&self, pair: ImagePair) -> anyhow::Result<Outcome<ImagePair>> {
        let config = self.0;
        let (image, text) = (pair.scores["image"] as f32, pair.scores["text"] as f32);
        let reason = if image < config.min_image_similarity {
            "pictures unrelated"
        } else if config.max_image_similarity < image {
            "pictures the same"
        } else if text < config.min_text_similarity {
            "words unrelated"
        } else if config.max_text_similarity < text {
            "words the same"
        } else {
            return Ok(Outcome::Keep(pair));
        };
        Ok(Outcome::Drop(DropReason(reason)))
    }
}

/// All pairs of a page's images, each once, with their scores.
pub fn pairs(images: &[Scored]) -> Vec<ImagePair> {
    let pair = |a: &Scored, b: &Scored| ImagePair {
        query: a.described.clone(),
        target: b.described.clone(),
        origin: Origin::Page,
        scores: BTreeMap::from([
            ("image".to_owned(), rounded(similarity(&a.image, &b.image))),
            ("text".to_owned(), rounded(similarity(&a.text, &b.text))),
        ]),
        hard_negatives: Vec::new(),
    };
    let of = |at: usize| images[at + 1..].iter().map(move |other| pair(&images[at], other));
    (0..images.len()).flat_map(of).collect()
}

/// Scores are read by people; four digits are more than the vectors' half precision holds.
pub(crate) fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// The best pairs of a page within the limits: images of one figure first, then by the sum of similarities.
pub fn choose(mut pairs: Vec<ImagePair>, config: &PairConfig) -> Vec<ImagePair> {
    let one_figure = |pair: &ImagePair| pair.query.figure.is_some() && pair.query.figure == pair.target.figure;
    let sum = |pair: &ImagePair| pair.scores["image"] + pair.scores["text"];
    pairs.sort_by(|a, b| {
        let by_figure = one_figure(b).cmp(&one_figure(a));
        let by_score = || sum(b).total_cmp(&sum(a));
        let by_id = || (a.query.image, a.target.image).cmp(&(b.query.image, b.target.image));
        by_figure.then_with(by_score).then_with(by_id)
    });
    let mut uses: BTreeMap<_, usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for pair in pairs {
        let ids = [pair.query.image, pair.target.image];
        if chosen.len() < config.max_pairs_per_page
            && ids
                .iter()
                .all(|id| uses.get(id).copied().unwrap_or(0) < config.max_pairs_per_image)
        {
            ids.into_iter().for_each(|id| *uses.entry(id).or_default() += 1);
            chosen.push(pair);
        }
    }
    chosen
}

/// The same pair the other way round.
pub fn backwards(pair: &ImagePair) -> ImagePair {
    ImagePair {
        query: pair.target.clone(),
        target: pair.query.clone(),
        ..pair.clone()
    }
}

#[cfg(test)]
mod tests {
    use magiclens_data::ImageId;

    use super::*;
    use crate::page::Metadata;

    fn scored(n: u8, image: [f32; 2], figure: Option<u32>) -> Scored {
        let described = Described {
            image: ImageId::from_bytes([n; 16]),
            shard: 0,
            url: String::new(),
            page_url: String::new(),
            width: 1,
            height: 1,
            figure,
            position: u32::from(n),
            license: String::new(),
            opt_outs: Vec::new(),
            metadata: Metadata::default(),
        };
        Scored {
            described,
            image: image.to_vec(),
            text: vec![0.6, 0.8],
        }
    }

    #[test]
    fn every_two_images_are_a_pair_with_their_similarities() {
        let found = pairs(&[
            scored(1, [1.0, 0.0], None),
            scored(2, [0.6, 0.8], None),
            scored(3, [0.0, 1.0], None),
        ]);
        let scores: Vec<f64> = found.iter().map(|pair| pair.scores["image"]).collect();
        assert_eq!(scores, [0.6, 0.0, 0.8]);
        assert!(found.iter().all(|pair| pair.scores["text"] == 1.0));
    }

    #[test]
    fn the_band_says_why() {
        let config = PairConfig {
            max_text_similarity: 1.0,
            ..PairConfig::default()
        };
        let decide = |image: f64, text: f64| {
            let mut pair = pairs(&[scored(1, [1.0, 0.0], None), scored(2, [0.6, 0.8], None)]).remove(0);
            pair.scores = BTreeMap::from([("image".into(), image), ("text".into(), text)]);
            match Band(&config).process(pair).unwrap() {
                Outcome::Keep(_) => "kept",
                Outcome::Drop(reason) => reason.0,
            }
        };
        assert_eq!(decide(0.5, 0.5), "kept");
        assert_eq!(decide(0.1, 0.5), "pictures unrelated");
        assert_eq!(decide(0.98, 0.5), "pictures the same");
        assert_eq!(decide(0.5, 0.1), "words unrelated");
        assert_eq!(decide(0.5, 1.01), "words the same");
    }

    #[test]
    fn one_figure_goes_first_and_limits_hold() {
        let images = [
            scored(1, [1.0, 0.0], Some(0)),
            scored(2, [0.0, 1.0], Some(0)),
            scored(3, [1.0, 0.0], None),
            scored(4, [1.0, 0.0], None),
        ];
        let chosen = |max_pairs_per_page, max_pairs_per_image| {
            let config = PairConfig {
                max_pairs_per_page,
                max_pairs_per_image,
                ..PairConfig::default()
            };
            let pairs = choose(pairs(&images), &config);
            pairs
                .iter()
                .map(|pair| (pair.query.position, pair.target.position))
                .collect::<Vec<_>>()
        };
        assert_eq!(chosen(2, 9), [(1, 2), (1, 3)]);
        assert_eq!(chosen(9, 1), [(1, 2), (3, 4)]);
        assert_eq!(chosen(9, 9).len(), 6);
    }
}
