//! Every way a request can fail, with its status and its way out.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use magiclens_data::ImageId;
use magiclens_data::decode::DecodeError;
use magiclens_http::{HttpError, refusal};

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// As in every service of the program.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Neither an image nor a text was given.
    #[error("nothing to search with: neither an image nor `text` was given")]
    EmptyQuery,
    /// The body is neither JSON nor a form with files.
    #[error("the content type `{0}` is not understood")]
    UnsupportedBody(String),
    /// A file is not an image, or a broken one.
    #[error("`{name}` cannot be used as an image: {cause}")]
    BadImage {
        /// File name as the client gave it, or the id of an indexed image.
        name: String,
        /// The decoder's reason.
        cause: DecodeError,
    },
    /// No image of the index has this id.
    #[error("image `{0}` is not known here")]
    UnknownImage(ImageId),
    /// The image is in the index, but its file is gone or has another content.
    #[error("the file of image `{0}` is gone or was changed since it was indexed")]
    ImageGone(ImageId),
    /// The model's thread is gone.
    #[error("the model has stopped")]
    ModelStopped,
}

impl ApiError {
    /// An error whose cause is logged, not sent.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Http(HttpError::Internal(cause.into()))
    }

    /// A field with a value that is not allowed.
    pub(crate) fn bad_field(field: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::Http(HttpError::BadField { field, problem })
    }

    /// A body that is not of the form it claims.
    pub(crate) fn bad_body(problem: impl Into<String>) -> Self {
        Self::Http(HttpError::BadRequest(problem.into()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let message = self.to_string();
        let (status, hint) = match self {
            Self::Http(error) => return error.into_response(),
            Self::EmptyQuery => (
                StatusCode::BAD_REQUEST,
                "send an `image`, an `id` of an image, a `text`, or an image with a text",
            ),
            Self::UnsupportedBody(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send `application/json` or `multipart/form-data`",
            ),
            Self::BadImage { cause, .. } => {
                let status = match cause {
                    DecodeError::TooManyBytes { .. } | DecodeError::TooManyPixels { .. } => {
                        StatusCode::PAYLOAD_TOO_LARGE
                    }
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                (status, "choose another image, or save this one anew as PNG or JPEG")
            }
            Self::UnknownImage(_) => (
                StatusCode::NOT_FOUND,
                "send the image itself, or an id from the results of a search",
            ),
            Self::ImageGone(_) => (StatusCode::GONE, "run `magiclens index` again"),
            Self::ModelStopped => (
                StatusCode::SERVICE_UNAVAILABLE,
                "restart the server; its log says what happened",
            ),
        };
        refusal(status, &message, Some(hint))
    }
}
