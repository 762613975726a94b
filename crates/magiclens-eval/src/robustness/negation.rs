//! Instructions that say what is not wanted: "not red", "in any style but Twemoji". Right is the same thing in another
//! color or style; what was excluded is the explicit negative, as in PinPoint.

use std::collections::{BTreeSet, HashSet};

use magiclens_collection::{Collection, STYLE, held_out_style_names, text_hash};
use magiclens_metrics::{Judged, hit_at_k, negative_recall_at_k, precision_at_k};

use super::labels::Labels;
use super::probe::{Case, Judging};
use super::report::{Better, Section};
use super::{Answered, DEPTH, RobustQuery, Titled};

/// Queries of each section.
const EACH: usize = 200;
const NOT_COLOR: [&str; 3] = ["not {}", "any colour but {}", "the same, but not {}"];
const PLAIN_COLOR: &str = "in {}";
const NOT_STYLE: [&str; 3] = ["not in {} style", "in any style but {}", "not as {} draws it"];
const PLAIN_STYLE: &str = "in {} style";

/// Of each case the negated request, and the plain one for the images that it excludes.
pub(super) fn probe(collection: &Collection) -> Titled {
    let labels = Labels::of(collection);
    let (own, other) = colors(collection, &labels);
    vec![
        ("Negation: not the color of the image", own),
        ("Negation: not another color", other),
        ("Negation: not a style", styles(collection, &labels)),
    ]
}

/// Those that exclude the query's own color, and those that exclude another one.
pub(super) fn colors(collection: &Collection, labels: &Labels<'_>) -> (Vec<Case>, Vec<Case>) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for query in collection.shuffled("negated colours", 0..collection.images.len()) {
        let family = labels.color_family(query);
        let color = |row: usize| collection.images[row].color.as_deref();
        let colors: BTreeSet<&str> = family.iter().filter_map(|row| color(*row)).collect();
        let (same, others): (Vec<&str>, Vec<&str>) = colors.into_iter().partition(|word| Some(*word) == color(query));
        let another = choose(&others, &format!("other colour {}", collection.images[query].id));
        let another = another.into_iter().copied().collect();
        for (words, cases) in [(same, &mut own), (another, &mut other)] {
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
        let name = choose(names, &format!("style name {}", collection.images[asked.query].id))?;
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
    let template = *choose(negated, &format!("negation {word} {}", collection.images[query].id))?;
    (!truth.is_empty() && !excluded.is_empty()).then(|| Case {
        queries: [template, plain]
            .map(|text| RobustQuery::new(query, text.replace("{}", word)))
            .into(),
        truth,
        other: excluded,
        cluster: collection.roots[query],
    })
}

pub(super) fn judge(title: &str, cases: &[Case], answers: &[Answered]) -> Section {
    let mut judging = Judging::new(
        title,
        "NegRecall@10: the share of what was excluded that is among the first ten all the same. Beside it, how much of it \
         comes when it is asked for: a system that does not hear \"not\" has the same score twice.",
        cases,
        answers,
    );
    judging.add_share("R@10", Better::Higher, 0, |case, ranked| {
        hit_at_k(&Judged::of(ranked, &case.truth), DEPTH)
    });
    judging.add_share("right among the first ten", Better::Higher, 0, |case, ranked| {
        precision_at_k(&Judged::of(ranked, &case.truth), DEPTH)
    });
    let excluded = |case: &Case, ranked: &[usize]| negative_recall_at_k(ranked, &case.other, DEPTH);
    judging.add_share("NegRecall@10", Better::Lower, 0, excluded);
    judging.add_share("NegRecall@10 where it is asked for", Better::Neither, 1, excluded);
    judging.finish()
}

/// One of `choices`, which the text decides; `None` if there are none.
fn choose<'a, T>(choices: &'a [T], text: &str) -> Option<&'a T> {
    let place = text_hash(text).checked_rem(choices.len() as u64)?;
    choices.get(place as usize)
}
