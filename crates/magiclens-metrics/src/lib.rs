//! Pure metrics over ids, exact ranking, confidence intervals by bootstrap, and the one random stream.
//!
//! | file | matter |
//! |---|---|
//! | `retrieval.rs` | metrics of ranked lists, with the formulas of the official evaluators |
//! | `ranking.rs` | vectors to ranked lists, exactly, with the official rule for ties |
//! | `values.rs` | mean, spread, quantiles, area under the curve |
//! | `bootstrap.rs` | confidence intervals over clusters, paired tests |
//! | `agreement.rs` | Wilson's interval, sign test, Krippendorff's alpha |
//! | `random.rs` | the random generator |
//! | `split_mix.rs` | the generator of streams published earlier |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod bootstrap;
mod random;
mod ranking;
mod retrieval;
mod split_mix;
mod values;

pub use agreement::{alpha, sign_test, wilson};
pub use bootstrap::{
    Confidence, Interval, MIN_CLUSTERS, Paired, Sample, bootstrap, bootstrap_interval, compare_paired,
};
pub use random::Random;
pub use ranking::{Matrix, rank, score_all};
pub use retrieval::{
    Judged, average_precision_at_k, capped_precision_at_k, hit_at_k, interpolated_average_precision,
    negative_recall_at_k, overlap_at_k, pairwise_overlap_at_k, plain_average_precision, precision_at_k,
    set_recall_at_k, trapezoidal_average_precision,
};
pub use split_mix::SplitMix64;
pub use values::{area_under_curve, deviation, mean, quantile, spread};
