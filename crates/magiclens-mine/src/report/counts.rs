//! Counts by value, and histograms of scores, of any number of triplets in bounded memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reservoir::{self, Distinct, Reservoir};
use super::rounded;

/// How often each value occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that was counted: the listed values and `others`.
    pub total: u64,
    /// The most frequent first, equals in the order of their names.
    pub values: Vec<Counted>,
    /// What was counted under values that are not listed.
    pub others: u64,
    /// How many different values there were.
    pub distinct: Distinct,
}

/// A value and how often it occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The value.
    pub value: String,
    /// How often.
    pub items: u64,
}

/// Characters of a value that are kept.
const MAX_VALUE_CHARS: usize = 200;

/// Counts values one by one.
#[derive(Debug)]
pub(super) struct Counter {
    seen: Reservoir<Box<str>>,
}

impl Counter {
    /// Counts up to `limit` different values; of more, a fair sample of them.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            seen: Reservoir::new(limit),
        }
    }

    pub(super) fn add(&mut self, value: &str) {
        let key = reservoir::key(0, &[value.as_bytes()]);
        self.seen
            .offer(key, || value.chars().take(MAX_VALUE_CHARS).collect::<String>().into());
    }

    /// The `listed` most frequent.
    pub(super) fn finish(&self, listed: usize) -> Counts {
        let mut values: Vec<Counted> = self
            .seen
            .iter()
            .map(|(value, items)| Counted {
                value: value.to_string(),
                items,
            })
            .collect();
        sort(&mut values);
        values.truncate(listed);
        let total = self.seen.offered();
        let shown: u64 = values.iter().map(|counted| counted.items).sum();
        Counts {
            total,
            values,
            others: total - shown,
            distinct: self.seen.distinct(),
        }
    }
}

/// The most frequent first, equals in the order of their names.
pub(super) fn sort(values: &mut [Counted]) {
    values.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.value.cmp(&b.value)));
}

/// How the values of one score are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    /// The name of the score.
    pub score: String,
    /// Finite values.
    pub values: u64,
    /// Values that are not finite; nothing below counts them.
    pub undefined: u64,
    /// Their mean; none without values.
    pub mean: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Values below -1, which no similarity has.
    pub below: u64,
    /// Values above 1.
    pub above: u64,
    /// Values from -1 to 1 in 40 bins of 0.05, each without its upper end but the last.
    pub bins: Vec<u64>,
}

/// Bins of a [`ScoreHistogram`].
pub(super) const BINS: usize = 40;
/// Scores that are told apart: the first by name. They are named by the pipeline, which has a handful.
const MAX_SCORES: usize = 64;
/// Sums are kept in this fraction, as whole numbers: then the order of adding does not show.
const FRACTION: f64 = (1_u64 << 40) as f64;
/// Larger values count as this in the mean.
const MAX_SUMMAND: f64 = 1e12;

/// Collects the scores of triplets.
#[derive(Debug, Default)]
pub(super) struct Scores {
    by_name: BTreeMap<String, (ScoreHistogram, i128)>,
}

impl Scores {
    pub(super) fn add(&mut self, name: &str, value: f64) {
        if !self.by_name.contains_key(name) {
            let empty = ScoreHistogram {
                score: name.to_owned(),
                bins: vec![0; BINS],
                ..ScoreHistogram::default()
            };
            self.by_name.insert(name.to_owned(), (empty, 0));
            if MAX_SCORES < self.by_name.len() {
                self.by_name.pop_last();
            }
        }
        let Some((histogram, sum)) = self.by_name.get_mut(name) else {
            return;
        };
        if !value.is_finite() {
            histogram.undefined += 1;
            return;
        }
        histogram.values += 1;
        histogram.min = Some(histogram.min.map_or(value, |min| min.min(value)));
        histogram.max = Some(histogram.max.map_or(value, |max| max.max(value)));
        *sum += (value.clamp(-MAX_SUMMAND, MAX_SUMMAND) * FRACTION).round() as i128;
        if value < -1.0 {
            histogram.below += 1;
        } else if 1.0 < value {
            histogram.above += 1;
        } else {
            let bin = ((value + 1.0) * (BINS as f64 / 2.0)).floor() as usize;
            histogram.bins[bin.min(BINS - 1)] += 1;
        }
    }

    /// By name.
    pub(super) fn finish(self) -> Vec<ScoreHistogram> {
        let finish = |(mut histogram, sum): (ScoreHistogram, i128)| {
            histogram.mean = (histogram.values > 0).then(|| rounded(sum as f64 / FRACTION / histogram.values as f64));
            histogram.min = histogram.min.map(rounded);
            histogram.max = histogram.max.map(rounded);
            histogram
        };
        self.by_name.into_values().map(finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut counter = Counter::new(10);
        for value in ["b", "a", "c", "a", "b", "a", ""] {
            counter.add(value);
        }
        let counts = counter.finish(3);
        let listed: Vec<(&str, u64)> = counts.values.iter().map(|v| (v.value.as_str(), v.items)).collect();
        assert_eq!(listed, [("a", 3), ("b", 2), ("", 1)]);
        assert_eq!((counts.total, counts.others), (7, 1));
        assert_eq!(counts.distinct, Distinct { items: 4, exact: true });
    }

    #[test]
    fn values_over_the_limit_are_others_in_any_order() {
        let count = |numbers: &mut dyn Iterator<Item = u32>| {
            let mut counter = Counter::new(5);
            numbers.for_each(|number| counter.add(&number.to_string()));
            counter.finish(100)
        };
        let counts = count(&mut (0..100));
        assert_eq!(counts, count(&mut (0..100).rev()));
        assert_eq!((counts.values.len(), counts.others, counts.total), (5, 95, 100));
        let mut counter = Counter::new(5);
        counter.add(&"é".repeat(100_000));
        assert_eq!(counter.finish(1).values[0].value, "é".repeat(200));
    }

    #[test]
    fn scores_fall_into_bins() {
        let mut scores = Scores::default();
        for value in [-1.0, 0.5, 0.5, 0.51, 1.0, 1.5, -3.0, f64::NAN, f64::INFINITY] {
            scores.add("image", value);
        }
        scores.add("text", f64::NAN);
        let [image, text] = &scores.finish()[..] else { panic!() };
        let bins: Vec<(usize, u64)> = image.bins.iter().copied().enumerate().filter(|bin| bin.1 > 0).collect();
        // -1 is the first bin; 0.5 begins bin (0.5 + 1) * 20 = 30; 1 belongs to the last.
        assert_eq!(bins, [(0, 1), (30, 3), (39, 1)]);
        assert_eq!((image.values, image.undefined, image.below, image.above), (7, 2, 1, 1));
        assert_eq!((image.min, image.max), (Some(-3.0), Some(1.5)));
        // (-1 + 0.5 + 0.5 + 0.51 + 1 + 1.5 - 3) / 7 = 0.01 / 7
        assert_eq!(image.mean, Some(0.001429));
        assert_eq!((text.values, text.undefined, text.mean, text.min), (0, 1, None, None));
    }

    #[test]
    fn many_or_huge_scores_cost_little() {
        let mut scores = Scores::default();
        for number in 0..1000 {
            scores.add(&format!("score {number:04}"), 1e300);
            scores.add("0", -1e300);
        }
        let all = scores.finish();
        assert_eq!((all.len(), all[0].score.as_str(), all[0].values), (64, "0", 1000));
        assert_eq!(all[0].mean, Some(-1e12));
    }
}
