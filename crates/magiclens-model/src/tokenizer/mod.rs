//! Texts to token ids.

pub mod clip;
mod html;
mod repair;
pub mod wordpiece;

/// A tokenizer that cannot be loaded, or a text that it cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer failed: {0}")]
pub struct TokenizerError(#[from] tokenizers::Error);
