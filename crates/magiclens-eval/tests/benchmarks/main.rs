//! The benchmarks over stand-in folders in their official layouts: loading, checking, running, scoring rankings.

#![allow(clippy::unwrap_used, missing_docs)]

mod checking;
mod loading;
mod rankings;
mod running;
mod stand_ins;
