//! Instructions that say what is not wanted: "not red", "in any style but Twemoji". Right is the same thing in another
//! color or style; what was excluded is the explicit negative, as in PinPoint.

use std::collections::{BTreeSet, HashSet};

use magiclens_collection::{Collection, STYLE, held_out_style_names, text_hash};
use magiclens_metrics::{Judged, hit_at_k, negative_recall_at_k, precision_at_k};

use super::labels::Labels;
use super::report::{Better, Section, Unit};
use super::{Answered, AskedRanker, DEPTH, RobustQuery};
use crate::EvalError;

/// Queries of each section.
const EACH: usize = 200;
const NOT_COLOR: [&str; 3] = ["not {}", "any colour but {}", "the same, but not {}"];
const PLAIN_COLOR: &str = "in {}";
const NOT_STYLE: [&str; 3] = ["not in {} style", "in any style but {}", "not as {} draws it"];
const PLAIN_STYLE: &str = "in {} style";

/// A negated request beside the plain one for what it excludes.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) negated: RobustQuery,
    pub(super) plain: RobustQuery,
    pub(super) truth: HashSet<usize>,
    pub(super) excluded: HashSet<usize>,
    pub(super) cluster: usize,
}

pub(super) fn measure(collection: &Collection, ranker: &mut AskedRanker<'_>) -> Result<Vec<Section>, EvalError> {
    let labels = Labels::of(collection);
    let (own, other) = colors(collection, &labels);
    let all = [
        ("Negation: not the color of the image", own),
        ("Negation: not another color", other),
        ("Negation: not a style", styles(collection, &labels)),
    ];
    all.into_iter()
        .map(|(title, cases)| {
            let queries: Vec<RobustQuery> = cases
                .iter()
                .flat_map(|case| [case.negated.clone(), case.plain.clone()])
                .collect();
            Ok(judge(title, &cases, &ranker.ask(&queries)?))
        })
        .collect()
}

/// Those that exclude the query's own color, and those that exclude another one.
pub(super) fn colors(collection: &Collection, labels: &Labels<'_>) -> (Vec<Case>, Vec<Case>) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for query in collection.shuffled("negated colours", 0..collection.images.len()) {
        let family = labels.color_family(query);
        let color = |row: usize| collection.images[row].color.as_deref();
        let colors: BTreeSet<&str> = family.iter().filter_map(|row| color(*row)).collect();
        let (same, others): (Vec<&str>, Vec<&str>) = colors.into_iter().partition(|word| Some(*word) == color(query));
        let others = if others.is_empty() {
            Vec::new()
        } else {
            vec![*choose(
                &others,
                &format!("other colour {}", collection.images[query].id),
            )]
        };
        for (words, cases) in [(same, &mut own), (others, &mut other)] {
            for word in words {
                let (excluded, truth) = labels.by_color(&family, word);
                let texts = (&NOT_COLOR[..], PLAIN_COLOR);
                cases.extend(case(collection, query, texts, word, truth, excluded));
            }
        }
    }
    own.truncate(EACH);
    other.truncate(EACH);
    (own, other)
}

/// Those that exclude a style of another design family.
pub(super) fn styles(collection: &Collection, labels: &Labels<'_>) -> Vec<Case> {
    let asked = collection.drawn("negated styles", STYLE, EACH);
    let cases = asked.into_iter().filter_map(|asked| {
        let style = &collection.images[*asked.targets.first()?].style;
        let names = held_out_style_names(style);
        if names.is_empty() {
            return None;
        }
        let name = choose(names, &format!("style name {}", collection.images[asked.query].id));
        let same = labels.same_thing(asked.query);
        let (excluded, truth) = same
            .into_iter()
            .partition(|row| collection.images[*row].style == *style);
        case(
            collection,
            asked.query,
            (&NOT_STYLE, PLAIN_STYLE),
            name,
            truth,
            excluded,
        )
    });
    cases.collect()
}

/// The case of a word, if there is both something right and something excluded.
fn case(
    collection: &Collection,
    query: usize,
    (negated, plain): (&[&str], &str),
    word: &str,
    truth: HashSet<usize>,
    excluded: HashSet<usize>,
) -> Option<Case> {
    let template = choose(negated, &format!("negation {word} {}", collection.images[query].id));
    (!truth.is_empty() && !excluded.is_empty()).then(|| Case {
        negated: RobustQuery::new(query, template.replace("{}", word)),
        plain: RobustQuery::new(query, plain.replace("{}", word)),
        truth,
        excluded,
        cluster: collection.roots[query],
    })
}

/// `answers`: of each case the negated request's, then the plain one's.
pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut section = Section::new(
        title,
        "NegRecall@10: the share of what was excluded that is among the first ten all the same. Beside it, how much of it \
         comes when it is asked for: a system that does not hear \"not\" has the same score twice.",
        cases.iter().map(|case| case.cluster).collect(),
    );
    let over = |which: usize, value: &dyn Fn(&Case, &[usize]) -> f64| -> Vec<f64> {
        let of =
            |(case, pair): (&Case, &[Answered])| pair.get(which).map_or(f64::NAN, |answer| value(case, &answer.items));
        cases.iter().zip(answers.chunks(2)).map(of).collect()
    };
    let hits = over(0, &|case, ranked| hit_at_k(&Judged::of(ranked, &case.truth), DEPTH));
    let shares = over(0, &|case, ranked| {
        precision_at_k(&Judged::of(ranked, &case.truth), DEPTH)
    });
    let excluded = |case: &Case, ranked: &[usize]| negative_recall_at_k(ranked, &case.excluded, DEPTH);
    section.add("R@10", Unit::Percent, Better::Higher, hits);
    section.add("right among the first ten", Unit::Percent, Better::Higher, shares);
    section.add("NegRecall@10", Unit::Percent, Better::Lower, over(0, &excluded));
    section.add(
        "NegRecall@10 where it is asked for",
        Unit::Percent,
        Better::Neither,
        over(1, &excluded),
    );
    section
}

/// One of `choices`, which the text decides; they must not be empty.
fn choose<'a, T>(choices: &'a [T], text: &str) -> &'a T {
    &choices[(text_hash(text) % choices.len() as u64) as usize]
}
