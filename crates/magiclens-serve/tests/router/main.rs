//! The service without a socket: a fake model, a real index, and every status it can answer with.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod house;
mod images;
mod indexing;
mod page;
mod refusals;
mod searches;
