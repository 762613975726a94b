//! The files under `page/`, compiled into the program: the page works without any folder beside it.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::error::ApiError;
use crate::images::{REVALIDATE, cached};

/// The program's mark, an SVG.
pub const ICON: &str = include_str!("../page/icon.svg");

const INDEX: &str = include_str!("../page/index.html");

/// Name, content type, content.
const FILES: [(&str, &str, &str); 9] = [
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/app.js"),
    ),
    (
        "api.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/api.js"),
    ),
    (
        "details.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/details.js"),
    ),
    (
        "pictures.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/pictures.js"),
    ),
    (
        "results.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/results.js"),
    ),
    (
        "steps.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/steps.js"),
    ),
    (
        "notice.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/notice.js"),
    ),
    ("icon.svg", "image/svg+xml", ICON),
];

/// `GET /`.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    cached(&headers, "text/html; charset=utf-8", REVALIDATE, INDEX.as_bytes())
}

/// `GET /page/{file}`: a name of the table above, nothing else.
pub(crate) async fn file(headers: HeaderMap, Path(name): Path<String>) -> Result<Response, ApiError> {
    let (_, content_type, content) = FILES
        .iter()
        .find(|(file, ..)| *file == name)
        .ok_or_else(|| ApiError::NotFound(format!("/page/{name}")))?;
    Ok(cached(&headers, content_type, REVALIDATE, content.as_bytes()))
}
