//! Instructions that contradict themselves: "as a line drawing in full color". Nothing is right; a system should be less
//! sure than with the plain instruction, and still show one reading or the other of the same thing.

use std::collections::HashSet;

use magiclens_collection::{COLOR, Collection, Look};
use magiclens_metrics::{Judged, precision_at_k};

use super::labels::{Labels, look};
use super::probe::{Case, Judging};
use super::report::{Better, Section, Unit};
use super::{Answered, DEPTH, RobustQuery, Titled};

/// Queries of each section.
const EACH: usize = 200;

/// Of each case the contradictory request and the plain one, which is its first half.
pub(super) fn probe(collection: &Collection) -> Titled {
    let labels = Labels::of(collection);
    vec![
        (
            "Contradiction: \"as a line drawing in full color\"",
            styles(collection, &labels),
        ),
        ("Contradiction: \"in red and not red\"", colors(collection, &labels)),
    ]
}

/// The same thing as a line drawing, and in color.
pub(super) fn styles(collection: &Collection, labels: &Labels<'_>) -> Vec<Case> {
    let at = |row: usize| &collection.images[row];
    let drawn = (0..collection.images.len()).filter(|row| look(at(*row)).is_some_and(|look| look != Look::Line));
    let order = collection.shuffled("contradictory styles", drawn);
    let cases = order.into_iter().map(|query| {
        let same = labels.same_thing(query);
        let of = |wanted: Look| {
            same.iter()
                .copied()
                .filter(|row| look(at(*row)) == Some(wanted))
                .collect()
        };
        Case {
            queries: ["as a line drawing in full colour", "as a line drawing"]
                .map(|text| RobustQuery::new(query, text))
                .into(),
            truth: of(Look::Line),
            other: of(Look::Color),
            cluster: collection.roots[query],
        }
    });
    cases
        .filter(|case| !case.truth.is_empty() && !case.other.is_empty())
        .take(EACH)
        .collect()
}

/// The same thing in a color, and in all others.
pub(super) fn colors(collection: &Collection, labels: &Labels<'_>) -> Vec<Case> {
    let asked = collection.drawn("contradictory colours", COLOR, EACH);
    let cases = asked.into_iter().filter_map(|asked| {
        let color = collection.images[*asked.targets.first()?].color.as_deref()?;
        let (truth, other) = labels.by_color(&labels.color_family(asked.query), color);
        Some(Case {
            queries: [format!("in {color} and not {color}"), format!("in {color}")]
                .map(|text| RobustQuery::new(asked.query, text))
                .into(),
            truth,
            other,
            cluster: collection.roots[asked.query],
        })
    });
    cases.collect()
}

pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut judging = Judging::new(
        title,
        "Similarity of the first answer, and the share of either reading among the first ten, beside those of the plain \
         instruction, which is the first half alone.",
        cases,
        answers,
    );
    let top = |pair: &[Answered], which: usize| {
        let score = pair.get(which).and_then(|answer| answer.scores.first());
        score.map_or(f64::NAN, |score| f64::from(*score))
    };
    for (label, which) in [("top similarity", 0), ("top similarity, plain", 1)] {
        judging.add(label, Unit::Similarity, Better::Neither, |_, pair| top(pair, which));
    }
    let label = "top similarity, contradictory minus plain";
    judging.add(label, Unit::Similarity, Better::Lower, |_, pair| {
        top(pair, 0) - top(pair, 1)
    });
    let share = |ranked: &[usize], set: &HashSet<usize>| precision_at_k(&Judged::of(ranked, set), DEPTH);
    for (which, suffix) in [(0, ""), (1, ", plain")] {
        let [first, second] = ["first", "second"].map(|half| format!("{half} half among ten{suffix}"));
        judging.add_share(&first, Better::Neither, which, |case, ranked| {
            share(ranked, &case.truth)
        });
        judging.add_share(&second, Better::Neither, which, |case, ranked| {
            share(ranked, &case.other)
        });
    }
    judging.finish()
}
