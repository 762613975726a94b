//! CLIP's tokenizer: byte pair encoding over cleaned, lower-cased text.

use instant_clip_tokenizer::{Token, Tokenizer};
use rayon::prelude::*;
use regex::Regex;

use super::{Tokenizer as Encode, TokenizerError, html, repair};

/// Length of every row of ids.
pub const CONTEXT_LENGTH: usize = 77;
/// Number of different ids.
pub const VOCABULARY: usize = 49408;
/// Ids of one text: the start marker, the text, the end marker, zeros.
pub type TokenIds = [u32; CONTEXT_LENGTH];

/// The apostrophe inside of a word; at its end it is another token.
const APOSTROPHE: u16 = 6;

/// Texts to CLIP ids, equal to the official tokenizer with truncation.
pub struct ClipTokenizer {
    bpe: Tokenizer,
    words: Regex,
}

impl Default for ClipTokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl ClipTokenizer {
    /// Builds the merge table; do it once.
    pub fn new() -> Self {
        // U+0345 is a mark whose capital is a letter: regardless of case, the official pattern finds it nowhere.
        let words =
            r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+";
        Self {
            bpe: Tokenizer::new(),
            words: Regex::new(words).expect("the pattern is valid"),
        }
    }

    /// The ids of a text. A long one is cut off and still ends with the end marker.
    pub fn encode(&self, text: &str) -> TokenIds {
        self.encode_within(text)
    }

    /// [`ClipTokenizer::encode`] with rows of another length, which is at least 1.
    pub(super) fn encode_within<const LENGTH: usize>(&self, text: &str) -> [u32; LENGTH] {
        let text = clean(text);
        let mut tokens = vec![self.bpe.start_of_text()];
        for word in self.words.find_iter(&text) {
            self.encode_word(word.as_str(), &mut tokens);
            if tokens.len() >= LENGTH {
                break;
            }
        }
        tokens.truncate(LENGTH - 1);
        tokens.push(self.bpe.end_of_text());
        let mut ids = [0; LENGTH];
        for (id, token) in ids.iter_mut().zip(tokens) {
            *id = token.to_u16().into();
        }
        ids
    }

    fn encode_word(&self, word: &str, tokens: &mut Vec<Token>) {
        match word {
            "<|startoftext|>" => tokens.push(self.bpe.start_of_text()),
            "<|endoftext|>" => tokens.push(self.bpe.end_of_text()),
            // Regardless of case, the long s counts as an s behind an apostrophe. The crate would part the two.
            "'ſ" => {
                tokens.extend(Token::from_u16(APOSTROPHE, &self.bpe));
                self.bpe.encode("ſ", tokens);
            }
            _ => self.bpe.encode(word, tokens),
        }
    }
}

impl Encode for ClipTokenizer {
    fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        Ok(texts.par_iter().map(|text| self.encode(text).to_vec()).collect())
    }
}

/// Repairs, unescapes twice and lower-cases a text; white space becomes single spaces.
pub fn clean(text: &str) -> String {
    let unescaped = html::unescape(&html::unescape(&repair::fix_text(text)));
    unescaped
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}
