//! Archives, HTML, polite fetching -> pages with images and words.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ascii;
pub mod fetch;
pub mod html;
pub mod input;
mod opt_out;
pub mod page;
mod reason;

pub use reason::DropReason;
