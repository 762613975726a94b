//! Instructions that say nothing: the empty text, which is how every image of the gallery is embedded, and texts without
//! a word. What comes should be what the image alone brings.

use std::collections::HashSet;

use magiclens_metrics::{Judged, overlap_at_k, precision_at_k};

use super::labels::{Labels, look};
use super::report::{Better, Section, Unit};
use super::{Answered, AskedRanker, DEPTH, RobustQuery};
use crate::EvalError;
use magiclens_collection::Collection;

/// Queries with each text.
const QUERIES: usize = 300;
/// The empty text, which the others are compared with, and texts without a word.
pub(super) const TEXTS: [(&str, &str); 4] = [
    ("empty", ""),
    ("a space", " "),
    ("a full stop", "."),
    ("a question mark", "?"),
];

/// An image, and what is like it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) query: usize,
    pub(super) same_thing: HashSet<usize>,
    pub(super) same_style: HashSet<usize>,
    pub(super) cluster: usize,
}

/// A metric of a case, its ranking, and that of the empty text.
type Value<'a> = &'a dyn Fn(&Case, &[usize], &[usize]) -> f64;

pub(super) fn measure(collection: &Collection, ranker: &mut AskedRanker<'_>) -> Result<Section, EvalError> {
    let cases = cases(collection);
    let queries: Vec<RobustQuery> = cases
        .iter()
        .flat_map(|case| TEXTS.map(|(_, text)| RobustQuery::new(case.query, text)))
        .collect();
    Ok(judge(&cases, &ranker.ask(&queries)?))
}

pub(super) fn cases(collection: &Collection) -> Vec<Case> {
    let labels = Labels::of(collection);
    let images = &collection.images;
    let drawn = (0..images.len()).filter(|row| look(&images[*row]).is_some());
    let order = collection.shuffled("empty", drawn);
    let cases = order.into_iter().map(|query| Case {
        query,
        same_thing: labels.same_thing(query),
        same_style: (0..images.len())
            .filter(|row| *row != query && images[*row].style == images[query].style)
            .collect(),
        cluster: collection.roots[query],
    });
    cases
        .filter(|case| !case.same_thing.is_empty() && !case.same_style.is_empty())
        .take(QUERIES)
        .collect()
}

/// `answers`: of each case those of all [`TEXTS`].
pub(super) fn judge(cases: &[Case], answers: &[Answered]) -> Section {
    let mut section = Section::new(
        "Empty instructions",
        "Shares of the first ten that show the thing of the query image, that are in its style, and that are among the first \
         ten of the empty text, which is the image alone.",
        cases.iter().map(|case| case.cluster).collect(),
    );
    for (which, (name, text)) in TEXTS.into_iter().enumerate() {
        let over = |value: Value<'_>| -> Vec<f64> {
            let of = |(case, all): (&Case, &[Answered])| match (all.first(), all.get(which)) {
                (Some(empty), Some(answer)) => value(case, &answer.items, &empty.items),
                _ => f64::NAN,
            };
            cases.iter().zip(answers.chunks(TEXTS.len())).map(of).collect()
        };
        let things = over(&|case, ranked, _| precision_at_k(&Judged::of(ranked, &case.same_thing), DEPTH));
        let styles = over(&|case, ranked, _| precision_at_k(&Judged::of(ranked, &case.same_style), DEPTH));
        section.add(
            &format!("{name}: same thing among ten"),
            Unit::Percent,
            Better::Neither,
            things,
        );
        section.add(
            &format!("{name}: same style among ten"),
            Unit::Percent,
            Better::Neither,
            styles,
        );
        if !text.is_empty() {
            let overlaps = over(&|_, ranked, empty| overlap_at_k(ranked, empty, DEPTH));
            section.add(
                &format!("{name}: overlap@10 with empty"),
                Unit::Percent,
                Better::Higher,
                overlaps,
            );
        }
    }
    section
}
