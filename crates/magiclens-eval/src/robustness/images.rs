//! Queries of two images, as PinPoint has them: "the first thing in the style of the second" and "more like these". A model with a place
//! for a second image takes both; of another the query vector is the normalized mean of the images' fused vectors, so that the order
//! of the images cannot count: how often the second thing comes in the style of the first is shown beside it.

use std::collections::HashSet;

use magiclens_collection::{Collection, GROUP, STYLE};
use magiclens_metrics::{Judged, average_precision_at_k, hit_at_k};

use super::probe::{Case, Judging};
use super::report::{Better, Section};
use super::{Answered, DEPTH, RobustQuery, Titled};

/// Queries of each section.
const EACH: usize = 200;

/// Of each case the query of two images, and the nearest one of a single image.
pub(super) fn probe(collection: &Collection) -> Titled {
    vec![
        (
            "Two images: the first thing in the style of the second",
            transfer(collection),
        ),
        ("Two images: more like these", more(collection)),
    ]
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
            other: in_style(other, query, &images),
            queries: vec![
                RobustQuery::of(images, "the first thing in the style of the second"),
                RobustQuery::new(query, &asked.instruction),
            ],
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
            queries: vec![RobustQuery::of(images, "more like these"), single],
            truth,
            other: HashSet::new(),
            cluster: collection.roots[asked.query],
        })
    });
    cases.take(EACH).collect()
}

/// `other` of a case: the right answers with the images swapped; empty where their order does not count.
pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut judging = Judging::new(
        title,
        "The query is both images, or the mean of their vectors where the model has no place for a second one; beside it the same wish with \
         one image and words.",
        cases,
        answers,
    );
    let hit = |ranked: &[usize], right: &HashSet<usize>| hit_at_k(&Judged::of(ranked, right), DEPTH);
    for (which, better, suffix) in [(0, Better::Higher, ""), (1, Better::Neither, ", one image")] {
        judging.add_share(&format!("R@10{suffix}"), better, which, |case, ranked| {
            hit(ranked, &case.truth)
        });
        judging.add_share(&format!("mAP@10{suffix}"), better, which, |case, ranked| {
            average_precision_at_k(&Judged::of(ranked, &case.truth), DEPTH)
        });
    }
    if cases.iter().any(|case| !case.other.is_empty()) {
        let label = "R@10 of the swapped reading";
        judging.add_share(label, Better::Lower, 0, |case, ranked| match case.other.is_empty() {
            true => f64::NAN,
            false => hit(ranked, &case.other),
        });
    }
    judging.finish()
}
