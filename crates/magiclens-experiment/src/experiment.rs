//! An experiment as data.

use crate::condition::Condition;
use crate::metric::Metric;

/// An experiment.
#[derive(Debug)]
pub struct Experiment {
    /// Its name on the command line, and of its files.
    pub name: &'static str,
    /// Title of its page.
    pub title: &'static str,
    /// What the paper says or asks.
    pub paper: &'static str,
    /// What is compared, the one that others are compared with first.
    pub conditions: &'static [Condition],
    /// Metrics of the first table and the chart.
    pub metrics: &'static [Metric],
    /// The sentence.
    pub finding: Finding,
    /// The axis below the chart; bars where there is none.
    pub axis: Option<Axis>,
    /// What is measured beside.
    pub extra: Option<Extra>,
}

/// The axis below a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// [`Condition::at`], under a name.
    Value(&'static str),
    /// The same, by factors.
    Factor(&'static str),
    /// Trained parameters, by factors.
    Parameters,
}

/// Things measured beside the test queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The probes of `magiclens eval robustness`.
    Robustness,
    /// The score of `agreement.rs`.
    Agreement,
}

/// The sentence of an experiment about its claim. Numbers are places in the list of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// One condition is better than another.
    Better {
        /// The one.
        better: usize,
        /// The other.
        than: usize,
        /// The claim.
        claim: &'static str,
    },
    /// The condition furthest along the axis is better than the first there.
    Rises {
        /// The claim.
        claim: &'static str,
    },
    /// Many wordings are better than one; what is kept of relations that were left out.
    Wordings {
        /// With many.
        many: usize,
        /// With one.
        one: usize,
        /// The claim.
        claim: &'static str,
    },
    /// The cost of damaged instructions, and whether their agreement tells.
    Damage {
        /// Without damage.
        sound: usize,
        /// The most damaged.
        worst: usize,
    },
    /// Failure modes by kind.
    Failures,
    /// Captions help text -> image, at no cost elsewhere.
    Captions {
        /// Trained with captions.
        with: usize,
        /// Trained without.
        without: usize,
    },
    /// The smallest head is as good as the best.
    Size {
        /// The claim.
        claim: &'static str,
    },
}
