//! Texts to token ids.

mod badness;
pub mod clip;
pub mod coca;
mod code_pages;
mod html;
mod repair;
pub mod wordpiece;

/// Texts to the ids of a text tower.
pub trait Tokenizer: Send + Sync {
    /// One row of ids a text.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError>;
}

/// A tokenizer that cannot be loaded, or a text that it cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer failed: {0}")]
pub struct TokenizerError(#[from] tokenizers::Error);
