//! The HTTP API and the search page.
//!
//! [`router`] is the whole service as a value and needs no socket, so tests call it; [`run`] opens the model, the index and
//! a port around it. The model's thread answers queries in batches ([`ModelQueue`]), before any background work; the index
//! is asked on the blocking pool. Every queue is bounded, what does not fit is refused with 503 at once, and the permits
//! that bound the work stay with it when its request is given up.
//!
//! | file | matter |
//! |---|---|
//! | `server.rs` | configuration and start |
//! | `app.rs` | [`router`] |
//! | `state.rs` | [`AppState`], [`Limits`] |
//! | `search.rs` | one search: image and instruction in, hits out |
//! | `request.rs` | a search request, parsed and checked once |
//! | `images.rs` | images of the index: description, file, thumbnail, sample |
//! | `indexing.rs` | indexing in the background |
//! | `model.rs` | the model's thread and its queue |
//! | `turns.rs` | queries before background work |
//! | `towers.rs` | image tower outputs, kept by content |
//! | `store.rs` | the index on the blocking pool |
//! | `view.rs` | an image as clients see it |
//! | `page.rs` | the files under `page/` |
//! | `error.rs` | [`ApiError`]: every way a request can fail, and its status |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod error;
mod images;
mod indexing;
mod model;
mod page;
mod request;
mod search;
mod server;
mod state;
mod store;
mod towers;
mod turns;
mod view;

pub use app::router;
pub use error::ApiError;
pub use indexing::{Indexing, IndexingState, IndexingStatus};
pub use model::ModelQueue;
pub use server::{ServeConfig, run};
pub use state::{AppState, Limits};
pub use store::Store;
pub use turns::BackgroundEncoder;
