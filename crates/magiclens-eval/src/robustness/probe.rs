//! A probe: cases of several requests each, asked beside each other and judged together.

use std::collections::HashSet;

use magiclens_metrics::{Sample, bootstrap_interval, mean};

use super::report::{Better, Measured, Section, Unit};
use super::{Answered, RobustQuery};

/// Decides the bootstrap.
const SEED: u64 = 20_260_304;

/// Requests that are compared with each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// The requests, in the order that the probe defines; as many in each of its cases.
    pub(super) queries: Vec<RobustQuery>,
    /// Right answers; of a contradiction those to its first half.
    pub(super) truth: HashSet<usize>,
    /// Answers of another kind: excluded ones, or those of another reading.
    pub(super) other: HashSet<usize>,
    /// The root concept.
    pub(super) cluster: usize,
}

/// The cases of a probe with their answers, and the scores so far.
pub(super) struct Judging<'a> {
    answered: Vec<(&'a Case, &'a [Answered])>,
    clusters: Vec<usize>,
    section: Section,
}

impl<'a> Judging<'a> {
    /// `answers`: those to the requests of the first case, then those of the second, and so on.
    pub(super) fn new(title: &str, about: &str, cases: &'a [Case], answers: &'a [Answered]) -> Self {
        let requests = cases.first().map_or(1, |case| case.queries.len());
        Self {
            answered: cases.iter().zip(answers.chunks(requests)).collect(),
            clusters: cases.iter().map(|case| case.cluster).collect(),
            section: Section {
                title: title.to_owned(),
                about: about.to_owned(),
                queries: cases.len(),
                scores: Vec::new(),
            },
        }
    }

    /// Adds the mean of a value over all cases where it is defined.
    pub(super) fn add(&mut self, label: &str, unit: Unit, better: Better, value: impl Fn(&Case, &[Answered]) -> f64) {
        let answered = self.answered.iter();
        let values: Vec<f64> = answered.map(|(case, answers)| value(case, answers)).collect();
        let value = mean(values.iter().copied());
        let sample = Sample {
            values: &values,
            clusters: &self.clusters,
        };
        self.section.scores.push(Measured {
            label: label.to_owned(),
            unit,
            better,
            value: (!value.is_nan()).then_some(value),
            confidence: bootstrap_interval(&[sample], SEED),
        });
    }

    /// Adds the mean of a share, which follows from the ranking of the request at `place` in its case.
    pub(super) fn add_share(
        &mut self,
        label: &str,
        better: Better,
        place: usize,
        share: impl Fn(&Case, &[usize]) -> f64,
    ) {
        self.add(label, Unit::Percent, better, |case, answers| {
            let answer = answers.get(place);
            answer.map_or(f64::NAN, |answer| share(case, &answer.items))
        });
    }

    pub(super) fn finish(self) -> Section {
        self.section
    }
}
