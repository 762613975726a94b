//! Models by name: a name becomes files on this machine. Files are kept in the hub's own cache, in the layout of its Python
//! client, so that neither fetches what the other has.
//!
//! | file | matter |
//! |---|---|
//! | `name.rs` | [`ModelName`]: `small`, a path, `magiclens-base`, `OWNER/NAME@REVISION` |
//! | `config.rs` | [`HubConfig`]: addresses, folders and rights, from the environment |
//! | `hub.rs` | [`Hub`]: find, fetch, list, remove |
//! | `cache.rs` | the cache on disk, [`Snapshot`] |
//! | `layout.rs` | the files of a repository that make a model |
//! | `catalog.rs` | [`Entry`]: models worth knowing, with their sizes and strengths |
//! | `client.rs`, `transfer.rs` | the hub's protocol; a file over HTTP, resumed and checked (feature `download`) |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod catalog;
#[cfg(feature = "download")]
mod client;
mod config;
mod error;
mod hub;
mod layout;
mod name;
mod progress;
#[cfg(feature = "download")]
mod transfer;

pub use cache::Snapshot;
pub use catalog::{Entry, catalog};
pub use config::HubConfig;
pub use error::HubError;
pub use hub::{Hub, PublishedFile};
pub use name::{HubName, ModelName, Published};
pub use progress::Progress;
