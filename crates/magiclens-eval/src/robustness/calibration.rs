//! "Nothing fits": the similarity of the first answer where a right answer is in the gallery, and where all right answers
//! are taken out of it; a threshold on it tells the two apart.

use std::collections::BTreeMap;

use magiclens_collection::{Collection, RowTriplet};
use magiclens_metrics::{area_under_curve, quantile};
use serde::{Deserialize, Serialize};

use super::{Answered, RELATIONS, RobustQuery};

/// Requests of each relation; each is asked with and without its right answers.
const EACH: usize = 125;
/// The false accepts that the reported threshold allows.
pub const ALLOWED_FALSE_ACCEPTS: f64 = 0.05;
/// Points of the curve, at most.
const POINTS: usize = 101;

/// The first answer to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// Its similarity; not NaN.
    pub score: f32,
    /// Whether it is right.
    pub right: bool,
}

/// The power of top scores to tell answerable requests from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Requests, each asked with and without its right answers in the gallery.
    pub queries: usize,
    /// The distribution of top scores with them.
    pub answerable: Option<Quantiles>,
    /// The distribution without them.
    pub unanswerable: Option<Quantiles>,
    /// The share of pairs in which an answerable request's top score is above an unanswerable one's; 0.5 is chance.
    pub area_under_curve: Option<f64>,
    /// The same within each relation.
    pub relations: BTreeMap<String, f64>,
    /// The lowest observed score that at most [`ALLOWED_FALSE_ACCEPTS`] of the unanswerable requests reach; `None` if no
    /// observed score is high enough.
    pub threshold: Option<Point>,
    /// The rates at thresholds from the lowest to the highest observed score.
    pub curve: Vec<Point>,
}

/// The requests that a threshold accepts, in shares of all requests of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Answers of at least this similarity are accepted.
    pub threshold: f32,
    /// Accepted among the unanswerable.
    pub false_accepts: f64,
    /// Accepted among the answerable, whatever came first.
    pub true_accepts: f64,
    /// Accepted among the answerable, with a right image first.
    pub right_accepts: f64,
}

/// A distribution of scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// 5 % are below.
    pub p5: f32,
    /// 25 % are below.
    pub p25: f32,
    /// The median.
    pub p50: f32,
    /// 75 % are below.
    pub p75: f32,
    /// 95 % are below.
    pub p95: f32,
}

/// The calibration of top scores. Pure: every number is a function of the two lists, in any order.
pub fn calibrate(answerable: &[Top], unanswerable: &[f32]) -> Calibration {
    let sorted = |scores: &mut dyn Iterator<Item = f32>| {
        let mut scores: Vec<f32> = scores.collect();
        scores.sort_unstable_by(f32::total_cmp);
        scores
    };
    let rates = Rates {
        accepted: sorted(&mut answerable.iter().map(|top| top.score)),
        right: sorted(&mut answerable.iter().filter(|top| top.right).map(|top| top.score)),
        unanswerable: sorted(&mut unanswerable.iter().copied()),
    };
    let observed = sorted(&mut rates.accepted.iter().chain(&rates.unanswerable).copied());
    let is_allowed = |point: &Point| point.false_accepts <= ALLOWED_FALSE_ACCEPTS;
    Calibration {
        queries: answerable.len(),
        answerable: Quantiles::of(&rates.accepted),
        unanswerable: Quantiles::of(&rates.unanswerable),
        area_under_curve: area_under_curve(&rates.accepted, &rates.unanswerable),
        relations: BTreeMap::new(),
        threshold: observed.iter().map(|score| rates.at(*score)).find(is_allowed),
        curve: rates.curve(&observed),
    }
}

pub(super) fn cases(collection: &Collection) -> Vec<&RowTriplet> {
    let drawn = RELATIONS
        .iter()
        .map(|relation| collection.drawn("nothing fits", relation, EACH));
    drawn.flatten().collect()
}

/// The request with its right answers in the gallery, and without them.
pub(super) fn queries(asked: &RowTriplet) -> [RobustQuery; 2] {
    let answerable = RobustQuery::new(asked.query, &asked.instruction);
    let mut unanswerable = answerable.clone();
    unanswerable.exclude.extend(&asked.targets);
    [answerable, unanswerable]
}

/// `answers`: of each case those with the right answers, then those without. Answers without a score count nowhere.
pub(super) fn judge(asked: &[&RowTriplet], answers: &[Answered]) -> Calibration {
    let tops: Vec<(&str, Top, f32)> = asked
        .iter()
        .zip(answers.chunks(2))
        .filter_map(|(asked, pair)| {
            let [with, without] = pair else { return None };
            let (score, unanswerable) = (*with.scores.first()?, *without.scores.first()?);
            let right = with.items.first().is_some_and(|first| asked.targets.contains(first));
            let known = !score.is_nan() && !unanswerable.is_nan();
            known.then_some((asked.relation.as_str(), Top { score, right }, unanswerable))
        })
        .collect();
    let of = |relation: Option<&str>| -> (Vec<Top>, Vec<f32>) {
        let chosen = tops
            .iter()
            .filter(|(name, ..)| relation.is_none_or(|relation| *name == relation));
        chosen.map(|(_, top, without)| (*top, *without)).unzip()
    };
    let (answerable, unanswerable) = of(None);
    let relations = RELATIONS.iter().filter_map(|relation| {
        let (answerable, unanswerable) = of(Some(relation));
        let scores: Vec<f32> = answerable.iter().map(|top| top.score).collect();
        Some((relation.to_string(), area_under_curve(&scores, &unanswerable)?))
    });
    Calibration {
        relations: relations.collect(),
        ..calibrate(&answerable, &unanswerable)
    }
}

/// Sorted scores.
struct Rates {
    accepted: Vec<f32>,
    right: Vec<f32>,
    unanswerable: Vec<f32>,
}

impl Rates {
    fn at(&self, threshold: f32) -> Point {
        let reached = |sorted: &[f32]| sorted.len() - sorted.partition_point(|score| *score < threshold);
        let share = |sorted: &[f32], all: &[f32]| reached(sorted) as f64 / all.len().max(1) as f64;
        Point {
            threshold,
            false_accepts: share(&self.unanswerable, &self.unanswerable),
            true_accepts: share(&self.accepted, &self.accepted),
            right_accepts: share(&self.right, &self.accepted),
        }
    }

    /// Rates at evenly spaced places in the sorted observed scores, the lowest and the highest included.
    fn curve(&self, observed: &[f32]) -> Vec<Point> {
        let Some(last) = observed.len().checked_sub(1) else {
            return Vec::new();
        };
        let places = (0..POINTS).map(|point| observed[point * last / (POINTS - 1)]);
        let mut thresholds: Vec<f32> = places.collect();
        thresholds.dedup();
        thresholds.into_iter().map(|threshold| self.at(threshold)).collect()
    }
}

impl Quantiles {
    /// Of sorted scores; `None` if there are none.
    fn of(sorted: &[f32]) -> Option<Self> {
        Some(Self {
            p5: quantile(sorted, 0.05)?,
            p25: quantile(sorted, 0.25)?,
            p50: quantile(sorted, 0.5)?,
            p75: quantile(sorted, 0.75)?,
            p95: quantile(sorted, 0.95)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(score: f32, right: bool) -> Top {
        Top { score, right }
    }

    #[test]
    fn rates_by_hand() {
        let answerable = [top(0.9, true), top(0.8, false), top(0.6, true), top(0.3, false)];
        let found = calibrate(&answerable, &[0.7, 0.5, 0.4, 0.2]);
        assert_eq!(found.queries, 4);
        // 0.9 and 0.8 beat four each, 0.6 three, 0.3 one.
        assert_eq!(found.area_under_curve, Some(12.0 / 16.0));
        // 0.7 lets one of four false ones in; 0.8 is the lowest that lets in none.
        let threshold = Point {
            threshold: 0.8,
            false_accepts: 0.0,
            true_accepts: 0.5,
            right_accepts: 0.25,
        };
        assert_eq!(found.threshold, Some(threshold));
        assert_eq!(found.curve.len(), 8);
        let first = Point {
            threshold: 0.2,
            false_accepts: 1.0,
            true_accepts: 1.0,
            right_accepts: 0.5,
        };
        assert_eq!((found.curve[0], found.curve[7].threshold), (first, 0.9));
        assert_eq!(found.unanswerable.unwrap().p50, 0.45);
    }

    #[test]
    fn the_threshold_allows_five_of_a_hundred() {
        let unanswerable: Vec<f32> = (0..100).map(|score| score as f32).collect();
        let found = calibrate(&[top(50.0, true), top(200.0, true)], &unanswerable);
        // 95 to 99 are the five that may be accepted.
        let threshold = found.threshold.unwrap();
        assert_eq!((threshold.threshold, threshold.false_accepts), (95.0, 0.05));
        assert_eq!(threshold.true_accepts, 0.5);
        assert_eq!(
            calibrate(&[top(0.1, true)], &[0.5, 0.5]).threshold,
            None,
            "no observed score rejects enough"
        );
        let none = calibrate(&[], &[]);
        assert_eq!(
            (none.area_under_curve, none.curve.len(), none.threshold),
            (None, 0, None)
        );
    }

    #[test]
    fn rates_never_rise_with_the_threshold() {
        let score = |n: u32| (n.wrapping_mul(2_654_435_761) % 1000) as f32 / 1000.0;
        let answerable: Vec<Top> = (0..300).map(|n| top(score(n), n % 3 == 0)).collect();
        let unanswerable: Vec<f32> = (300..600).map(score).collect();
        let found = calibrate(&answerable, &unanswerable);
        assert_eq!(found.curve.len(), POINTS);
        for pair in found.curve.windows(2) {
            assert!(pair[0].threshold < pair[1].threshold);
            assert!(pair[0].false_accepts >= pair[1].false_accepts && pair[0].true_accepts >= pair[1].true_accepts);
            assert!(pair[1].right_accepts <= pair[1].true_accepts);
        }
    }
}
