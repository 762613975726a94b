//! One search: image and instruction in, hits out.
//!
//! An image is searched in the space of fused targets, with or without an instruction; words alone are searched in the
//! space of image tower outputs.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Instant;

use axum::Json;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header;
use bytes::Bytes;
use magiclens_data::{Embedding, ImageId, decode};
use magiclens_index::{Hit, Space};
use serde::Serialize;

use crate::app::AppState;
use crate::error::ApiError;
use crate::model::{Image, Query};
use crate::request::{ImageSource, SearchRequest};
use crate::store::blocking;

/// How much of a refused body is read and thrown away, in multiples of the limit.
const DRAINED_LIMITS: usize = 4;

/// The answer to a search.
#[derive(Serialize)]
pub(crate) struct SearchResponse {
    /// Best first.
    hits: Vec<Hit>,
    took_ms: f64,
    /// Content id of the query image: later searches from it send this instead of the file.
    query_id: Option<ImageId>,
}

/// `POST /api/search`.
pub(crate) async fn search(State(state): State<AppState>, request: Request) -> Result<Json<SearchResponse>, ApiError> {
    let started = Instant::now();
    let Ok(_place) = state.places.clone().try_acquire_owned() else {
        return Err(refuse(request, &state, ApiError::Overloaded).await);
    };
    let max_bytes = state.limits.max_body_bytes;
    if content_length(&request).is_some_and(|bytes| max_bytes < bytes) {
        return Err(refuse(request, &state, ApiError::BodyTooLarge { max_bytes }).await);
    }
    let request = SearchRequest::read(request, &state.limits).await?;
    let (k, include_query) = (request.k, request.include_query);
    let (query_id, vector, space) = embed(&state, request).await?;
    let exclude = query_id.filter(|_| !include_query);
    let hits = state.store.search(vector, space, k, exclude).await?;
    let took_ms = (started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
    Ok(Json(SearchResponse {
        hits,
        took_ms,
        query_id,
    }))
}

/// The query vector and the space it belongs to.
async fn embed(state: &AppState, request: SearchRequest) -> Result<(Option<ImageId>, Embedding, Space), ApiError> {
    let Some(image) = request.image else {
        return Ok((None, state.model.embed(Query::Text(request.text)).await?, Space::Image));
    };
    let (id, image) = match image {
        ImageSource::Known(id) => {
            // An image of the index, by itself, is there already as a target.
            if request.text.is_empty()
                && let Some(target) = state.store.ask(move |index| index.vector(id, Space::Target)).await?
            {
                return Ok((Some(id), target, Space::Target));
            }
            (id, known(state, id).await?)
        }
        ImageSource::Sent { name, bytes } => {
            let id = ImageId::of_bytes(&bytes);
            (id, sent(state, id, name, bytes).await?)
        }
    };
    let query = Query::Image {
        id,
        image,
        instruction: request.text,
    };
    Ok((Some(id), state.model.embed(query).await?, Space::Target))
}

async fn known(state: &AppState, id: ImageId) -> Result<Image, ApiError> {
    if let Some(tower) = state.model.tower(id) {
        return Ok(Image::Encoded(tower));
    }
    let bytes = state.store.bytes(id).await?;
    pixels(state, id.to_string(), bytes.into(), decode::Limits::default()).await
}

async fn sent(state: &AppState, id: ImageId, name: String, bytes: Bytes) -> Result<Image, ApiError> {
    match state.model.tower(id) {
        Some(tower) => Ok(Image::Encoded(tower)),
        None => pixels(state, name, bytes, state.limits.decode()).await,
    }
}

/// Decodes on the blocking pool, as soon as one of the places for decoded images is free.
async fn pixels(state: &AppState, name: String, bytes: Bytes, limits: decode::Limits) -> Result<Image, ApiError> {
    let place = state
        .decoded
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    match blocking(move || decode::decode_rgb(&bytes, &limits)).await? {
        Ok(pixels) => Ok(Image::Pixels { pixels, _place: place }),
        Err(cause) => Err(ApiError::BadImage { name, cause }),
    }
}

/// Reads a body that is not wanted, up to a bound, before `error` is answered: a client that still sends would otherwise
/// see a broken connection instead of the answer.
async fn refuse(request: Request, state: &AppState, error: ApiError) -> ApiError {
    let mut body = request.into_body();
    let mut left = state.limits.max_body_bytes.saturating_mul(DRAINED_LIMITS);
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
    error
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
