//! The way of one prompt through the server: attempts, pauses, meanings of a status, the budget.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use magiclens_web::DropReason;
use magiclens_web::fetch::{backoff, retry_after};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::config::ModelConfig;
use super::error::ModelError;
use super::model::Completion;
use super::reply;
use super::reply_cache::Key;
use super::usage::{Budget, Tokens};
use super::wire::{self, NoCompletion};

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
    Run(ModelError),
    /// Another prompt stopped the run.
    GivenUp,
}

/// The body, its completion, and its tokens if the server counts them.
pub(super) type Asked = Result<(String, Completion, Option<Tokens>), Failure>;

impl Server {
    /// Nothing is sent yet.
    pub(super) fn new(config: &ModelConfig) -> Result<Self, ModelError> {
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
    pub(super) fn spent(&self, next: Tokens) -> ModelError {
        let budget = self.budget();
        ModelError::Spent {
            max_cost: self.config.max_cost.unwrap_or_default(),
            spent: budget.usage().cost,
            next: budget.cost(next),
        }
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
                return Err(Failure::Run(ModelError::Unreachable {
                    url: self.url.to_string(),
                    attempts: attempt,
                    reason,
                }));
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
        Failure::Run(ModelError::KeepsFailing {
            url: self.url.to_string(),
            in_a_row,
            reason: format!("{}: {message}", reason.0),
        })
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
            Err(NoCompletion::Error { status, message }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(self.refusal(status, message, wait))
            }
            Err(NoCompletion::Foreign) => Err(Trouble::passing(reply::FOREIGN, wire::error_message(&body))),
        }
    }

    /// The meaning of a status: for this attempt, this prompt, or the run.
    fn refusal(&self, status: StatusCode, message: String, wait: Option<Duration>) -> Trouble {
        let hint = match status.as_u16() {
            // OpenAI says so when the account is empty; no pause helps.
            429 if message.contains("quota") => "the account has no credit, or its limit is reached".to_owned(),
            429 => {
                let reason = reply::RATE_LIMITED;
                return Trouble::Passing { reason, message, wait };
            }
            408 | 425 | 500..=599 => {
                let (reason, message) = (reply::SERVER_ERROR, format!("{status}: {message}"));
                return Trouble::Passing { reason, message, wait };
            }
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
        Trouble::Stop(ModelError::Refused {
            url: self.url.to_string(),
            model: self.config.model.clone(),
            status: status.as_u16(),
            message,
            hint,
        })
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
    Stop(ModelError),
}

impl Trouble {
    fn passing(reason: DropReason, message: String) -> Self {
        let wait = None;
        Self::Passing { reason, message, wait }
    }
}

/// The header with the key that an environment variable holds.
fn authorization(variable: &str) -> Result<HeaderValue, ModelError> {
    let no_key = || ModelError::NoKey(variable.to_owned());
    let key = std::env::var(variable).map_err(|_| no_key())?;
    if key.trim().is_empty() {
        return Err(no_key());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| no_key())?;
    header.set_sensitive(true);
    Ok(header)
}

fn client(config: &ModelConfig, url: &Url) -> Result<Client, ModelError> {
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
    builder.build().map_err(|error| ModelError::Client(chain(&error)))
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
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    reply::one_line(&line)
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
