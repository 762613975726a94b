//! The shared words of magiclens (ImageId, Picture, Triplet, Embedding), their Parquet files, safe image decoding,
//! and the collection: pictures and triplets made of packages that npm and apt bring.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod collection;
pub mod decode;
mod embedding;
pub mod fingerprint;
mod id;
mod picture;
mod picture_shard;
mod pictures_file;
mod table;
mod triplet;
mod triplets_file;

pub use embedding::{Embedding, EmbeddingError};
pub use id::{ImageId, ParseImageIdError};
pub use picture::{ParseVariantError, Picture, PictureKind, Split};
pub use picture_shard::{PictureFile, PictureShard, read_picture_shard};
pub use pictures_file::{read_pictures, write_pictures};
pub use table::TableError;
pub use triplet::{PictureAddress, Provenance, Triplet};
pub use triplets_file::{read_triplets, write_triplets};
