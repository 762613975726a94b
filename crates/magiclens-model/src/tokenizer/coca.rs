//! CoCa's tokenizer: CLIP's, with one id less a text, whose place the class token takes.
//! Source: open_clip `model_configs/coca_ViT-B-32.json`, `context_length`.

use rayon::prelude::*;

use super::clip::{self, ClipTokenizer};
use super::{Tokenizer, TokenizerError};

/// Length of every row of ids.
pub const CONTEXT_LENGTH: usize = clip::CONTEXT_LENGTH - 1;

/// Texts to CLIP ids in rows of [`CONTEXT_LENGTH`].
#[derive(Default)]
pub struct CocaTokenizer(ClipTokenizer);

impl CocaTokenizer {
    /// Builds the merge table; do it once.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ids of a text. A long one is cut off and still ends with the end marker.
    pub fn encode(&self, text: &str) -> [u32; CONTEXT_LENGTH] {
        self.0.encode_within(text)
    }
}

impl Tokenizer for CocaTokenizer {
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        Ok(texts.par_iter().map(|text| self.encode(text).to_vec()).collect())
    }
}
