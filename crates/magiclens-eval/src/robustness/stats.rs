//! The figures of robustness, as pure functions of rankings and values.

use std::collections::HashSet;

use crate::metrics::{self, Judged};

/// Largest minus smallest value; NaN if there is none.
pub fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().reduce(f64::max);
    let smallest = values.iter().copied().reduce(f64::min);
    largest
        .zip(smallest)
        .map_or(f64::NAN, |(largest, smallest)| largest - smallest)
}

/// The standard deviation of values that are all there is (divided by their number); NaN if there is none.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = metrics::mean(values.iter().copied());
    metrics::mean(values.iter().map(|value| (value - mean).powi(2))).sqrt()
}

/// The share of the first `k` that two lists without repeats have in common; the longer list says how many could be.
/// NaN if both are empty.
pub fn overlap_at_k(one: &[usize], other: &[usize], k: usize) -> f64 {
    let first = |list: &[usize]| -> HashSet<usize> { list.iter().copied().take(k).collect() };
    let (one, other) = (first(one), first(other));
    one.intersection(&other).count() as f64 / one.len().max(other.len()) as f64
}

/// The mean of [`overlap_at_k`] over all pairs of lists; NaN for fewer than two.
pub fn pairwise_overlap_at_k(lists: &[&[usize]], k: usize) -> f64 {
    let pairs = (0..lists.len()).flat_map(|one| (one + 1..lists.len()).map(move |other| (one, other)));
    metrics::mean(pairs.map(|(one, other)| overlap_at_k(lists[one], lists[other], k)))
}

/// 1 if any of `wanted` is among the first `k`, else 0.
pub fn hit_at_k(ranked: &[usize], wanted: &HashSet<usize>, k: usize) -> f64 {
    metrics::hit_at_k(&Judged::of(ranked, wanted), k)
}

/// [`metrics::average_precision_at_k`] of `wanted`.
pub fn average_precision_at_k(ranked: &[usize], wanted: &HashSet<usize>, k: usize) -> f64 {
    metrics::average_precision_at_k(&Judged::of(ranked, wanted), k)
}

/// The share of the first `k` that is in `set`; a shorter list divides by its own length.
pub fn share_at_k(ranked: &[usize], set: &HashSet<usize>, k: usize) -> f64 {
    metrics::precision_at_k(&Judged::of(ranked, set), k)
}

/// NegRecall@k: the share of what was excluded that is among the first `k` all the same, of at most `k` that can be; the
/// lower, the better. NaN if nothing was excluded.
pub fn negative_recall_at_k(ranked: &[usize], excluded: &HashSet<usize>, k: usize) -> f64 {
    let found = ranked.iter().take(k).filter(|row| excluded.contains(row)).count();
    found as f64 / excluded.len().min(k) as f64
}

/// The area under the ROC curve: how often a score of `higher` is above one of `lower`, equal scores counting half. `None`
/// if either is empty.
pub fn area_under_curve(higher: &[f32], lower: &[f32]) -> Option<f64> {
    let mut lower = lower.to_vec();
    lower.sort_unstable_by(f32::total_cmp);
    let above = |score: &f32| {
        let below = lower.partition_point(|other| other < score);
        let not_above = lower.partition_point(|other| other <= score);
        (below + not_above) as f64 / 2.0
    };
    let pairs = higher.len() * lower.len();
    (pairs > 0).then(|| higher.iter().map(above).sum::<f64>() / pairs as f64)
}

/// The value below which the share `part` of the sorted values lies, between its two neighbors. `None` if there is none.
pub fn quantile(sorted: &[f32], part: f64) -> Option<f32> {
    let place = part.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    fn set(rows: &[usize]) -> HashSet<usize> {
        rows.iter().copied().collect()
    }

    #[test]
    fn spread_and_deviation_by_hand() {
        check(spread(&[0.5, 0.25, 1.0]), 0.75);
        check(spread(&[0.5]), 0.0);
        check(deviation(&[1.0, 0.0, 1.0, 0.0]), 0.5);
        check(deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 2.0);
        assert!(spread(&[]).is_nan() && deviation(&[]).is_nan());
    }

    #[test]
    fn overlap_by_hand() {
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 2), 0.0);
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 3), 1.0 / 3.0);
        check(overlap_at_k(&[1, 2, 3, 4], &[4, 3, 9, 1], 4), 0.75);
        check(overlap_at_k(&[1], &[1, 2], 10), 0.5);
        assert!(overlap_at_k(&[], &[], 3).is_nan());
        // Pairs: 1/2, 0 and 1/2.
        check(pairwise_overlap_at_k(&[&[1, 2], &[2, 3], &[3, 4]], 2), 1.0 / 3.0);
        assert!(pairwise_overlap_at_k(&[&[1]], 2).is_nan());
    }

    #[test]
    fn what_was_excluded_is_counted() {
        check(negative_recall_at_k(&[1, 2, 3, 4], &set(&[2, 4]), 3), 0.5);
        check(negative_recall_at_k(&[1, 2, 3, 4], &set(&[8, 9]), 4), 0.0);
        // No more than two can stand among the first two.
        check(negative_recall_at_k(&[1, 2, 3], &set(&[1, 2, 3, 4]), 2), 1.0);
        assert!(negative_recall_at_k(&[1], &set(&[]), 2).is_nan());
        check(share_at_k(&[1, 2, 3, 4], &set(&[2, 4]), 4), 0.5);
        check(share_at_k(&[2], &set(&[2]), 10), 1.0);
        check(hit_at_k(&[1, 2, 3], &set(&[3]), 2), 0.0);
        check(average_precision_at_k(&[9, 1], &set(&[1]), 10), 0.5);
    }

    #[test]
    fn area_and_quantiles_by_hand() {
        // Of six pairs four are won, one is equal.
        assert_eq!(area_under_curve(&[0.9, 0.5, 0.4], &[0.5, 0.3]), Some(4.5 / 6.0));
        assert_eq!(area_under_curve(&[1.0], &[0.0]), Some(1.0));
        assert_eq!(area_under_curve(&[], &[0.0]), None);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
