//! The WordPiece tokenizer of MiniLM, from its `tokenizer.json`.

use tokenizers::{Tokenizer, TruncationParams};

use super::{Tokenizer as Encode, TokenizerError};

/// Most tokens a text may have, both markers included; sentence-transformers cuts all-MiniLM-L6-v2 off here too.
pub const MAX_TOKENS: usize = 256;

/// Texts to WordPiece ids.
pub struct MiniLmTokenizer(Tokenizer);

impl MiniLmTokenizer {
    /// Reads the content of a `tokenizer.json`. Its own padding and truncation are not used.
    pub fn from_bytes(tokenizer_json: &[u8]) -> Result<Self, TokenizerError> {
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
        let truncation = TruncationParams {
            max_length: MAX_TOKENS,
            ..Default::default()
        };
        tokenizer.with_truncation(Some(truncation))?;
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }
}

impl Encode for MiniLmTokenizer {
    /// `[CLS]`, at most `MAX_TOKENS - 2` word pieces, `[SEP]`. Not padded.
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let encodings = self.0.encode_batch_fast(texts.to_vec(), true)?;
        Ok(encodings
            .into_iter()
            .map(|encoding| encoding.get_ids().to_vec())
            .collect())
    }
}
