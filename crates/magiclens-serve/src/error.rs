//! Every way a request can fail, with its status and its way out. The only place that knows status codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use magiclens_data::ImageId;
use magiclens_data::decode::DecodeError;
use serde::Serialize;

/// Seconds after which a refused client may ask again.
const RETRY_AFTER_S: u64 = 1;

/// Why a request was not answered. Shown to the client as `{"error": .., "hint": ..}`, except what lies inside
/// [`ApiError::Internal`], which is logged.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A field has a value that is not allowed.
    #[error("`{field}` {problem}")]
    BadField {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// The body is not what its content type says.
    #[error("the body cannot be read: {0}")]
    BadBody(String),
    /// Neither an image nor a text was given.
    #[error("nothing to search with: neither a picture nor `text` was given")]
    EmptyQuery,
    /// The body is neither JSON nor a form with files.
    #[error("the content type `{0}` is not understood")]
    UnsupportedBody(String),
    /// The body is larger than the server takes.
    #[error("the request is larger than {max_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// A file is not an image, or a broken one.
    #[error("`{name}` cannot be used as a picture: {cause}")]
    BadImage {
        /// File name as the client gave it, or the id of an indexed image.
        name: String,
        /// What the decoder said.
        cause: DecodeError,
    },
    /// The Host header names another machine: a rebound DNS name.
    #[error("this server does not answer to the host `{0}`")]
    ForeignHost(String),
    /// The request was sent by a page of another site.
    #[error("requests from the site `{0}` are not answered")]
    ForeignOrigin(String),
    /// No image of the index has this id.
    #[error("picture `{0}` is not known here")]
    UnknownImage(ImageId),
    /// The image is in the index, but its file is gone or has another content.
    #[error("the file of picture `{0}` is gone or was changed since it was indexed")]
    ImageGone(ImageId),
    /// No such path.
    #[error("there is nothing at `{0}`")]
    NotFound(String),
    /// The path exists, but not for this method.
    #[error("`{0}` does not take this method")]
    WrongMethod(String),
    /// All places are taken.
    #[error("the server is busy with other searches")]
    Overloaded,
    /// The request took longer than the limit.
    #[error("the request took longer than {0} seconds")]
    TimedOut(u64),
    /// The model's thread is gone.
    #[error("the model has stopped")]
    ModelStopped,
    /// Anything else. The details go to the log.
    #[error("something went wrong inside the server")]
    Internal(#[source] anyhow::Error),
}

/// The form of every error answer.
#[derive(Serialize)]
struct ErrorBody {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl ApiError {
    /// The status this error is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadField { .. } | Self::BadBody(_) | Self::EmptyQuery => StatusCode::BAD_REQUEST,
            Self::UnsupportedBody(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadImage { cause, .. } => match cause {
                DecodeError::TooManyBytes { .. } | DecodeError::TooManyPixels { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Self::ForeignHost(_) | Self::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            Self::UnknownImage(_) | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::ImageGone(_) => StatusCode::GONE,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded | Self::TimedOut(_) | Self::ModelStopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::EmptyQuery => Some("send an `image`, an `id` of a picture, a `text`, or a picture with a text"),
            Self::UnsupportedBody(_) => Some("send `application/json` or `multipart/form-data`"),
            Self::BodyTooLarge { .. } => Some("send a smaller version of the picture"),
            Self::BadImage { .. } => Some("choose another picture, or save this one anew as PNG or JPEG"),
            Self::ForeignHost(_) => Some("open the page at the address that the server printed when it started"),
            Self::ForeignOrigin(_) => Some("use the page that this server shows"),
            Self::UnknownImage(_) => Some("send the picture itself, or an id from the results of a search"),
            Self::ImageGone(_) => Some("run `magiclens index` again"),
            Self::Overloaded | Self::TimedOut(_) => Some("try again in a moment"),
            Self::ModelStopped => Some("restart the server; its log says what happened"),
            Self::Internal(_) => Some("the server's log says what happened"),
            Self::BadField { .. } | Self::BadBody(_) | Self::NotFound(_) | Self::WrongMethod(_) => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(cause = format!("{cause:#}"), "request failed");
        }
        // The decoder's messages carry their hint on a second line.
        let message = self.to_string();
        let (error, hint) = match message.split_once("\nhint: ") {
            Some((error, hint)) => (error, Some(hint)),
            None => (message.as_str(), self.hint()),
        };
        let body = ErrorBody {
            error: error.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let mut response = (self.status(), Json(body)).into_response();
        if matches!(self, Self::Overloaded | Self::TimedOut(_)) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
