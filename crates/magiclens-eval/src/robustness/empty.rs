//! Instructions that say nothing: the empty text, which is how every image of the gallery is embedded, and texts without
//! a word. What comes should be what the image alone brings.

use magiclens_collection::Collection;
use magiclens_metrics::{Judged, overlap_at_k, precision_at_k};

use super::labels::{Labels, look};
use super::probe::{Case, Judging};
use super::report::{Better, Section, Unit};
use super::{Answered, DEPTH, RobustQuery, Titled};

/// Queries with each text.
const QUERIES: usize = 300;
/// The empty text, which the others are compared with, and texts without a word.
pub(super) const TEXTS: [(&str, &str); 4] = [
    ("empty", ""),
    ("a space", " "),
    ("a full stop", "."),
    ("a question mark", "?"),
];

/// Of each case a request with each of [`TEXTS`].
pub(super) fn probe(collection: &Collection) -> Titled {
    vec![("Empty instructions", cases(collection))]
}

/// Images, with those of the same thing (`truth`) and of the same style (`other`).
pub(super) fn cases(collection: &Collection) -> Vec<Case> {
    let labels = Labels::of(collection);
    let images = &collection.images;
    let drawn = (0..images.len()).filter(|row| look(&images[*row]).is_some());
    let order = collection.shuffled("empty", drawn);
    let cases = order.into_iter().map(|query| Case {
        queries: TEXTS.map(|(_, text)| RobustQuery::new(query, text)).into(),
        truth: labels.same_thing(query),
        other: (0..images.len())
            .filter(|row| *row != query && images[*row].style == images[query].style)
            .collect(),
        cluster: collection.roots[query],
    });
    cases
        .filter(|case| !case.truth.is_empty() && !case.other.is_empty())
        .take(QUERIES)
        .collect()
}

pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut judging = Judging::new(
        title,
        "Shares of the first ten that show the thing of the query image, that are in its style, and that are among the first \
         ten of the empty text, which is the image alone.",
        cases,
        answers,
    );
    let neither = Better::Neither;
    for (which, (name, text)) in TEXTS.into_iter().enumerate() {
        judging.add_share(
            &format!("{name}: same thing among ten"),
            neither,
            which,
            |case, ranked| precision_at_k(&Judged::of(ranked, &case.truth), DEPTH),
        );
        judging.add_share(
            &format!("{name}: same style among ten"),
            neither,
            which,
            |case, ranked| precision_at_k(&Judged::of(ranked, &case.other), DEPTH),
        );
        if !text.is_empty() {
            let label = format!("{name}: overlap@10 with empty");
            let overlap = |_: &Case, all: &[Answered]| match (all.first(), all.get(which)) {
                (Some(empty), Some(answer)) => overlap_at_k(&answer.items, &empty.items, DEPTH),
                _ => f64::NAN,
            };
            judging.add(&label, Unit::Percent, Better::Higher, overlap);
        }
    }
    judging.finish()
}
