//! Content with entity tags, and the files of a page, compiled into the program.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use magiclens_data::ImageId;

use crate::error::HttpError;

/// The program's mark, an SVG.
pub const ICON: &str = include_str!("../page/icon.svg");

/// Cache rule for what its address names by content: it never changes.
pub const FOREVER: &str = "private, max-age=31536000, immutable";

/// Cache rule for what may change under its address: ask each time, and hear "not modified".
const REVALIDATE: &str = "no-cache";

/// Answers with the content, or with "not modified" if the client has it already.
pub fn cached(
    request: &HeaderMap,
    content_type: &'static str,
    cache_control: &'static str,
    content: impl Into<Bytes>,
) -> Response {
    let content: Bytes = content.into();
    let etag = format!("\"{}\"", ImageId::of_bytes(&content));
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache_control)),
        (
            header::ETAG,
            etag.parse().expect("hex digits in quotes are a header value"),
        ),
    ];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response(),
        false => (headers, content).into_response(),
    }
}

/// The routes `/` (`index`, an HTML page) and `/page/{name}` (one of `files`, name and content, nothing else).
pub fn page_routes<S: Clone + Send + Sync + 'static>(
    index: &'static str,
    files: &'static [(&'static str, &'static str)],
) -> Router<S> {
    let index = async move |headers: HeaderMap| cached(&headers, "text/html; charset=utf-8", REVALIDATE, index);
    let file = async move |headers: HeaderMap, Path(name): Path<String>| {
        let found = files.iter().find(|(file, _)| *file == name);
        let (_, content) = found.ok_or_else(|| HttpError::NotFound(format!("/page/{name}")))?;
        Ok::<_, HttpError>(cached(&headers, content_type(&name), REVALIDATE, *content))
    };
    Router::new().route("/", get(index)).route("/page/{file}", get(file))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
