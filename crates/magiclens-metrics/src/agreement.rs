//! Shares, wins and agreement: Wilson's interval, the exact sign test, Krippendorff's alpha, as pure functions of counts.

use crate::bootstrap::Interval;

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

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

/// Two-sided p value of the exact sign test: the probability of counts at least as uneven if both sides are equally good.
/// `min(1, 2 · P[X ≤ min(wins, losses)])` with `X ~ Binomial(wins + losses, 1/2)`. The caller skips ties; 1
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
/// `units[u][c]` counts the observers who gave value `c` to unit `u`; an observer who gave none is skipped, and so are
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
}
