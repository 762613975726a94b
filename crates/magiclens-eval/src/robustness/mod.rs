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
//! | `probe.rs` | the common part of these: cases, and scores of their answers |
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
mod probe;
mod report;
mod system;

pub use report::{Better, Measured, RobustnessReport, Section, Unit};
pub use system::measure_model;

use magiclens_collection::{
    COLOR, Collection, DRAWING_TO_PHOTO, GENDER, GROUP, SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_UNSEEN,
};

use crate::EvalError;
use probe::Case;

/// The depth to which rankings are looked at.
pub const DEPTH: usize = 10;

/// Relations whose requests are paraphrased, and asked where nothing fits.
const RELATIONS: [&str; 8] = [
    STYLE,
    STYLE_UNSEEN,
    SKETCH_TO_COLOR,
    SKIN_TONE,
    GENDER,
    COLOR,
    GROUP,
    DRAWING_TO_PHOTO,
];

/// Titles and cases of a probe.
type Titled = Vec<(&'static str, Vec<Case>)>;
/// The section of a title, its cases, and the answers to all their requests.
type Judge = fn(&str, &[Case], &[Answered]) -> Section;

/// A query to run. Images are rows of the collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RobustQuery {
    /// The query images; of several, the query vector is the normalized mean of their fused vectors, unless the model has a place for a second
    /// image.
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
    let mut ask = |queries: &[RobustQuery]| match queries.is_empty() {
        true => Ok(Vec::new()),
        false => ranker.rank(queries, &gallery, DEPTH),
    };
    let probes: [(Titled, Judge); 5] = [
        (paraphrases::probe(collection), paraphrases::judge),
        (negation::probe(collection), negation::judge),
        (contradiction::probe(collection), contradiction::judge),
        (empty::probe(collection), empty::judge),
        (images::probe(collection), images::judge),
    ];
    let mut sections = Vec::new();
    for (titled, judge) in probes {
        for (title, cases) in titled.into_iter().filter(|(_, cases)| !cases.is_empty()) {
            let queries: Vec<RobustQuery> = cases.iter().flat_map(|case| case.queries.clone()).collect();
            sections.push(judge(title, &cases, &ask(&queries)?));
        }
    }
    let unfit = calibration::cases(collection);
    let queries: Vec<RobustQuery> = unfit.iter().flat_map(|asked| calibration::queries(asked)).collect();
    Ok(RobustnessReport {
        split: collection.split.to_string(),
        gallery: gallery.len(),
        sections,
        calibration: calibration::judge(&unfit, &ask(&queries)?),
    })
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
