//! The shared words of magiclens (ImageId, Image, Triplet, Embedding), their Parquet files, safe image decoding,
//! files that are read and written whole, and digests.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod decode;
mod digest;
mod embedding;
pub mod files;
pub mod fingerprint;
mod id;
mod image;
mod image_shard;
mod images_file;
pub mod table;
mod triplet;
mod triplets_file;

pub use self::image::Image;
pub use digest::{Digest, DigestBuilder, ParseDigestError};
pub use embedding::{Embedding, EmbeddingError, dot};
pub use id::{ImageId, ParseImageIdError};
pub use image_shard::{ImageFile, ImageShard, read_image_shard};
pub use images_file::{NamedColumn, image_columns, images_of_columns, read_images, write_images};
pub use table::TableError;
pub use triplet::{ImageAddress, Provenance, Triplet};
pub use triplets_file::{read_triplets, write_triplets};
