//! Quality gates for instructions of templates and language models: an instruction must be words, agree with the metadata, need the
//! query image, and not give the target's caption away.

mod claims;
mod form;

use std::collections::{BTreeMap, BTreeSet};

use magiclens_data::ImageId;
use serde::{Deserialize, Serialize};

use crate::english::ENGLISH;
use crate::page::{ImagePair, Instruction, Metadata};
use crate::words::{content_words, is_stop_word, overlap, share_in, words};
pub(crate) use form::names_image;
use magiclens_web::DropReason;

/// Hardly any words.
pub const TOO_SHORT: DropReason = DropReason("instruction too short");
/// Too many words or characters.
pub const TOO_LONG: DropReason = DropReason("instruction too long");
/// Code, an address, a file name, or signs.
pub const NOT_WORDS: DropReason = DropReason("instruction is not words");
/// A language that is not wanted.
pub const WRONG_LANGUAGE: DropReason = DropReason("instruction in another language");
/// A blocked word.
pub const BLOCKED_WORD: DropReason = DropReason("instruction has a blocked word");
/// "Image 1", "the target image": nobody who searches would say so.
pub const NAMES_IMAGES: DropReason = DropReason("instruction names the images");
/// Talk about the task: "Sure, here is", "the caption says".
pub const TALKS_ABOUT_TASK: DropReason = DropReason("instruction talks about the task");
/// Most of the target's caption.
pub const LEAKS_CAPTION: DropReason = DropReason("instruction leaks the caption");
/// A description of the target without any regard to the query image.
pub const NEEDS_NO_QUERY: DropReason = DropReason("instruction does not need the query image");
/// A contradiction to the metadata of the images.
pub const CONTRADICTS: DropReason = DropReason("instruction contradicts the metadata");
/// Nearly an earlier wording of the same pair.
pub const NEAR_COPY: DropReason = DropReason("instruction repeats another wording");
/// The words of an instruction from the same query image to another target.
pub const AMBIGUOUS: DropReason = DropReason("instruction leads to two targets");
/// The words of instructions for several other pairs of the page.
pub const REPEATED: DropReason = DropReason("instruction repeated on the page");

/// The thresholds of the gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Fewest words. 2: "at night" says what is wanted; single words ("Paris") are labels.
    pub min_words: usize,
    /// Most words. 40: more than twice the longest of the usual benchmarks' averages; CLIP reads 77 tokens.
    pub max_words: usize,
    /// Most characters. 300: 40 long words.
    pub max_chars: usize,
    /// Fewest letters among the characters that are not spaces, as a share. 0.4: "from 1890 to 1930" has 6 of 14.
    pub min_letter_share: f64,
    /// Captions with fewer telling words are names ("the Bloom dialog"): an instruction may have to say them.
    pub min_leak_words: usize,
    /// The share of a caption's telling words that is a leak: with four of five, the caption can be found by its text alone.
    pub max_caption_share: f64,
    /// Without a word that refers back, an instruction that says this share of a description stands for it.
    pub max_description_share: f64,
    /// Without a word that refers back, this many telling words are a description of their own.
    pub max_standalone_words: usize,
    /// Words in common, of all words of both, from which two wordings of a pair are the same. 0.8: one word of five may differ.
    pub max_wording_overlap: f64,
    /// Pairs of a page that may have the same instruction. 4: "the next step" is right for many, but teaches little each time.
    pub max_repeats_a_page: usize,
    /// Languages that may be used, as ISO 639-3 codes ("eng"); empty: any.
    pub languages: Vec<String>,
    /// Shorter instructions are not asked for their language. 40: below, trigrams guess wrong too often.
    pub min_language_chars: usize,
    /// Words that no instruction may have, in lower case: slurs and obscenities, which web pages have and nobody should be taught.
    pub blocked_words: Vec<String>,
}

impl Default for GateConfig {
    fn default() -> Self {
        let blocked = [
            "bitch", "cunt", "faggot", "fuck", "fucked", "fucking", "nigger", "porn", "porno", "retard", "slut",
            "tranny", "whore",
        ];
        Self {
            min_words: 2,
            max_words: 40,
            max_chars: 300,
            min_letter_share: 0.4,
            min_leak_words: 5,
            max_caption_share: 0.75,
            max_description_share: 0.6,
            max_standalone_words: 4,
            max_wording_overlap: 0.8,
            max_repeats_a_page: 4,
            languages: Vec::new(),
            min_language_chars: 40,
            blocked_words: blocked.map(str::to_owned).into(),
        }
    }
}

/// Decides whether an instruction is good enough for its pair.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    config: GateConfig,
}

/// The pairs of a page by the words of their instructions, for [`Gate::check_page`].
#[derive(Clone, Debug, Default)]
pub struct PageInstructions(BTreeMap<String, Vec<(ImageId, ImageId)>>);

impl Gate {
    /// A gate with these thresholds.
    pub fn new(config: GateConfig) -> Self {
        Self { config }
    }

    /// Checks an instruction by itself, against its pair, and against the wordings of the same pair that were kept before it.
    ///
    /// # Errors
    /// The first reason to drop it.
    pub fn check(
        &self,
        pair: &ImagePair,
        instruction: &Instruction,
        earlier: &[Instruction],
    ) -> Result<(), DropReason> {
        let text = instruction.text.trim();
        let (query, target) = (&pair.query.metadata, &pair.target.metadata);
        form::check(text, &self.config)?;
        let telling = content_words(text);
        if self.leaks(&telling, target) {
            Err(LEAKS_CAPTION)
        } else if self.stands_alone(text, &telling, target) {
            Err(NEEDS_NO_QUERY)
        } else if claims::contradicts(text, query, target) {
            Err(CONTRADICTS)
        } else if earlier.iter().any(|other| self.is_near_copy(text, &other.text)) {
            Err(NEAR_COPY)
        } else {
            Ok(())
        }
    }

    /// Checks an instruction against those of other pairs of the same page, and notes it if it is good. Pairs must come in a fixed
    /// order: the first with an instruction keeps it.
    ///
    /// # Errors
    /// The reason to drop it.
    pub fn check_page(
        &self,
        pair: &ImagePair,
        instruction: &Instruction,
        page: &mut PageInstructions,
    ) -> Result<(), DropReason> {
        let (query, target) = (pair.query.image, pair.target.image);
        let pairs = page.0.entry(words(&instruction.text).join(" ")).or_default();
        let leads_elsewhere = |&(other_query, other_target): &_| other_query == query && other_target != target;
        if pairs.iter().any(leads_elsewhere) {
            return Err(AMBIGUOUS);
        }
        if !pairs.contains(&(query, target)) {
            if self.config.max_repeats_a_page <= pairs.len() {
                return Err(REPEATED);
            }
            pairs.push((query, target));
        }
        Ok(())
    }

    /// Most of a target's description of some length.
    fn leaks(&self, telling: &BTreeSet<String>, target: &Metadata) -> bool {
        target.sentences().map(content_words).any(|caption| {
            self.config.min_leak_words <= caption.len() && self.config.max_caption_share <= share_in(&caption, telling)
        })
    }

    /// No word refers to the query image, and the rest describes the target.
    fn stands_alone(&self, text: &str, telling: &BTreeSet<String>, target: &Metadata) -> bool {
        let tells = |caption: &str| self.config.max_description_share <= share_in(&content_words(caption), telling);
        !refers_back(text, self.config.max_standalone_words)
            && (self.config.max_standalone_words <= telling.len() || target.sentences().any(tells))
    }

    fn is_near_copy(&self, text: &str, other: &str) -> bool {
        let all = |text: &str| words(text).into_iter().collect::<BTreeSet<String>>();
        self.config.max_wording_overlap <= overlap(&all(text), &all(other))
    }
}

/// The instruction refers to the query image: by a word, by changing it, or by leaving its own first half out.
fn refers_back(text: &str, max_ellipsis_words: usize) -> bool {
    let lists = &ENGLISH.gate;
    let words = words(text);
    let first = words.first().map_or("", String::as_str);
    // "the blue one", but not "one blue car".
    let is_one = |at: usize| words[at] == "one" && words.get(at + 1).is_none_or(|next| is_stop_word(next));
    // "from winter to summer" names both ends.
    let is_way = first == "from" && words.iter().any(|word| word == "to");
    let telling = words.iter().filter(|word| !is_stop_word(word)).count();
    words.iter().any(|word| lists.references.has(word))
        || is_way
        || (0..words.len()).any(is_one)
        || lists.changes.has(first)
        || (lists.ellipses.has(first) && telling < max_ellipsis_words)
}

#[cfg(test)]
mod tests;
