//! Numbers as people read them.

/// 1234567 -> "1,234,567".
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share with its unit: 0.1234 -> "12.3 %"; little is not nothing: "<0.1 %".
pub fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".to_owned(),
        share if 0.0 < share && share < 0.0005 => "<0.1 %".to_owned(),
        share => format!("{} %", points(share)),
    }
}

/// A share in % for a column that states the unit: 0.1234 -> "12.3". What rounds to zero has no sign.
pub fn points(share: f64) -> String {
    format!("{:.1}", rounded_points(share))
}

/// A difference of shares in points, always with a sign: 0.1234 -> "+12.3".
pub fn signed_points(difference: f64) -> String {
    format!("{:+.1}", rounded_points(difference))
}

/// Two ends of an interval of shares, in %: "[18.8, 31.3]".
pub fn interval(low: f64, high: f64) -> String {
    format!("[{}, {}]", points(low), points(high))
}

/// The p value of a test, with three decimals: "0.032" or "<0.001".
pub fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// A number of things a second: three digits while it is small.
pub fn rate(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.2}")
    } else {
        whole(rate.round() as u64)
    }
}

/// A number of any size in about four digits: 12.3456 -> "12.35", 0.00025 -> "2.5e-4", 1234.5 -> "1,235".
pub fn compact(number: f64) -> String {
    let size = number.abs();
    let sign = if number < 0.0 { "-" } else { "" };
    match size {
        _ if !size.is_finite() => "no number".to_owned(),
        0.0 => "0".to_owned(),
        _ if size < 0.001 => {
            let text = format!("{number:.2e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{}e{exponent}", without_zeros(digits))
        }
        _ if size < 1.0 => without_zeros(&format!("{number:.4}")).to_owned(),
        _ if size < 999.95 => {
            let decimals = if size < 10.0 {
                3
            } else if size < 100.0 {
                2
            } else {
                1
            };
            without_zeros(&format!("{number:.decimals$}")).to_owned()
        }
        _ => format!("{sign}{}", whole(size.round() as u64)),
    }
}

/// "2.500" -> "2.5", "3.0" -> "3".
pub(crate) fn without_zeros(decimal: &str) -> &str {
    match decimal.contains('.') {
        true => decimal.trim_end_matches('0').trim_end_matches('.'),
        false => decimal,
    }
}

/// 3725.4 -> "1 h 2 min".
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// "1 rater", "2 raters".
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", whole(number as u64), if number == 1 { one } else { many })
}

fn rounded_points(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let check = |shown: String, expected: &str| assert_eq!(shown, expected);
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            check(whole(number), expected);
        }
        for (share, expected) in [(0.0, "0 %"), (0.0001, "<0.1 %"), (0.1236, "12.4 %"), (1.0, "100.0 %")] {
            check(percent(share), expected);
        }
        for (share, expected) in [(0.24449, "24.4"), (-0.0002, "0.0"), (1.0, "100.0")] {
            check(points(share), expected);
        }
        for (value, expected) in [
            (0.0, "0.0 s"),
            (59.2, "59.2 s"),
            (59.7, "1 min 0 s"),
            (3725.4, "1 h 2 min"),
        ] {
            check(seconds(value), expected);
        }
        for (number, expected) in [
            (0.0, "0"),
            (6.9, "6.9"),
            (2.31049, "2.31"),
            (12.3456, "12.35"),
            (-100.0, "-100"),
            (999.96, "1,000"),
            (-1234.5, "-1,235"),
            (0.001, "0.001"),
            (0.12341, "0.1234"),
            (0.00025, "2.5e-4"),
            (1e-5, "1e-5"),
            (f64::NAN, "no number"),
        ] {
            check(compact(number), expected);
        }
        check(signed_points(-0.0002), "+0.0");
        check(interval(0.1875, 0.3125), "[18.8, 31.3]");
        check(p_value(0.0004) + &p_value(0.0321), "<0.0010.032");
        check(rate(0.126) + &rate(1234.5), "0.131,235");
        check(
            count(1, "rater", "raters") + &count(2, "rater", "raters"),
            "1 rater2 raters",
        );
    }
}
