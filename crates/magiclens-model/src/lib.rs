//! Image + instruction -> unit vector: preprocessing, tokenizers, towers, fusion, pooler, checkpoints and importers.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod attention;
pub mod checkpoint;
pub mod config;
pub mod embedder;
mod error;
pub mod fusion;
pub mod import;
pub mod inversion;
pub mod model;
mod pillow;
pub mod preprocess;
pub mod tokenizer;
pub mod towers;

pub use config::{ModelConfig, OfficialConfig};
pub use embedder::Embedder;
pub use error::ModelError;
pub use inversion::{InversionKind, TextualInversion};
pub use model::MagicLens;
