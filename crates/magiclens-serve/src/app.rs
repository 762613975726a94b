//! The service as a value: the table of routes.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use magiclens_http::{guarded, page_routes};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::AppState;
use crate::{images, page, search};

/// The API and the page.
pub fn router(state: AppState) -> Router {
    let (hosts, timeout) = (state.hosts.clone(), state.limits.timeout);
    let routes = page_routes(page::INDEX, page::FILES)
        .route("/healthz", get(health))
        .route("/api/info", get(images::info))
        .route("/api/sample", get(images::sample))
        .route("/api/search", post(search::search))
        .merge(image_routes("/api/images"))
        // The routes of version 0.1, kept for one release.
        .merge(image_routes("/api/pictures"))
        .layer(DefaultBodyLimit::max(state.limits.max_body_bytes))
        .with_state(state);
    guarded(routes, hosts, timeout)
}

fn image_routes(root: &str) -> Router<AppState> {
    Router::new()
        .route(&format!("{root}/{{id}}"), get(images::image))
        .route(&format!("{root}/{{id}}/file"), get(images::file))
        .route(&format!("{root}/{{id}}/thumbnail"), get(images::thumbnail))
}

/// Ready as long as the model's thread lives.
async fn health(state: State<AppState>) -> Result<Json<Value>, ApiError> {
    if !state.model.is_alive() {
        return Err(ApiError::ModelStopped);
    }
    Ok(Json(json!({ "status": "ok" })))
}
