//! Checkpoint to scores: pure metrics, one file per benchmark, rivals, reports.
//!
//! | file | matter |
//! |---|---|
//! | `benchmark.rs` | a benchmark as data |
//! | `benchmarks/` | the ten public ones, one file each, and our own |
//! | `collection.rs` | a part of a collection, which our own are made of |
//! | `robustness/` | what other words, "not", nonsense and missing answers do |
//! | `crop.rs` | the part of an image that is shown |
//! | `images.rs`, `cache.rs` | images become vectors, once |
//! | `system.rs`, `run.rs` | weights and a way to ask them; every query of every variant |
//! | `outcome.rs`, `evaluate.rs` | rankings become figures, figures of several systems a report |
//! | `check.rs` | a data folder before anything is computed |
//! | `predictions.rs`, `server_files.rs` | rankings of any system; files for the servers of hidden truth |
//! | `report/` | what was found, for machines and people |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotations;
pub mod benchmark;
pub mod benchmarks;
pub mod cache;
pub mod check;
mod crop;
mod error;
pub mod evaluate;
mod id;
pub mod images;
pub mod leakage;
#[cfg(test)]
mod made_up;
mod memory;
pub mod outcome;
pub mod predictions;
pub mod report;
pub mod robustness;
pub mod run;
pub mod server_files;
pub mod system;

pub use error::{BrokenImage, EvalError};
pub use id::Id;
pub use memory::peak_memory_bytes;
