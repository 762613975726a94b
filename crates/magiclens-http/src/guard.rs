//! The guard around every request and answer: Host and Origin checks, the time limit, security headers.
//!
//! A server on this machine or in the house is reachable by every page in a user's browser. A page of another site that
//! rebinds its DNS name to the server's address still sends its own name as Host, and a form or script of another site
//! sends its Origin: both are refused. An address in digits cannot be rebound, so it is a safe Host.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::error::HttpError;

/// Only what the page ships runs; nothing is loaded from, sent to or framed by another site.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The Host headers that are answered.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Any IP address, for a server that others reach; else only those of the loopback interface.
    any_address: bool,
    /// Names besides `localhost`.
    names: Arc<[String]>,
}

impl Hosts {
    /// `localhost` and the addresses of the loopback interface.
    pub fn loopback() -> Self {
        Self {
            any_address: false,
            names: Arc::new([]),
        }
    }

    /// The hosts of a server that listens on `address` and is also known under `names`.
    pub fn for_address(address: IpAddr, names: Vec<String>) -> Self {
        Self {
            any_address: !address.is_loopback(),
            names: names.into(),
        }
    }

    fn allows(&self, host: &Authority) -> bool {
        let name = host.host();
        let digits = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(name);
        match digits.parse::<IpAddr>() {
            Ok(address) => self.any_address || address.is_loopback(),
            Err(_) => {
                let own = self.names.iter().map(String::as_str).chain(["localhost"]);
                own.into_iter().any(|own| own.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// Puts the guard around all routes of a service: requests for other hosts or from other sites are refused with 403,
/// unknown paths with 404, those that take longer than `timeout` with 503, and every answer carries the security headers.
pub fn guarded(router: Router, hosts: Hosts, timeout: Duration) -> Router {
    router
        .method_not_allowed_fallback(async |request: Request| HttpError::WrongMethod(request.uri().path().to_owned()))
        .fallback(async |request: Request| HttpError::NotFound(request.uri().path().to_owned()))
        .layer(middleware::from_fn_with_state(Guard { hosts, timeout }, guard))
}

#[derive(Clone)]
struct Guard {
    hosts: Hosts,
    timeout: Duration,
}

async fn guard(State(Guard { hosts, timeout }): State<Guard>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match check_origin(&hosts, &request) {
        Err(error) => error.into_response(),
        Ok(()) => match tokio::time::timeout(timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => HttpError::TimedOut(timeout.as_secs()).into_response(),
        },
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (status, took_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
    tracing::debug!(%method, path, status, took_ms, "answered");
    response
}

fn check_origin(hosts: &Hosts, request: &Request) -> Result<(), HttpError> {
    let host = host(request)?;
    if !hosts.allows(&host) {
        return Err(HttpError::ForeignHost(host.to_string()));
    }
    // Browsers send Origin with what a page of another site could forge; other clients may leave it out.
    let Some(origin) = text(request.headers(), header::ORIGIN) else {
        return Ok(());
    };
    let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host.as_str())
    });
    if own {
        Ok(())
    } else {
        Err(HttpError::ForeignOrigin(origin.to_owned()))
    }
}

/// The name under which the client reached us; a full URI in the request line wins over the header, as in HTTP.
fn host(request: &Request) -> Result<Authority, HttpError> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let host = text(request.headers(), header::HOST).unwrap_or_default();
    host.parse().map_err(|_| HttpError::ForeignHost(host.to_owned()))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"))
}
