//! Triplets -> checkpoint: frozen features, batches, loss, optimizer, schedule, resume, and the figures on the dev part.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batches;
pub mod config;
pub mod dev;
mod error;
pub mod features;
pub mod gradients;
pub mod head;
pub mod loss;
pub mod run;

pub use config::TrainConfig;
pub use error::TrainError;
