//! Embeddings and payload to nearest images.
//!
//! An index is a folder: `index.sqlite` is the truth (images, their files, vectors, payload, what was skipped),
//! `thumbnails/` can be made again at any time. One process writes, any number reads; a reader sees what was committed.
//! [`Index::scan`] finds what changed on disk, [`Index::apply`] and [`Index::add`] bring it in, [`Index::search`] answers.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod exact;
mod image;
mod index;
mod load;
mod next;
mod path_text;
mod plan;
mod scan;
mod schema;
mod skipped;
mod store;
mod thumbnails;
mod walk;
mod writing;

pub use self::image::{FileStamp, Hit, IndexedImage, ModelStamp, NewImage, Payload, Space};
pub use error::IndexError;
pub use exact::{Found, Rows, Selection};
pub use index::{Index, Query};
pub use load::{Batch, Loaded, Loading, load_in_batches};
pub use plan::{Change, Counts, Pending, Plan};
pub use skipped::{SkipReason, Skipped};
pub use thumbnails::{THUMBNAIL_PX, Thumbnail, ThumbnailFile, make_thumbnail};
