//! Plain statistics of values: mean, spread, standard deviation, quantiles, area under the curve.

/// The mean without the values that are NaN; NaN if none is left.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        sum += value;
        count += 1;
    }
    if count == 0 { f64::NAN } else { sum / f64::from(count) }
}

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
    let center = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - center).powi(2))).sqrt()
}

/// The area under the ROC curve: the share of pairs in which a score of `higher` is above one of `lower`, equal scores
/// counting half. `None` if either is empty.
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

    #[test]
    fn spread_and_deviation_by_hand() {
        check(spread(&[0.5, 0.25, 1.0]), 0.75);
        check(spread(&[0.5]), 0.0);
        check(deviation(&[1.0, 0.0, 1.0, 0.0]), 0.5);
        check(deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 2.0);
        assert!(spread(&[]).is_nan() && deviation(&[]).is_nan());
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

    #[test]
    fn the_mean_skips_what_is_not_a_number() {
        check(mean([1.0, f64::NAN, 0.0]), 0.5);
        assert!(mean([f64::NAN]).is_nan());
        assert!(mean([]).is_nan());
    }
}
