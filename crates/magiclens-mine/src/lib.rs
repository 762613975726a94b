//! Web pages to triplets: pictures that share a page are related in ways that words can make explicit (MagicLens, section 3).
//!
//! A run is a folder (or a place in an object store) that belongs to one configuration. Its input is cut into shards; each
//! step turns one shard into one output, which is published whole, so that any engine that retries tasks can drive it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod page;
pub mod stage;
