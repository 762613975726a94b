//! The central act, once: a query becomes a vector and the space it is searched in, and then hits; images become an index.
//!
//! Whoever searches or indexes (the program, the service, the comparison) does it through here, over any [`Encoder`].
//!
//! | file | matter |
//! |---|---|
//! | `encoder.rs` | [`Encoder`]: the part of a model that searching and indexing need |
//! | `basic.rs` | [`BasicSearch`]: image + instruction by BASIC, for weights without a fusion |
//! | `models.rs` | [`Models`]: a name to a loaded model, fetched and imported where needed |
//! | `query.rs` | [`SearchQuery`] to [`EmbeddedQuery`], alone or in batches, and its hits |
//! | `read.rs` | [`QueryImage`]: a query image from a file or out of an index |
//! | `indexing.rs` | [`index_images`]: decoding, embedding and committing side by side |
//! | `error.rs` | [`SearchError`] |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod basic;
mod encoder;
mod error;
mod indexing;
mod models;
mod query;
mod read;

pub use basic::{BasicSearch, Method, ParseMethodError};
pub use encoder::Encoder;
pub use error::{EncodeError, SearchError};
pub use indexing::{IndexOptions, IndexProgress, IndexSummary, index_images, replace_model};
pub use models::{LoadedModel, ModelSource, Models};
pub use query::{Comparison, EmbeddedQuery, ImageInput, SearchQuery, embed_queries, embed_query};
pub use read::QueryImage;
