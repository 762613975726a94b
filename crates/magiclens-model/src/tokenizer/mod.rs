//! Texts to token ids.

mod badness;
pub mod clip;
pub mod coca;
mod code_pages;
mod html;
mod repair;
pub mod siglip;
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
pub enum TokenizerError {
    /// The library cannot read the file or the text.
    #[error("the tokenizer failed: {0}")]
    Failed(#[from] tokenizers::Error),
    /// A token that the model needs is not in the vocabulary.
    #[error("the tokenizer has no token `{0}`")]
    NoToken(String),
    /// The vocabulary is larger than the model's.
    #[error("the tokenizer gives ids up to {largest}, but the model knows {vocabulary} tokens")]
    TooLarge {
        /// The largest id of the tokenizer.
        largest: u32,
        /// Entries of the model's vocabulary.
        vocabulary: usize,
    },
}
