//! Pairs of a page: which two images are related but not the same (MagicLens, section 3.1, "scoring and filtering").
//!
//! The paper scores pairs with CLIP over images and metadata and keeps those that belong together; its thresholds are not
//! published. A pair here has an image similarity and a text similarity, and is kept in a band of both.

use std::collections::BTreeMap;

use magiclens_web::DropReason;
use serde::{Deserialize, Serialize};

use crate::encoder::{EncoderConfig, score_name, similarity};
use crate::page::{Described, ImagePair, Origin};
use crate::stage::{Stage, StageInfo};

/// The band of pairs that are kept, and their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairConfig {
    /// The encoder that scores the similarity of two images.
    pub image_encoder: String,
    /// The encoder that scores the similarity of their words.
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
            min_image_similarity: 0.48,
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

/// A pair of a page and its two similarities.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPair {
    /// The pair.
    pub pair: ImagePair,
    /// The similarity of the images.
    pub image: f64,
    /// The similarity of their words.
    pub text: f64,
}

/// Keeps pairs in the band.
#[derive(Debug)]
pub struct Band<'a>(pub &'a PairConfig);

impl Stage for Band<'_> {
    const INFO: StageInfo = StageInfo::new("pair", "pairs");
    type Item = ScoredPair;
    type Output = ScoredPair;

    fn process(&self, pair: ScoredPair) -> Result<ScoredPair, DropReason> {
        let config = self.0;
        let (image, text) = (pair.image as f32, pair.text as f32);
        let reason = if image < config.min_image_similarity {
            "images unrelated"
        } else if config.max_image_similarity < image {
            "images the same"
        } else if text < config.min_text_similarity {
            "words unrelated"
        } else if config.max_text_similarity < text {
            "words the same"
        } else {
            return Ok(pair);
        };
        Err(DropReason(reason))
    }
}

/// All pairs of a page's images, each once, with their scores.
pub fn pairs(images: &[Scored], config: &PairConfig, encoders: &[EncoderConfig]) -> Vec<ScoredPair> {
    let pair = |a: &Scored, b: &Scored| {
        let image = rounded(similarity(&a.image, &b.image));
        let text = rounded(similarity(&a.text, &b.text));
        let scores = [(&config.image_encoder, image), (&config.text_encoder, text)];
        let pair = ImagePair {
            query: a.described.clone(),
            target: b.described.clone(),
            origin: Origin::Page,
            scores: scores
                .map(|(encoder, score)| (score_name(encoders, encoder), score))
                .into(),
            hard_negatives: Vec::new(),
        };
        ScoredPair { pair, image, text }
    };
    let of = |at: usize| images[at + 1..].iter().map(move |other| pair(&images[at], other));
    (0..images.len()).flat_map(of).collect()
}

/// Scores are read by people; four digits are more than the vectors' half precision holds.
pub(crate) fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// The best pairs of a page within the limits, best first: images of one figure first, then by the sum of similarities; the others
/// are dropped.
pub fn choose(mut pairs: Vec<ScoredPair>, config: &PairConfig) -> Vec<Result<ImagePair, DropReason>> {
    let one_figure = |pair: &ImagePair| pair.query.figure.is_some() && pair.query.figure == pair.target.figure;
    pairs.sort_by(|a, b| {
        let by_figure = one_figure(&b.pair).cmp(&one_figure(&a.pair));
        let by_score = || (b.image + b.text).total_cmp(&(a.image + a.text));
        let ids = |pair: &ImagePair| (pair.query.image, pair.target.image);
        by_figure
            .then_with(by_score)
            .then_with(|| ids(&a.pair).cmp(&ids(&b.pair)))
    });
    let mut uses: BTreeMap<_, usize> = BTreeMap::new();
    let mut chosen = 0;
    let choose = |ScoredPair { pair, .. }: ScoredPair| {
        let ids = [pair.query.image, pair.target.image];
        let has_room = |id| uses.get(id).copied().unwrap_or(0) < config.max_pairs_per_image;
        if chosen >= config.max_pairs_per_page || !ids.iter().all(has_room) {
            return Err(DropReason("page or image has better pairs"));
        }
        ids.into_iter().for_each(|id| *uses.entry(id).or_default() += 1);
        chosen += 1;
        Ok(pair)
    };
    pairs.into_iter().map(choose).collect()
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
    use super::*;
    use crate::encoder::default_encoders;
    use crate::page::Metadata;
    use crate::page::tests::described;

    fn scored(n: u8, image: [f32; 2], figure: Option<u32>) -> Scored {
        let described = Described {
            figure,
            ..described(n, Metadata::default())
        };
        Scored {
            described,
            image: image.to_vec(),
            text: vec![0.6, 0.8],
        }
    }

    fn all_pairs(images: &[Scored], config: &PairConfig) -> Vec<ScoredPair> {
        pairs(images, config, &default_encoders())
    }

    #[test]
    fn every_two_images_are_a_pair_with_their_similarities() {
        let images = [
            scored(1, [1.0, 0.0], None),
            scored(2, [0.6, 0.8], None),
            scored(3, [0.0, 1.0], None),
        ];
        let found = all_pairs(&images, &PairConfig::default());
        let scores: Vec<f64> = found.iter().map(|pair| pair.image).collect();
        assert_eq!(scores, [0.6, 0.0, 0.8]);
        assert!(found.iter().all(|pair| pair.text == 1.0));
        let expected = [("image:image", 0.6), ("text:text_trunk", 1.0)];
        assert_eq!(
            found[0].pair.scores,
            expected.map(|(name, score)| (name.to_owned(), score)).into()
        );
    }

    #[test]
    fn scores_are_named_by_their_encoder() {
        // Of images by looks: a pair across the corpus has a score of the encoder "image", which must not be mistaken for it.
        let config = PairConfig {
            image_encoder: "look".into(),
            ..PairConfig::default()
        };
        let images = [scored(1, [1.0, 0.0], None), scored(2, [0.6, 0.8], None)];
        let pair = all_pairs(&images, &config).remove(0).pair;
        assert_eq!(
            pair.scores.keys().collect::<Vec<_>>(),
            ["look:image_trunk", "text:text_trunk"]
        );
        assert_eq!((pair.score("look"), pair.score("image")), (Some(0.6), None));
        // Runs and collections of earlier versions name scores by the encoder alone.
        let old = ImagePair {
            scores: BTreeMap::from([("image".to_owned(), 0.5), ("look".to_owned(), 0.7)]),
            ..pair
        };
        assert_eq!(
            (old.score("look"), old.score("image"), old.score("text")),
            (Some(0.7), Some(0.5), None)
        );
    }

    #[test]
    fn the_band_says_why() {
        let config = PairConfig {
            max_text_similarity: 1.0,
            ..PairConfig::default()
        };
        let decide = |image: f64, text: f64| {
            let images = [scored(1, [1.0, 0.0], None), scored(2, [0.6, 0.8], None)];
            let mut pair = all_pairs(&images, &config).remove(0);
            (pair.image, pair.text) = (image, text);
            Band(&config).process(pair).err().map_or("kept", |reason| reason.0)
        };
        assert_eq!(decide(0.5, 0.5), "kept");
        assert_eq!(decide(0.1, 0.5), "images unrelated");
        assert_eq!(decide(0.98, 0.5), "images the same");
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
            let pairs = choose(all_pairs(&images, &config), &config).into_iter().flatten();
            pairs
                .map(|pair| (pair.query.position, pair.target.position))
                .collect::<Vec<_>>()
        };
        assert_eq!(chosen(2, 9), [(1, 2), (1, 3)]);
        assert_eq!(chosen(9, 1), [(1, 2), (3, 4)]);
        assert_eq!(chosen(9, 9).len(), 6);
    }
}
