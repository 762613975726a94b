//! Checkpoint or rankings to scores: one file per benchmark, baselines, reports.
//!
//! | file | matter |
//! |---|---|
//! | `benchmark.rs` | a benchmark as data |
//! | `benchmarks/`, `annotations.rs` | the public ones, one file each, and our own |
//! | `robustness/` | requests in other words, with "not", without sense, without an answer |
//! | `crop.rs` | the part of an image that is shown |
//! | `images.rs`, `cache.rs` | images become vectors, once |
//! | `method.rs`, `system.rs`, `probes.rs`, `run.rs` | weights and a way to ask them; every query of every variant |
//! | `outcome.rs`, `scores.rs`, `evaluate.rs` | rankings become values, values scores, scores of several systems a report |
//! | `partial.rs`, `failures.rs` | a benchmark without unusable images; queries that went wrong |
//! | `check.rs`, `leakage.rs` | a data folder before anything is computed; near-duplicates in a training set |
//! | `predictions/`, `server_files.rs` | rankings of any system; files for the servers of hidden truth |
//! | `report/` | the results, for machines and people |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotations;
pub mod benchmark;
pub mod benchmarks;
pub mod cache;
pub mod check;
mod crop;
mod error;
pub mod evaluate;
mod failures;
mod id;
pub mod images;
pub mod leakage;
#[cfg(test)]
mod made_up;
mod memory;
pub mod method;
pub mod outcome;
mod partial;
pub mod predictions;
mod probes;
pub mod report;
pub mod robustness;
pub mod run;
pub mod scores;
pub mod server_files;
pub mod system;

pub use error::{BrokenImage, EvalError, ImageProblem};
pub use id::Id;
pub use memory::peak_memory_bytes;
