//! The same request in six held-out wordings, as many as PinPoint has: how much the answer depends on the words.

use magiclens_collection::{Ask, Collection, held_out_wordings, text_hash};
use magiclens_metrics::{Judged, average_precision_at_k, deviation, hit_at_k, mean, pairwise_overlap_at_k, spread};

use super::probe::{Case, Judging};
use super::report::{Better, Section, Unit};
use super::{Answered, DEPTH, RELATIONS, RobustQuery, Titled};

/// Requests of each relation.
const EACH: usize = 63;
/// Wordings of each request.
pub(super) const WORDINGS: usize = 6;

/// Of each case one request in all its wordings.
pub(super) fn probe(collection: &Collection) -> Titled {
    vec![("Paraphrases", cases(collection))]
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
            ..Case::default()
        })
    });
    cases.filter(|case| case.queries.len() == WORDINGS).collect()
}

pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut judging = Judging::new(
        title,
        "One request in six wordings that were never trained on. Spread: the best wording's value minus the worst's, mean \
         over requests. Deviation: the standard deviation over wordings, mean over requests. Overlap@10: what two wordings' \
         first ten have in common, mean over pairs.",
        cases,
        answers,
    );
    for (label, metric) in [
        ("R@10", hit_at_k as fn(&Judged, usize) -> f64),
        ("mAP@10", average_precision_at_k),
    ] {
        for (suffix, better, statistic) in [
            ("", Better::Higher, average as fn(&[f64]) -> f64),
            (", spread", Better::Lower, spread),
            (", deviation", Better::Lower, deviation),
        ] {
            judging.add(&format!("{label}{suffix}"), Unit::Percent, better, |case, answers| {
                let judged = answers.iter().map(|answer| Judged::of(&answer.items, &case.truth));
                statistic(&judged.map(|judged| metric(&judged, DEPTH)).collect::<Vec<f64>>())
            });
        }
    }
    judging.add("overlap@10", Unit::Percent, Better::Higher, |_, answers| {
        let lists: Vec<&[usize]> = answers.iter().map(|answer| answer.items.as_slice()).collect();
        pairwise_overlap_at_k(&lists, DEPTH)
    });
    judging.finish()
}

fn average(values: &[f64]) -> f64 {
    mean(values.iter().copied())
}
