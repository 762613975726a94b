//! What a run knows of hosts: the rules of their robots.txt files, and when each may be asked again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::config::FetchConfig;
use super::reason::FetchFailure;
use super::robots::Robots;

/// Rules by origin, within a budget of bytes; paces by host.
#[derive(Default)]
pub(super) struct Memory {
    rules: HashMap<String, Known>,
    /// The origins of `rules`, oldest first.
    order: VecDeque<String>,
    bytes: usize,
    next_at: HashMap<String, Instant>,
}

/// The rules of an origin, or why it may not be asked for now.
pub(super) type Verdict = Arc<Result<Robots, FetchFailure>>;

struct Known {
    verdict: Verdict,
    until: Instant,
}

impl Memory {
    /// What is known of an origin and still counts.
    pub(super) fn verdict(&self, origin: &str, now: Instant) -> Option<Verdict> {
        let known = self.rules.get(origin)?;
        (now < known.until).then(|| known.verdict.clone())
    }

    /// Keeps a verdict, and forgets the oldest if there are too many.
    pub(super) fn learn(&mut self, origin: &str, verdict: Verdict, now: Instant, config: &FetchConfig) {
        let seconds = if verdict.is_ok() {
            config.robots_max_age_s
        } else {
            config.robots_failure_max_age_s
        };
        let until = now + Duration::from_secs(seconds);
        if self.forget(origin) {
            self.order.retain(|other| other != origin);
        }
        self.bytes += cost(origin, &verdict);
        self.order.push_back(origin.to_owned());
        self.rules.insert(origin.to_owned(), Known { verdict, until });
        while config.robots_cache_bytes < self.bytes
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(&oldest);
        }
    }

    /// True if it was known.
    fn forget(&mut self, origin: &str) -> bool {
        let known = self.rules.remove(origin);
        self.bytes -= known.as_ref().map_or(0, |known| cost(origin, &known.verdict));
        known.is_some()
    }

    /// When a host may be asked again.
    pub(super) fn next_at(&self, host: &str) -> Option<Instant> {
        self.next_at.get(host).copied()
    }

    /// Keeps when hosts may be asked again, as far as that is in the future.
    pub(super) fn keep_pace(&mut self, hosts: impl IntoIterator<Item = (String, Instant)>) {
        let now = Instant::now();
        self.next_at.extend(hosts);
        self.next_at.retain(|_, next_at| now < *next_at);
    }
}

/// Bytes of an entry, with what the maps take for it.
fn cost(origin: &str, verdict: &Result<Robots, FetchFailure>) -> usize {
    const ENTRY: usize = 256;
    let details = match verdict {
        Ok(robots) => robots.bytes(),
        Err(failure) => failure.detail.len(),
    };
    ENTRY + 2 * origin.len() + details
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::reasons;

    fn rules(text: &str) -> Verdict {
        Arc::new(Ok(Robots::parse(text.as_bytes(), "x")))
    }

    #[test]
    fn verdicts_count_for_their_time() {
        let (config, now) = (FetchConfig::default(), Instant::now());
        let mut memory = Memory::default();
        memory.learn("http://a", rules("user-agent: *\ndisallow: /"), now, &config);
        memory.learn(
            "http://b",
            Arc::new(Err(FetchFailure::new(reasons::ROBOTS_UNREACHABLE, ""))),
            now,
            &config,
        );
        for (origin, seconds, known) in [
            ("http://a", 86_399, true),
            ("http://a", 86_400, false),
            ("http://b", 599, true),
            ("http://b", 600, false),
            ("http://c", 0, false),
        ] {
            let verdict = memory.verdict(origin, now + Duration::from_secs(seconds));
            assert_eq!(verdict.is_some(), known, "{origin} after {seconds} s");
        }
    }

    #[test]
    fn the_oldest_is_forgotten_beyond_the_budget() {
        let now = Instant::now();
        let config = FetchConfig {
            robots_cache_bytes: 2 * (256 + 2 * "http://a".len()),
            ..FetchConfig::default()
        };
        let mut memory = Memory::default();
        for origin in ["http://a", "http://b", "http://a", "http://c"] {
            memory.learn(origin, rules(""), now, &config);
        }
        let known = ["http://a", "http://b", "http://c"].map(|origin| memory.verdict(origin, now).is_some());
        assert_eq!(known, [true, false, true]);
        // One that exceeds the budget alone is not kept, nor anything counted for it.
        memory.learn(
            "http://d",
            rules(&format!("user-agent: *\ndisallow: /{}", "a".repeat(1_000))),
            now,
            &config,
        );
        assert!(memory.verdict("http://d", now).is_none());
        assert_eq!((memory.bytes, memory.rules.len(), memory.order.len()), (0, 0, 0));
    }

    #[test]
    fn only_a_pace_of_the_future_is_kept() {
        let mut memory = Memory::default();
        let (past, future) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        memory.keep_pace([("a".to_owned(), past), ("b".to_owned(), future)]);
        assert_eq!((memory.next_at("a"), memory.next_at("b")), (None, Some(future)));
    }
}
