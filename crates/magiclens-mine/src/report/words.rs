//! Wording of instructions by generator: the paper compares instructions of templates with those of a language model by their
//! length and diversity. N-grams never reach over an instruction's end.

use std::collections::{BTreeMap, HashSet};

use magiclens_data::Digest;
use serde::{Deserialize, Serialize};

use super::counts::{Counted, Counter, Draw, rounded, share};
use crate::words::words;

/// Wording of the instructions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Words {
    /// In the order of their names. All templates are one: "template".
    pub(super) generators: Vec<GeneratorWords>,
    /// Words at which `compared` is measured, since diversity depends on the size; none if no generator has enough.
    pub(super) compared_size: Option<u64>,
}

/// The wording of one generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GeneratorWords {
    /// "template", or `model:NAME`.
    pub(super) generator: String,
    pub(super) instructions: u64,
    /// Different ones.
    pub(super) distinct: u64,
    pub(super) distinct_share: f64,
    pub(super) length: Lengths,
    /// Instructions that all of the following is measured on: all, or [`MAX_INSTRUCTIONS`] at random.
    pub(super) measured: u64,
    pub(super) whole: Diversity,
    /// The diversity of the first `compared_size` words; none if it has fewer than [`MIN_COMPARED_WORDS`].
    pub(super) compared: Option<Diversity>,
    pub(super) top_words: Vec<Counted>,
    /// The most frequent openings of three words.
    pub(super) openings: Vec<Counted>,
}

/// Lengths in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lengths {
    pub(super) words: u64,
    pub(super) mean: f64,
    /// Half of them have at most as many; the mean of the middle two.
    pub(super) median: f64,
    pub(super) longest: u64,
    /// Instructions by number of words, from 0; those of 60 and more stand in the last.
    pub(super) histogram: Vec<u64>,
}

/// Diversity of instructions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Diversity {
    /// Words that it is measured on.
    pub(super) words: u64,
    /// Single words, pairs and triples of words in a row: distinct-1 (the type-token ratio), distinct-2, distinct-3.
    pub(super) ngrams: Vec<NGrams>,
    /// The entropy of the words in bits: -Σ p · log2 p over their frequencies.
    pub(super) entropy_bits: f64,
}

/// N-grams of one length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NGrams {
    pub(super) n: u64,
    pub(super) total: u64,
    /// Different ones: the vocabulary, for n = 1.
    pub(super) unique: u64,
    pub(super) distinct: f64,
}

/// Lengths that are told apart: an instruction has some ten words.
const MAX_LENGTH: usize = 60;
/// Words of an opening.
const OPENING_WORDS: usize = 3;
/// Instructions of each generator that diversity is measured on; of more, so many are drawn. The shares are then known to a third
/// of a percent.
const MAX_INSTRUCTIONS: usize = 100_000;
/// Words at which generators are compared at most: type-token ratios depend on the size, so it is the same for all.
const COMPARED_WORDS: u64 = 10_000;
/// Generators with fewer words are not compared, lest they make the size too small.
pub(super) const MIN_COMPARED_WORDS: u64 = 200;

type Line = Vec<String>;

/// Collects instructions one by one and in any order.
#[derive(Debug, Default)]
pub(super) struct WordCollector(BTreeMap<String, Collected>);

#[derive(Debug)]
struct Collected {
    words: u64,
    longest: u64,
    histogram: Vec<u64>,
    texts: HashSet<String>,
    drawn: Draw<String>,
}

impl WordCollector {
    /// Adds an instruction. `key` is that of its triplet: repeated wordings are drawn as often as they occur.
    pub(super) fn add(&mut self, generator: &str, key: Digest, instruction: &str) {
        // Templates are one generator, each model is its own.
        let is_template = generator.starts_with("template:");
        let name = if is_template { "template" } else { generator };
        let collected = self.0.entry(name.to_owned()).or_insert_with(Collected::new);
        collected.add(key, instruction);
    }

    pub(super) fn finish(self) -> Words {
        let lines = |collected: &Collected| -> Vec<Line> { collected.drawn.items().map(|text| words(text)).collect() };
        let lines: Vec<Vec<Line>> = self.0.values().map(lines).collect();
        let enough = lines.iter().map(|lines| size(lines)).filter(|size| is_enough(*size));
        let compared_size = enough.min().map(|words| words.min(COMPARED_WORDS));
        let measure = |((name, collected), lines): ((String, Collected), Vec<Line>)| {
            collected.measure(name, &lines, compared_size)
        };
        Words {
            generators: self.0.into_iter().zip(lines).map(measure).collect(),
            compared_size,
        }
    }
}

impl Collected {
    fn new() -> Self {
        Self {
            words: 0,
            longest: 0,
            histogram: vec![0; MAX_LENGTH + 1],
            texts: HashSet::new(),
            drawn: Draw::new(MAX_INSTRUCTIONS),
        }
    }

    fn add(&mut self, key: Digest, instruction: &str) {
        let length = words(instruction).len();
        self.words += length as u64;
        self.longest = self.longest.max(length as u64);
        self.histogram[length.min(MAX_LENGTH)] += 1;
        self.texts.insert(instruction.to_owned());
        self.drawn.offer(key, || instruction.to_owned());
    }

    fn measure(self, generator: String, lines: &[Line], compared_size: Option<u64>) -> GeneratorWords {
        let words = size(lines);
        let instructions = self.histogram.iter().sum();
        let distinct = self.texts.len() as u64;
        let (mut top_words, mut openings) = (Counter::default(), Counter::default());
        for line in lines.iter().filter(|line| !line.is_empty()) {
            line.iter().for_each(|word| top_words.add(word));
            openings.add(&line[..line.len().min(OPENING_WORDS)].join(" "));
        }
        let compared_size = compared_size.filter(|_| is_enough(words));
        GeneratorWords {
            generator,
            instructions,
            distinct,
            distinct_share: share(distinct, instructions),
            length: Lengths {
                words: self.words,
                mean: rounded(self.words as f64 / instructions.max(1) as f64),
                median: median(&self.histogram),
                longest: self.longest,
                histogram: self.histogram,
            },
            measured: lines.len() as u64,
            whole: Diversity::of(lines, words),
            compared: compared_size.map(|words| Diversity::of(lines, words)),
            top_words: top_words.finish().values,
            openings: openings.finish().values,
        }
    }
}

fn size(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.len() as u64).sum()
}

fn is_enough(words: u64) -> bool {
    MIN_COMPARED_WORDS <= words
}

/// The median of numbers by their counts; the mean of the middle two. Zero if there are none.
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

impl Diversity {
    /// The diversity of the first words; the last instruction is cut off there.
    fn of(lines: &[Line], words: u64) -> Self {
        let mut left = words as usize;
        let cut = |line: &'_ Line| {
            let taken = line.len().min(left);
            left -= taken;
            taken
        };
        let lengths: Vec<usize> = lines.iter().map(cut).collect();
        let lines = lines.iter().zip(lengths).map(|(line, length)| &line[..length]);
        let lines: Vec<&[String]> = lines.collect();
        Self {
            words,
            ngrams: [1, 2, 3].map(|n| ngrams(&lines, n)).into(),
            entropy_bits: rounded(entropy_bits(&lines)),
        }
    }
}

fn ngrams(lines: &[&[String]], n: usize) -> NGrams {
    let all = || lines.iter().flat_map(|line| line.windows(n));
    let (total, unique) = (all().count() as u64, all().collect::<HashSet<_>>().len() as u64);
    NGrams {
        n: n as u64,
        total,
        unique,
        distinct: share(unique, total),
    }
}

fn entropy_bits(lines: &[&[String]]) -> f64 {
    let mut frequencies: BTreeMap<&str, u64> = BTreeMap::new();
    for word in lines.iter().copied().flatten() {
        *frequencies.entry(word).or_default() += 1;
    }
    let total: u64 = frequencies.values().sum();
    let information = |&items: &u64| {
        let share = items as f64 / total as f64;
        -share * share.log2()
    };
    // A sum of nothing, and of one certain word, would be -0.
    frequencies.values().map(information).sum::<f64>().max(0.0) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(rows: &[(&str, &str)]) -> Words {
        let mut collector = WordCollector::default();
        for (row, (generator, text)) in (0_u64..).zip(rows) {
            let key = super::super::counts::draw_key(row, &[text.as_bytes()]);
            collector.add(generator, key, text);
        }
        collector.finish()
    }

    fn diversity(texts: &[&str], most: u64) -> Diversity {
        let lines: Vec<Line> = texts.iter().map(|text| words(text)).collect();
        Diversity::of(&lines, size(&lines).min(most))
    }

    fn unique_and_total(diversity: &Diversity) -> Vec<(u64, u64)> {
        diversity.ngrams.iter().map(|n| (n.unique, n.total)).collect()
    }

    #[test]
    fn templates_are_one_generator_and_models_their_own() {
        let long = "the same tower, but at night ".repeat(40);
        let longer = "show it in red ".repeat(100);
        let words = collect(&[
            ("template:a/1", "show it in red"),
            ("template:b/2", "show it in red"),
            ("template:b/2", &longer),
            ("model:m", &long),
            ("model:n", "closer"),
        ]);
        let names: Vec<&str> = words.generators.iter().map(|g| g.generator.as_str()).collect();
        assert_eq!(names, ["model:m", "model:n", "template"]);
        let template = &words.generators[2];
        assert_eq!((template.instructions, template.distinct), (3, 2));
        assert_eq!(
            (template.length.words, template.length.mean, template.length.median),
            (408, 136.0, 4.0)
        );
        assert_eq!(
            (template.openings[0].value.as_str(), template.openings[0].items),
            ("show it in", 3)
        );
        // The model with one word is not compared; the others are at the 240 words that both have.
        assert_eq!((words.compared_size, &words.generators[1].compared), (Some(240), &None));
        assert_eq!(unique_and_total(template.compared.as_ref().unwrap())[0], (4, 240));
        assert_eq!(collect(&[]), Words::default());
    }

    #[test]
    fn lengths_are_counted_by_hand() {
        let long = "w ".repeat(70);
        let words = collect(&["a b c", "a", "!", "a b", &long].map(|text| ("x", text)));
        let length = &words.generators[0].length;
        assert_eq!((length.words, length.median, length.longest), (76, 2.0, 70));
        assert_eq!(length.mean, 76.0 / 5.0);
        assert_eq!((&length.histogram[..4], length.histogram[60]), (&[1, 1, 1, 1][..], 1));
        assert_eq!((median(&[0, 1, 0, 1]), median(&[])), (2.0, 0.0));
    }

    #[test]
    fn ngrams_do_not_reach_over_instructions() {
        // Pairs: a-b b-a | a-b | none. Triples: a-b-a | none | none.
        let all = diversity(&["a b a", "a b", "c"], 99);
        assert_eq!(unique_and_total(&all), [(3, 6), (2, 3), (1, 1)]);
        assert_eq!(all.ngrams[0].distinct, 0.5);
        assert_eq!(unique_and_total(&diversity(&[], 99)), [(0, 0), (0, 0), (0, 0)]);
        let cut = diversity(&["a b c", "d e f", "g"], 4);
        assert_eq!((cut.words, unique_and_total(&cut)), (4, vec![(4, 4), (2, 2), (1, 1)]));
    }

    #[test]
    fn entropy_is_that_of_the_frequencies() {
        // Four equal words have 2 bits; halves and quarters 1.5; one word none.
        assert_eq!(diversity(&["a b c d"], 99).entropy_bits, 2.0);
        assert_eq!(diversity(&["a a", "b c"], 99).entropy_bits, 1.5);
        assert_eq!(diversity(&["a a a"], 99).entropy_bits, 0.0);
    }
}
