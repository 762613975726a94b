//! Retrieval metrics: pure functions of ranked lists.

/// 1 if a relevant item stands among the first `k`, else 0.
pub fn recall_at_k(ranked: &[usize], is_relevant: impl Fn(usize) -> bool, k: usize) -> f64 {
    f64::from(u8::from(ranked.iter().take(k).any(|item| is_relevant(*item))))
}

/// Average precision at `k`: `1 / min(k, relevant) * sum of precision@i` over relevant ranks `i <= k`. Expects `ranked`
/// best first and without repeats; zero if nothing is relevant.
pub fn average_precision_at_k(ranked: &[usize], is_relevant: impl Fn(usize) -> bool, relevant: usize, k: usize) -> f64 {
    if relevant == 0 {
        return 0.0;
    }
    let mut found = 0.0;
    let mut sum = 0.0;
    for (at, item) in ranked.iter().take(k).enumerate() {
        if is_relevant(*item) {
            found += 1.0;
            sum += found / (at + 1) as f64;
        }
    }
    sum / relevant.min(k) as f64
}

/// The mean and the half width of its 95 % interval, where values of one cluster (here: of one concept) are not
/// independent: the cluster-robust standard error of a mean.
pub fn mean_with_interval(values: &[(f64, usize)]) -> (f64, f64) {
    if values.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let count = values.len() as f64;
    let mean = values.iter().map(|(value, _)| value).sum::<f64>() / count;
    let mut clusters = std::collections::BTreeMap::new();
    for (value, cluster) in values {
        *clusters.entry(cluster).or_insert(0.0) += value - mean;
    }
    let groups = clusters.len() as f64;
    let variance = clusters.values().map(|sum| sum * sum).sum::<f64>() / (count * count);
    let variance = if groups > 1.0 {
        variance * groups / (groups - 1.0)
    } else {
        variance
    };
    (mean, 1.96 * variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_looks_at_the_first_k() {
        for (ranked, k, expected) in [
            (vec![5, 1], 1, 0.0),
            (vec![5, 1], 2, 1.0),
            (vec![1, 5], 1, 1.0),
            (vec![], 3, 0.0),
        ] {
            assert_eq!(recall_at_k(&ranked, |item| item == 1, k), expected);
        }
    }

    #[test]
    fn average_precision_by_hand() {
        let check = |ranked: &[usize], relevant: &[usize], k, expected: f64| {
            let found = average_precision_at_k(ranked, |item| relevant.contains(&item), relevant.len(), k);
            assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
        };
        check(&[9, 1, 8], &[1], 3, 0.5); // found second
        check(&[9, 8, 1], &[1], 2, 0.0); // found after k
        check(&[1, 9, 2], &[1, 2], 3, (1.0 + 2.0 / 3.0) / 2.0);
        check(&[1, 2], &[1, 2, 3, 4], 2, 1.0); // no more than k can be found
        check(&[1], &[], 1, 0.0);
    }

    #[test]
    fn intervals_widen_when_values_move_together() {
        let alone: Vec<(f64, usize)> = (0..100).map(|i| (f64::from(i % 2), i as usize)).collect();
        let together: Vec<(f64, usize)> = (0..100)
            .map(|i| (f64::from(i % 2), (i % 2) as usize + (i / 20 * 2) as usize))
            .collect();
        let (mean, half) = mean_with_interval(&alone);
        assert!((mean - 0.5).abs() < 1e-12);
        // The textbook interval of a mean: 1.96 * sd / sqrt(n), sd with n - 1.
        assert!((half - 1.96 * (0.25f64 * 100.0 / 99.0 / 100.0).sqrt()).abs() < 1e-12);
        assert!(mean_with_interval(&together).1 > 2.0 * half);
        assert!(mean_with_interval(&[]).0.is_nan());
    }
}
