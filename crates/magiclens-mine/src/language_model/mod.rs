//! Models by protocol: captions of images and instructions for pairs, from any OpenAI-compatible chat endpoint.
//!
//! A [`LanguageModel`] answers prompts; [`ChatEndpoint`] does so over HTTP, with a [`Cache`] that makes a rerun free.
//! [`describe`] and [`write_instructions`] make prompts and read the replies. How to start a server: `docs/language-models.md`.

mod caption;
mod chat;
mod config;
mod instructions;
mod prompt;
mod reply;
mod reply_cache;
#[cfg(test)]
mod scripted;
mod server;
mod usage;
mod wire;

pub use caption::{DescriberConfig, Description, describe};
pub use chat::ChatEndpoint;
pub use config::{LimitField, ModelConfig};
pub use instructions::{WriterConfig, write_instructions};
pub use reply_cache::Cache;
pub use usage::Usage;
pub use wire::{Content, ImageUrl, Message, Part, Role};

use magiclens_web::DropReason;

/// Answers prompts.
pub trait LanguageModel: Sync {
    /// The model's name, as it stands in the provenance of what it wrote.
    fn name(&self) -> &str;

    /// One completion a prompt, in the order of the prompts. A prompt that gets none costs itself only and says why.
    ///
    /// # Errors
    /// What stops the whole run, such as a wrong key, a server that is gone, or money that is spent. What was answered until
    /// then lies in the cache, so that the run can go on later.
    fn complete(&self, prompts: &[Prompt]) -> Result<Vec<Result<Completion, DropReason>>, ModelError>;
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompt text and its version, e.g. `instruct/1`.
    pub version: &'static str,
    /// The messages, from the system's to the one that is to be answered.
    pub messages: Vec<Message>,
    /// How often it was asked before and answered with something useless. Later ones are drawn anew (see
    /// [`ModelConfig::repeat_temperature`]), since a model without chance would say the same again.
    pub ask: u32,
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The answer.
    pub text: String,
    /// What a reasoning model thought before, where the server keeps it apart from the answer.
    pub thinking: String,
    /// The answer was cut off at the limit of tokens.
    pub is_cut_off: bool,
    /// The model, or a filter behind it, declined to answer.
    pub is_declined: bool,
}

/// What stops a run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A setting that cannot be.
    #[error("`{field}` {problem}\nhint: {hint}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// The environment has no key.
    #[error(
        "the environment variable `{0}`, which `api_key_env` names, holds no usable key\n\
         hint: export it, or leave `api_key_env` out if the server asks for no key"
    )]
    NoKey(String),
    /// The HTTP client cannot be made.
    #[error(
        "no HTTP client can be made: {0}\nhint: an `https` address needs the system's certificates (Debian: `ca-certificates`)"
    )]
    Client(String),
    /// The server refuses every request of this kind.
    #[error("`{url}` answers {status} to model `{model}`: {message}\nhint: {hint}")]
    Refused {
        /// The address asked.
        url: String,
        /// The model asked for.
        model: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Nobody answers.
    #[error(
        "`{url}` cannot be reached after {attempts} attempts: {reason}\n\
         hint: is the server started, and has it loaded its model? Start the run again then: it goes on where it stopped"
    )]
    Unreachable {
        /// The address asked.
        url: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// Prompt after prompt fails.
    #[error(
        "`{url}` failed on {in_a_row} prompts in a row; at last: {reason}\n\
         hint: look at the server's log; what was answered is kept, and the run goes on where it stopped"
    )]
    KeepsFailing {
        /// The address asked.
        url: String,
        /// How many prompts.
        in_a_row: u32,
        /// The last failure.
        reason: String,
    },
    /// The next request could cost more than is allowed.
    #[error(
        "the limit of `max_cost = {max_cost}` is reached: {spent:.4} is spent, and the next request may cost {next:.4}\n\
         hint: what was answered is in the cache and will not be paid again; raise `max_cost` or start again, and the run goes on"
    )]
    Spent {
        /// The limit.
        max_cost: f64,
        /// What was spent since start.
        spent: f64,
        /// What the next request could cost at most.
        next: f64,
    },
    /// Answers cannot be kept.
    #[error("answers cannot be kept: {0}\nhint: is the disk full, or the cache folder not writable?")]
    Cache(#[from] std::io::Error),
}

/// Reads an answer, or says why it is of no use.
type Read<'a, T> = &'a dyn Fn(usize, &Completion) -> Result<T, DropReason>;

/// Asks all prompts that could be made, and those with useless answers up to `max_asks` times in all.
fn ask<T>(
    model: &dyn LanguageModel,
    prompts: Vec<Result<Prompt, DropReason>>,
    max_asks: u32,
    read: Read<'_, T>,
) -> Result<Vec<Result<T, DropReason>>, ModelError> {
    let mut answers = Vec::with_capacity(prompts.len());
    let (mut open, mut asked) = (Vec::new(), Vec::new());
    for (index, prompt) in prompts.into_iter().enumerate() {
        answers.push(Err(prompt.as_ref().err().copied().unwrap_or(reply::UNANSWERED)));
        if let Ok(prompt) = prompt {
            open.push(index);
            asked.push(prompt);
        }
    }
    for ask in 0..max_asks {
        if open.is_empty() {
            break;
        }
        asked.iter_mut().for_each(|prompt| prompt.ask = ask);
        let completions = model.complete(&asked)?;
        let (mut still_open, mut again) = (Vec::new(), Vec::new());
        for ((index, prompt), completion) in open.into_iter().zip(asked).zip(completions) {
            // A prompt without a completion was tried often enough by the model itself.
            let is_answered = completion.is_ok();
            answers[index] = completion.and_then(|completion| read(index, &completion));
            if is_answered && answers[index].is_err() {
                still_open.push(index);
                again.push(prompt);
            }
        }
        (open, asked) = (still_open, again);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scripted::Scripted;

    fn prompts(count: usize) -> Vec<Result<Prompt, DropReason>> {
        let prompt = |n| {
            Ok(Prompt {
                version: "test/1",
                messages: vec![Message::user(format!("{n}"))],
                ask: 0,
            })
        };
        (0..count).map(prompt).collect()
    }

    fn number(_: usize, completion: &Completion) -> Result<u32, DropReason> {
        completion.text.parse().map_err(|_| reply::NO_JSON)
    }

    #[test]
    fn useless_answers_are_asked_again_and_the_order_stays() {
        let model = Scripted::new(|prompt| match (prompt.messages[0].text().as_str(), prompt.ask) {
            ("1", 0) | ("2", _) => Ok("no number".to_owned()),
            ("3", _) => Err(reply::TIMED_OUT),
            (text, ask) => Ok(format!("{text}{ask}")),
        });
        let answers = ask(&model, prompts(4), 2, &number).unwrap();
        assert_eq!(answers, [Ok(0), Ok(11), Err(reply::NO_JSON), Err(reply::TIMED_OUT)]);
        let asked: Vec<_> = model
            .asked()
            .iter()
            .map(|prompt| (prompt.messages[0].text(), prompt.ask))
            .collect();
        let expected = [("0", 0), ("1", 0), ("2", 0), ("3", 0), ("1", 1), ("2", 1)];
        assert_eq!(asked, expected.map(|(text, ask)| (text.to_owned(), ask)));
    }

    #[test]
    fn prompts_that_cannot_be_made_keep_their_place() {
        let model = Scripted::new(|prompt| Ok(prompt.messages[0].text()));
        let mut some = prompts(3);
        some[1] = Err(reply::REFUSED);
        assert_eq!(
            ask(&model, some, 2, &number).unwrap(),
            [Ok(0), Err(reply::REFUSED), Ok(2)]
        );
        assert_eq!(model.asked().len(), 2);
        assert!(ask(&model, vec![Err(reply::REFUSED)], 2, &number).unwrap()[0].is_err());
        assert_eq!(model.asked().len(), 2, "nothing is not asked");
    }
}
