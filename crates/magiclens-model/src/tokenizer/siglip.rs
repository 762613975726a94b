//! The tokenizers of SigLIP (a unigram model over cleaned text) and SigLIP2 (Gemma's byte pair encoding), from their
//! `tokenizer.json`.
//!
//! Source: transformers `models/siglip/tokenization_siglip.py`, `models/siglip2/tokenization_siglip2.py`; big_vision
//! `evaluators/proj/image_text/prompt_engineering.py`, `canonicalize`.

use tokenizers::models::ModelWrapper;
use tokenizers::{PaddingParams, PaddingStrategy, Tokenizer, TruncationParams};

use super::{Tokenizer as Encode, TokenizerError};

/// The cleaning of a text in front of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cleaning {
    /// SigLIP: lower case, no ASCII punctuation, single spaces.
    Canonical,
    /// SigLIP2: lower case.
    LowerCase,
}

impl Cleaning {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Canonical => canonical(text),
            // Letter by letter, as the `Lowercase` of the library does.
            Self::LowerCase => text.chars().flat_map(char::to_lowercase).collect(),
        }
    }

    /// The token that fills a text up.
    fn padding(self) -> &'static str {
        match self {
            Self::Canonical => "</s>",
            Self::LowerCase => "<pad>",
        }
    }
}

/// Texts to rows of ids of one length.
pub struct SiglipTokenizer {
    tokenizer: Tokenizer,
    cleaning: Cleaning,
}

impl SiglipTokenizer {
    /// Reads the content of a `tokenizer.json`: a unigram model is SigLIP's, any other SigLIP2's. Its own padding and
    /// truncation are not used. Ids must be below `vocabulary`.
    ///
    /// # Errors
    /// A file of another kind, without the padding token, or with more tokens than the model knows.
    pub fn from_bytes(tokenizer_json: &[u8], context_length: usize, vocabulary: usize) -> Result<Self, TokenizerError> {
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
        let cleaning = match tokenizer.get_model() {
            ModelWrapper::Unigram(_) => Cleaning::Canonical,
            _ => Cleaning::LowerCase,
        };
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= vocabulary {
            return Err(TokenizerError::TooLarge { largest, vocabulary });
        }
        let pad_token = cleaning.padding().to_owned();
        let pad_id = tokenizer
            .token_to_id(&pad_token)
            .ok_or_else(|| TokenizerError::NoToken(pad_token.clone()))?;
        tokenizer.with_truncation(Some(TruncationParams {
            max_length: context_length,
            ..Default::default()
        }))?;
        tokenizer.with_padding(Some(PaddingParams {
            strategy: PaddingStrategy::Fixed(context_length),
            pad_id,
            pad_token,
            ..Default::default()
        }));
        Ok(Self { tokenizer, cleaning })
    }
}

impl Encode for SiglipTokenizer {
    /// The text, the end marker, padding on the right; a long text is cut off and still ends with the end marker.
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let texts: Vec<String> = texts.iter().map(|text| self.cleaning.apply(text)).collect();
        let encodings = self.tokenizer.encode_batch_fast(texts, true)?;
        Ok(encodings
            .into_iter()
            .map(|encoding| encoding.get_ids().to_vec())
            .collect())
    }
}

/// Lower case, without ASCII punctuation, white space as single spaces.
fn canonical(text: &str) -> String {
    // Python counts the four separators of ASCII as white space, too.
    let is_space = |c: char| c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c);
    let text = text.replace('\u{2581}', " ").to_lowercase();
    let text: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_has_neither_capitals_nor_punctuation() {
        for (text, expected) in [
            ("", ""),
            ("  A Photo,\tof a FOX!\n", "a photo of a fox"),
            ("don't; re-do_it", "dont redoit"),
            ("!?", ""),
            ("\u{2581}a\u{1D}b", "a b"),
            ("ΟΔΟΣ «x»", "οδος «x»"),
        ] {
            assert_eq!(canonical(text), expected, "{text:?}");
        }
    }
}
