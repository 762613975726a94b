//! One search: image and instruction in, hits out.
//!
//! An image is searched in the space of fused targets, with or without an instruction; words alone are searched in the
//! space of image tower outputs.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header;
use bytes::Bytes;
use magiclens_data::{ImageId, decode};
use magiclens_http::{HttpError, blocking};
use magiclens_search::EmbeddedQuery;
use serde::Serialize;

use crate::error::ApiError;
use crate::model::{Place, QueryImage, Question};
use crate::request::{ImageSource, SearchRequest};
use crate::state::AppState;
use crate::store::read_indexed;
use crate::view::ImageView;

/// Part of a refused body that is read and thrown away, in multiples of the limit.
const DRAINED_LIMITS: usize = 4;

/// The answer to a search.
#[derive(Serialize)]
pub(crate) struct SearchResponse {
    /// Best first.
    hits: Vec<ImageView>,
    took_ms: f64,
    /// Content id of the query image: later searches from it send this instead of the file.
    query_id: Option<ImageId>,
}

/// `POST /api/search`.
pub(crate) async fn search(State(state): State<AppState>, request: Request) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    let place = match state.model.place() {
        Ok(place) => place,
        Err(error) => return Err(refuse(request, &state, error).await),
    };
    let max_bytes = state.limits.max_body_bytes;
    if content_length(&request).is_some_and(|bytes| max_bytes < bytes) {
        return Err(refuse(request, &state, HttpError::BodyTooLarge { max_bytes }).await);
    }
    let request = SearchRequest::read(request, &state.limits).await?;
    let (k, include_query) = (request.k, request.include_query);
    let (query_id, vector) = embed(&state, request, &place).await?;
    let exclude = query_id.filter(|_| !include_query);
    let hits = state.store.search(vector, k, exclude, place).await?;
    let took_ms = (started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
    Ok(Json(SearchResponse {
        hits,
        took_ms,
        query_id,
    }))
}

/// The query's vector, and the id of its image.
async fn embed(
    state: &AppState,
    request: SearchRequest,
    place: &Place,
) -> Result<(Option<ImageId>, EmbeddedQuery), ApiError> {
    let (id, image) = match request.image {
        None => {
            let question = Question::Text(request.text);
            return Ok((None, state.model.embed(question, Arc::clone(place)).await?));
        }
        Some(ImageSource::Known(id)) => {
            // An image of the index, by itself, is there already as a target.
            if request.text.is_empty()
                && let Some(vector) = state.store.target(id).await?
            {
                return Ok((Some(id), vector));
            }
            (id, known(state, id, place).await?)
        }
        Some(ImageSource::Sent { name, bytes }) => {
            let id = ImageId::of_bytes(&bytes);
            (id, image(state, id, name, place, move || Ok(bytes)).await?)
        }
    };
    let instruction = request.text;
    let question = Question::Image { id, image, instruction };
    Ok((Some(id), state.model.embed(question, Arc::clone(place)).await?))
}

async fn known(state: &AppState, id: ImageId, place: &Place) -> Result<QueryImage, ApiError> {
    if let Some(tower) = state.model.tower(id) {
        return Ok(QueryImage::Encoded(tower));
    }
    let indexed = state.store.image(id).await?;
    let read = move || read_indexed(&indexed).map(Bytes::from);
    image(state, id, id.to_string(), place, read).await
}

/// Reads and decodes an image on the blocking pool, as soon as one of the permits for decoded images is free. The permits
/// stay with the work when the request is given up.
async fn image(
    state: &AppState,
    id: ImageId,
    name: String,
    place: &Place,
    read: impl FnOnce() -> Result<Bytes, ApiError> + Send + 'static,
) -> Result<QueryImage, ApiError> {
    if let Some(tower) = state.model.tower(id) {
        return Ok(QueryImage::Encoded(tower));
    }
    let permit = state.decoded.clone().acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    let limits = state.limits.decode();
    let decode = move || match decode::decode_rgb(&read()?, &limits) {
        Ok(rgb) => Ok(QueryImage::Pixels { rgb, _permit: permit }),
        Err(cause) => Err(ApiError::BadImage { name, cause }),
    };
    blocking(Arc::clone(place), decode).await?
}

/// Reads a body that is not wanted, up to a bound, before `error` is answered: a client that still sends would otherwise
/// see a broken connection instead of the answer.
async fn refuse(request: Request, state: &AppState, error: HttpError) -> ApiError {
    let mut body = request.into_body();
    let mut left = state.limits.max_body_bytes.saturating_mul(DRAINED_LIMITS);
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
    error.into()
}

fn content_length(request: &Request) -> Option<usize> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
