//! A search request, parsed and checked once; the rest of the service trusts the type.

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use magiclens_data::ImageId;
use magiclens_http::HttpError;
use serde::Deserialize;

use crate::error::ApiError;
use crate::state::Limits;

/// Hits of a search that names no number.
const DEFAULT_HITS: usize = 24;

/// Largest JSON body, in bytes: room for the longest instruction, escaped.
const MAX_JSON_BYTES: usize = 64 << 10;

/// Longest part of a file name that is repeated in an error, in characters.
const MAX_NAME_CHARS: usize = 120;

/// A checked search: at least one of image and text is there.
#[derive(Debug)]
pub(crate) struct SearchRequest {
    pub(crate) image: Option<ImageSource>,
    /// Trimmed; empty means none.
    pub(crate) text: String,
    /// From 1 to [`Limits::max_hits`].
    pub(crate) k: usize,
    /// Whether the query image itself may be among the hits.
    pub(crate) include_query: bool,
}

/// Source of the query image.
#[derive(Debug)]
pub(crate) enum ImageSource {
    /// An image of the index, or one that was sent lately.
    Known(ImageId),
    /// A file. Not decoded yet.
    Sent { name: String, bytes: Bytes },
}

/// The fields before the check, from either kind of body.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    id: Option<String>,
    text: String,
    k: Option<i64>,
    include_query: bool,
    #[serde(skip)]
    sent: Option<(String, Bytes)>,
}

impl SearchRequest {
    /// Reads `application/json` or `multipart/form-data`.
    pub(crate) async fn read(request: Request, limits: &Limits) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let kind = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let fields = match kind.as_str() {
            "application/json" => read_json(request).await?,
            "multipart/form-data" => read_form(request, limits).await?,
            _ => return Err(ApiError::UnsupportedBody(content_type)),
        };
        fields.check(limits)
    }
}

impl Fields {
    fn check(self, limits: &Limits) -> Result<SearchRequest, ApiError> {
        let bad = |field, problem: &str| Err(ApiError::bad_field(field, problem));
        let image = match (self.id.filter(|id| !id.is_empty()), self.sent) {
            (Some(_), Some(_)) => return bad("id", "was given together with `image`; send one of them"),
            (Some(id), None) => Some(ImageSource::Known(parse_id("id", &id)?)),
            (None, Some((name, bytes))) => Some(ImageSource::Sent { name, bytes }),
            (None, None) => None,
        };
        let text = self.text.trim().to_owned();
        if image.is_none() && text.is_empty() {
            return Err(ApiError::EmptyQuery);
        }
        let chars = text.chars().count();
        if limits.max_text_chars < chars {
            return bad(
                "text",
                &format!(
                    "has {chars} characters, more than the limit of {}",
                    limits.max_text_chars
                ),
            );
        }
        let k = match self.k.map(usize::try_from) {
            None => DEFAULT_HITS.min(limits.max_hits),
            Some(Ok(k)) if (1..=limits.max_hits).contains(&k) => k,
            Some(_) => return bad("k", &format!("must be from 1 to {}", limits.max_hits)),
        };
        Ok(SearchRequest {
            image,
            text,
            k,
            include_query: self.include_query,
        })
    }
}

/// An id as it stands in a body or a path.
pub(crate) fn parse_id(field: &'static str, id: &str) -> Result<ImageId, ApiError> {
    id.parse()
        .map_err(|_| ApiError::bad_field(field, "is not an id: 32 hex digits are expected"))
}

async fn read_json(request: Request) -> Result<Fields, ApiError> {
    let max_bytes = MAX_JSON_BYTES;
    let body = Bytes::from_request(request, &()).await;
    let body = body.map_err(|rejection| refuse(rejection.status(), rejection.body_text(), max_bytes))?;
    if max_bytes < body.len() {
        return Err(HttpError::BodyTooLarge { max_bytes }.into());
    }
    // By way of a map: a struct alone would also take a list of its fields' values.
    let fields: serde_json::Result<serde_json::Map<_, _>> = serde_json::from_slice(&body);
    let fields = fields.and_then(|fields| Fields::deserialize(serde_json::Value::Object(fields)));
    fields.map_err(|error| ApiError::bad_body(error.to_string()))
}

fn refuse(status: StatusCode, problem: String, max_bytes: usize) -> ApiError {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => HttpError::BodyTooLarge { max_bytes }.into(),
        _ => ApiError::bad_body(problem),
    }
}

async fn read_form(request: Request<Body>, limits: &Limits) -> Result<Fields, ApiError> {
    let refuse = |error: MultipartError| refuse(error.status(), error.body_text(), limits.max_body_bytes);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| ApiError::bad_body(rejection.body_text()))?;
    let mut fields = Fields::default();
    while let Some(field) = form.next_field().await.map_err(refuse)? {
        match field.name().unwrap_or_default() {
            "image" => {
                let name = shown_name(&field);
                let bytes = field.bytes().await.map_err(refuse)?;
                // A form whose file input is empty sends a nameless empty file.
                fields.sent = (!bytes.is_empty() || !name.is_empty()).then(|| (shown_or(name), bytes));
            }
            "id" => fields.id = Some(field.text().await.map_err(refuse)?),
            "text" => fields.text = field.text().await.map_err(refuse)?,
            "k" => fields.k = Some(parse_field("k", &field.text().await.map_err(refuse)?)?),
            "include_query" => {
                fields.include_query = parse_field("include_query", &field.text().await.map_err(refuse)?)?;
            }
            other => return Err(ApiError::bad_body(format!("unknown field `{}`", clean(other)))),
        }
    }
    Ok(fields)
}

fn parse_field<T: std::str::FromStr>(field: &'static str, value: &str) -> Result<T, ApiError> {
    let problem = |_| ApiError::bad_field(field, format!("cannot be `{}`", clean(value)));
    value.trim().parse().map_err(problem)
}

fn shown_name(field: &Field<'_>) -> String {
    clean(field.file_name().unwrap_or_default())
}

fn shown_or(name: String) -> String {
    if name.is_empty() { "the image".to_owned() } else { name }
}

/// Text of a client, short and without control characters, fit to be repeated in a message.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}
