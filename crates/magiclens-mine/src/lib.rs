//! Web pages to triplets.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clean;
pub mod duplicate;
pub mod encoder;
pub mod filter;
pub mod neighbour;
pub mod page;
pub mod pair;
pub mod rows;
pub mod stage;
