//! Instructions that contradict themselves: "as a line drawing in full color". Nothing is right; a system should be less
//! sure than with the plain instruction, and still show one reading or the other of the same thing.

use std::collections::HashSet;

use magiclens_collection::{COLOR, Collection, Look};
use magiclens_metrics::{Judged, precision_at_k};

use super::labels::{Labels, look};
use super::report::{Better, Section, Unit};
use super::{Answered, AskedRanker, DEPTH, RobustQuery};
use crate::EvalError;

/// Queries of each section.
const EACH: usize = 200;

/// A contradictory request, and the plain one that is its first half.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) contradictory: RobustQuery,
    pub(super) plain: RobustQuery,
    /// Answers to the first half.
    pub(super) first: HashSet<usize>,
    /// Answers to the second half.
    pub(super) second: HashSet<usize>,
    pub(super) cluster: usize,
}

pub(super) fn measure(collection: &Collection, ranker: &mut AskedRanker<'_>) -> Result<Vec<Section>, EvalError> {
    let labels = Labels::of(collection);
    let all = [
        (
            "Contradiction: \"as a line drawing in full color\"",
            styles(collection, &labels),
        ),
        ("Contradiction: \"in red and not red\"", colors(collection, &labels)),
    ];
    all.into_iter()
        .map(|(title, cases)| {
            let queries: Vec<RobustQuery> = cases
                .iter()
                .flat_map(|case| [case.contradictory.clone(), case.plain.clone()])
                .collect();
            Ok(judge(title, &cases, &ranker.ask(&queries)?))
        })
        .collect()
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
            contradictory: RobustQuery::new(query, "as a line drawing in full colour"),
            plain: RobustQuery::new(query, "as a line drawing"),
            first: of(Look::Line),
            second: of(Look::Color),
            cluster: collection.roots[query],
        }
    });
    cases
        .filter(|case| !case.first.is_empty() && !case.second.is_empty())
        .take(EACH)
        .collect()
}

/// The same thing in a color, and in all others.
pub(super) fn colors(collection: &Collection, labels: &Labels<'_>) -> Vec<Case> {
    let asked = collection.drawn("contradictory colours", COLOR, EACH);
    let cases = asked.into_iter().filter_map(|asked| {
        let color = collection.images[*asked.targets.first()?].color.as_deref()?;
        let (first, second) = labels.by_color(&labels.color_family(asked.query), color);
        Some(Case {
            contradictory: RobustQuery::new(asked.query, format!("in {color} and not {color}")),
            plain: RobustQuery::new(asked.query, format!("in {color}")),
            first,
            second,
            cluster: collection.roots[asked.query],
        })
    });
    cases.collect()
}

/// `answers`: of each case the contradictory request's, then the plain one's.
pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut section = Section::new(
        title,
        "Similarity of the first answer, and the share of either reading among the first ten, beside those of the plain \
         instruction, which is the first half alone.",
        cases.iter().map(|case| case.cluster).collect(),
    );
    let over = |value: &dyn Fn(&Case, &[Answered]) -> f64| -> Vec<f64> {
        cases
            .iter()
            .zip(answers.chunks(2))
            .map(|(case, pair)| value(case, pair))
            .collect()
    };
    let top = |pair: &[Answered], which: usize| {
        let score = pair.get(which).and_then(|answer| answer.scores.first());
        score.map_or(f64::NAN, |score| f64::from(*score))
    };
    let share = |set: &HashSet<usize>, pair: &[Answered], which: usize| {
        pair.get(which).map_or(f64::NAN, |answer| {
            precision_at_k(&Judged::of(&answer.items, set), DEPTH)
        })
    };
    let (similarity, percent) = (Unit::Similarity, Unit::Percent);
    let plain = over(&|_, pair| top(pair, 1));
    let change = over(&|_, pair| top(pair, 0) - top(pair, 1));
    section.add(
        "top similarity",
        similarity,
        Better::Neither,
        over(&|_, pair| top(pair, 0)),
    );
    section.add("top similarity, plain", similarity, Better::Neither, plain);
    section.add(
        "top similarity, contradictory minus plain",
        similarity,
        Better::Lower,
        change,
    );
    for (which, suffix) in [(0, ""), (1, ", plain")] {
        let first = over(&|case, pair| share(&case.first, pair, which));
        let second = over(&|case, pair| share(&case.second, pair, which));
        section.add(
            &format!("first half among ten{suffix}"),
            percent,
            Better::Neither,
            first,
        );
        section.add(
            &format!("second half among ten{suffix}"),
            percent,
            Better::Neither,
            second,
        );
    }
    section
}
