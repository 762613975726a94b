//! Models by protocol: captions of images and instructions for pairs, from any OpenAI-compatible chat endpoint.
//!
//! A [`LanguageModel`] answers prompts; [`ChatEndpoint`] does so over HTTP, with a [`Cache`] that makes a rerun free.
//! [`describe`] and [`write_instructions`] make prompts and read the replies. How to start a server: `docs/language-models.md`.

mod ask;
mod caption;
mod chat;
mod config;
mod instructions;
mod message;
mod model;
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
pub use message::{Content, ImageUrl, Message, Part, Role};
pub use model::{Completion, LanguageModel, Prompt};
pub use reply_cache::Cache;
pub use usage::Usage;
