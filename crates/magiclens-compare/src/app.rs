//! The service as a value: what the handlers share, the table of routes, and every way a request can fail.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use magiclens_data::ImageId;
use magiclens_http::{FOREVER, Hosts, HttpError, blocking, cached, guarded, no_store, page_routes, refusal};
use serde::Deserialize;
use serde_json::json;

use crate::error::CompareError;
use crate::judgment::{Choice, RaterName};
use crate::page;
use crate::ratings::{Judgments, Ratings};
use crate::session::{Session, View};
use crate::study::{Study, image_path};

const MAX_BODY_BYTES: usize = 16 << 10;
const TIMEOUT: Duration = Duration::from_secs(30);

/// What all handlers share. Cheap to clone.
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

    /// What everybody said so far.
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

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// As in every service of ours.
    #[error(transparent)]
    Common(#[from] HttpError),
    /// No image of the study has this id.
    #[error("image `{0}` is not known here")]
    UnknownImage(ImageId),
    /// The rater has no such item.
    #[error("there is no such question for this name")]
    UnknownItem,
    /// The item was judged already, and not like this.
    #[error("this question was answered already, with `{}`", .0.word())]
    JudgedOtherwise(Choice),
    /// Another item comes first.
    #[error("this question is not the next one")]
    NotAtHand,
    /// Only the last judgment can be taken back.
    #[error("only the last answer can be taken back")]
    NotTheLast,
}

impl From<CompareError> for Refusal {
    fn from(error: CompareError) -> Self {
        Self::Common(HttpError::Internal(anyhow!(error)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.to_string();
        let (status, hint) = match self {
            Self::Common(error) => return error.into_response(),
            Self::UnknownImage(_) => (StatusCode::NOT_FOUND, "reload the page"),
            Self::UnknownItem => (StatusCode::NOT_FOUND, "reload the page"),
            Self::JudgedOtherwise(_) => (StatusCode::CONFLICT, "take it back with “Undo” to answer anew"),
            Self::NotAtHand | Self::NotTheLast => {
                (StatusCode::CONFLICT, "the page was open twice; here is where you are")
            }
        };
        refusal(status, &error, Some(hint))
    }
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
    let path: PathBuf = image_path(&state.dir, id);
    match blocking((), move || fs_err::read(path)).await? {
        Ok(jpeg) => Ok(cached(&headers, "image/jpeg", FOREVER, jpeg)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::UnknownImage(id)),
        Err(error) => Err(HttpError::Internal(anyhow!(error)).into()),
    }
}

fn bad_body(rejection: JsonRejection) -> Refusal {
    HttpError::from_json(&rejection, MAX_BODY_BYTES).into()
}
