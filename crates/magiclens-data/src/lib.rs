//! The shared words of magiclens (ImageId, Image, Triplet, Embedding), their Parquet files, safe image decoding,
//! and the collection: images and triplets made of packages that npm and apt bring.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod collection;
pub mod decode;
mod embedding;
pub mod fingerprint;
mod id;
mod image;
mod image_shard;
mod images_file;
mod table;
mod triplet;
mod triplets_file;

pub use self::image::{Image, ImageKind, ParseVariantError, Split};
pub use embedding::{Embedding, EmbeddingError};
pub use id::{ImageId, ParseImageIdError};
pub use image_shard::{ImageFile, ImageShard, read_image_shard};
pub use images_file::{read_images, write_images};
pub use table::TableError;
pub use triplet::{ImageAddress, Provenance, Triplet};
pub use triplets_file::{read_triplets, write_triplets};
