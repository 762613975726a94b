//! Errors that stop a run.

/// An error that stops the run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A setting that cannot be.
    #[error("`{field}` {problem}\nhint: {hint}")]
    Config {
        /// The setting.
        field: &'static str,
        /// The problem with it.
        problem: String,
        /// The correct form.
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
        /// The server's message.
        message: String,
        /// The way out.
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
        /// Number of attempts.
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
        /// Number of prompts.
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
        /// Cost since start.
        spent: f64,
        /// Upper bound of the next request's cost.
        next: f64,
    },
    /// Answers cannot be kept.
    #[error("answers cannot be kept: {0}\nhint: is the disk full, or the cache folder not writable?")]
    Cache(#[from] std::io::Error),
}
