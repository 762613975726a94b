//! The HTTP API and the search page.
//!
//! [`router`] is the whole service as a value and needs no socket, so tests call it; [`run`] opens the model, the index and
//! a port around it. One thread owns the model ([`ModelQueue`]); the index is asked on the blocking pool; every queue is
//! bounded, and what does not fit is refused with 503 at once. Another service on this machine takes the guard, the socket
//! and the shutdown from here: [`guarded`], [`listen`], [`serve_until_stopped`].
//!
//! | file | matter |
//! |---|---|
//! | `server.rs` | configuration, start, shutdown |
//! | `app.rs` | [`AppState`], [`Limits`], [`router`] |
//! | `guard.rs` | Host and Origin checks, security headers, time limit |
//! | `search.rs` | one search: image and instruction in, hits out |
//! | `request.rs` | what a search request may say, checked once |
//! | `images.rs` | images of the index: description, file, thumbnail, sample |
//! | `model.rs` | the model's thread and its queue |
//! | `towers.rs` | image tower outputs, kept by content |
//! | `store.rs` | the index on the blocking pool |
//! | `page.rs` | the files under `page/` |
//! | `error.rs` | [`ApiError`]: every way a request can fail, and its status |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod error;
mod guard;
mod images;
mod model;
mod page;
mod request;
mod search;
mod server;
mod store;
mod towers;

pub use app::{AppState, Limits, router};
pub use error::ApiError;
pub use guard::{HostPolicy, guarded};
pub use images::{REVALIDATE, cached};
pub use model::{Embed, ModelQueue};
pub use page::ICON;
pub use server::{ServeConfig, listen, run, serve_until_stopped};
pub use store::Store;
