//! Web pages to triplets: images that share a page are related in ways that words can make explicit (MagicLens, section 3).
//!
//! A run is a folder (or a place in an object store) that belongs to one configuration. Its input is cut into shards; each
//! step turns one shard into one output, which is published whole, so that any engine that retries tasks can drive it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clean;
pub mod collect;
pub mod config;
pub mod duplicate;
pub mod encoder;
mod english;
pub mod filter;
pub mod gate;
pub mod instruct;
pub mod language_model;
pub mod metadata;
pub mod neighbor;
pub mod page;
pub mod pair;
pub mod report;
pub mod run;
mod sorter;
pub mod stage;
mod steps;
pub mod store;
pub mod table;
pub mod tasks;
pub mod tools;
mod words;
mod work;

pub use config::MineConfig;
pub use run::Run;
pub use steps::Step;
pub use tasks::Task;
pub use tools::{Locate, Tools};
