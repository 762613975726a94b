//! The settings of a chat endpoint.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use url::Url;

/// Address, request settings and cost limit of a model. The defaults fit a vLLM on this machine; `model` must
/// be named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The address before `/chat/completions`, with `/v1` where the server has it. vLLM's own default.
    pub base_url: String,
    /// The name under which the server knows the model.
    pub model: String,
    /// The environment variable that holds the API key, if the server asks for one. The key itself is never written down.
    pub api_key_env: Option<String>,
    /// Requests in flight at once. 8 keep a small local server's batches full; hosted ones take more.
    pub concurrency: usize,
    /// Longest wait for a connection.
    pub connect_timeout_ms: u64,
    /// Longest wait for one whole reply, the server's own queue included. Three minutes fit 1,024 tokens at six a second.
    pub timeout_ms: u64,
    /// Attempts at a request before the prompt is given up: for timeouts, broken connections, 429, 5xx, foreign replies.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles for each further one, and is shortened by up to half so that requests
    /// which failed together do not come back together.
    pub backoff_ms: u64,
    /// The longest pause, also where the server's `Retry-After` wants a longer one.
    pub max_backoff_ms: u64,
    /// The largest reply that is read. 256 KiB are far above `max_tokens`, and bound what a hostile server can make us hold.
    pub max_reply_bytes: usize,
    /// So many prompts in a row that the server fails on or refuses stop the run: then it is the server, not the prompts.
    pub max_failures_in_a_row: u32,
    /// The most tokens of an answer. Reasoning and three instructions take about 250; reasoning models need more.
    pub max_tokens: u32,
    /// The name of that limit in the request.
    pub limit_field: LimitField,
    /// 0 for the likeliest answer, the same at every run as far as the server can.
    pub temperature: f64,
    /// The temperature when a prompt is asked again because its answer was useless: at 0 it would be the same again.
    pub repeat_temperature: f64,
    /// Sent with each request; a repeated prompt sends the next number.
    pub seed: u64,
    /// Asks the server for a JSON object (`response_format`). vLLM, llama.cpp and Ollama know it; turn it off where it is refused.
    pub json_mode: bool,
    /// Further fields of the request, as the server has them, e.g. `chat_template_kwargs = { enable_thinking = false }`.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// Price of a million prompt tokens, in any currency.
    pub prompt_price: f64,
    /// Price of a million tokens of answers.
    pub completion_price: f64,
    /// The most that one process may spend. It stops before a request that could cost more; a rerun spends anew, and finds in the
    /// cache what was paid.
    pub max_cost: Option<f64>,
}

/// The name of the token limit in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitField {
    /// As vLLM, llama.cpp and Ollama have it.
    #[default]
    MaxTokens,
    /// As newer models of OpenAI want it.
    MaxCompletionTokens,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            base_url: "http://localhost:8000/v1".to_owned(),
            model: String::new(),
            api_key_env: None,
            concurrency: 8,
            connect_timeout_ms: 10_000,
            timeout_ms: 180_000,
            attempts: 5,
            backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            max_reply_bytes: 256 << 10,
            max_failures_in_a_row: 100,
            max_tokens: 1_024,
            limit_field: LimitField::MaxTokens,
            temperature: 0.0,
            repeat_temperature: 0.7,
            seed: 0,
            json_mode: true,
            extra: BTreeMap::new(),
            prompt_price: 0.0,
            completion_price: 0.0,
            max_cost: None,
        }
    }
}

/// Fields of the request that have settings of their own, or that would change what comes back.
const OWN_FIELDS: [&str; 9] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "response_format",
    "seed",
    "stream",
    "temperature",
];

impl ModelConfig {
    /// The address of the completions, once all settings are found possible.
    pub(super) fn check(&self) -> anyhow::Result<Url> {
        ensure!(
            !self.model.trim().is_empty(),
            "`model` is empty\nhint: name the model as the server lists it at `/v1/models`"
        );
        check_counts(&[
            ("concurrency", self.concurrency as u64),
            ("attempts", self.attempts.into()),
            ("max_tokens", self.max_tokens.into()),
            ("max_reply_bytes", self.max_reply_bytes as u64),
            ("max_failures_in_a_row", self.max_failures_in_a_row.into()),
            ("timeout_ms", self.timeout_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
        ])?;
        for (field, number) in [
            ("temperature", self.temperature),
            ("repeat_temperature", self.repeat_temperature),
            ("prompt_price", self.prompt_price),
            ("completion_price", self.completion_price),
            ("max_cost", self.max_cost.unwrap_or(0.0)),
        ] {
            ensure!(
                number.is_finite() && 0.0 <= number,
                "`{field}` is {number}\nhint: give 0 or a positive number"
            );
        }
        ensure!(
            self.max_cost.is_none() || self.prompt_price != 0.0 || self.completion_price != 0.0,
            "`max_cost` would never be reached without prices\n\
             hint: give `prompt_price` and `completion_price`, a million tokens each, or leave `max_cost` out"
        );
        if let Some(field) = self.extra.keys().find(|field| OWN_FIELDS.contains(&field.as_str())) {
            bail!("`extra` names `{field}`\nhint: use the setting of that name; `extra` is for fields that have none");
        }
        self.completions_url()
    }

    fn completions_url(&self) -> anyhow::Result<Url> {
        let wrong = |problem: String| {
            let hint =
                "write it like `http://localhost:8000/v1`; a key goes into the variable that `api_key_env` names";
            anyhow!("`base_url` {problem}\nhint: {hint}")
        };
        let base = self.base_url.trim().trim_end_matches('/');
        let mut url = Url::parse(base).map_err(|error| wrong(format!("`{base}` is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("`{base}` is neither `http` nor `https`")));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            // The address is not shown: it may hold a secret.
            return Err(wrong("holds a user, a query or a fragment".to_owned()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with("/completions") {
            return Err(wrong(format!(
                "`{base}` goes too far: `/chat/completions` is added to it"
            )));
        }
        url.set_path(&format!("{path}/chat/completions"));
        Ok(url)
    }
}

/// Refuses counts of 0.
pub(super) fn check_counts(counts: &[(&str, u64)]) -> anyhow::Result<()> {
    for (field, count) in counts {
        ensure!(*count > 0, "`{field}` is 0\nhint: give at least 1");
    }
    Ok(())
}

/// Refuses what is neither empty nor the code of a language that can be told.
pub(super) fn check_language(language: &str) -> anyhow::Result<()> {
    ensure!(
        language.is_empty() || whatlang::Lang::from_code(language).is_some(),
        "`language` is `{language}`, which is no language that can be told\n\
         hint: give an ISO 639-3 code such as `eng`, or leave it empty to take any"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> ModelConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn the_address_of_completions_is_made_of_the_base() {
        for (base, expected) in [
            ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
            ("https://host", "https://host/chat/completions"),
        ] {
            let config = read(&format!("model = \"m\"\nbase_url = \"{base}\""));
            assert_eq!(config.check().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for (toml, expected) in [
            ("", "`model` is empty"),
            ("model = 'm'\nconcurrency = 0", "`concurrency` is 0"),
            ("model = 'm'\ntemperature = -1.0", "`temperature` is -1"),
            (
                "model = 'm'\nmax_cost = 1.0",
                "`max_cost` would never be reached without prices",
            ),
            ("model = 'm'\nextra = { stream = true }", "`extra` names `stream`"),
            (
                "model = 'm'\nbase_url = 'localhost:8000/v1'",
                "is neither `http` nor `https`",
            ),
            ("model = 'm'\nbase_url = 'http://me:secret@host/v1'", "holds a user"),
            (
                "model = 'm'\nbase_url = 'http://host/v1/chat/completions'",
                "goes too far",
            ),
        ] {
            let message = read(toml).check().unwrap_err().to_string();
            assert!(message.contains(expected), "{toml}: {message}");
            assert!(message.contains("\nhint: "), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(toml::from_str::<ModelConfig>("model = 'm'\ntemprature = 1.0").is_err());
    }

    #[test]
    fn further_fields_are_read_from_toml() {
        let config = read("model = 'm'\nextra = { chat_template_kwargs = { enable_thinking = false } }");
        assert_eq!(config.extra["chat_template_kwargs"]["enable_thinking"], false);
        config.check().unwrap();
    }
}
