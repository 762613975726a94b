//! The files under `page/`, compiled into the program.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use magiclens_serve::{ApiError, ICON, REVALIDATE, cached};

use crate::app::Refusal;

const INDEX: &str = include_str!("../page/index.html");

/// Name, content type, content.
const FILES: [(&str, &str, &str); 4] = [
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
    ("icon.svg", "image/svg+xml", ICON),
];

/// `GET /`.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    cached(&headers, "text/html; charset=utf-8", REVALIDATE, INDEX.as_bytes())
}

/// `GET /page/{file}`: a name of the table above, nothing else.
pub(crate) async fn file(headers: HeaderMap, Path(name): Path<String>) -> Result<Response, Refusal> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let (_, content_type, content) = found.ok_or_else(|| ApiError::NotFound(format!("/page/{name}")))?;
    Ok(cached(&headers, content_type, REVALIDATE, content.as_bytes()))
}
