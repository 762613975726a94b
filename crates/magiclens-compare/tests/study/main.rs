//! Studies from the query file to the report, without a socket: fake models, real indexes, a fake gallery of colors.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod drafts;
mod durability;
mod house;
mod preparations;
mod reports;
mod service;
