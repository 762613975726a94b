//! Triplets -> checkpoint: frozen features, batches, loss, optimizer, schedule, resume, and the scores on the dev part.
//!
//! | file | matter |
//! |---|---|
//! | `pipeline.rs`, `start.rs` | from a collection folder and a start model to trained weights |
//! | `features.rs`, `feature_table.rs` | frozen features, computed once |
//! | `batches.rs`, `loss.rs`, `gradients.rs`, `head.rs` | one step |
//! | `run.rs`, `state.rs`, `run_dir.rs` | steps, saved states, metrics |
//! | `dev.rs` | scores on the dev part |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batches;
pub mod config;
pub mod dev;
mod error;
pub mod feature_table;
pub mod features;
pub mod gradients;
pub mod head;
pub mod loss;
pub mod pipeline;
pub mod run;
mod run_dir;
mod start;
mod state;

pub use config::TrainConfig;
pub use error::TrainError;
