//! The cases of each probe on a made-up collection, and its scores for made-up answers, worked out by hand.

use std::collections::HashSet;

use magiclens_collection::Look;

use super::*;
use crate::made_up::collection;
use labels::{Labels, look};

fn set(rows: &[usize]) -> HashSet<usize> {
    rows.iter().copied().collect()
}

fn answer(items: &[usize], top: f32) -> Answered {
    Answered {
        items: items.to_vec(),
        scores: items
            .iter()
            .zip(0..)
            .map(|(_, place)| top - 0.1 * place as f32)
            .collect(),
    }
}

#[track_caller]
fn check(section: &Section, label: &str, expected: f64) {
    let value = section
        .score(label)
        .unwrap_or_else(|| panic!("no score `{label}`"))
        .value
        .unwrap();
    assert!(
        (value - expected).abs() < 1e-6,
        "{label}: {value} instead of {expected}"
    );
}

/// Whether neither the query nor any excluded image is among the wanted ones.
fn fits(query: &RobustQuery, wanted: &[&HashSet<usize>]) -> bool {
    query.images.iter().all(|image| query.exclude.contains(image))
        && wanted
            .iter()
            .all(|set| query.exclude.iter().all(|row| !set.contains(row)))
}

#[test]
fn paraphrases_ask_the_same_in_different_words() {
    let collection = collection();
    let cases = paraphrases::cases(&collection);
    assert!(cases.len() > 100, "{}", cases.len());
    for case in &cases {
        let texts: HashSet<&str> = case.queries.iter().map(|query| query.text.as_str()).collect();
        assert_eq!(texts.len(), paraphrases::WORDINGS);
        assert!(case.queries.iter().all(|query| query.images == case.queries[0].images));
        assert!(case.queries.iter().all(|query| fits(query, &[&case.truth])) && !case.truth.is_empty());
    }
}

#[test]
fn spread_over_wordings_by_hand() {
    let case = |truth: &[usize]| Case {
        truth: set(truth),
        queries: vec![RobustQuery::default(); 6],
        ..Case::default()
    };
    // The first request is found at rank 1 in three wordings, at rank 2 in two and never in one; the second always first.
    let lists: [&[usize]; 6] = [&[1, 5], &[1, 5], &[1, 5], &[5, 1], &[5, 1], &[8, 9]];
    let mut answers: Vec<Answered> = lists.map(|list| answer(list, 0.9)).into();
    answers.extend(vec![answer(&[2, 7], 0.5); 6]);
    let section = paraphrases::judge("x", &[case(&[1]), case(&[2])], &answers);
    assert_eq!(section.queries, 2);
    check(&section, "R@10", (5.0 / 6.0 + 1.0) / 2.0);
    check(&section, "R@10, spread", 0.5);
    check(&section, "R@10, deviation", (5.0_f64 / 36.0).sqrt() / 2.0);
    check(&section, "mAP@10", (4.0 / 6.0 + 1.0) / 2.0);
    check(&section, "mAP@10, spread", 0.5);
    // Of fifteen pairs the ten among the first five lists have both in common, the other five nothing.
    check(&section, "overlap@10", (10.0 / 15.0 + 1.0) / 2.0);
}

#[test]
fn negation_excludes_what_it_names() {
    let collection = collection();
    let labels = Labels::of(&collection);
    let at = |row: &usize| &collection.images[*row];
    let (own, other) = negation::colors(&collection, &labels);
    assert!(!own.is_empty() && own.len() == other.len());
    for (cases, is_own) in [(&own, true), (&other, false)] {
        for case in cases {
            let query = at(&case.queries[0].images[0]);
            let color = case
                .other
                .iter()
                .map(|row| at(row).color.clone().unwrap())
                .next()
                .unwrap();
            assert!(case.queries[0].text.contains(&color) && case.queries[1].text == format!("in {color}"));
            assert_eq!(query.color.as_deref() == Some(color.as_str()), is_own);
            assert!(
                case.other
                    .iter()
                    .all(|row| at(row).color.as_deref() == Some(color.as_str()))
            );
            assert!(
                case.truth
                    .iter()
                    .all(|row| at(row).color.as_deref() != Some(color.as_str()))
            );
            assert!(case.truth.union(&case.other).all(|row| at(row).root == query.root));
            assert!(fits(&case.queries[0], &[&case.truth, &case.other]));
        }
    }
    let styles = negation::styles(&collection, &labels);
    assert_eq!(styles.len(), 200);
    for case in &styles {
        let query = at(&case.queries[0].images[0]);
        let excluded: HashSet<&str> = case.other.iter().map(|row| at(row).style.as_str()).collect();
        assert_eq!(excluded.len(), 1);
        assert!(case.truth.iter().all(|row| !excluded.contains(at(row).style.as_str())));
        // Fourteen styles draw it: the query's own and the excluded one are not right.
        assert_eq!((case.truth.len(), case.other.len()), (12, 1));
        assert!(
            case.truth
                .union(&case.other)
                .all(|row| at(row).concept == query.concept)
        );
        assert!(fits(&case.queries[0], &[&case.truth, &case.other]));
    }
}

#[test]
fn negation_by_hand() {
    let case = Case {
        queries: vec![RobustQuery::default(); 2],
        truth: set(&[1, 2]),
        other: set(&[5, 6]),
        cluster: 0,
    };
    let answers = [answer(&[5, 1, 9, 8], 0.9), answer(&[5, 6, 1, 9], 0.9)];
    let section = negation::judge("x", &[case], &answers);
    check(&section, "R@10", 1.0);
    check(&section, "right among the first ten", 0.25);
    check(&section, "NegRecall@10", 0.5);
    check(&section, "NegRecall@10 where it is asked for", 1.0);
}

#[test]
fn contradictions_have_two_readings() {
    let collection = collection();
    let labels = Labels::of(&collection);
    let styles = contradiction::styles(&collection, &labels);
    let looks: Vec<Option<Look>> = collection.images.iter().map(look).collect();
    // Every image that is no line drawing.
    assert_eq!(
        styles.len(),
        looks.iter().filter(|look| **look != Some(Look::Line)).count()
    );
    for case in &styles {
        assert!(case.truth.iter().all(|row| looks[*row] == Some(Look::Line)) && case.truth.len() == 1);
        assert!(case.other.iter().all(|row| looks[*row] == Some(Look::Color)));
        assert!(fits(&case.queries[0], &[&case.truth, &case.other]));
    }
    let colors = contradiction::colors(&collection, &labels);
    assert!(!colors.is_empty());
    for case in &colors {
        assert!(
            case.queries[0]
                .text
                .starts_with(&format!("{} and not ", case.queries[1].text))
        );
        assert!(case.truth.is_disjoint(&case.other) && !case.truth.is_empty());
        assert!(fits(&case.queries[0], &[&case.truth, &case.other]));
    }
}

#[test]
fn contradiction_by_hand() {
    let case = Case {
        queries: vec![RobustQuery::default(); 2],
        truth: set(&[1]),
        other: set(&[2, 3]),
        cluster: 0,
    };
    let answers = [answer(&[2, 1, 3, 9], 0.6), answer(&[1, 8], 0.9)];
    let section = contradiction::judge("x", &[case], &answers);
    check(&section, "top similarity", 0.6);
    check(&section, "top similarity, contradictory minus plain", -0.3);
    check(&section, "first half among ten", 0.25);
    check(&section, "second half among ten", 0.5);
    check(&section, "first half among ten, plain", 0.5);
    check(&section, "second half among ten, plain", 0.0);
}

#[test]
fn empty_instructions_by_hand() {
    let case = Case {
        queries: vec![RobustQuery::default(); 4],
        truth: set(&[1, 2]),
        other: set(&[3]),
        cluster: 0,
    };
    let answers = [
        answer(&[3, 1, 8, 9], 0.9),
        answer(&[3, 1, 8, 9], 0.9),
        answer(&[1, 2, 7, 6], 0.9),
        answer(&[4, 5], 0.9),
    ];
    let section = empty::judge("x", &[case], &answers);
    check(&section, "empty: same thing among ten", 0.25);
    check(&section, "empty: same style among ten", 0.25);
    check(&section, "a space: overlap@10 with empty", 1.0);
    check(&section, "a full stop: same thing among ten", 0.5);
    check(&section, "a full stop: overlap@10 with empty", 0.25);
    check(&section, "a question mark: overlap@10 with empty", 0.0);
    let cases = empty::cases(&collection());
    assert_eq!(cases.len(), 98);
    // Each thing is drawn in fourteen styles, each style draws seven things.
    assert!(cases.iter().all(|case| (case.truth.len(), case.other.len()) == (13, 6)));
    assert!(cases.iter().all(
        |case| !case.truth.contains(&case.queries[0].images[0]) && !case.other.contains(&case.queries[0].images[0])
    ));
}

#[test]
fn two_images_have_their_truth_by_labels() {
    let collection = collection();
    let at = |row: usize| &collection.images[row];
    let transfer = images::transfer(&collection);
    assert_eq!(transfer.len(), 200);
    for case in &transfer {
        let [thing, style] = case.queries[0].images[..] else {
            panic!()
        };
        assert!(at(thing).root != at(style).root && at(thing).style != at(style).style);
        let right = |row: usize, thing: usize, style: usize| {
            at(row).concept == at(thing).concept && at(row).style == at(style).style
        };
        assert!(case.truth.iter().all(|row| right(*row, thing, style)) && case.truth.len() == 1);
        assert!(case.other.iter().all(|row| right(*row, style, thing)) && case.other.len() == 1);
        assert!(fits(&case.queries[0], &[&case.truth, &case.other]) && case.queries[1].images == [thing]);
    }
    let more = images::more(&collection);
    // Four animals in each of fourteen styles; hearts have no other root.
    assert_eq!(more.len(), 56);
    for case in &more {
        let [one, other] = case.queries[0].images[..] else {
            panic!()
        };
        assert_eq!(case.truth.len(), 2);
        assert!(
            case.truth
                .iter()
                .all(|row| at(*row).style == at(one).style && at(*row).root != at(other).root)
        );
        assert!(fits(&case.queries[0], &[&case.truth]) && fits(&case.queries[1], &[&case.truth]));
        assert_eq!(
            case.queries[1].exclude, case.queries[0].exclude,
            "both have the same gallery"
        );
    }
}

#[test]
fn two_images_by_hand() {
    let case = |swapped: &[usize]| Case {
        queries: vec![RobustQuery::default(); 2],
        truth: set(&[1]),
        other: set(swapped),
        cluster: 0,
    };
    let pair = [answer(&[7, 1], 0.9), answer(&[1, 7], 0.9)];
    let answers = [pair.clone(), pair].concat();
    let section = images::judge("x", &[case(&[7]), case(&[])], &answers);
    check(&section, "R@10", 1.0);
    check(&section, "mAP@10", 0.5);
    check(&section, "mAP@10, one image", 1.0);
    // The second has no swapped reading and is not counted.
    check(&section, "R@10 of the swapped reading", 1.0);
    let none = images::judge("x", &[case(&[])], &answers[..2]);
    assert!(none.score("R@10 of the swapped reading").is_none());
}

#[test]
fn right_answers_are_taken_out_where_nothing_should_fit() {
    let collection = collection();
    let asked = calibration::cases(&collection);
    assert!(!asked.is_empty());
    for asked in &asked {
        let [with, without] = calibration::queries(asked);
        assert_eq!((&with.text, &with.images), (&without.text, &without.images));
        assert!(
            asked
                .targets
                .iter()
                .all(|row| !with.exclude.contains(row) && without.exclude.contains(row))
        );
    }
    let (first, second) = (asked[0], asked[1]);
    let answers = [
        answer(&[first.targets[0]], 0.9),
        answer(&[95], 0.4),
        answer(&[second.query], 0.6),
        answer(&[95], 0.6),
    ];
    let found = calibration::judge(&[first, second], &answers);
    // 0.9 beats both; 0.6 beats 0.4 and equals 0.6.
    assert_eq!((found.queries, found.area_under_curve), (2, Some(3.5 / 4.0)));
    let point = found.threshold.unwrap();
    assert_eq!(
        (point.threshold, point.true_accepts, point.right_accepts),
        (0.9, 0.5, 0.5)
    );
    assert_eq!(
        found.relations.values().copied().collect::<Vec<_>>(),
        [3.5 / 4.0],
        "both ask for a style"
    );
}

/// Ranks by how many labels an image shares with the first query image; notes what it was asked.
struct ByLabels<'a> {
    collection: &'a Collection,
    asked: Vec<RobustQuery>,
}

impl Ranker for ByLabels<'_> {
    fn rank(&mut self, queries: &[RobustQuery], gallery: &[usize], depth: usize) -> Result<Vec<Answered>, EvalError> {
        self.asked.extend(queries.iter().cloned());
        let images = &self.collection.images;
        let answer = |query: &RobustQuery| {
            let own = &images[query.images[0]];
            let near = |row: &usize| {
                let other = &images[*row];
                let shared = [
                    other.concept == own.concept,
                    other.root == own.root,
                    other.style == own.style,
                ];
                shared.iter().filter(|shared| **shared).count()
            };
            let mut rows: Vec<usize> = gallery
                .iter()
                .copied()
                .filter(|row| !query.exclude.contains(row))
                .collect();
            rows.sort_by_key(|row| (std::cmp::Reverse(near(row)), *row));
            rows.truncate(depth);
            let scores = rows.iter().map(|row| near(row) as f32 / 3.0).collect();
            Answered { items: rows, scores }
        };
        Ok(queries.iter().map(answer).collect())
    }
}

fn document(report: &RobustnessReport) -> magiclens_report::Document {
    RobustnessReport::document([(&"small".to_owned(), report)])
}

#[test]
fn a_system_that_never_reads_is_found_out() {
    let collection = collection();
    let mut ranker = ByLabels {
        collection: &collection,
        asked: Vec::new(),
    };
    let report = measure(&collection, &mut ranker).unwrap();
    assert_eq!((report.split.as_str(), report.gallery), ("test", 98));
    let section = |title: &str| {
        report
            .sections
            .iter()
            .find(|section| section.title.starts_with(title))
            .unwrap()
    };
    check(section("Paraphrases"), "overlap@10", 1.0);
    check(section("Paraphrases"), "R@10, spread", 0.0);
    for section in report
        .sections
        .iter()
        .filter(|section| section.title.starts_with("Negation"))
    {
        let plain = section.score("NegRecall@10 where it is asked for").unwrap().value;
        assert_eq!(section.score("NegRecall@10").unwrap().value, plain);
    }
    check(
        section("Contradiction"),
        "top similarity, contradictory minus plain",
        0.0,
    );
    check(section("Empty"), "a full stop: overlap@10 with empty", 1.0);
    // No image of a query may come back as its answer.
    assert!(ranker.asked.iter().all(|query| fits(query, &[])));

    let again = measure(
        &collection,
        &mut ByLabels {
            collection: &collection,
            asked: Vec::new(),
        },
    )
    .unwrap();
    assert_eq!(again, report);
    let json = serde_json::to_string(&report).unwrap();
    let mut back: RobustnessReport = serde_json::from_str(&json).unwrap();
    let markdown = document(&report).to_markdown();
    assert_eq!(document(&back).to_markdown(), markdown);
    for part in ["NegRecall@10 ↓", "Nothing fits (", "Robustness of small"] {
        assert!(markdown.contains(part), "{part}\n-- is not in --\n{markdown}");
    }
    let page = document(&report).to_html();
    assert_eq!(page.matches("<polyline").count(), 3);
    assert!(page.contains("Nothing fits") && !page.contains("NaN"));
    back.calibration = calibration::Calibration::default();
    assert!(!document(&back).to_html().contains("<svg"));
    assert!(document(&back).to_markdown().contains("Nothing fits (0 requests)"));
}
