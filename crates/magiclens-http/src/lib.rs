//! Shared by every service of the program: the guard around all requests, listening and shutdown, the files of a page.
//!
//! | file | matter |
//! |---|---|
//! | `guard.rs` | Host and Origin checks, security headers, time limit, answers for unknown paths |
//! | `server.rs` | socket, ready message, orderly end |
//! | `files.rs` | content with entity tags, the files of a page |
//! | `error.rs` | [`HttpError`]: what can go wrong with any request, and the form of every error answer |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod files;
mod guard;
mod server;

pub use error::{HttpError, blocking, no_store, refusal};
pub use files::{FOREVER, ICON, cached, page_routes};
pub use guard::{Hosts, guarded};
pub use server::{listen, serve_until_stopped};
