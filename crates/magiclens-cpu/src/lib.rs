//! Forward passes on a CPU: weights packed once at load, kernels chosen at run time, in f32, bf16 or int8; and the gradient of the
//! head that is trained.
//!
//! Definitions are burn's, in `magiclens-model`; here is the same algebra for speed. Rows of f32 go from layer to
//! layer. A linear layer rounds them to its precision, multiplies them with its panels of weights a tile at a time, and
//! applies bias, activation and residual while the tile is at hand. Attention keeps the scores of eight queries at a
//! time. The buffers of a pass are kept for the next one.
//!
//! | file | matter |
//! |---|---|
//! | `run.rs`, `simd.rs` | the instructions of this CPU; one function compiled for each width |
//! | `kernels/` | the innermost products, for AVX-512, AVX2 and plain Rust |
//! | `precision.rs`, `panels.rs`, `rows.rs`, `lines.rs`, `out.rs` | numbers of a product, how kernels read them, and where sums go |
//! | `linear.rs`, `norm.rs`, `attention.rs`, `math.rs` | layers |
//! | `block.rs`, `pooling.rs`, `projection.rs` | blocks of transformers; a learned query; the projection of features |
//! | `vit.rs`, `text.rs`, `bert.rs`, `lite.rs`, `fusion.rs` | towers, and the fusion of what they give |
//! | `sentence.rs` | an image in the space of sentences |
//! | `gradient/` | the trained head with its gradient |
//! | `network.rs` | the contract of towers |
//! | `tensors.rs`, `packed.rs`, `pool.rs` | arrays by name; the file that keeps packed ones; memory that is kept |

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(unsafe_code, reason = "kernels; no other crate has any")]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod attention;
mod bert;
mod block;
mod fusion;
pub mod gradient;
mod kernels;
mod linear;
mod lines;
mod lite;
mod math;
mod network;
mod norm;
mod out;
mod packed;
mod panels;
mod pool;
mod pooling;
mod precision;
mod projection;
mod rows;
mod run;
mod sentence;
mod simd;
mod tensors;
#[cfg(test)]
mod testing;
mod text;
mod vit;

pub use bert::Bert;
pub use block::{BlockSizes, NormOrder, Token};
pub use fusion::{AttentionFusion, FusionSizes};
pub use lite::{Lite, LiteBlockSizes, LiteSizes};
pub use math::Activation;
pub use network::{ImageNetwork, TextNetwork};
pub use packed::{PackedFile, PackedWriter};
pub use pooling::ProbeSizes;
pub use precision::{ParsePrecisionError, Precision};
pub use sentence::SentenceSizes;
pub use simd::{Simd, UnknownWidth, Width};
pub use tensors::{MissingTensor, Tensors};
pub use text::{TextSizes, TextTransformer};
pub use vit::{Reading, Vit, VitSizes};
