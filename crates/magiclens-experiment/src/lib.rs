//! The paper's claims, measured anew: conditions as data, one runner, a page of results each.
//!
//! An experiment trains a head in several conditions, each with several seeds, on frozen features that are computed once;
//! measures every run on the test part of the collection; and writes a page, a chart and all numbers.
//!
//! | file | matter |
//! |---|---|
//! | `table.rs`, `experiment.rs` | all experiments as data |
//! | `condition.rs`, `settings.rs`, `setup.rs` | a condition; what all runs share |
//! | `triplets.rs`, `wordings.rs` | the changes of a condition to the triplets |
//! | `bench.rs`, `features.rs` | everything that the runs share: triplets, frozen features, the test part |
//! | `run.rs` | every condition with every seed: trained, measured, gone on with |
//! | `measure.rs`, `asked.rs` | a trained head -> values of every test query, robustness |
//! | `agreement.rs` | a score of instructions that needs no labels |
//! | `metric.rs`, `results.rs`, `statistics.rs` | values -> means, intervals, differences |
//! | `finding.rs` | the one sentence about the claim |
//! | `page.rs`, `chart.rs` | the page, the chart |
//!
//! What it does for people: `docs/experiments.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod asked;
mod bench;
mod chart;
mod condition;
mod error;
mod experiment;
mod features;
mod finding;
mod measure;
mod metric;
mod page;
mod results;
mod run;
mod settings;
mod setup;
mod statistics;
mod table;
#[cfg(test)]
#[path = "../tests/toy/mod.rs"]
mod toy;
mod triplets;
mod wordings;

pub use condition::{Condition, HeadShape, Triplets};
pub use error::ExperimentError;
pub use experiment::{Axis, Experiment, Extra, Finding};
pub use metric::{Metric, Tasks};
pub use page::{Written, write};
pub use results::Results;
pub use run::run;
pub use settings::Settings;
pub use setup::{Listener, Setup};
pub use table::{ALL, named};
