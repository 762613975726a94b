//! The trained head with its gradient, in f32 and by hand: what a step of training does with the features of towers. It also gives
//! slopes at those features, for towers that are trained.
//!
//! A pass goes through some rows on one thread. Weights are packed once a step, for both directions; what they get is added up in
//! one flat array ([`Slots`]), and becomes gradients of named tensors at the end. burn's modules in `magiclens-model` stay the
//! definition; tests of `magiclens-train` hold these passes to burn's gradient, to torch's and to finite differences.
//!
//! | file | matter |
//! |---|---|
//! | `product.rs`, `vector.rs` | products of matrices; loops over rows |
//! | `linear.rs`, `norm.rs`, `normed_linear.rs`, `attention.rs`, `probe.rs` | layers, forward and back |
//! | `layer.rs`, `pooler.rs`, `fusion.rs`, `projection.rs` | the head |
//! | `unit.rs`, `contrastive.rs` | unit length and the loss |
//! | `slots.rs`, `named.rs` | places of sums; gradients by name |

mod attention;
mod contrastive;
mod fusion;
mod layer;
mod linear;
mod named;
mod norm;
mod normed_linear;
mod pooler;
mod probe;
mod product;
mod projection;
mod slots;
mod unit;
mod vector;

pub use contrastive::{Contrastive, ContrastivePart};
pub use fusion::{FusionGradient, FusionScratch, FusionTape};
pub use named::NamedGradients;
pub use projection::{ProjectionGradient, ProjectionScratch, ProjectionTape};
pub use slots::Slots;
pub use unit::Units;
