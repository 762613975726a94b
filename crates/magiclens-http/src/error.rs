//! Errors of any request, and the form of every error answer: `{"error": .., "hint": ..}`.

use anyhow::anyhow;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which a refused client may ask again.
const RETRY_AFTER_S: u64 = 1;

/// Why a request was refused by the part that all services share. The cause of [`HttpError::Internal`] is logged, not
/// sent.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A field has a value that is not allowed.
    #[error("`{field}` {problem}")]
    BadField {
        /// Name of the field.
        field: &'static str,
        /// The problem, as the rest of a sentence.
        problem: String,
    },
    /// The body or the query is not of the expected form.
    #[error("the request cannot be read: {0}")]
    BadRequest(String),
    /// The body is larger than the server takes.
    #[error("the request is larger than {max_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The Host header names another machine, as a rebound DNS name does.
    #[error("this server does not answer to the host `{0}`")]
    ForeignHost(String),
    /// The request was sent by a page of another site.
    #[error("requests from the site `{0}` are not answered")]
    ForeignOrigin(String),
    /// No such path.
    #[error("there is nothing at `{0}`")]
    NotFound(String),
    /// The path exists, but not for this method.
    #[error("`{0}` does not take this method")]
    WrongMethod(String),
    /// All places are taken.
    #[error("the server is busy with other requests")]
    Overloaded,
    /// The request took longer than the limit.
    #[error("the request took longer than {0} seconds")]
    TimedOut(u64),
    /// Anything else.
    #[error("something went wrong inside the server")]
    Internal(#[source] anyhow::Error),
}

impl HttpError {
    /// Sorts a JSON body that axum refused.
    pub fn from_json(rejection: &JsonRejection, max_bytes: usize) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge { max_bytes },
            _ => Self::BadRequest(rejection.body_text()),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadField { .. } | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ForeignHost(_) | Self::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded | Self::TimedOut(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BodyTooLarge { .. } => Some("send a smaller version of the image"),
            Self::ForeignHost(_) => Some(
                "use the address that the server printed when it started, or start it with `--allow-host` and this name",
            ),
            Self::ForeignOrigin(_) => Some("use the page that this server shows"),
            Self::Overloaded | Self::TimedOut(_) => Some("try again in a moment"),
            Self::Internal(_) => Some("the server's log says what happened"),
            Self::BadField { .. } | Self::BadRequest(_) | Self::NotFound(_) | Self::WrongMethod(_) => None,
        }
    }
}

impl From<QueryRejection> for HttpError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(cause = format!("{cause:#}"), "request failed");
        }
        let mut response = refusal(self.status(), &self.to_string(), self.hint());
        if matches!(self, Self::Overloaded | Self::TimedOut(_)) {
            let retry_after = HeaderValue::from(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

/// An error answer. A message that carries its own hint on a second line keeps it.
pub fn refusal(status: StatusCode, message: &str, hint: Option<&str>) -> Response {
    let (error, hint) = match message.split_once("\nhint: ") {
        Some((error, own)) => (error, Some(own)),
        None => (message, hint),
    };
    let body = match hint {
        Some(hint) => json!({ "error": error, "hint": hint }),
        None => json!({ "error": error }),
    };
    no_store((status, Json(body)))
}

/// An answer that no cache keeps.
pub fn no_store(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

/// Runs `work` on the blocking pool; a panic in it costs this request only. The work goes on when the request is given up,
/// so `permit`, which bounds it, is given back when the work ends.
///
/// # Errors
/// [`HttpError::Internal`] after a panic.
pub async fn blocking<T: Send + 'static>(
    permit: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HttpError> {
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.map_err(|panic| HttpError::Internal(anyhow!(panic)))
}
