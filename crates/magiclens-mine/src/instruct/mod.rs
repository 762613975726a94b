//! Instructions that lead from a query image to a target image, and their writers.

use serde::{Deserialize, Serialize};

pub mod template;

/// Settings of the writers of instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstructConfig {
    /// All writers whose instructions are kept side by side, so that they can be compared on the same pairs.
    pub writers: Vec<Writer>,
    /// Pairs that wait together for the model.
    pub chunk_pairs: usize,
}

/// A writer of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// Templates over the metadata: offline, and the baseline of models.
    Template,
    /// A language model.
    Model,
    /// Templates where the model failed or its instructions were dropped.
    TemplateFallback,
}

impl Default for InstructConfig {
    fn default() -> Self {
        Self {
            writers: vec![Writer::Template],
            chunk_pairs: 64,
        }
    }
}

impl InstructConfig {
    /// Whether a language model is asked.
    pub fn asks_model(&self) -> bool {
        self.writers.contains(&Writer::Model)
    }
}

impl Writer {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Model => "model",
            Self::TemplateFallback => "template_fallback",
        }
    }
}
