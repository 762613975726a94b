//! Triplets -> checkpoint: frozen features, batches, loss, optimizer, schedule, resume, and the scores on the dev part.
//!
//! | file | matter |
//! |---|---|
//! | `pipeline.rs`, `start.rs` | from a collection folder and a start model to trained weights |
//! | `features.rs`, `feature_table.rs` | frozen features, computed once |
//! | `batches.rs`, `loss.rs`, `gradients.rs`, `passes.rs`, `head.rs` | one step of the head |
//! | `trained.rs`, `learner.rs`, `inputs.rs`, `tower_step.rs`, `tower_pass.rs`, `tower_pieces.rs`, `batch_rows.rs`, `feature_slopes.rs` | trained towers: which, their inputs, their part of a step |
//! | `schedule.rs`, `optimizer.rs`, `adamw.rs`, `ema.rs`, `stopping.rs` | the recipe: rates, optimizer, average of the weights, early stopping |
//! | `sentence_map.rs` | the map of images into the space of sentences |
//! | `run.rs`, `state.rs`, `run_dir.rs` | steps, saved states, metrics |
//! | `dev.rs` | scores on the dev part |
//! | `pace.rs`, `report/` | speed and time left; what runs did, as a page |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adamw;
mod batch_rows;
pub mod batches;
pub mod config;
pub mod dev;
mod ema;
mod error;
pub mod feature_slopes;
pub mod feature_table;
pub mod features;
pub mod gradients;
pub mod head;
pub mod inputs;
pub mod learner;
pub mod loss;
mod optimizer;
pub mod pace;
mod passes;
pub mod pipeline;
pub mod report;
pub mod run;
mod run_dir;
mod schedule;
mod sentence_map;
pub mod start;
mod state;
mod stopping;
mod tower_pass;
mod tower_pieces;
pub mod tower_step;
#[cfg(test)]
mod toy;
pub mod trained;

pub use config::TrainConfig;
pub use error::TrainError;
