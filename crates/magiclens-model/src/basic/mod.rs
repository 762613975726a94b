//! BASIC (Psomas et al. 2025, arXiv 2510.25387): composed queries for weights without a fusion, with nothing trained. Image
//! and text are compared with the gallery apart, in centered tower outputs; the image also loses what differs among styles more than
//! among objects. The score is the product of both similarities, less a penalty where one is much larger than the other.
//!
//! Differs from the authors' code (billpsomas/icir): images are centered on the gallery's mean instead of LAION's, which the code
//! does too without `--use_laion_mean`; the word lists are our own; the minima come from images of the gallery and texts of
//! both lists instead of images of Stable Diffusion, whose features are published for two models only; texts are not put beside
//! object names (`--contextualize`).

mod corpus;
mod eigen;
mod error;
mod file;
mod prepared;
mod projection;
mod query;
mod settings;
mod vectors;

pub use error::BasicError;
pub use prepared::{Basic, Corpora};
pub use query::{BasicQuery, BegunQuery, GalleryStatistics, Neighborhood};
pub use settings::{BasicSettings, Contrast};
