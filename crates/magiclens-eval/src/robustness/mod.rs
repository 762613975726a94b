//! Robustness of a system to the same request in other words, to "not", to contradictions and nothing at all, to several
//! images, and to requests that nothing fits. Queries and truth come from the labels of a collection.
//!
//! In the manner of PinPoint (Mahadev et al. 2026, arXiv 2603.04598), which has explicit negatives, six paraphrases of each
//! instruction and queries of two images. Its formulas were not to be had, only its text's summary: where a metric here
//! has a name of its own (NegRecall@10), its definition is the one given here, and numbers of that paper cannot be compared.
//!
//! | file | matter |
//! |---|---|
//! | `paraphrases.rs`, `negation.rs`, `contradiction.rs`, `empty.rs`, `images.rs` | the requests of each probe, and their right answers |
//! | `calibration.rs` | top scores with and without a right answer in the gallery |
//! | `report.rs` | the results, as JSON and as a document |
//! | `system.rs` | a model that is asked |

pub mod calibration;
mod contradiction;
mod empty;
mod images;
mod labels;
mod negation;
mod paraphrases;
mod report;
mod system;

pub use report::{Better, Measured, RobustnessReport, Section, Unit};
pub use system::measure_model;

use crate::EvalError;
use magiclens_collection::Collection;

/// The depth to which rankings are looked at.
pub const DEPTH: usize = 10;

/// A query to run. Images are rows of the collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RobustQuery {
    /// The query images; of several, the query vector is the normalized mean of their fused vectors.
    pub images: Vec<usize>,
    /// The instruction.
    pub text: String,
    /// Rows that are taken out of the ranking.
    pub exclude: Vec<usize>,
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// Rows of the nearest images, best first, without the excluded ones.
    pub items: Vec<usize>,
    /// Their similarities, in the same order.
    pub scores: Vec<f32>,
}

/// A system that answers queries: a model, or a made-up one in tests.
pub trait Ranker {
    /// One answer for each query, in their order: the `depth` nearest rows of `gallery`.
    ///
    /// # Errors
    /// Images that cannot be read, or a model that gives no direction for a query.
    fn rank(&mut self, queries: &[RobustQuery], gallery: &[usize], depth: usize) -> Result<Vec<Answered>, EvalError>;
}

/// Runs all queries and measures. The gallery is the whole collection; the same collection and ranker give the same
/// report.
///
/// # Errors
/// Those of the ranker.
pub fn measure(collection: &Collection, ranker: &mut dyn Ranker) -> Result<RobustnessReport, EvalError> {
    let gallery: Vec<usize> = (0..collection.images.len()).collect();
    let mut asked = AskedRanker {
        ranker,
        gallery: &gallery,
    };
    let mut sections = vec![paraphrases::measure(collection, &mut asked)?];
    sections.extend(negation::measure(collection, &mut asked)?);
    sections.extend(contradiction::measure(collection, &mut asked)?);
    sections.push(empty::measure(collection, &mut asked)?);
    sections.extend(images::measure(collection, &mut asked)?);
    sections.retain(|section| section.queries > 0);
    Ok(RobustnessReport {
        split: collection.split.to_string(),
        gallery: gallery.len(),
        sections,
        calibration: calibration::measure(collection, &mut asked)?,
    })
}

/// A ranker with its gallery.
struct AskedRanker<'a> {
    ranker: &'a mut dyn Ranker,
    gallery: &'a [usize],
}

impl AskedRanker<'_> {
    fn ask(&mut self, queries: &[RobustQuery]) -> Result<Vec<Answered>, EvalError> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        self.ranker.rank(queries, self.gallery, DEPTH)
    }
}

impl RobustQuery {
    /// A query of one image, which is removed from its own ranking.
    fn new(image: usize, text: impl Into<String>) -> Self {
        Self::of(vec![image], text)
    }

    /// A query of several images, which are removed from its ranking.
    fn of(images: Vec<usize>, text: impl Into<String>) -> Self {
        Self {
            exclude: images.clone(),
            images,
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests;
