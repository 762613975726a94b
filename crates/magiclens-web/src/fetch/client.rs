//! One request at a time: sends it, reads no more than allowed, and says what the answer means.
//!
//! Redirects are answers here: whoever follows them checks the next address, its host's robots.txt and its pace first.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use magiclens_data::ImageId;
use reqwest::dns::Resolve;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use url::Url;

use super::address::{self, PrivateAddress};
use super::answer::Body;
use super::config::FetchConfig;
use super::reason::{FetchFailure, reasons};
use super::retry::retry_after;
use super::robots::Robots;
use crate::DropReason;
use crate::ascii::starts_with;

/// A request that brought nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// The image or robots.txt is elsewhere.
    Redirect(Url),
    /// There is nothing to have; the server may ask to be left alone for a while.
    Failed(FetchFailure, Option<Duration>),
}

impl From<FetchFailure> for Stop {
    fn from(failure: FetchFailure) -> Self {
        Self::Failed(failure, None)
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    config: FetchConfig,
}

const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const TDM_RESERVATION: HeaderName = HeaderName::from_static("tdm-reservation");

/// Enough to know the formats of images by.
const SNIFF_BYTES: usize = 64;

impl Client {
    /// Prepares connections. `lookup` decides which addresses names may lead to.
    pub(super) fn new(config: &FetchConfig, lookup: Arc<dyn Resolve>) -> anyhow::Result<Self> {
        // An error means that another part of the program has chosen its provider, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        // Other encodings would save images nothing, and let small answers grow large.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let http = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            .default_headers(headers)
            .no_proxy()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(lookup)
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .pool_max_idle_per_host(config.per_host_concurrency)
            // As long as a host's next turn needs: a run over many hosts would hold too many sockets otherwise.
            .pool_idle_timeout(config.per_host_interval() * 2 + Duration::from_millis(500))
            .http1_ignore_invalid_headers_in_responses(true)
            .build()
            .context("cannot prepare connections\nhint: https needs the system's certificates (`ca-certificates`)")?;
        Ok(Self {
            http,
            config: config.clone(),
        })
    }

    /// Asks for an image.
    pub(super) async fn image(&self, url: &Url) -> Result<Body, Stop> {
        self.in_time(self.read_image(url)).await
    }

    /// Asks for a robots.txt. Its absence is an answer: everything is allowed.
    pub(super) async fn robots(&self, url: &Url) -> Result<Robots, Stop> {
        self.in_time(self.read_robots(url)).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
        let limit_ms = self.config.timeout_ms;
        let limit = Duration::from_millis(limit_ms);
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
            let detail = format!("not done after {limit_ms} ms");
            Err(FetchFailure::new(reasons::TIMED_OUT, detail).into())
        })
    }

    async fn read_image(&self, url: &Url) -> Result<Body, Stop> {
        let mut response = self.send(url, "image/*, */*;q=0.1").await?;
        let status = response.status();
        if !matches!(status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION) {
            return Err(refusal(&response));
        }
        let robots_tags = texts(response.headers(), ROBOTS_TAG);
        if self.config.respect_opt_outs {
            self.check_opt_outs(response.headers(), &robots_tags)?;
        }
        let content_type = texts(response.headers(), header::CONTENT_TYPE).pop();
        let content_type = content_type.unwrap_or_default();
        let bytes = self.read_body(&mut response, &content_type).await?;
        Ok(Body {
            hash: ImageId::of_bytes(&bytes),
            bytes,
            content_type,
            robots_tags,
        })
    }

    async fn read_body(&self, response: &mut Response, content_type: &str) -> Result<Vec<u8>, Stop> {
        let max_bytes = self.config.max_bytes;
        let too_large = || FetchFailure::new(reasons::TOO_LARGE, format!("more than `max_bytes` of {max_bytes}"));
        let stated_bytes = response.content_length();
        if stated_bytes.is_some_and(|bytes| (max_bytes as u64) < bytes) {
            return Err(too_large().into());
        }
        let says_image = says_image(content_type) && !is_encoded(response.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if max_bytes - bytes.len() < chunk.len() {
                return Err(too_large().into());
            }
            bytes.extend_from_slice(&chunk);
            // Bytes that are no image are not worth reading on.
            if bytes.len() >= SNIFF_BYTES && !says_image {
                check_image(&bytes, content_type)?;
            }
        }
        if bytes.is_empty() || !says_image {
            check_image(&bytes, content_type)?;
        }
        Ok(bytes)
    }

    fn check_opt_outs(&self, headers: &HeaderMap, robots_tags: &[String]) -> Result<(), FetchFailure> {
        let wishes = self.config.opt_outs(robots_tags);
        let wish = wishes.first().map(|wish| format!("x-robots-tag: {wish}"));
        let reserved = texts(headers, TDM_RESERVATION).iter().any(|value| value.trim() == "1");
        match wish.or_else(|| reserved.then(|| "tdm-reservation: 1".to_owned())) {
            Some(wish) => Err(FetchFailure::new(reasons::OPTED_OUT, wish)),
            None => Ok(()),
        }
    }

    async fn read_robots(&self, url: &Url) -> Result<Robots, Stop> {
        let mut response = self.send(url, "text/plain, */*;q=0.1").await?;
        let status = response.status();
        // RFC 9309 section 2.3.1.3. Too many requests is no absence: Google counts it as a server error, too.
        if status.is_client_error() && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            return Ok(Robots::allow_all());
        }
        if !status.is_success() {
            return Err(refusal(&response));
        }
        if is_encoded(response.headers()) {
            return Err(FetchFailure::new(reasons::BAD_ANSWER, "it is compressed, though asked not to be").into());
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            text.extend_from_slice(&chunk);
            if self.config.robots_max_bytes < text.len() {
                // Half a rule could mean something else.
                text.truncate(self.config.robots_max_bytes);
                let end = text.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
                text.truncate(end.unwrap_or(0));
                break;
            }
        }
        Ok(Robots::parse(&text, self.config.product_token()))
    }

    /// Sends a request and waits for the head of the answer.
    async fn send(&self, url: &Url, accept: &'static str) -> Result<Response, Stop> {
        let request = self.http.get(url.clone()).header(header::ACCEPT, accept);
        let response = request.send().await.map_err(broken)?;
        match response.status().as_u16() {
            301 | 302 | 303 | 307 | 308 => Err(self.redirect(url, response.headers())),
            _ => Ok(response),
        }
    }

    fn redirect(&self, url: &Url, headers: &HeaderMap) -> Stop {
        let Some(location) = texts(headers, header::LOCATION).pop() else {
            return FetchFailure::new(reasons::UNEXPECTED_STATUS, "a redirect without a `Location`").into();
        };
        match address::join(url, &location, &self.config) {
            Ok(next) => Stop::Redirect(next),
            Err(failure) => failure.into(),
        }
    }
}

/// The failure of a status that brings no image.
fn refusal(response: &Response) -> Stop {
    let status = response.status();
    let failure = FetchFailure::new(reason_of(status), format!("status {status}"));
    Stop::Failed(failure, retry_after(response.headers(), SystemTime::now()))
}

fn reason_of(status: StatusCode) -> DropReason {
    match status.as_u16() {
        404 => reasons::NOT_FOUND,
        410 => reasons::GONE,
        401 | 402 | 403 | 407 | 451 => reasons::FORBIDDEN,
        408 => reasons::TIMED_OUT,
        429 => reasons::TOO_MANY_REQUESTS,
        500..=599 => reasons::SERVER_ERROR,
        _ => reasons::UNEXPECTED_STATUS,
    }
}

fn check_image(bytes: &[u8], content_type: &str) -> Result<(), FetchFailure> {
    let detail = if bytes.is_empty() {
        "the answer is empty".to_owned()
    } else if image::guess_format(bytes).is_err() {
        format!("its type is `{content_type}`")
    } else {
        return Ok(());
    };
    Err(FetchFailure::new(reasons::NOT_AN_IMAGE, detail))
}

fn says_image(content_type: &str) -> bool {
    starts_with(content_type.trim_start().as_bytes(), b"image/")
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let is_encoding = |value: &String| !matches!(value.trim(), "" | "identity" | "none");
    texts(headers, header::CONTENT_ENCODING).iter().any(is_encoding)
}

/// The values of a header, whatever their encoding.
fn texts(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.get_all(name).iter().map(text).collect()
}

/// The failure of an exchange that broke below HTTP, or was not HTTP.
fn broken(error: reqwest::Error) -> Stop {
    let causes: Vec<_> = causes(&error).collect();
    let innermost = causes.last().map(ToString::to_string).unwrap_or_default();
    let reason = if causes.iter().any(|cause| cause.is::<PrivateAddress>()) {
        reasons::PRIVATE_ADDRESS
    } else if error.is_builder() {
        reasons::BAD_ADDRESS
    } else if error.is_dns() {
        reasons::HOST_NOT_FOUND
    } else if causes.iter().any(|cause| cause.is::<rustls::Error>()) {
        reasons::TLS_FAILED
    } else if error.is_connect() {
        reasons::CONNECTION_FAILED
    } else if causes.iter().any(|cause| is_malformed(*cause)) {
        reasons::BAD_ANSWER
    } else {
        reasons::CUT_OFF
    };
    FetchFailure::new(reason, innermost).into()
}

/// True for an answer that is not HTTP.
fn is_malformed(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref().is_some_and(hyper::Error::is_parse)
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        // An I/O error passes over what it holds when it is asked for its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn Error + 'static))
            .or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_type_not_by_words() {
        // Words that hyper uses for answers that are not HTTP.
        for words in ["invalid HTTP header parsed", "message head is too large"] {
            let error = io::Error::new(io::ErrorKind::ConnectionReset, words);
            assert!(!causes(&error).any(is_malformed), "{words}");
        }
        let tls = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert!(causes(&tls).any(|cause| cause.is::<rustls::Error>()));
    }
}
