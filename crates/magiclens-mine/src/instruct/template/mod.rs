//! Instructions by templates, from the words of both images: the offline default, and the baseline of the language model.
//!
//! The closest relation between the two descriptions that the words support is put into words; each relation has its wordings,
//! in `wordings.toml`. A pair without such a relation gets no instruction.

mod aspect;
mod difference;
mod loose;
mod phrase;
mod relation;
mod token;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use magiclens_data::DigestBuilder;
use serde::{Deserialize, Serialize};

use crate::page::{ImagePair, Instruction};
use magiclens_web::DropReason;
use relation::Relation;

/// No relation holds for the pair.
pub const NOTHING_TO_SAY: DropReason = DropReason("nothing true to say");

/// Settings of the template generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TemplateConfig {
    /// Wordings of a pair. 3: the paper's language model wrote several for each; more repeat themselves.
    pub wordings: usize,
    /// Fewest words of an instruction. 2: "at night" is one.
    pub min_words: usize,
    /// Most words of an instruction. 20: the benchmarks' instructions have 8 to 14 on average.
    pub max_words: usize,
    /// Most words that name what the target shows. 7: more would tell so much that the query image is not needed.
    pub max_phrase_words: usize,
    /// Whether pairs that only share a section, a page or a look get instructions. They are true but say less.
    pub loose_relations: bool,
    /// Least similarity by each image encoder for a pair without a common page to be called similar. Read off pairs of the
    /// documentation packages (docs/mining.md): below it dialogs, plots and photographs are taken for one another.
    #[serde(rename = "min_likeness")]
    pub min_similarity: BTreeMap<String, f64>,
}

impl Default for TemplateConfig {
    fn default() -> Self {
        Self {
            wordings: 3,
            min_words: 2,
            max_words: 20,
            max_phrase_words: 7,
            loose_relations: true,
            min_similarity: BTreeMap::from([("image".to_owned(), 0.9), ("look".to_owned(), 0.945)]),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wordings {
    version: u32,
    wordings: Vec<String>,
}

static WORDINGS: LazyLock<BTreeMap<String, Wordings>> = LazyLock::new(|| {
    toml::from_str(include_str!("wordings.toml")).expect("the file is part of the program, and tested")
});

/// Wordings of the step from the query to the target, different from one another, the same for the same pair and seed.
/// Empty if no relation holds.
pub fn instruct(pair: &ImagePair, config: &TemplateConfig, seed: u64) -> Vec<Instruction> {
    let Some(relation) = relate(pair, config) else {
        return Vec::new();
    };
    let known = &WORDINGS[relation.name];
    let mut filled: Vec<([u8; 32], String)> = known
        .wordings
        .iter()
        .filter_map(|wording| Some((order_key(pair, seed, wording), fill(wording, &relation)?)))
        .filter(|(_, text)| (config.min_words..=config.max_words).contains(&text.split_whitespace().count()))
        .collect();
    filled.sort();
    filled
        .into_iter()
        .take(config.wordings)
        .map(|(key, text)| Instruction {
            // People begin about one line in four with a capital.
            text: if key[31] < 64 { capitalized(&text) } else { text },
            relation: relation.name.to_owned(),
            generator: format!("template:{}/{}", relation.name, known.version),
            ..Instruction::default()
        })
        .collect()
}

/// The first relation that holds, from the surest to the loosest.
fn relate(pair: &ImagePair, config: &TemplateConfig) -> Option<Relation> {
    aspect::aspect(pair)
        .or_else(|| difference::one_difference(pair))
        .or_else(|| loose::same_words(pair))
        .or_else(|| config.loose_relations.then(|| loose::loose(pair, config)).flatten())
}

/// The place of a wording in the order of this pair.
fn order_key(pair: &ImagePair, seed: u64, wording: &str) -> [u8; 32] {
    let mut digest = DigestBuilder::new();
    digest.update(seed.to_le_bytes());
    for side in [&pair.query, &pair.target] {
        digest.update(side.image.to_string()).update(&side.page_url).update([0]);
    }
    digest.update(wording).finish().to_bytes()
}

/// The wording with its slots filled; none if one of them is not known.
fn fill(wording: &str, relation: &Relation) -> Option<String> {
    let mut text = String::new();
    let mut rest = wording;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        text.push_str(before);
        text.push_str(relation.slots.get(name).filter(|value| !value.is_empty())?);
        rest = after;
    }
    Some(text + rest)
}

fn capitalized(text: &str) -> String {
    phrase::with_first(text, |first| first.to_uppercase().collect())
}

#[cfg(test)]
mod tests;
