//! Studies from the query file to the figures, without a socket: fake models, real indexes, a fake gallery of colors.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod drafts;
mod durability;
mod house;
mod reports;
mod service;
