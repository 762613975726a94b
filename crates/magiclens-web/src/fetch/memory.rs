//! Memory of hosts: the rules of their robots.txt files, and when each may be asked again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::config::FetchConfig;
use super::reason::FetchFailure;
use super::robots::Robots;

/// Rules by origin, within a budget of bytes; paces by host.
#[derive(Default)]
pub(super) struct Memory {
    known: HashMap<String, Known>,
    /// The origins of `known`, oldest first.
    order: VecDeque<String>,
    bytes: usize,
    next_at: HashMap<String, Instant>,
}

/// The rules of an origin, or the reason for which it may not be asked for now.
pub(super) type Rules = Arc<Result<Robots, FetchFailure>>;

struct Known {
    rules: Rules,
    until: Instant,
}

impl Memory {
    /// The rules of an origin, as long as they count.
    pub(super) fn rules(&self, origin: &str, now: Instant) -> Option<Rules> {
        let known = self.known.get(origin)?;
        (now < known.until).then(|| known.rules.clone())
    }

    /// Keeps rules, and forgets the oldest if there are too many.
    pub(super) fn learn(&mut self, origin: &str, rules: Rules, now: Instant, config: &FetchConfig) {
        let seconds = if rules.is_ok() {
            config.robots_max_age_s
        } else {
            config.robots_failure_max_age_s
        };
        let until = now + Duration::from_secs(seconds);
        if self.forget(origin) {
            self.order.retain(|other| other != origin);
        }
        self.bytes += cost(origin, &rules);
        self.order.push_back(origin.to_owned());
        self.known.insert(origin.to_owned(), Known { rules, until });
        while config.robots_cache_bytes < self.bytes
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(&oldest);
        }
    }

    /// True if it was known.
    fn forget(&mut self, origin: &str) -> bool {
        let known = self.known.remove(origin);
        self.bytes -= known.as_ref().map_or(0, |known| cost(origin, &known.rules));
        known.is_some()
    }

    /// The time from which a host may be asked again.
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
fn cost(origin: &str, rules: &Result<Robots, FetchFailure>) -> usize {
    const ENTRY: usize = 256;
    let details = match rules {
        Ok(robots) => robots.bytes(),
        Err(failure) => failure.detail.len(),
    };
    ENTRY + 2 * origin.len() + details
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::reasons;

    fn parsed(text: &str) -> Rules {
        Arc::new(Ok(Robots::parse(text.as_bytes(), "x")))
    }

    #[test]
    fn rules_count_for_their_time() {
        let (config, now) = (FetchConfig::default(), Instant::now());
        let mut memory = Memory::default();
        memory.learn("http://a", parsed("user-agent: *\ndisallow: /"), now, &config);
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
            let found = memory.rules(origin, now + Duration::from_secs(seconds));
            assert_eq!(found.is_some(), known, "{origin} after {seconds} s");
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
            memory.learn(origin, parsed(""), now, &config);
        }
        let known = ["http://a", "http://b", "http://c"].map(|origin| memory.rules(origin, now).is_some());
        assert_eq!(known, [true, false, true]);
        // One that exceeds the budget alone is not kept, nor anything counted for it.
        memory.learn(
            "http://d",
            parsed(&format!("user-agent: *\ndisallow: /{}", "a".repeat(1_000))),
            now,
            &config,
        );
        assert!(memory.rules("http://d", now).is_none());
        assert_eq!((memory.bytes, memory.known.len(), memory.order.len()), (0, 0, 0));
    }

    #[test]
    fn only_a_pace_of_the_future_is_kept() {
        let mut memory = Memory::default();
        let (past, future) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        memory.keep_pace([("a".to_owned(), past), ("b".to_owned(), future)]);
        assert_eq!((memory.next_at("a"), memory.next_at("b")), (None, Some(future)));
    }
}
