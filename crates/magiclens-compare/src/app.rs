//! The service as a value: the state that handlers share, the table of routes, the handlers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use magiclens_data::ImageId;
use magiclens_http::{FOREVER, Hosts, HttpError, blocking, cached, guarded, no_store, page_routes};
use serde::Deserialize;
use serde_json::json;

use crate::error::{CompareError, Refusal};
use crate::judgment::{Choice, RaterName};
use crate::page;
use crate::ratings::{Judgments, Ratings};
use crate::session::{Session, View};
use crate::study::{Study, image_path, read_if_present};

const MAX_BODY_BYTES: usize = 16 << 10;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The state that all handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    dir: Arc<Path>,
    study: Arc<Study>,
    ratings: Arc<Mutex<Ratings>>,
}

impl AppState {
    /// Opens the study in `dir` for raters.
    ///
    /// # Errors
    /// See [`Study::open`] and [`Ratings::open`].
    pub fn open(dir: &Path) -> Result<Self, CompareError> {
        let study = Study::open(dir)?;
        let ratings = Ratings::open(dir, &study)?;
        Ok(Self {
            dir: dir.into(),
            study: Arc::new(study),
            ratings: Arc::new(Mutex::new(ratings)),
        })
    }

    /// All judgments so far.
    pub fn judgments(&self) -> Judgments {
        self.ratings().judgments().clone()
    }

    // A judgment is added to memory after it is on the disk, so a panic leaves nothing half done.
    fn ratings(&self) -> std::sync::MutexGuard<'_, Ratings> {
        self.ratings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The API and the page, for this machine only.
pub fn router(state: AppState) -> Router {
    let routes = page_routes(page::INDEX, page::FILES)
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/api/item", get(item))
        .route("/api/judge", post(judge))
        .route("/api/undo", post(undo))
        .route("/api/images/{id}", get(image))
        // The route of version 0.1, kept for one release.
        .route("/api/pictures/{id}", get(image))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state);
    guarded(routes, Hosts::loopback(), TIMEOUT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemParams {
    rater: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeRequest {
    rater: String,
    item: String,
    choice: Choice,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoRequest {
    rater: String,
    item: String,
}

/// `GET /api/item?rater=NAME`: where the rater is.
async fn item(
    State(state): State<AppState>,
    params: Result<Query<ItemParams>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(ItemParams { rater }) = params.map_err(HttpError::from)?;
    in_session(state, &rater, |_, _| Ok(())).await
}

/// `POST /api/judge`: answered when the judgment is on the disk, with what comes next.
async fn judge(
    State(state): State<AppState>,
    request: Result<Json<JudgeRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(JudgeRequest { rater, item, choice }) = request.map_err(bad_body)?;
    in_session(state, &rater, move |session, ratings| {
        session.judge(ratings, &item, choice)
    })
    .await
}

/// `POST /api/undo`: takes back the last judgment, which the request names, so that a second click takes back nothing.
async fn undo(
    State(state): State<AppState>,
    request: Result<Json<UndoRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(UndoRequest { rater, item }) = request.map_err(bad_body)?;
    in_session(state, &rater, move |session, ratings| session.undo(ratings, &item)).await
}

/// Does one thing for a rater, off the async threads since it waits for the disk, and says where the rater is then.
async fn in_session(
    state: AppState,
    rater: &str,
    act: impl FnOnce(&Session<'_>, &mut Ratings) -> Result<(), Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let field = "rater";
    let rater = RaterName::parse(rater).map_err(|problem| HttpError::BadField { field, problem })?;
    let view = blocking((), move || -> Result<View, Refusal> {
        let session = Session::new(&state.study, rater);
        let mut ratings = state.ratings();
        act(&session, &mut ratings)?;
        Ok(session.view(&ratings))
    })
    .await??;
    Ok(no_store(Json(view)))
}

/// `GET /api/images/{id}`: the small copy that the study keeps, the same whoever found the image.
async fn image(
    State(state): State<AppState>,
    UrlPath(id): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id: ImageId = id.parse().map_err(|_| HttpError::BadField {
        field: "id",
        problem: "is not an id of an image".to_owned(),
    })?;
    let path = image_path(&state.dir, id);
    let jpeg = blocking((), move || read_if_present(&path)).await??;
    Ok(cached(
        &headers,
        "image/jpeg",
        FOREVER,
        jpeg.ok_or(Refusal::UnknownImage(id))?,
    ))
}

fn bad_body(rejection: JsonRejection) -> Refusal {
    HttpError::from_json(&rejection, MAX_BODY_BYTES).into()
}
