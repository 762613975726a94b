//! Readers of other people's checkpoints. They give named arrays and execute nothing.

mod arrays;
mod class_words;
pub mod clip;
mod clip_folder;
mod clip_state;
pub(crate) mod clip_table;
mod error;
mod file;
pub mod flax;
mod folder_json;
mod hf_preprocess;
pub mod inversion;
pub mod official;
pub mod open;
pub mod open_clip;
mod open_clip_config;
pub mod pickle;
mod places;
pub mod siglip;
pub mod small;
pub mod torch;

pub use crate::array::{Array, Dtype};
pub use clip_state::RawClip;
pub use error::{ClipError, FlaxError, ImportError, InversionError, PickleError, Reason, TorchError, WordsError};
