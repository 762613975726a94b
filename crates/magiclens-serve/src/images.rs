//! Images of the index: description, file, thumbnail, and a sample to start from. An image is reached by its id alone;
//! no path of a client ever names a file.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use magiclens_http::{FOREVER, HttpError, cached};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::indexing::{Indexing, IndexingStatus};
use crate::request::parse_id;
use crate::state::AppState;
use crate::view::ImageView;

/// Cache rule for thumbnails: another version of the program may draw them in another way.
const FOR_A_WHILE: &str = "private, max-age=600";

const DEFAULT_SAMPLE: usize = 24;
const MAX_SAMPLE: usize = 200;
const MAX_SAMPLE_PAGE: usize = 40;

/// The answer of `GET /api/info`.
#[derive(Serialize)]
pub(crate) struct Info {
    model: String,
    dim: usize,
    /// Images in the index.
    count: usize,
    /// The indexing in the background, if there is any.
    indexing: Option<IndexingStatus>,
    version: &'static str,
    limits: InfoLimits,
}

#[derive(Serialize)]
struct InfoLimits {
    max_body_bytes: usize,
    max_pixels: u64,
    max_text_chars: usize,
    max_hits: usize,
}

/// The parameters of `GET /api/sample`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleParams {
    n: Option<usize>,
    #[serde(default)]
    page: usize,
}

/// `GET /api/info`.
pub(crate) async fn info(State(state): State<AppState>) -> Result<Json<Info>, ApiError> {
    let count = state.store.ask(|index| index.len()).await?;
    let limits = InfoLimits {
        max_body_bytes: state.limits.max_body_bytes,
        max_pixels: state.limits.max_pixels,
        max_text_chars: state.limits.max_text_chars,
        max_hits: state.limits.max_hits,
    };
    let model = state.model.model_id().to_owned();
    Ok(Json(Info {
        model,
        dim: state.model.dim(),
        count,
        indexing: state.indexing.as_ref().map(Indexing::status),
        version: env!("CARGO_PKG_VERSION"),
        limits,
    }))
}

/// `GET /api/sample?n=24&page=0`: images to start from, from all over the index; other pages give others.
pub(crate) async fn sample(
    State(state): State<AppState>,
    params: Result<Query<SampleParams>, QueryRejection>,
) -> Result<Json<Vec<ImageView>>, ApiError> {
    let Query(SampleParams { n, page }) = params.map_err(HttpError::from)?;
    let n = n.unwrap_or(DEFAULT_SAMPLE);
    for (field, value, range) in [("n", n, 1..=MAX_SAMPLE), ("page", page, 0..=MAX_SAMPLE_PAGE)] {
        if !range.contains(&value) {
            let problem = format!("must be from {} to {}", range.start(), range.end());
            return Err(ApiError::bad_field(field, problem));
        }
    }
    let views = state.store.ask(move |index| {
        let (images, folder) = (index.page(n * page, n)?, index.common_folder()?);
        let views = images.into_iter();
        Ok(views.map(|image| ImageView::new(image, None, &folder)).collect())
    });
    Ok(Json(views.await?))
}

/// `GET /api/images/{id}`.
pub(crate) async fn image(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<ImageView>, ApiError> {
    let id = parse_id("id", &id)?;
    let view = state.store.ask(move |index| {
        let folder = index.common_folder()?;
        Ok(index.get(id)?.map(|image| ImageView::new(image, None, &folder)))
    });
    Ok(Json(view.await?.ok_or(ApiError::UnknownImage(id))?))
}

/// `GET /api/images/{id}/file`: the image as it was indexed.
pub(crate) async fn file(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse_id("id", &id)?;
    let bytes = state.store.file(id).await?;
    let content_type = content_type(&bytes);
    Ok(cached(&headers, content_type, FOREVER, bytes))
}

/// `GET /api/images/{id}/thumbnail`.
pub(crate) async fn thumbnail(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse_id("id", &id)?;
    let bytes = state.store.thumbnail(id).await?;
    let content_type = content_type(&bytes);
    Ok(cached(&headers, content_type, FOR_A_WHILE, bytes))
}

/// The type by content, as the decoder sees it; what it does not know is never shown by a browser.
fn content_type(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Png) => "image/png",
        Ok(image::ImageFormat::Jpeg) => "image/jpeg",
        Ok(image::ImageFormat::WebP) => "image/webp",
        Ok(image::ImageFormat::Gif) => "image/gif",
        Ok(image::ImageFormat::Bmp) => "image/bmp",
        Ok(image::ImageFormat::Tiff) => "image/tiff",
        _ => "application/octet-stream",
    }
}
