//! The seam between prompts and the models that answer them.

use magiclens_web::DropReason;

use super::message::Message;

/// A model that answers prompts.
pub trait LanguageModel: Sync {
    /// The model's name, as it stands in the provenance of what it wrote.
    fn name(&self) -> &str;

    /// One completion a prompt, in the order of the prompts. A prompt that gets none costs itself only and says why.
    ///
    /// # Errors
    /// Reasons that stop the whole run, such as a wrong key, a server that is gone, or money that is spent. Answers until then are in the
    /// cache, so that the run can go on later.
    fn complete(&self, prompts: &[Prompt]) -> anyhow::Result<Vec<Result<Completion, DropReason>>>;
}

/// A question to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompt text and its version, e.g. `instruct/1`.
    pub version: &'static str,
    /// The messages, from the system's to the one that is to be answered.
    pub messages: Vec<Message>,
    /// Number of useless answers so far. Later ones are drawn anew (see
    /// [`repeat_temperature`](super::ModelConfig::repeat_temperature)), since a model without chance would say the same again.
    pub ask: u32,
}

/// The answer of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The answer.
    pub text: String,
    /// Reasoning before the answer, where the server keeps it apart from the answer.
    pub thinking: String,
    /// The answer was cut off at the limit of tokens.
    pub is_cut_off: bool,
    /// The model, or a filter behind it, declined to answer.
    pub is_declined: bool,
}
