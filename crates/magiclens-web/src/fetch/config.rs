//! The settings of fetching, and what they must satisfy.

use std::time::Duration;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use crate::opt_out::{is_token_char, opt_outs};

/// The settings of fetching: in whose name, how fast, how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchConfig {
    /// Allows fetching at all. Off, because asking other people's servers is the operator's decision.
    pub allowed: bool,
    /// The `User-Agent`: `NAME/VERSION (+CONTACT)`. NAME is what robots.txt files call us; CONTACT is an address of the
    /// operator (web or mail). No default: only the operator knows it. RFC 9309 section 2.2.1 and RFC 9110 section 10.1.5.
    pub user_agent: String,
    /// Requests under way at once, over all hosts. With `max_bytes` it bounds the memory: 64 x 16 MiB.
    pub concurrency: usize,
    /// Requests under way at once to one host. Two, so that one slow answer does not hold up a host; RFC 2616 section
    /// 8.1.4 asked for no more than two connections.
    pub per_host_concurrency: usize,
    /// Least time between the starts of two requests to one host, robots.txt included; if the host is idle meanwhile,
    /// since the end of the last. One a second is what public sites commonly bear; a longer `Crawl-delay` replaces it.
    pub per_host_interval_ms: u64,
    /// A `Crawl-delay` above this counts as this, so that one host cannot hold a run for days.
    pub max_crawl_delay_ms: u64,
    /// Time for name look-up, TCP and TLS together: enough for three tries of TCP, after 0, 1 and 3 seconds (RFC 6298).
    pub connect_timeout_ms: u64,
    /// Time for one request from look-up to last byte, so that a server that drips bytes ends. 16 MiB in it is 4.5 Mbit/s.
    pub timeout_ms: u64,
    /// Largest image file. A JPEG of 12 megapixels has about 5 MB; what is larger was meant for print.
    pub max_bytes: usize,
    /// Longest address. RFC 9110 section 4.1 asks for at least 8000 octets.
    pub max_url_bytes: usize,
    /// Redirects followed for an image. RFC 9309 section 2.3.1.2 asks for five for robots.txt; images get the same.
    pub max_redirects: usize,
    /// Requests for one address before a failure that may pass is final for this call.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each further one, less up to half of it by a hash of the address.
    pub backoff_ms: u64,
    /// Longest wait between attempts. A server that asks for more by `Retry-After` is left alone for this call.
    pub max_backoff_ms: u64,
    /// After this many images of one host in a row failed to connect, timed out or were cut off, the rest of the call's
    /// addresses there fail at once: a dead host would cost `attempts` timeouts for each.
    pub max_host_failures: u32,
    /// Leaves an image when its `X-Robots-Tag` (noindex, noimageindex, noai, noimageai, none) or
    /// `TDM-Reservation` header says so. Off only for servers of one's own.
    pub respect_opt_outs: bool,
    /// Allows loopback, private, link-local and other special addresses: for tests and intranets. Off,
    /// because a page of a stranger could otherwise make us ask machines that only we can reach.
    pub allow_private_addresses: bool,
    /// The ports that may be asked; empty for all but those of other protocols (the bad ports of the Fetch standard).
    pub ports: Vec<u16>,
    /// Bytes of a robots.txt that are read. RFC 9309 section 2.5 asks for at least 500 KiB.
    pub robots_max_bytes: usize,
    /// Seconds that a robots.txt counts. RFC 9309 section 2.4: no more than 24 hours.
    pub robots_max_age_s: u64,
    /// Seconds that a host whose robots.txt could not be read is left alone, as RFC 9309 section 2.3.1.4 demands, before it is tried again.
    pub robots_failure_max_age_s: u64,
    /// Memory for rules of robots.txt files; beyond it the oldest are forgotten and read again when needed.
    pub robots_cache_bytes: usize,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            allowed: false,
            user_agent: String::new(),
            concurrency: 64,
            per_host_concurrency: 2,
            per_host_interval_ms: 1_000,
            max_crawl_delay_ms: 30_000,
            connect_timeout_ms: 10_000,
            timeout_ms: 30_000,
            max_bytes: 16 << 20,
            max_url_bytes: 8_000,
            max_redirects: 5,
            attempts: 3,
            backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            max_host_failures: 20,
            respect_opt_outs: true,
            allow_private_addresses: false,
            ports: Vec::new(),
            robots_max_bytes: 500 << 10,
            robots_max_age_s: 86_400,
            robots_failure_max_age_s: 600,
            robots_cache_bytes: 64 << 20,
        }
    }
}

/// Waits beyond it are mistakes, and sums of waits must stay representable.
const MAX_WAIT_MS: u64 = 30 * 86_400 * 1_000;

impl FetchConfig {
    /// The name under which publishers address the operator's crawler in robots.txt files and `X-Robots-Tag` headers: the start
    /// of the user agent. `magiclens` as long as none is set.
    pub fn product_token(&self) -> &str {
        if self.user_agent.is_empty() {
            return "magiclens";
        }
        let end = self.user_agent.find(|c: char| !is_token_char(c));
        &self.user_agent[..end.unwrap_or(self.user_agent.len())]
    }

    /// The directives in these values of `X-Robots-Tag` that ask this crawler to leave an image, fetched or from an archive.
    pub fn opt_outs(&self, robots_tags: &[String]) -> Vec<&'static str> {
        opt_outs(robots_tags, self.product_token())
    }

    /// Refuses what cannot work. Only for configurations that allow fetching.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_user_agent()?;
        let counts = [
            ("concurrency", self.concurrency),
            ("per_host_concurrency", self.per_host_concurrency),
            ("attempts", self.attempts as usize),
            ("max_host_failures", self.max_host_failures as usize),
            ("max_bytes", self.max_bytes),
            ("max_url_bytes", self.max_url_bytes),
            ("connect_timeout_ms", usize::from(self.connect_timeout_ms > 0)),
            ("timeout_ms", usize::from(self.timeout_ms > 0)),
        ];
        for (name, value) in counts {
            ensure!(
                value > 0,
                "`{name}` is 0, so nothing could be fetched\nhint: set it to 1 or more"
            );
        }
        let waits_ms = [
            ("per_host_interval_ms", self.per_host_interval_ms),
            ("max_crawl_delay_ms", self.max_crawl_delay_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("timeout_ms", self.timeout_ms),
            ("backoff_ms", self.backoff_ms),
            ("max_backoff_ms", self.max_backoff_ms),
            ("robots_max_age_s", self.robots_max_age_s.saturating_mul(1_000)),
            (
                "robots_failure_max_age_s",
                self.robots_failure_max_age_s.saturating_mul(1_000),
            ),
        ];
        for (name, wait_ms) in waits_ms {
            ensure!(
                wait_ms <= MAX_WAIT_MS,
                "`{name}` is longer than 30 days\nhint: mind the unit at the end of its name"
            );
        }
        Ok(())
    }

    fn check_user_agent(&self) -> anyhow::Result<()> {
        const HINT: &str = "hint: name the project and how to reach you, as in \
                            `user_agent = \"MyProject/1.0 (+https://example.org/crawler)\"`";
        let agent = &self.user_agent;
        if agent.is_empty() {
            bail!("fetching is allowed, but `user_agent` is not set\n{HINT}");
        }
        let token = self.product_token();
        let ends_well = matches!(agent.as_bytes().get(token.len()), None | Some(b'/' | b' '));
        if token.is_empty() || !ends_well || token.eq_ignore_ascii_case("mozilla") {
            bail!(
                "`user_agent` is `{agent}`, which does not begin with a name of letters, `-` and `_` of its own\n{HINT}"
            );
        }
        if !["@", "http://", "https://"].iter().any(|mark| agent.contains(mark)) {
            bail!("`user_agent` is `{agent}`, which has no web or mail address to write to\n{HINT}");
        }
        if !agent.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            bail!("`user_agent` is `{agent}`, which has characters beyond printable ASCII\n{HINT}");
        }
        Ok(())
    }

    pub(super) fn per_host_interval(&self) -> Duration {
        Duration::from_millis(self.per_host_interval_ms)
    }

    pub(super) fn max_backoff(&self) -> Duration {
        Duration::from_millis(self.max_backoff_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(user_agent: &str) -> FetchConfig {
        FetchConfig {
            allowed: true,
            user_agent: user_agent.to_owned(),
            ..FetchConfig::default()
        }
    }

    #[test]
    fn user_agent_must_name_project_and_contact() {
        for (agent, token) in [
            ("MyProject/1.0 (+https://example.org/crawler)", "MyProject"),
            ("my-project_x (me@example.org)", "my-project_x"),
        ] {
            assert!(allowed(agent).check().is_ok(), "{agent}");
            assert_eq!(allowed(agent).product_token(), token);
        }
        for (agent, word) in [
            ("", "not set"),
            ("/1.0 (me@example.org)", "begin with a name"),
            ("Bot7/1.0 (me@example.org)", "begin with a name"),
            ("Mozilla/5.0 (compatible; me@example.org)", "begin with a name"),
            ("MyProject/1.0", "no web or mail address"),
            ("MyProject/1.0 (mé@example.org)", "printable ASCII"),
            ("MyProject/1.0 (me@example.org)\r\nX: y", "printable ASCII"),
        ] {
            let message = allowed(agent).check().unwrap_err().to_string();
            assert!(
                message.contains(word) && message.contains("\nhint: "),
                "{agent}: {message}"
            );
        }
    }

    #[test]
    fn impossible_numbers_are_refused_by_name() {
        let agent = "MyProject/1.0 (me@example.org)";
        for (line, name) in [
            ("concurrency = 0", "`concurrency`"),
            ("per_host_concurrency = 0", "`per_host_concurrency`"),
            ("attempts = 0", "`attempts`"),
            ("timeout_ms = 0", "`timeout_ms`"),
            ("backoff_ms = 9223372036854775807", "`backoff_ms`"),
            ("robots_max_age_s = 9223372036854775807", "`robots_max_age_s`"),
        ] {
            let config: FetchConfig = toml::from_str(&format!("user_agent = \"{agent}\"\n{line}")).unwrap();
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(name), "{line}: {message}");
        }
    }

    #[test]
    fn unknown_settings_are_refused_and_the_default_fetches_nothing() {
        assert!(toml::from_str::<FetchConfig>("ignore_robots = true").is_err());
        assert!(!toml::from_str::<FetchConfig>("").unwrap().allowed);
    }
}
