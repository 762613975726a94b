//! Measures of how different the instructions of a list are. Words are numbers here; n-grams never reach over an instruction's end.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::report::counts::{self, Counted};
use crate::report::rounded;

/// How different instructions are from each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// Words that n-grams and entropy are measured on.
    pub words: u64,
    /// Instructions that openings and overlap are measured on.
    pub instructions: u64,
    /// Single words, pairs and triples of words in a row: distinct-1 (the type-token ratio), distinct-2, distinct-3.
    pub ngrams: Vec<NGrams>,
    /// The entropy of the words in bits: -Σ p · log2 p over their frequencies.
    pub entropy_bits: f64,
    /// The share of instructions that begin with one of the 10 most frequent openings of three words; 0 without instructions.
    pub top_openings_share: f64,
    /// How much of an instruction stands in the most similar other one, on average: the share of its pairs of words that the other
    /// has too (of its word, if it has but one). Over at most `overlap_instructions`; 0 if there are not two instructions with words.
    pub self_overlap: f64,
}

/// N-grams of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NGrams {
    /// Words of one.
    pub n: u64,
    /// All of them.
    pub total: u64,
    /// Different ones: the vocabulary, for n = 1.
    pub unique: u64,
    /// `unique` / `total`; 0 if there are none.
    pub distinct: f64,
}

/// A word that instructions begin with, and what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The word.
    pub word: String,
    /// Instructions that begin so.
    pub items: u64,
    /// The most frequent next words. What is missing to `items` ends here or goes on with other words.
    pub next: Vec<Opening>,
}

/// How much of the instructions is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) words: u64,
    pub(super) instructions: usize,
}

/// Words of an opening.
const OPENING_WORDS: usize = 3;
/// Openings whose share is told.
const TOP_OPENINGS: usize = 10;
/// Words shown at each depth of the tree of openings.
const TREE_WIDTHS: [usize; OPENING_WORDS] = [12, 6, 4];
/// Stands for the second word of a pair where there is none.
const NO_WORD: u32 = u32::MAX;

/// Instructions as numbers of words.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    vocabulary: Vec<String>,
    instructions: Vec<Vec<u32>>,
}

impl Tokens {
    pub(super) fn new(instructions: impl Iterator<Item = Vec<String>>) -> Self {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut vocabulary = Vec::new();
        let instructions = instructions
            .map(|words| {
                let number = |word: String| {
                    *numbers.entry(word).or_insert_with_key(|word| {
                        vocabulary.push(word.clone());
                        vocabulary.len() as u32 - 1
                    })
                };
                words.into_iter().map(number).collect()
            })
            .collect();
        Self {
            vocabulary,
            instructions,
        }
    }

    pub(super) fn size(&self) -> Size {
        Size {
            words: self.instructions.iter().map(|words| words.len() as u64).sum(),
            instructions: self.instructions.len(),
        }
    }

    /// The diversity of the first words and instructions.
    pub(super) fn diversity(&self, size: Size, overlap_instructions: usize) -> Diversity {
        let lines = self.first_words(size.words);
        let instructions = &self.instructions[..size.instructions.min(self.instructions.len())];
        Diversity {
            words: lines.iter().map(|words| words.len() as u64).sum(),
            instructions: instructions.len() as u64,
            ngrams: vec![ngrams::<1>(&lines), ngrams::<2>(&lines), ngrams::<3>(&lines)],
            entropy_bits: rounded(entropy_bits(&frequencies(&lines))),
            top_openings_share: rounded(top_openings_share(instructions)),
            self_overlap: rounded(self_overlap(
                &instructions[..instructions.len().min(overlap_instructions)],
            )),
        }
    }

    /// The most frequent words.
    pub(super) fn top_words(&self, listed: usize) -> Vec<Counted> {
        let lines: Vec<&[u32]> = self.instructions.iter().map(Vec::as_slice).collect();
        let counted = |(word, items): (u32, u64)| Counted {
            value: self.vocabulary[word as usize].clone(),
            items,
        };
        let mut words: Vec<Counted> = frequencies(&lines).into_iter().map(counted).collect();
        counts::sort(&mut words);
        words.truncate(listed);
        words
    }

    /// The most frequent first words, each with what follows.
    pub(super) fn openings(&self) -> Vec<Opening> {
        let lines: Vec<&[u32]> = self.instructions.iter().map(Vec::as_slice).collect();
        self.branches(&lines, 0)
    }

    fn branches(&self, lines: &[&[u32]], depth: usize) -> Vec<Opening> {
        let Some(&width) = TREE_WIDTHS.get(depth) else {
            return Vec::new();
        };
        let mut by_word: BTreeMap<u32, Vec<&[u32]>> = BTreeMap::new();
        for line in lines {
            if let Some(&word) = line.get(depth) {
                by_word.entry(word).or_default().push(line);
            }
        }
        let word = |number: u32| &self.vocabulary[number as usize];
        let mut branches: Vec<(u32, Vec<&[u32]>)> = by_word.into_iter().collect();
        branches.sort_by(|(a, of_a), (b, of_b)| of_b.len().cmp(&of_a.len()).then_with(|| word(*a).cmp(word(*b))));
        branches.truncate(width);
        branches
            .into_iter()
            .map(|(number, lines)| Opening {
                word: word(number).clone(),
                items: lines.len() as u64,
                next: self.branches(&lines, depth + 1),
            })
            .collect()
    }

    /// As many words as there may be, the last instruction cut off.
    fn first_words(&self, mut words: u64) -> Vec<&[u32]> {
        let mut lines = Vec::new();
        for line in &self.instructions {
            let taken = (line.len() as u64).min(words);
            words -= taken;
            lines.push(&line[..taken as usize]);
            if words == 0 {
                break;
            }
        }
        lines
    }
}

fn frequencies(lines: &[&[u32]]) -> BTreeMap<u32, u64> {
    let mut frequencies = BTreeMap::new();
    for &word in lines.iter().copied().flatten() {
        *frequencies.entry(word).or_default() += 1;
    }
    frequencies
}

fn ngrams<const N: usize>(lines: &[&[u32]]) -> NGrams {
    let mut seen: HashSet<[u32; N]> = HashSet::new();
    let mut total = 0;
    for ngram in lines.iter().flat_map(|line| line.array_windows::<N>()) {
        total += 1;
        seen.insert(*ngram);
    }
    let unique = seen.len() as u64;
    NGrams {
        n: N as u64,
        total,
        unique,
        distinct: rounded(unique as f64 / total.max(1) as f64),
    }
}

fn entropy_bits(frequencies: &BTreeMap<u32, u64>) -> f64 {
    let mut items: Vec<u64> = frequencies.values().copied().collect();
    // Numbers of words follow from the order of instructions; sums must not.
    items.sort_unstable();
    let total: u64 = items.iter().sum();
    let information = |items: u64| {
        let share = items as f64 / total as f64;
        -share * share.log2()
    };
    // A sum of nothing, and of one certain word, would be -0.
    items.into_iter().map(information).sum::<f64>().max(0.0) + 0.0
}

fn top_openings_share(instructions: &[Vec<u32>]) -> f64 {
    let mut openings: BTreeMap<&[u32], u64> = BTreeMap::new();
    for words in instructions.iter().filter(|words| !words.is_empty()) {
        *openings.entry(&words[..words.len().min(OPENING_WORDS)]).or_default() += 1;
    }
    let mut items: Vec<u64> = openings.into_values().collect();
    items.sort_unstable_by(|a, b| b.cmp(a));
    let top: u64 = items.iter().take(TOP_OPENINGS).sum();
    top as f64 / items.iter().sum::<u64>().max(1) as f64
}

/// For each instruction the share of its pairs that its most similar other one has, on average.
fn self_overlap(instructions: &[Vec<u32>]) -> f64 {
    let pairs: Vec<Vec<[u32; 2]>> = instructions
        .iter()
        .filter(|words| !words.is_empty())
        .map(|words| unique_pairs(words))
        .collect();
    if pairs.len() < 2 {
        return 0.0;
    }
    let mut having: HashMap<[u32; 2], Vec<usize>> = HashMap::new();
    for (at, own) in pairs.iter().enumerate() {
        for pair in own {
            having.entry(*pair).or_default().push(at);
        }
    }
    let mut sum = 0.0;
    let mut shared = vec![0_usize; pairs.len()];
    for (at, own) in pairs.iter().enumerate() {
        shared.fill(0);
        for &other in own.iter().flat_map(|pair| &having[pair]) {
            shared[other] += 1;
        }
        shared[at] = 0;
        let best = shared.iter().copied().max().unwrap_or(0);
        sum += best as f64 / own.len() as f64;
    }
    sum / pairs.len() as f64
}

fn unique_pairs(words: &[u32]) -> Vec<[u32; 2]> {
    let mut pairs: Vec<[u32; 2]> = match words {
        &[only] => vec![[only, NO_WORD]],
        _ => words.array_windows().copied().collect(),
    };
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(instructions: &[&str]) -> Tokens {
        let words = |text: &&str| {
            text.split(' ')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Tokens::new(instructions.iter().map(words))
    }

    fn whole(instructions: &[&str]) -> Diversity {
        let tokens = tokens(instructions);
        tokens.diversity(tokens.size(), 1000)
    }

    fn distinct(diversity: &Diversity) -> Vec<(u64, u64)> {
        diversity
            .ngrams
            .iter()
            .map(|ngrams| (ngrams.unique, ngrams.total))
            .collect()
    }

    #[test]
    fn ngrams_do_not_reach_over_instructions() {
        // Pairs: a-b b-a | a-b | none. Triples: a-b-a | none | none.
        let diversity = whole(&["a b a", "a b", "c"]);
        assert_eq!(distinct(&diversity), [(3, 6), (2, 3), (1, 1)]);
        assert_eq!(diversity.ngrams[0].distinct, 0.5);
        assert_eq!(distinct(&whole(&[])), [(0, 0), (0, 0), (0, 0)]);
        assert_eq!(whole(&[]).ngrams[2].distinct, 0.0);
    }

    #[test]
    fn entropy_is_that_of_the_frequencies() {
        // Four equal words have 2 bits; halves and quarters 1.5; one word none.
        assert_eq!(whole(&["a b c d"]).entropy_bits, 2.0);
        assert_eq!(whole(&["a a", "b c"]).entropy_bits, 1.5);
        assert_eq!(whole(&["a a a"]).entropy_bits, 0.0);
    }

    #[test]
    fn a_size_cuts_words_and_instructions() {
        let tokens = tokens(&["a b c", "d e f", "g"]);
        let size = Size {
            words: 4,
            instructions: 1,
        };
        let diversity = tokens.diversity(size, 1000);
        assert_eq!((diversity.words, diversity.instructions), (4, 1));
        assert_eq!(distinct(&diversity), [(4, 4), (2, 2), (1, 1)]);
        assert_eq!(
            tokens
                .diversity(
                    Size {
                        words: 0,
                        instructions: 0
                    },
                    1000
                )
                .words,
            0
        );
        assert_eq!(
            tokens
                .diversity(
                    Size {
                        words: 99,
                        instructions: 99
                    },
                    1000
                )
                .instructions,
            3
        );
    }

    #[test]
    fn openings_are_three_words_and_a_tree() {
        let list = ["show it in red", "show it in blue", "show me", "the same", ""];
        let show = tokens(&list).openings();
        let branch = |opening: &Opening| (opening.word.clone(), opening.items, opening.next.len());
        assert_eq!(
            show.iter().map(branch).collect::<Vec<_>>(),
            [("show".to_owned(), 3, 2), ("the".to_owned(), 1, 1)]
        );
        let it = &show[0].next[0];
        assert_eq!(
            (branch(it), branch(&it.next[0])),
            (("it".to_owned(), 2, 1), ("in".to_owned(), 2, 0))
        );
        // 12 openings: 3 of "a b c", 1 each of eleven others; the top ten are 3 + 9 of 14.
        let mut many = vec!["a b c x", "a b c y", "a b c"];
        let others: Vec<String> = (0..11).map(|n| format!("w{n} b c")).collect();
        many.extend(others.iter().map(String::as_str));
        assert_eq!(whole(&many).top_openings_share, 0.857143);
        assert_eq!(whole(&[""]).top_openings_share, 0.0);
    }

    #[test]
    fn overlap_is_with_the_most_similar_other() {
        // a-b b-c c-d against a-b b-c c-x: two of three both ways; the third shares nothing.
        assert_eq!(whole(&["a b c d", "a b c x", "q r"]).self_overlap, 0.444444);
        assert_eq!(whole(&["a b", "a b"]).self_overlap, 1.0);
        // One of one pair here, one of two pairs there.
        assert_eq!(whole(&["a b", "a b c"]).self_overlap, 0.75);
        // A word alone is not a pair that begins with it.
        assert_eq!(whole(&["a", "a b"]).self_overlap, 0.0);
        assert_eq!(whole(&["a", "a", "", "..."]).self_overlap, 0.666667);
        assert_eq!(whole(&["a b"]).self_overlap, 0.0);
        let tokens = tokens(&["a b", "c d", "a b"]);
        assert_eq!(tokens.diversity(tokens.size(), 2).self_overlap, 0.0);
    }

    #[test]
    fn frequent_words_come_first() {
        let words: Vec<(String, u64)> = tokens(&["b a b", "a c", "d"])
            .top_words(3)
            .into_iter()
            .map(|word| (word.value, word.items))
            .collect();
        assert_eq!(words, [("a".to_owned(), 2), ("b".to_owned(), 2), ("c".to_owned(), 1)]);
    }
}
