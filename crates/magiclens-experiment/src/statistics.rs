//! Intervals over seeds, and rank correlation.

use magiclens_metrics::{Interval, deviation, mean};

/// 97.5 % quantiles of Student's t for 1, 2, .. degrees of freedom.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The quantile of the normal distribution, for more.
const NORMAL: f64 = 1.960;

/// The 95 % interval of the mean by Student's t; `None` below two values.
pub(crate) fn t_interval(values: &[f64]) -> Option<Interval> {
    let freedom = values.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let center = mean(values.iter().copied());
    // The standard error: s / sqrt(n), with s from n - 1.
    let error = deviation(values) / (freedom as f64).sqrt();
    let reach = T.get(freedom - 1).copied().unwrap_or(NORMAL) * error;
    Some(Interval {
        low: center - reach,
        high: center + reach,
    })
}

/// Spearman's rank correlation; ties share their mean rank. `None` below two values, or where one side is constant.
pub(crate) fn rank_correlation(first: &[f64], second: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(first), ranks(second));
    let (center_a, center_b) = (mean(a.iter().copied()), mean(b.iter().copied()));
    let covariance = mean(a.iter().zip(&b).map(|(a, b)| (a - center_a) * (b - center_b)));
    let both = deviation(&a) * deviation(&b);
    (both > 0.0).then(|| covariance / both)
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |value: &f64| values.iter().filter(|other| *other < value).count() as f64;
    let equal = |value: &f64| values.iter().filter(|other| *other == value).count() as f64;
    values
        .iter()
        .map(|value| below(value) + (equal(value) - 1.0) / 2.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_textbook_one() {
        // Mean 2, s = 1, standard error 1 / sqrt(3) = 0.57735, times 4.303.
        let found = t_interval(&[1.0, 2.0, 3.0]).unwrap();
        assert!(
            (found.low - (2.0 - 2.484_34)).abs() < 1e-4 && (found.high - 4.484_34).abs() < 1e-4,
            "{found:?}"
        );
        assert_eq!(t_interval(&[1.0]), None);
        assert_eq!(t_interval(&[]), None);
        let many: Vec<f64> = (0..100).map(|at| f64::from(at % 2)).collect();
        let found = t_interval(&many).unwrap();
        // s = 0.502519, so 1.96 times 0.0502519.
        assert!((found.high - 0.598_494).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn ranks_correlate() {
        let check = |a: &[f64], b: &[f64], expected: Option<f64>| {
            let found = rank_correlation(a, b);
            let close = found.zip(expected).is_none_or(|(a, b)| (a - b).abs() < 1e-9);
            assert!(close && found.is_some() == expected.is_some(), "{found:?}");
        };
        check(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3], Some(1.0));
        check(&[1.0, 2.0, 9.0], &[0.3, 0.2, 0.1], Some(-1.0));
        // Differences of ranks 0, 1, 1, 0: 1 - 6 * 2 / (4 * 15).
        check(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0], Some(0.8));
        check(&[1.0, 1.0], &[1.0, 2.0], None);
        check(&[], &[], None);
    }
}
