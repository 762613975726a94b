//! Checkpoint to scores: pure metrics, one file per benchmark, rivals, reports.
//!
//! | file | matter |
//! |---|---|
//! | `metrics.rs` | the formulas, as pure functions of ids |
//! | `ranking.rs` | exact rankings with the official rule for ties |
//! | `statistics.rs` | bootstrap intervals, paired tests |
//! | `benchmark.rs` | a benchmark as data |
//! | `benchmarks/` | the ten public ones, one file each, and our own |
//! | `collection.rs` | a part of a collection, which our own are made of |
//! | `robustness/` | what other words, "not", nonsense and missing answers do |
//! | `crop.rs` | the part of a picture that is shown |
//! | `outcome.rs` | rankings become figures |
//! | `report/` | what was found, for machines and people |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotations;
pub mod benchmark;
pub mod benchmarks;
pub mod collection;
mod crop;
mod error;
mod id;
pub mod metrics;
pub mod outcome;
pub mod ranking;
pub mod report;
pub mod robustness;
pub mod statistics;

pub use error::{BrokenPicture, EvalError};
pub use id::Id;
