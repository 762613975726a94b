//! Waits between attempts: the ones that servers ask for, and exponential backoff.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The wait before the attempt after `attempt` (from 1): doubling from `first` up to `longest`, less up to half of it. The
/// spread is the seed's own, so that requests which failed together do not come back together, and come back alike in every run.
pub fn backoff(first: Duration, longest: Duration, attempt: u32, seed: u64) -> Duration {
    // The jitter adds up to as much again.
    let mut waits = ExponentialBuilder::new()
        .with_min_delay(first.min(longest) / 2)
        .with_max_delay(longest / 2)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed)
        .build();
    let wait = waits.nth(attempt.saturating_sub(1) as usize);
    wait.map_or(longest, |wait| wait.min(longest))
}

/// The wait that a `Retry-After` header asks for: seconds, of which some servers send fractions, or a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds = value.parse().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_spreads_by_seed() {
        let wait = |attempt, seed| backoff(Duration::from_secs(1), Duration::from_secs(5), attempt, seed);
        for (attempt, longest_ms) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 5_000), (100, 5_000)] {
            let longest = Duration::from_millis(longest_ms);
            let first = wait(attempt, 1);
            assert!(longest / 2 <= first && first <= longest, "{attempt}: {first:?}");
            assert_eq!(first, wait(attempt, 1));
            assert_ne!(first, wait(attempt, 2));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 784,111,777 is the date of the standard's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        for (value, expected) in [
            ("120", Some(Duration::from_secs(120))),
            (" 0 ", Some(Duration::ZERO)),
            ("0.5", Some(Duration::from_millis(500))),
            ("99999999999999999999999", Some(Duration::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(90))),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::from_secs(90))),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(Duration::ZERO)),
            ("", None),
            ("-1", None),
            ("1.2.3", None),
            ("1e300", None),
            ("NaN", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 PST", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
