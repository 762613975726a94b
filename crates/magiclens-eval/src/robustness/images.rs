//! Queries of two images, as PinPoint has them: "the first thing in the style of the second" and "more like these". The
//! query vector is the normalized mean of the images' fused vectors, so the order of the images cannot count: how often
//! the second thing comes in the style of the first is shown beside it.

use std::collections::HashSet;

use magiclens_collection::{Collection, GROUP, STYLE};
use magiclens_metrics::{Judged, average_precision_at_k, hit_at_k};

use super::report::{Better, Section, Unit};
use super::{Answered, AskedRanker, DEPTH, RobustQuery};
use crate::EvalError;

/// Queries of each section.
const EACH: usize = 200;

/// A query of two images, and the nearest one of a single image.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) both: RobustQuery,
    pub(super) single: RobustQuery,
    pub(super) truth: HashSet<usize>,
    /// The right answers with the images swapped; empty where their order does not count.
    pub(super) swapped: HashSet<usize>,
    pub(super) cluster: usize,
}

pub(super) fn measure(collection: &Collection, ranker: &mut AskedRanker<'_>) -> Result<Vec<Section>, EvalError> {
    let all = [
        (
            "Two images: the first thing in the style of the second",
            transfer(collection),
        ),
        ("Two images: more like these", more(collection)),
    ];
    all.into_iter()
        .map(|(title, cases)| {
            let queries: Vec<RobustQuery> = cases
                .iter()
                .flat_map(|case| [case.both.clone(), case.single.clone()])
                .collect();
            Ok(judge(title, &cases, &ranker.ask(&queries)?))
        })
        .collect()
}

/// A thing, and another thing in the style that is wanted; beside it the style named in words.
pub(super) fn transfer(collection: &Collection) -> Vec<Case> {
    let images = &collection.images;
    let in_style = |thing: usize, style: usize, excluded: &[usize]| -> HashSet<usize> {
        (0..images.len())
            .filter(|row| images[*row].style == images[style].style && images[*row].shows_same_concept(&images[thing]))
            .filter(|row| !excluded.contains(row))
            .collect()
    };
    let asked = collection.drawn("style transfer", STYLE, EACH);
    let cases = asked.into_iter().filter_map(|asked| {
        let query = asked.query;
        let style = &images[*asked.targets.first()?].style;
        let other = (0..images.len())
            .filter(|row| images[*row].style == *style && images[*row].root != images[query].root)
            .filter(|row| !images[*row].shows_same_concept(&images[query]));
        let other = *collection
            .shuffled(&format!("style of {}", images[query].id), other)
            .first()?;
        let images = vec![query, other];
        Some(Case {
            truth: in_style(query, other, &images),
            swapped: in_style(other, query, &images),
            both: RobustQuery::of(images, "the first thing in the style of the second"),
            single: RobustQuery::new(query, &asked.instruction),
            cluster: collection.roots[query],
        })
    });
    cases.collect()
}

/// Two things of one group in one style; right are the others. Beside it one of the images.
pub(super) fn more(collection: &Collection) -> Vec<Case> {
    let asked = collection.drawn("more like these", GROUP, usize::MAX);
    let cases = asked.into_iter().filter_map(|asked| {
        let what = format!("like {}", collection.images[asked.query].id);
        let other = *collection.shuffled(&what, asked.targets.iter().copied()).first()?;
        let others = asked.targets.iter().copied();
        let truth: HashSet<usize> = others
            .filter(|row| collection.roots[*row] != collection.roots[other])
            .collect();
        let images = vec![asked.query, other];
        let single = RobustQuery {
            images: vec![asked.query],
            ..RobustQuery::of(images.clone(), "more like this")
        };
        (!truth.is_empty()).then(|| Case {
            both: RobustQuery::of(images, "more like these"),
            single,
            truth,
            swapped: HashSet::new(),
            cluster: collection.roots[asked.query],
        })
    });
    cases.take(EACH).collect()
}

/// `answers`: of each case those of both images, then those of the single one.
pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut section = Section::new(
        title,
        "The query is the mean of two images' vectors; beside it the same wish with one image and words.",
        cases.iter().map(|case| case.cluster).collect(),
    );
    let over = |which: usize, value: &dyn Fn(&Case, &[usize]) -> f64| -> Vec<f64> {
        let of =
            |(case, pair): (&Case, &[Answered])| pair.get(which).map_or(f64::NAN, |answer| value(case, &answer.items));
        cases.iter().zip(answers.chunks(2)).map(of).collect()
    };
    for (which, suffix) in [(0, ""), (1, ", one image")] {
        let better = if which == 0 { Better::Higher } else { Better::Neither };
        let hits = over(which, &|case, ranked| hit_at_k(&Judged::of(ranked, &case.truth), DEPTH));
        let precisions = over(which, &|case, ranked| {
            average_precision_at_k(&Judged::of(ranked, &case.truth), DEPTH)
        });
        section.add(&format!("R@10{suffix}"), Unit::Percent, better, hits);
        section.add(&format!("mAP@10{suffix}"), Unit::Percent, better, precisions);
    }
    if cases.iter().any(|case| !case.swapped.is_empty()) {
        let swapped = over(0, &|case, ranked| match case.swapped.is_empty() {
            true => f64::NAN,
            false => hit_at_k(&Judged::of(ranked, &case.swapped), DEPTH),
        });
        section.add("R@10 of the swapped reading", Unit::Percent, Better::Lower, swapped);
    }
    section
}
