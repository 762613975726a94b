//! Checkpoint to scores: pure metrics, one file per benchmark, rivals, reports.
//!
//! | file | matter |
//! |---|---|
//! | `metrics.rs` | the formulas, as pure functions of ids |
//! | `ranking.rs` | exact rankings with the official rule for ties |
//! | `statistics.rs` | bootstrap intervals, paired tests |
//! | `benchmark.rs` | a benchmark as data |
//! | `benchmarks/` | the ten public ones, one file each |
//! | `crop.rs` | the part of a picture that is shown |
//! | `pictures.rs`, `cache.rs` | pictures become vectors, once |
//! | `system.rs`, `run.rs` | weights and a way to ask them; every query of every variant |
//! | `outcome.rs` | rankings become figures |
//! | `report/` | what was found, for machines and people |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotations;
pub mod benchmark;
pub mod benchmarks;
pub mod cache;
mod crop;
mod error;
mod id;
pub mod metrics;
pub mod outcome;
pub mod pictures;
pub mod ranking;
pub mod report;
pub mod run;
pub mod statistics;
pub mod system;

pub use error::{BrokenPicture, EvalError};
pub use id::Id;
