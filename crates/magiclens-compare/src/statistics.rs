//! Intervals, tests and agreement: pure functions of counts.

use serde::Serialize;

use crate::random::Random;

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Times that a bootstrap draws.
const RESAMPLES: usize = 2000;

/// A 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The share `count / of` with Wilson's score interval (Wilson 1927), for independent trials; `None` without trials.
pub fn wilson(count: u64, of: u64) -> Option<Interval> {
    if of == 0 {
        return None;
    }
    let (n, p) = (of as f64, count as f64 / of as f64);
    let scale = 1.0 / (1.0 + Z * Z / n);
    let center = (p + Z * Z / (2.0 * n)) * scale;
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() * scale;
    Some(Interval {
        low: (center - half).max(0.0),
        high: (center + half).min(1.0),
    })
}

/// Two-sided p value of the exact sign test: how likely counts at least as uneven are if both sides are equally good.
/// `min(1, 2 · P[X ≤ min(wins, losses)])` with `X ~ Binomial(wins + losses, 1/2)`. Ties are left out by the caller; 1
/// without any trial.
pub fn sign_test(wins: u64, losses: u64) -> f64 {
    let (n, fewer) = (wins + losses, wins.min(losses));
    // ln(C(n, fewer) / 2^n), then term by term downwards: nothing overflows, and the largest term comes first.
    let ln_choose: f64 = (1..=fewer).map(|i| ((n - fewer + i) as f64 / i as f64).ln()).sum();
    let mut term = (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
    let mut tail = term;
    for k in (1..=fewer).rev() {
        term *= k as f64 / (n - k + 1) as f64;
        tail += term;
    }
    (2.0 * tail).min(1.0)
}

/// Krippendorff's alpha for nominal data (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").
///
/// `units[u][c]` says how many observers gave value `c` to unit `u`; an observer who gave none is left out, and so are
/// units with fewer than two values. With `n_u = Σ_c n_uc`, `n_c = Σ_u n_uc` and `n = Σ_c n_c` over the units that count:
/// `α = 1 − (n − 1) · Σ_u Σ_c n_uc (n_u − n_uc) / (n_u − 1)  /  Σ_c n_c (n − n_c)`.
///
/// `None` where it is not defined: no unit has two values, or all values are the same.
pub fn alpha<const C: usize>(units: &[[u32; C]]) -> Option<f64> {
    let (mut disagreement, mut of_value) = (0.0, [0.0; C]);
    for unit in units {
        let of_unit = f64::from(unit.iter().sum::<u32>());
        if of_unit < 2.0 {
            continue;
        }
        for (count, total) in unit.iter().map(|&count| f64::from(count)).zip(&mut of_value) {
            disagreement += count * (of_unit - count) / (of_unit - 1.0);
            *total += count;
        }
    }
    let n: f64 = of_value.iter().sum();
    let expected: f64 = of_value.iter().map(|count| count * (n - count)).sum();
    (0.0 < expected).then(|| 1.0 - (n - 1.0) * disagreement / expected)
}

/// The percentile bootstrap over clusters: `statistic` is computed for 2,000 draws of `clusters` with replacement, and the
/// interval leaves out 2.5 % of the values on each side. Draws for which it is not defined are left out; `None` if that
/// leaves fewer than half. `name` is the seed.
///
/// Judgments of one query by several raters are not independent; queries are, so they are the clusters.
pub fn bootstrap<T: Clone>(clusters: &[T], name: &[&str], statistic: impl Fn(&[T]) -> Option<f64>) -> Option<Interval> {
    if clusters.is_empty() {
        return None;
    }
    let mut random = Random::new(name);
    let mut drawn = clusters.to_vec();
    let mut values: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            for place in &mut drawn {
                place.clone_from(&clusters[random.below(clusters.len())]);
            }
            statistic(&drawn)
        })
        .collect();
    if values.len() < RESAMPLES / 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval {
        low: quantile(&values, 0.025),
        high: quantile(&values, 0.975),
    })
}

/// The quantile of sorted values, with linear interpolation between neighbors. `sorted` must not be empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is an observer, each column a unit; `.` is a missing value.
    fn check_alpha<const C: usize>(values: [char; C], observers: &[&str], expected: Option<f64>) {
        let rows: Vec<Vec<char>> = observers.iter().map(|row| row.chars().collect()).collect();
        let units: Vec<[u32; C]> = (0..rows[0].len())
            .map(|unit| values.map(|value| rows.iter().filter(|row| row[unit] == value).count() as u32))
            .collect();
        match (alpha(&units), expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 5e-4, "{found}, not {expected}"),
            (found, expected) => assert_eq!(found, expected, "{observers:?}"),
        }
    }

    #[test]
    fn alpha_gives_the_published_examples() {
        // Krippendorff 2011, examples A (two observers, binary), B (nominal) and C (four observers, missing data).
        check_alpha(['0', '1'], &["0100000010", "1110010000"], Some(0.095));
        check_alpha(
            ['a', 'b', 'c', 'd', 'e'],
            &["aabbdcccedda", "babbbccceddd"],
            Some(0.692),
        );
        let four = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."];
        check_alpha(['1', '2', '3', '4', '5'], &four, Some(0.743));
    }

    #[test]
    fn alpha_at_its_edges() {
        check_alpha(['a', 'b'], &["abab", "abab"], Some(1.0));
        // n = 4, n_c = 2: 1 − 3 · 4 / 8.
        check_alpha(['a', 'b'], &["ab", "ba"], Some(-0.5));
        check_alpha(['a', 'b'], &["aaaa", "aaaa"], None);
        check_alpha(['a', 'b'], &["ab..", "..ab"], None);
        check_alpha(['a', 'b'], &["abab", "...."], None);
    }

    #[test]
    fn the_sign_test_is_exact() {
        // 2 · (1 + 10 + 45) / 1024, 2 / 32; the others by exact rational arithmetic.
        for (wins, losses, expected) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (3, 3, 1.0),
            (5, 0, 0.0625),
            (8, 2, 0.109375),
            (2, 8, 0.109375),
            (76, 62, 0.268_389_972_008_874_16),
            (92, 36, 7.881_599_522_005_472e-7),
            (120, 7, 1.114_259_360_092_246_7e-27),
            (1000, 1100, 0.030_720_707_864_242_296),
        ] {
            let found = sign_test(wins, losses);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{wins} to {losses}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn wilson_gives_the_known_intervals() {
        assert_eq!(wilson(0, 0), None);
        // By 40 digit decimal arithmetic.
        for (count, of, low, high) in [
            (0, 10, 0.0, 0.277_532_799_862_889_2),
            (10, 10, 0.722_467_200_137_110_7, 1.0),
            (5, 10, 0.236_593_090_512_564, 0.763_406_909_487_436),
            (76, 150, 0.427_497_166_688_075_86, 0.585_503_230_053_683_1),
            (1, 1, 0.206_549_314_377_237_42, 1.0),
        ] {
            let found = wilson(count, of).unwrap();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
            assert!(
                close(found.low, low) && close(found.high, high),
                "{count} of {of}: {found:?}"
            );
        }
    }

    #[test]
    fn the_bootstrap_spreads_as_far_as_its_clusters_differ() {
        let mean = |drawn: &[f64]| Some(drawn.iter().sum::<f64>() / drawn.len() as f64);
        assert_eq!(bootstrap(&[], &["test"], mean), None);
        let same = bootstrap(&[0.25; 9], &["test"], mean).unwrap();
        assert_eq!((same.low, same.high), (0.25, 0.25));
        // A mean of 400 draws of 0 or 1: standard deviation 0.025, so 0.5 ± 0.049.
        let halves: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let spread = bootstrap(&halves, &["test"], mean).unwrap();
        assert!(
            (spread.low - 0.451).abs() < 0.006 && (spread.high - 0.549).abs() < 0.006,
            "{spread:?}"
        );
        assert_eq!(bootstrap(&halves, &["test"], mean), Some(spread), "the seed decides");
        // Each value stands twice in its cluster: the interval is wider than if the values were independent.
        let pairs: Vec<[f64; 2]> = (0..200).map(|i| [f64::from(i % 2); 2]).collect();
        let clustered = bootstrap(&pairs, &["test"], |drawn| mean(drawn.as_flattened())).unwrap();
        assert!(
            1.3 * (spread.high - spread.low) < clustered.high - clustered.low,
            "{clustered:?}"
        );
        assert_eq!(bootstrap(&[0.0; 3], &["test"], |_| None), None);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        assert_eq!(quantile(&[3.0], 0.975), 3.0);
        assert_eq!(quantile(&[0.0, 10.0], 0.025), 0.25);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
    }
}
