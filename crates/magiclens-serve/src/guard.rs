//! What every request passes and every answer carries: Host and Origin checks, the time limit, security headers.
//!
//! A server on the loopback address is reachable by every page in the user's browser. A page of another site that rebinds
//! its DNS name to 127.0.0.1 still sends its own name as Host, and a form or script of another site sends its Origin:
//! both are refused.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

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

/// Which Host headers are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// Names of this machine only: `localhost`, `127.x.x.x`, `[::1]`.
    Loopback,
    /// Any name: for a server that others reach, under names that it cannot know.
    Any,
}

impl HostPolicy {
    /// The policy for a server that listens on `address`.
    pub fn for_address(address: IpAddr) -> Self {
        if address.is_loopback() {
            Self::Loopback
        } else {
            Self::Any
        }
    }

    fn allows(self, host: &Authority) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => {
                let name = host.host();
                name.eq_ignore_ascii_case("localhost")
                    || name == "[::1]"
                    || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

/// Puts the guard around all routes of a service, fallbacks included: requests for other hosts or from other sites are
/// refused with 403, those that take longer than `timeout` with 503, and every answer carries the security headers.
pub fn guarded(router: Router, hosts: HostPolicy, timeout: Duration) -> Router {
    router.layer(middleware::from_fn_with_state(Guard { hosts, timeout }, guard))
}

#[derive(Clone, Copy)]
struct Guard {
    hosts: HostPolicy,
    timeout: Duration,
}

async fn guard(State(Guard { hosts, timeout }): State<Guard>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match check_origin(hosts, &request) {
        Err(error) => error.into_response(),
        Ok(()) => match tokio::time::timeout(timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::TimedOut(timeout.as_secs()).into_response(),
        },
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (status, took_ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
    tracing::debug!(%method, path, status, took_ms, "answered");
    response
}

fn check_origin(hosts: HostPolicy, request: &Request) -> Result<(), ApiError> {
    let host = host(request)?;
    if !hosts.allows(&host) {
        return Err(ApiError::ForeignHost(host.to_string()));
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
        Err(ApiError::ForeignOrigin(origin.to_owned()))
    }
}

/// The name under which the client reached us; a full URI in the request line wins over the header, as in HTTP.
fn host(request: &Request) -> Result<Authority, ApiError> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let host = text(request.headers(), header::HOST).unwrap_or_default();
    host.parse().map_err(|_| ApiError::ForeignHost(host.to_owned()))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"))
}
