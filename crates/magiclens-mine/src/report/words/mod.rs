//! How instructions are worded, by what wrote them: the paper compares instructions of templates with those of a language model by
//! their length and diversity. Instructions come one by one and in any order; memory is bounded, and what that costs is said.
//!
//! | file | matter |
//! |---|---|
//! | `tokens.rs` | the words of an instruction |
//! | `diversity.rs` | distinct n-grams, entropy, openings, overlap: functions of a list of instructions |

mod diversity;
mod tokens;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::Counted;
use super::reservoir::{Distinct, Reservoir, key};
use super::rounded;
pub use diversity::{Diversity, NGrams, Opening};
use diversity::{Size, Tokens};

/// What is measured about the wording of instructions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// By what wrote them, in the order of their names. All templates are one: "template".
    pub generators: Vec<GeneratorWords>,
    /// The size at which `compared` is measured; none if no generator has enough words.
    pub compared_size: Option<ComparedSize>,
    /// Instructions of generators beyond the first 32 by name, which are not measured.
    pub left_out: u64,
}

/// A size that all compared generators have: diversity depends on how much is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedSize {
    /// Words, for what counts words and n-grams.
    pub words: u64,
    /// Instructions, for openings and overlap.
    pub instructions: u64,
}

/// The wording of one generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorWords {
    /// "template", or `model:NAME`.
    pub generator: String,
    /// Its instructions.
    pub instructions: u64,
    /// How many of them differ, letter by letter.
    pub distinct: Distinct,
    /// `distinct` / `instructions`.
    pub distinct_share: f64,
    /// Their lengths in words.
    pub length: Lengths,
    /// Instructions that all of the following is measured on: all, or a random part of `max_instructions`.
    pub measured: u64,
    /// Their diversity.
    pub whole: Diversity,
    /// The diversity of as much of them as all compared generators have; none if it has fewer words than `min_compared_words`.
    pub compared: Option<Diversity>,
    /// The most frequent words.
    pub top_words: Vec<Counted>,
    /// The most frequent beginnings, as a tree of first, second and third words.
    pub openings: Vec<Opening>,
}

/// Lengths in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// All words.
    pub words: u64,
    /// Words of an instruction on average.
    pub mean: f64,
    /// Half of them have at most as many; the mean of the middle two.
    pub median: f64,
    /// Words of the longest.
    pub longest: u64,
    /// Instructions by number of words, from 0; those of 60 and more stand in the last.
    pub histogram: Vec<u64>,
}

/// The limits of what is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct WordLimits {
    pub(super) seed: u64,
    pub(super) max_instructions: usize,
    pub(super) max_remembered: usize,
    pub(super) compared_words: u64,
    pub(super) min_compared_words: u64,
    pub(super) overlap_instructions: usize,
    pub(super) listed: usize,
}

/// Generators that are told apart.
const MAX_GENERATORS: usize = 32;
/// Lengths that are told apart: an instruction has some ten words.
const MAX_LENGTH: usize = 60;
/// Bytes of an instruction that are looked at, at least; the gates of the pipeline refuse far shorter ones.
const MAX_BYTES: usize = 2000;

/// Takes instructions in, one by one.
#[derive(Debug)]
pub(super) struct WordCollector {
    limits: WordLimits,
    generators: BTreeMap<String, Collected>,
    seen: u64,
}

/// What is remembered of a generator.
#[derive(Debug)]
struct Collected {
    instructions: u64,
    words: u64,
    longest: u64,
    lengths: Vec<u64>,
    texts: Reservoir<()>,
    sample: Reservoir<Box<str>>,
}

/// The name under which a generator is measured: templates are one voice, each model is its own.
fn voice(generator: &str) -> &str {
    if generator.starts_with("template:") {
        "template"
    } else {
        generator
    }
}

impl WordCollector {
    pub(super) fn new(limits: WordLimits) -> Self {
        Self {
            limits,
            generators: BTreeMap::new(),
            seen: 0,
        }
    }

    /// Takes one in. `row` tells the triplet from all others: repeated wordings are drawn as often as they occur.
    pub(super) fn add(&mut self, generator: &str, row: u128, instruction: &str) {
        self.seen += 1;
        let voice = voice(generator);
        if !self.generators.contains_key(voice) {
            self.generators.insert(voice.to_owned(), Collected::new(&self.limits));
            // The last by name goes, so that the order of instructions does not matter.
            if MAX_GENERATORS < self.generators.len() {
                self.generators.pop_last();
            }
        }
        let Some(collected) = self.generators.get_mut(voice) else {
            return;
        };
        let start = instruction
            .get(..instruction.floor_char_boundary(MAX_BYTES))
            .unwrap_or(instruction);
        let words = tokens::words(start).len();
        collected.instructions += 1;
        collected.words += words as u64;
        collected.longest = collected.longest.max(words as u64);
        collected.lengths[words.min(MAX_LENGTH)] += 1;
        collected.texts.offer(key(0, &[instruction.as_bytes()]), || ());
        let drawn = key(self.limits.seed, &[&row.to_be_bytes()]);
        collected.sample.offer(drawn, || start.into());
    }

    pub(super) fn finish(self) -> Words {
        let limits = self.limits;
        let measured: u64 = self.generators.values().map(|collected| collected.instructions).sum();
        let left_out = self.seen - measured;
        // Words are many and texts are short: one generator after the other, so that only one is in memory as words.
        let sizes: Vec<Size> = self
            .generators
            .values()
            .map(|collected| collected.tokens().size())
            .collect();
        let compared = compared_size(&sizes, &limits);
        let generators = self
            .generators
            .into_iter()
            .map(|(name, collected)| collected.measure(name, compared, &limits))
            .collect();
        Words {
            generators,
            compared_size: compared.map(|size| ComparedSize {
                words: size.words,
                instructions: size.instructions as u64,
            }),
            left_out,
        }
    }
}

/// What all generators have that have enough words.
fn compared_size(sizes: &[Size], limits: &WordLimits) -> Option<Size> {
    let enough = |size: &&Size| is_enough(size, limits);
    let words = sizes.iter().filter(enough).map(|size| size.words).min()?;
    let instructions = sizes.iter().filter(enough).map(|size| size.instructions).min()?;
    Some(Size {
        words: words.min(limits.compared_words),
        instructions: instructions.min(limits.overlap_instructions),
    })
}

fn is_enough(size: &Size, limits: &WordLimits) -> bool {
    limits.min_compared_words.max(1) <= size.words
}

impl Collected {
    fn new(limits: &WordLimits) -> Self {
        Self {
            instructions: 0,
            words: 0,
            longest: 0,
            lengths: vec![0; MAX_LENGTH + 1],
            texts: Reservoir::new(limits.max_remembered),
            sample: Reservoir::new(limits.max_instructions),
        }
    }

    fn tokens(&self) -> Tokens {
        Tokens::new(self.sample.iter().flat_map(|(text, times)| {
            let words = tokens::words(text);
            (0..times).map(move |_| words.clone())
        }))
    }

    fn measure(self, generator: String, compared: Option<Size>, limits: &WordLimits) -> GeneratorWords {
        let tokens = self.tokens();
        let size = tokens.size();
        let distinct = self.texts.distinct();
        let compared = compared.filter(|_| is_enough(&size, limits));
        GeneratorWords {
            generator,
            instructions: self.instructions,
            distinct,
            distinct_share: rounded((distinct.items as f64 / self.instructions.max(1) as f64).min(1.0)),
            length: self.length(),
            measured: size.instructions as u64,
            whole: tokens.diversity(size, limits.overlap_instructions),
            compared: compared.map(|size| tokens.diversity(size, limits.overlap_instructions)),
            top_words: tokens.top_words(limits.listed),
            openings: tokens.openings(),
        }
    }

    fn length(&self) -> Lengths {
        Lengths {
            words: self.words,
            mean: rounded(self.words as f64 / self.instructions.max(1) as f64),
            median: median(&self.lengths),
            longest: self.longest,
            histogram: self.lengths.clone(),
        }
    }
}

/// The median of numbers that occur as often as this says; the mean of the middle two. Zero if there are none.
fn median(histogram: &[u64]) -> f64 {
    let total: u64 = histogram.iter().sum();
    let nth = |rank: u64| {
        let mut below = 0;
        let found = histogram.iter().position(|&items| {
            below += items;
            rank < below
        });
        found.unwrap_or(0) as f64
    };
    f64::midpoint(nth(total.saturating_sub(1) / 2), nth(total / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WordLimits = WordLimits {
        seed: 1,
        max_instructions: 100,
        max_remembered: 100,
        compared_words: 1000,
        min_compared_words: 4,
        overlap_instructions: 100,
        listed: 10,
    };

    fn collect(limits: WordLimits, rows: &[(&str, &str)]) -> Words {
        let mut collector = WordCollector::new(limits);
        for (row, (generator, text)) in rows.iter().enumerate() {
            // Rows are told apart by their number in the sorted list, so that a test can turn the list around.
            let mut sorted: Vec<_> = (0..rows.len()).collect();
            sorted.sort_by_key(|&at| rows[at]);
            let number = sorted.iter().position(|&at| at == row).unwrap();
            collector.add(generator, number as u128, text);
        }
        collector.finish()
    }

    #[test]
    fn templates_are_one_voice_and_models_their_own() {
        let words = collect(
            LIMITS,
            &[
                ("template:a/1", "show it in red"),
                ("template:b/2", "show it in red"),
                ("model:m", "the same tower, but at night"),
                ("model:n", "closer"),
            ],
        );
        let names: Vec<&str> = words.generators.iter().map(|g| g.generator.as_str()).collect();
        assert_eq!(names, ["model:m", "model:n", "template"]);
        let template = &words.generators[2];
        assert_eq!(
            (template.instructions, template.distinct.items, template.distinct_share),
            (2, 1, 0.5)
        );
        assert_eq!(
            (template.length.words, template.length.mean, template.length.median),
            (8, 4.0, 4.0)
        );
        // The model with one word is not compared; the others are at the 6 words and 1 instruction that both have.
        assert_eq!(
            words.compared_size,
            Some(ComparedSize {
                words: 6,
                instructions: 1
            })
        );
        assert_eq!(words.generators[1].compared, None);
        let compared = template.compared.as_ref().unwrap();
        assert_eq!((compared.words, compared.instructions), (6, 1));
        // "show it in red show it": four of six differ.
        assert_eq!((compared.ngrams[0].total, compared.ngrams[0].unique), (6, 4));
        assert_eq!(words.left_out, 0);
    }

    #[test]
    fn lengths_are_counted_by_hand() {
        let words = collect(
            LIMITS,
            &[
                ("x", "a b c"),
                ("x", "a"),
                ("x", "!"),
                ("x", "a b"),
                ("x", &"w ".repeat(70)),
            ],
        );
        let length = &words.generators[0].length;
        assert_eq!((length.words, length.median, length.longest), (76, 2.0, 70));
        assert_eq!(length.mean, 76.0 / 5.0);
        assert_eq!(
            (length.histogram.len(), &length.histogram[..4], length.histogram[60]),
            (61, &[1, 1, 1, 1][..], 1)
        );
        assert_eq!(median(&[0, 1, 0, 1]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn order_does_not_matter_and_memory_is_bounded() {
        let texts: Vec<String> = (0..300).map(|n| format!("word{} and word{}", n % 7, n % 11)).collect();
        let names: Vec<String> = (0..300).map(|n| format!("model:{:02}", n % 40)).collect();
        let mut rows: Vec<(&str, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(texts.iter().map(String::as_str))
            .collect();
        let limits = WordLimits {
            max_instructions: 5,
            max_remembered: 3,
            ..LIMITS
        };
        let forward = collect(limits, &rows);
        rows.reverse();
        assert_eq!(forward, collect(limits, &rows));
        assert_eq!(forward.generators.len(), 32);
        // 300 rows over 40 names: 20 of 8, then 20 of 7; the last 8 names are left out.
        assert_eq!(forward.left_out, 8 * 7);
        let first = &forward.generators[0];
        assert_eq!(
            (first.instructions, first.measured, first.distinct.exact),
            (8, 5, false)
        );
    }

    #[test]
    fn nothing_is_measured_of_nothing() {
        assert_eq!(collect(LIMITS, &[]), Words::default());
        let words = collect(LIMITS, &[("x", "")]);
        assert_eq!(words.compared_size, None);
        assert_eq!(words.generators[0].whole.entropy_bits, 0.0);
        let long = "é ".repeat(1_000_000);
        assert!(collect(LIMITS, &[("x", &long)]).generators[0].length.words <= 1000);
    }
}
