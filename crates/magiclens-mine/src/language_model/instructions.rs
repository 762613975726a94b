//! Instructions for pairs by a language model: metadata of both images, reasoning, several wordings of one instruction.
//!
//! One pair a prompt. Several would share the demonstrations, but servers keep a common beginning anyway (prefix caching), and
//! one damaged answer, or one pair answered in another's place, would cost them all.

use std::sync::LazyLock;

use magiclens_data::Digest;
use magiclens_web::DropReason;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::ask;
use super::config::{check_counts, check_language};
use super::message::Message;
use super::model::{Completion, LanguageModel, Prompt};
use super::prompt::{PairWords, pair_words};
use super::reply;
use crate::gate::names_image;
use crate::page::{ImagePair, Instruction, Metadata, Origin};

/// The prompt and its version. Another text needs another number, since runs record it.
pub(super) const VERSION: &str = "instruct/1";
const SYSTEM: &str = include_str!("../../prompts/instruct-1.txt");
const DEMONSTRATIONS: &str = include_str!("../../prompts/instruct-1.json");

/// Relations that a model may name; anything else becomes `other`.
const RELATIONS: [&str; 9] = [
    "same_subject",
    "variant",
    "part",
    "view",
    "change",
    "contrast",
    "use",
    "sequence",
    "other",
];

/// "the second image" and the like.
const NAMES_IMAGES: DropReason = DropReason("reply: names the images");

/// Settings of the prompts, and limits of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterConfig {
    /// Wordings a pair. MegaPairs (appendix A) asks for at least three.
    pub wordings: usize,
    /// Answered examples in each prompt, drawn from the pool. Five, as in MagicLens and MegaPairs.
    pub demonstrations: usize,
    /// So many different draws of demonstrations there are; a pair's draw follows from its words. Prompts of one draw begin
    /// alike, and servers compute that beginning once; 64 vary the examples enough.
    pub draws: u64,
    /// Another number draws other demonstrations.
    pub seed: u64,
    /// Longer metadata is cut. 300 characters hold a caption; a whole prompt then stays below some 3,000 tokens.
    pub max_field_chars: usize,
    /// Longer instructions are skipped: the text tower reads 77 tokens, which are about 300 characters, and nobody asks so long.
    pub max_instruction_chars: usize,
    /// Longer reasoning is cut; it is kept for readers, not for training.
    pub max_reasoning_chars: usize,
    /// The language of instructions, as an ISO 639-3 code; empty for any. The prompt and its demonstrations are English.
    pub language: String,
    /// Most times that a pair is asked about until the answer is useful. A second time mends most; a third seldom anything.
    pub max_asks: u32,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            wordings: 3,
            demonstrations: 5,
            draws: 64,
            seed: 0,
            max_field_chars: 300,
            max_instruction_chars: 200,
            max_reasoning_chars: 1_000,
            language: "eng".to_owned(),
            max_asks: 2,
        }
    }
}

/// An answered example.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Demonstration {
    share_a_page: bool,
    query: Metadata,
    target: Metadata,
    reasoning: String,
    instructions: Vec<String>,
    relation: String,
}

static POOL: LazyLock<Vec<Demonstration>> =
    LazyLock::new(|| serde_json::from_str(DEMONSTRATIONS).expect("a test reads the file that is built in"));

/// The instructions of each pair, in the order of the pairs, at least one and at most `wordings`. Some thousand pairs a call are fine:
/// each prompt is held, some 10 kB.
///
/// # Errors
/// Those that stop the whole run, see [`LanguageModel::complete`].
pub fn write_instructions(
    model: &dyn LanguageModel,
    pairs: &[ImagePair],
    config: &WriterConfig,
) -> anyhow::Result<Vec<Result<Vec<Instruction>, DropReason>>> {
    config.check()?;
    let words = |pair: &ImagePair| {
        let share_a_page = pair.origin == Origin::Page;
        let (query, target) = (&pair.query.metadata, &pair.target.metadata);
        pair_words(query, target, share_a_page, config.max_field_chars)
    };
    let words: Vec<_> = pairs.iter().map(words).collect();
    let prompts = words.iter().map(|words| {
        words
            .as_ref()
            .map(|words| prompt(words, config))
            .map_err(|reason| *reason)
    });
    ask(model, prompts.collect(), config.max_asks, &|index, completion| {
        let tag = words[index].as_ref().map_or("", |words| &words.tag);
        read(completion, tag, model.name(), config)
    })
}

impl WriterConfig {
    /// Refuses settings that cannot be.
    ///
    /// # Errors
    /// A setting and what to write instead.
    pub fn check(&self) -> anyhow::Result<()> {
        check_counts(&[
            ("wordings", self.wordings as u64),
            ("draws", self.draws),
            ("max_field_chars", self.max_field_chars as u64),
            ("max_instruction_chars", self.max_instruction_chars as u64),
            ("max_asks", self.max_asks.into()),
        ])?;
        check_language(&self.language)
    }
}

fn prompt(words: &PairWords, config: &WriterConfig) -> Prompt {
    let mut messages = vec![Message::system(SYSTEM)];
    for demonstration in draw(words, config) {
        let Demonstration { query, target, .. } = demonstration;
        // The built-in examples have words that differ; a test holds that.
        let Ok(words) = pair_words(query, target, demonstration.share_a_page, config.max_field_chars) else {
            continue;
        };
        messages.push(Message::user(question(&words, config)));
        messages.push(Message::assistant(demonstration.answer(&words.tag, config.wordings)));
    }
    messages.push(Message::user(question(words, config)));
    Prompt {
        version: VERSION,
        messages,
        ask: 0,
    }
}

fn question(words: &PairWords, config: &WriterConfig) -> String {
    format!(
        "Pair {}. {}\nWrite {} wordings.",
        words.tag, words.text, config.wordings
    )
}

/// The pair's demonstrations: the pool in an order that follows from its draw, as far as wanted.
fn draw(words: &PairWords, config: &WriterConfig) -> Vec<&'static Demonstration> {
    let number = |parts: [u64; 3]| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
        Digest::of(bytes).seed()
    };
    let tag = u64::from_str_radix(&words.tag, 16).unwrap_or_default();
    let draw = number([config.seed, tag, 0]) % config.draws;
    let mut order: Vec<(u64, &Demonstration)> = POOL
        .iter()
        .zip(0..)
        .map(|(demonstration, place)| (number([config.seed, draw, 1 + place]), demonstration))
        .collect();
    order.sort_by_key(|(number, _)| *number);
    let wanted = order.into_iter().take(config.demonstrations);
    wanted.map(|(_, demonstration)| demonstration).collect()
}

impl Demonstration {
    /// The answer as it should look: reasoning first, so that the wordings follow from it.
    fn answer(&self, tag: &str, wordings: usize) -> String {
        let json = |text: &str| Value::from(text).to_string();
        let shown = self
            .instructions
            .iter()
            .take(wordings)
            .map(|text| json(text))
            .collect::<Vec<_>>()
            .join(", ");
        format!(
            r#"{{"pair": "{tag}", "reasoning": {}, "instructions": [{shown}], "relation": {}}}"#,
            json(&self.reasoning),
            json(&self.relation)
        )
    }
}

/// The pieces of an answer, not yet checked.
struct Written {
    reasoning: String,
    instructions: Vec<Value>,
    relation: String,
}

fn read(
    completion: &Completion,
    tag: &str,
    model: &str,
    config: &WriterConfig,
) -> Result<Vec<Instruction>, DropReason> {
    let written = written(completion, tag)?;
    let mut texts: Vec<String> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let mut first_fault = None;
    for value in &written.instructions {
        match checked(value, config) {
            Ok(text) => {
                let words = bare(&text);
                if texts.len() < config.wordings && !known.contains(&words) {
                    known.push(words);
                    texts.push(text);
                }
            }
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    if texts.is_empty() {
        return Err(first_fault.unwrap_or(reply::FIELD_MISSING));
    }
    // Together, since one short sentence is hard to tell.
    if reply::is_other_language(&texts.join(". "), &config.language) {
        return Err(reply::OTHER_LANGUAGE);
    }
    let reasoning: String = reply::one_line(&written.reasoning)
        .chars()
        .take(config.max_reasoning_chars)
        .collect();
    let relation = relation(&written.relation);
    let instruction = |text| Instruction {
        text,
        relation: relation.to_owned(),
        generator: format!("model:{model}"),
        prompt: VERSION.to_owned(),
        reasoning: reasoning.clone(),
    };
    Ok(texts.into_iter().map(instruction).collect())
}

/// Takes an answer apart: the JSON object, with `instructions` or `instruction`, or else the paper's own ending.
fn written(completion: &Completion, tag: &str) -> Result<Written, DropReason> {
    let answer = match reply::find_object(completion, &["instructions", "instruction"]) {
        Ok(answer) => answer,
        Err(reply::NO_JSON) => return papers_form(completion),
        Err(reason) => return Err(reason),
    };
    let text = |field: &str| answer.object.get(field).and_then(Value::as_str).unwrap_or_default();
    let pair = text("pair");
    if !pair.is_empty() && !pair.trim().trim_start_matches("Pair").trim().eq_ignore_ascii_case(tag) {
        return Err(reply::OTHER_PAIR);
    }
    let instructions = match answer
        .object
        .get("instructions")
        .or_else(|| answer.object.get("instruction"))
    {
        Some(Value::Array(instructions)) => instructions.clone(),
        Some(Value::String(instruction)) => vec![Value::from(instruction.as_str())],
        Some(Value::Null) | None => return Err(reply::FIELD_MISSING),
        Some(_) => return Err(reply::WRONG_TYPE),
    };
    let reasoning = [text("reasoning"), answer.before, &completion.thinking];
    Ok(Written {
        reasoning: reasoning
            .into_iter()
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default()
            .to_owned(),
        instructions,
        relation: text("relation").to_owned(),
    })
}

/// "... So the instruction can be: ...", as the paper's demonstrations end.
fn papers_form(completion: &Completion) -> Result<Written, DropReason> {
    static ENDING: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\bso,? the instructions? (?:can|could) be:[ \t]*([^\r\n]+)")
            .expect("a test uses the expression")
    });
    let text = reply::after_thinking(&completion.text);
    let captures = ENDING.captures_iter(text).last().ok_or(reply::NO_JSON)?;
    let start = captures.get(0).map_or(0, |whole| whole.start());
    Ok(Written {
        reasoning: text[..start].to_owned(),
        instructions: vec![Value::from(&captures[1])],
        relation: String::new(),
    })
}

/// A usable instruction: a string, or an object that holds one.
fn checked(value: &Value, config: &WriterConfig) -> Result<String, DropReason> {
    let fields = ["text", "instruction", "wording"];
    let text = value
        .as_str()
        .or_else(|| fields.iter().find_map(|field| value.get(field)?.as_str()));
    let text = reply::sentence(text.ok_or(reply::WRONG_TYPE)?);
    reply::check_sentence(&text, config.max_instruction_chars)?;
    if names_image(&text) {
        return Err(NAMES_IMAGES);
    }
    Ok(text)
}

/// The words alone, by which repeated wordings are known.
fn bare(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn relation(text: &str) -> &'static str {
    let name = bare(text).replace(' ', "_");
    RELATIONS
        .into_iter()
        .find(|relation| *relation == name)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests;
