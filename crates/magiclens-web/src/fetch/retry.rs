//! When to ask again.

use std::time::{Duration, SystemTime};

use super::config::FetchConfig;

/// The wait before the attempt after `attempt` (from 1): doubling, with a spread that is the address's own, so that
/// addresses which failed together do not come back together, and come back alike in every run.
pub(super) fn backoff(config: &FetchConfig, url: &str, attempt: u32) -> Duration {
    let factor = 1u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
    let longest = config.backoff_ms.saturating_mul(factor).min(config.max_backoff_ms);
    let mut hasher = blake3::Hasher::new();
    hasher.update(url.as_bytes()).update(&attempt.to_le_bytes());
    let mut spread = [0; 4];
    hasher.finalize_xof().fill(&mut spread);
    let spread = f64::from(u32::from_le_bytes(spread)) / f64::from(u32::MAX);
    Duration::from_millis(longest).mul_f64(0.5 + 0.5 * spread)
}

/// The wait that a `Retry-After` header asks for: seconds, or a date (RFC 9110 section 10.2.3, without the obsolete formats).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(parse_date(value)?))?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_weekday, rest) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = rest.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = 1 + MONTHS.iter().position(|&name| name == month)? as u64;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (day, year) = (number(day, 1..=31)?, number(year, 1970..=9999)?);
    let (hour, minute, second) = (number(hour, 0..=23)?, number(minute, 0..=59)?, number(second, 0..=60)?);
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    const FIRST_OF_MARCH_0_TO_1970: u64 = 719_468;
    before_year + (153 * month + 2) / 5 + day - 1 - FIRST_OF_MARCH_0_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_spreads_by_address() {
        let config = FetchConfig {
            backoff_ms: 1_000,
            max_backoff_ms: 5_000,
            ..FetchConfig::default()
        };
        for (attempt, longest_ms) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 5_000), (100, 5_000)] {
            let wait = backoff(&config, "http://a.example/", attempt);
            let longest = Duration::from_millis(longest_ms);
            assert!(longest / 2 <= wait && wait <= longest, "{attempt}: {wait:?}");
            assert_eq!(wait, backoff(&config, "http://a.example/", attempt));
            assert_ne!(wait, backoff(&config, "http://b.example/", attempt));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 784,111,777 is the date of the standard's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", Some(825_552_000 - 784_111_687)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 PST", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn days_are_counted_from_1970() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1970, 3, 1, 59),
            (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017),
        ] {
            assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
        }
    }
}
