//! The way of one prompt through the server: attempts, pauses, meanings of a status, the budget.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use magiclens_web::DropReason;
use magiclens_web::fetch::{backoff, retry_after};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::config::ModelConfig;
use super::model::Completion;
use super::reply;
use super::reply_cache::Key;
use super::usage::{Budget, Tokens};
use super::wire;

/// State that requests in flight share.
pub(super) struct Server {
    pub(super) config: ModelConfig,
    url: Url,
    authorization: Option<HeaderValue>,
    client: Client,
    /// Bounds the requests of all callers together.
    permits: Semaphore,
    budget: Mutex<Budget>,
    failures_in_a_row: AtomicU32,
}

/// One prompt on its way.
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) key: Key,
    pub(super) body: String,
    pub(super) version: &'static str,
    pub(super) at_most: Tokens,
}

/// The end of a prompt without a completion.
pub(super) enum Failure {
    Item(DropReason),
    Run(anyhow::Error),
    /// Another prompt stopped the run.
    GivenUp,
}

/// The body, its completion, and its tokens if the server counts them.
pub(super) type Asked = Result<(String, Completion, Option<Tokens>), Failure>;

impl Server {
    /// Nothing is sent yet.
    pub(super) fn new(config: &ModelConfig) -> anyhow::Result<Self> {
        let url = config.check()?;
        let budget = Budget::new(config.prompt_price, config.completion_price, config.max_cost);
        Ok(Self {
            authorization: config.api_key_env.as_deref().map(authorization).transpose()?,
            client: client(config, &url)?,
            permits: Semaphore::new(config.concurrency.min(Semaphore::MAX_PERMITS)),
            budget: Mutex::new(budget),
            failures_in_a_row: AtomicU32::new(0),
            config: config.clone(),
            url,
        })
    }

    /// Counts and costs.
    pub(super) fn budget(&self) -> MutexGuard<'_, Budget> {
        // Counting cannot stop halfway, so that the numbers are good after a panic elsewhere.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a request that may cost more than is left.
    pub(super) fn spent(&self, next: Tokens) -> anyhow::Error {
        let budget = self.budget();
        anyhow!(
            "the limit of `max_cost = {}` is reached: {:.4} is spent, and the next request may cost {:.4}\n\
             hint: what was answered is in the cache and will not be paid again; raise `max_cost` or start again, and the run goes on",
            self.config.max_cost.unwrap_or_default(),
            budget.usage().cost,
            budget.cost(next)
        )
    }

    /// Sends a request until it is answered, refused, or given up.
    pub(super) async fn ask(&self, job: &Job, mut stopped: watch::Receiver<bool>) -> Asked {
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Failure::GivenUp);
        };
        for attempt in 1.. {
            if *stopped.borrow() {
                break;
            }
            let trouble = match self.send(&job.body).await {
                Ok((body, (completion, tokens))) => {
                    self.failures_in_a_row.store(0, Ordering::Relaxed);
                    return Ok((body, completion, tokens));
                }
                Err(trouble) => trouble,
            };
            let pause = self.pause_after(trouble, job, attempt)?;
            self.budget().retry();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        Err(Failure::GivenUp)
    }

    /// The pause before the next attempt, or the end of the job.
    fn pause_after(&self, trouble: Trouble, job: &Job, attempt: u32) -> Result<Duration, Failure> {
        let is_last = attempt >= self.config.attempts;
        let (reason, message, wait) = match trouble {
            Trouble::Stop(error) => return Err(Failure::Run(error)),
            Trouble::Refused(message) => return Err(self.give_up(job, reply::REFUSED, message)),
            Trouble::Unreachable(reason) if is_last => {
                return Err(Failure::Run(anyhow!(
                    "`{}` cannot be reached after {attempt} attempts: {reason}\n\
                     hint: is the server started, and has it loaded its model? Start the run again then: it goes on where it stopped",
                    self.url
                )));
            }
            Trouble::Unreachable(message) => (reply::BROKEN_OFF, message, None),
            Trouble::Passing { reason, message, wait } => (reason, message, wait),
        };
        if is_last {
            return Err(self.give_up(job, reason, message));
        }
        let pause = self.pause(&job.key, attempt, wait);
        tracing::debug!(prompt = job.version, attempt, ?pause, "{}: {message}", reason.0);
        Ok(pause)
    }

    /// Logs a prompt that gets no answer, and stops the run if many in a row did not.
    fn give_up(&self, job: &Job, reason: DropReason, message: String) -> Failure {
        tracing::warn!(prompt = job.version, index = job.index, "{}: {message}", reason.0);
        let in_a_row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if in_a_row < self.config.max_failures_in_a_row {
            return Failure::Item(reason);
        }
        Failure::Run(anyhow!(
            "`{}` failed on {in_a_row} prompts in a row; at last: {}: {message}\n\
             hint: look at the server's log; what was answered is kept, and the run goes on where it stopped",
            self.url,
            reason.0
        ))
    }

    /// As long as the server wants, or twice as long as the last time; never longer than the limit.
    fn pause(&self, key: &Key, attempt: u32, wait: Option<Duration>) -> Duration {
        let first = Duration::from_millis(self.config.backoff_ms);
        let longest = Duration::from_millis(self.config.max_backoff_ms);
        let backoff = backoff(first, longest, attempt, key.seed());
        wait.map_or(backoff, |wait| wait.min(longest).max(backoff))
    }

    async fn send(&self, body: &str) -> Result<(String, (Completion, Option<Tokens>)), Trouble> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut response = request.send().await.map_err(trouble)?;
        let (status, wait) = (response.status(), retry_after(response.headers(), SystemTime::now()));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(trouble)? {
            if self.config.max_reply_bytes < bytes.len() + chunk.len() {
                let message = format!("more than {} bytes", self.config.max_reply_bytes);
                return Err(Trouble::passing(reply::TOO_LARGE, message));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        if !status.is_success() {
            return Err(self.refusal(status, wire::error_message(&body), wait));
        }
        match wire::read_reply(&body) {
            Ok(answer) => Ok((body, answer)),
            Err(Some(status)) => Err(self.refusal(status, wire::error_message(&body), wait)),
            Err(None) => Err(Trouble::passing(reply::FOREIGN, wire::error_message(&body))),
        }
    }

    /// The meaning of a status: for this attempt, this prompt, or the run.
    fn refusal(&self, status: StatusCode, message: String, wait: Option<Duration>) -> Trouble {
        let passing = |reason, message| Trouble::Passing { reason, message, wait };
        let hint = match status.as_u16() {
            // OpenAI says so when the account is empty; no pause helps.
            429 if message.contains("quota") => "the account has no credit, or its limit is reached".to_owned(),
            429 => return passing(reply::RATE_LIMITED, message),
            408 | 425 | 500..=599 => return passing(reply::SERVER_ERROR, format!("{status}: {message}")),
            401 | 403 => match &self.config.api_key_env {
                Some(variable) => {
                    format!("is the key in the environment variable `{variable}` right, and allowed to use this model?")
                }
                None => "set `api_key_env` to the name of the environment variable that holds the API key".to_owned(),
            },
            402 => "the account has no credit".to_owned(),
            404 | 405 => "`base_url` usually ends in `/v1`; what `GET base_url/models` lists can be `model`".to_owned(),
            300..=399 => "set `base_url` to the address that it redirects to; redirects are not followed".to_owned(),
            // 400, 413, 422 and the like: the prompt is too long, its image unreadable, its words unwanted.
            _ => return Trouble::Refused(format!("{status}: {message}")),
        };
        let (url, model, status) = (&self.url, &self.config.model, status.as_u16());
        Trouble::Stop(anyhow!(
            "`{url}` answers {status} to model `{model}`: {message}\nhint: {hint}"
        ))
    }
}

/// The failure of one attempt.
enum Trouble {
    /// Another attempt may go well; the server may have said when.
    Passing {
        reason: DropReason,
        message: String,
        wait: Option<Duration>,
    },
    /// Nobody is there; another attempt may go well.
    Unreachable(String),
    /// The server does not want this prompt.
    Refused(String),
    /// It would refuse all others as well.
    Stop(anyhow::Error),
}

impl Trouble {
    fn passing(reason: DropReason, message: String) -> Self {
        let wait = None;
        Self::Passing { reason, message, wait }
    }
}

/// The header with the key that an environment variable holds.
fn authorization(variable: &str) -> anyhow::Result<HeaderValue> {
    let key = std::env::var(variable).unwrap_or_default();
    let header = HeaderValue::from_str(&format!("Bearer {}", key.trim())).ok();
    let mut header = header.filter(|_| !key.trim().is_empty()).ok_or_else(|| {
        anyhow!(
            "the environment variable `{variable}`, which `api_key_env` names, holds no usable key\n\
             hint: export it, or leave `api_key_env` out if the server asks for no key"
        )
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn client(config: &ModelConfig, url: &Url) -> anyhow::Result<Client> {
    // Err means that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .no_proxy()
        // A redirect would turn the request into a GET, and could carry the key elsewhere.
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .timeout(Duration::from_millis(config.timeout_ms))
        .user_agent(concat!("magiclens-mine/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        // A local server must do on a machine that has no certificates.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| no_client(&error))
}

/// The error of a client that cannot be made or that panicked.
pub(super) fn no_client(error: &dyn std::error::Error) -> anyhow::Error {
    anyhow!(
        "no HTTP client can be made: {}\n\
         hint: an `https` address needs the system's certificates (Debian: `ca-certificates`)",
        chain(error)
    )
}

fn trouble(error: reqwest::Error) -> Trouble {
    let message = chain(&error);
    if error.is_connect() {
        Trouble::Unreachable(message)
    } else if error.is_timeout() {
        Trouble::passing(reply::TIMED_OUT, message)
    } else {
        Trouble::passing(reply::BROKEN_OFF, message)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    reply::one_line(&causes.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(config: ModelConfig) -> Server {
        let config = ModelConfig {
            model: "m".to_owned(),
            ..config
        };
        Server::new(&config).unwrap()
    }

    #[test]
    fn pauses_double_up_to_the_limit_and_heed_the_server() {
        let server = server(ModelConfig {
            backoff_ms: 100,
            max_backoff_ms: 1_000,
            ..ModelConfig::default()
        });
        let key = Key::new("test/1", "{}");
        let pause = |attempt, wait| server.pause(&key, attempt, wait).as_millis();
        for (attempt, full) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (60, 1_000)] {
            let pause = pause(attempt, None);
            assert!((full / 2..=full).contains(&pause), "attempt {attempt}: {pause}");
        }
        assert_eq!(pause(1, None), pause(1, None));
        assert_eq!(pause(1, Some(Duration::from_millis(700))), 700);
        assert_eq!(pause(1, Some(Duration::from_secs(3_600))), 1_000);
        assert!(
            50 <= pause(1, Some(Duration::ZERO)),
            "a server that says 0 is not hammered"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let config = ModelConfig {
            model: "m".to_owned(),
            api_key_env: Some("MAGICLENS_TEST_NO_SUCH_KEY".to_owned()),
            ..ModelConfig::default()
        };
        let error = Server::new(&config).err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("the environment variable `MAGICLENS_TEST_NO_SUCH_KEY`"),
            "{error}"
        );
    }
}
