//! Image + instruction -> unit vector: preprocessing, tokenizers, towers, fusion, pooler, checkpoints and importers.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod array;
pub mod attention;
pub mod basic;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod embedder;
mod error;
pub mod export;
pub mod fusion;
mod image_size;
pub mod import;
pub mod inversion;
pub mod model;
mod networks;
mod official_config;
mod packed;
mod parameters;
pub mod preprocess;
mod presets;
pub mod rows;
mod tensors_file;
pub mod tokenizer;
pub mod towers;

pub use basic::Basic;
pub use config::ModelConfig;
pub use device::{DeviceError, DeviceName};
pub use embedder::Embedder;
pub use error::ModelError;
pub use inversion::{InversionKind, TextualInversion};
pub use magiclens_cpu::Precision;
pub use model::MagicLens;
pub use official_config::{OfficialClip, OfficialConfig, OfficialFusion};
