//! The same request in six held-out wordings, as many as PinPoint has: how much the answer depends on the words.

use std::collections::HashSet;

use magiclens_collection::{
    Ask, COLOR, Collection, DRAWING_TO_PHOTO, GENDER, GROUP, SKETCH_TO_COLOR, SKIN_TONE, STYLE, STYLE_UNSEEN,
    held_out_wordings, text_hash,
};
use magiclens_metrics::{Judged, average_precision_at_k, deviation, hit_at_k, mean, pairwise_overlap_at_k, spread};

use super::report::{Better, Section, Unit};
use super::{Answered, AskedRanker, DEPTH, RobustQuery};
use crate::EvalError;

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
/// Requests of each relation.
const EACH: usize = 63;
/// Wordings of each request.
pub(super) const WORDINGS: usize = 6;

/// One request in all its wordings.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) truth: HashSet<usize>,
    pub(super) queries: Vec<RobustQuery>,
    pub(super) cluster: usize,
}

pub(super) fn measure(collection: &Collection, ranker: &mut AskedRanker<'_>) -> Result<Section, EvalError> {
    let cases = cases(collection);
    let queries: Vec<RobustQuery> = cases.iter().flat_map(|case| case.queries.clone()).collect();
    Ok(judge(&cases, &ranker.ask(&queries)?))
}

pub(super) fn cases(collection: &Collection) -> Vec<Case> {
    let asked = RELATIONS
        .iter()
        .flat_map(|relation| collection.drawn("paraphrases", relation, EACH));
    let cases = asked.filter_map(|asked| {
        let answer = &collection.images[*asked.targets.first()?];
        let seed = text_hash(&collection.images[asked.query].id.to_string());
        let texts = held_out_wordings(Ask::of(&asked.relation, answer)?, WORDINGS, seed);
        Some(Case {
            truth: asked.targets.iter().copied().collect(),
            queries: texts
                .into_iter()
                .map(|text| RobustQuery::new(asked.query, text))
                .collect(),
            cluster: collection.roots[asked.query],
        })
    });
    cases.filter(|case| case.queries.len() == WORDINGS).collect()
}

/// `answers`: those of the first case's wordings, then those of the second's, and so on.
pub(super) fn judge(cases: &[Case], answers: &[Answered]) -> Section {
    let mut section = Section::new(
        "Paraphrases",
        "One request in six wordings that were never trained on. Spread: the best wording's value minus the worst's, mean \
         over requests. Deviation: the standard deviation over wordings, mean over requests. Overlap@10: what two wordings' \
         first ten have in common, mean over pairs.",
        cases.iter().map(|case| case.cluster).collect(),
    );
    let answered: Vec<(&Case, &[Answered])> = cases.iter().zip(answers.chunks(WORDINGS)).collect();
    for (label, value) in [
        ("R@10", hit_at_k as fn(&Judged, usize) -> f64),
        ("mAP@10", average_precision_at_k),
    ] {
        let values: Vec<Vec<f64>> = answered
            .iter()
            .map(|(case, answers)| {
                answers
                    .iter()
                    .map(|answer| value(&Judged::of(&answer.items, &case.truth), DEPTH))
                    .collect()
            })
            .collect();
        let over = |statistic: fn(&[f64]) -> f64| values.iter().map(|values| statistic(values)).collect();
        let average = |values: &[f64]| mean(values.iter().copied());
        section.add(label, Unit::Percent, Better::Higher, over(average));
        section.add(&format!("{label}, spread"), Unit::Percent, Better::Lower, over(spread));
        section.add(
            &format!("{label}, deviation"),
            Unit::Percent,
            Better::Lower,
            over(deviation),
        );
    }
    let overlap = |answers: &[Answered]| {
        let lists: Vec<&[usize]> = answers.iter().map(|answer| answer.items.as_slice()).collect();
        pairwise_overlap_at_k(&lists, DEPTH)
    };
    let overlaps = answered.iter().map(|(_, answers)| overlap(answers)).collect();
    section.add("overlap@10", Unit::Percent, Better::Higher, overlaps);
    section
}
