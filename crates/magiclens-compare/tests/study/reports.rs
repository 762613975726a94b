//! The results and their printed forms, against results worked out by hand.

use magiclens_compare::{
    Choice, Intent, Judgment, Judgments, Kind, MAX_FAILED_CHECKS, Side, Study, StudyReport, to_csv,
};

use crate::house::{item, rater, settings};

const SIMPLE: Kind = Kind::Query {
    intent: Intent::SimpleVisual,
};

fn names() -> [String; 2] {
    ["MagicLens-L", "LinCIR"].map(str::to_owned)
}

fn report(study: &Study, judgments: &Judgments) -> StudyReport {
    StudyReport::new(study, names(), judgments, MAX_FAILED_CHECKS)
}

/// The Markdown form, without the spaces that align its columns.
fn markdown(report: &StudyReport) -> String {
    let text = report.document().to_markdown();
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
    lines.collect()
}

/// With A on the left: `a`, `b` or `-` for a tie; a space for an item that was not judged.
fn judge(study: &Study, verdicts: &str) -> Vec<Judgment> {
    let judged = study
        .items
        .iter()
        .zip(verdicts.chars())
        .filter(|(_, verdict)| *verdict != ' ');
    judged
        .map(|(item, verdict)| Judgment {
            item: item.id.clone(),
            left: Side::A,
            choice: match verdict {
                'a' => Choice::Left,
                'b' => Choice::Right,
                _ => Choice::Tie,
            },
        })
        .collect()
}

#[test]
fn the_printed_form_is_the_table_of_the_paper() {
    // The published shares are multiples of 1/150: the counts are 76, 62, 12; 92, 36, 22; 120, 7, 23.
    let counts = [[76, 62, 12], [92, 36, 22], [120, 7, 23]];
    let mut items = Vec::new();
    let mut verdicts = String::new();
    for (intent, [a, b, ties]) in Intent::ALL.into_iter().zip(counts) {
        items.extend((0..150).map(|number| item(&format!("{} {number}", intent.name()), Kind::Query { intent })));
        verdicts += &["a".repeat(a), "b".repeat(b), "-".repeat(ties)].concat();
    }
    let study = Study::new(settings(), names(), items);
    let judgments = Judgments::from([(rater("anna"), judge(&study, &verdicts))]);
    let report = report(&study, &judgments);
    let text = markdown(&report);
    for row in [
        "| intent | MagicLens-L | LinCIR | tie |",
        "| simple visual | 50.7 | 41.3 | 8.0 |",
        "| complex visual | 61.3 | 24.0 | 14.7 |",
        "| beyond visual | 80.0 | 4.7 | 15.3 |",
        "Intervals: Wilson, since no query was judged twice.",
        // Wilson's interval of 76 in 150, and the exact tests, as worked out in the tests of the statistics.
        "| simple visual | 150 | 150 | 50.7 [42.7, 58.6] |",
        "| simple visual | 76 / 62 | 0.268 | 76 / 62 | 0.268 | not defined |",
        "| complex visual | 92 / 36 | <0.001 |",
        "| overall | 288 / 105 |",
        "Nobody failed more than 34 % of the checks.",
        "450 judgments of 450 queries by 1 rater;",
    ] {
        assert!(text.contains(row), "{row} is not in {text}");
    }
}

/// Four queries (the last one with the same ranking twice) and two checks, three raters.
///
/// | | q0 | q1 | q2 | q3 | checks |
/// |---|---|---|---|---|---|
/// | anna | a | a | b | a | passed, passed |
/// | bert | a | tie | b | | passed |
/// | carl | b | a | b | | passed, failed |
fn three_raters() -> (Study, Judgments) {
    let mut items: Vec<_> = (0..4).map(|number| item(&format!("q{number}"), SIMPLE)).collect();
    items[3].b = items[3].a.clone();
    items.extend((0..2).map(|number| item(&format!("check, {number}"), Kind::Check { real: None })));
    let study = Study::new(settings(), names(), items);
    let said = [("anna", "aabaaa"), ("bert", "a-b a"), ("carl", "bab a-")];
    let judgments = said.map(|(name, verdicts)| (rater(name), judge(&study, verdicts)));
    (study, Judgments::from(judgments))
}

#[test]
fn several_raters_are_not_taken_for_independent() {
    let (study, judgments) = three_raters();
    let report = report(&study, &judgments);
    assert_eq!((report.queries, report.identical_rankings), (4, 1));
    let simple = &report.all.classes[0];
    assert_eq!(report.all.overall.judgments, 10, "checks do not count");
    assert_eq!((simple.queries, simple.judgments), (4, 10));
    assert_eq!([simple.a, simple.b, simple.tie].map(|share| share.count), [5, 4, 1]);
    assert_eq!(
        [simple.a, simple.b, simple.tie].map(|share| share.percent),
        [Some(50.0), Some(40.0), Some(10.0)]
    );
    let test = simple.sign_test;
    assert_eq!((test.a, test.b, test.ties), (5, 4, 1));
    assert!((test.p - 1.0).abs() < 1e-12, "2 · 256 / 512");
    let test = simple.sign_test_by_query;
    assert_eq!((test.a, test.b, test.ties), (3, 1, 0));
    assert!((test.p - 0.625).abs() < 1e-12, "2 · (1 + 4) / 16");
    // q0 to q2 count: 4 a, 4 b, 1 tie; 1 − 8 · (2 + 2 + 0) / (4·5 + 4·5 + 1·8).
    assert!((simple.alpha.unwrap() - 1.0 / 3.0).abs() < 1e-12);
    let wilson = simple.a.wilson.unwrap();
    assert!(
        (wilson.low - 23.659).abs() < 1e-3 && (wilson.high - 76.341).abs() < 1e-3,
        "{wilson:?}"
    );
    assert_eq!(
        (simple.a.by_query, simple.alpha_interval),
        (None, None),
        "four clusters are too few"
    );
    let position = report.all.position;
    assert_eq!((position.left, position.right, position.p), (5, 4, 1.0));
    assert!(markdown(&report).contains(
        "bootstrap over queries, since several raters judged the same query. The queries of a row are its clusters"
    ));
    // A class without judgments has no figures, and no made-up ones.
    let empty = &report.all.classes[2];
    assert_eq!(
        (empty.judgments, empty.a.percent, empty.a.wilson, empty.alpha),
        (0, None, None, None)
    );
    assert!(markdown(&report).contains("| beyond visual | – | – | – |"));
}

#[test]
fn raters_who_fail_their_checks_are_dropped_from_a_second_table() {
    let (study, judgments) = three_raters();
    let strict = report(&study, &judgments);
    let rows: Vec<_> = strict
        .raters
        .iter()
        .map(|row| {
            (
                row.rater.as_str(),
                row.judged,
                row.checks_passed,
                row.checks_failed,
                row.dropped,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("anna", 4, 2, 0, false),
            ("bert", 3, 1, 0, false),
            ("carl", 3, 1, 1, true)
        ]
    );
    let trusted = strict.trusted.clone().unwrap();
    let simple = &trusted.classes[0];
    assert_eq!((trusted.raters, simple.judgments), (2, 7));
    assert_eq!([simple.a, simple.b, simple.tie].map(|share| share.count), [4, 2, 1]);
    let text = markdown(&strict);
    let (with_all, without) = text
        .split_once("## Without raters who failed more than 34 % of the checks")
        .unwrap();
    assert!(
        with_all.contains("| simple visual | 50.0 | 40.0 | 10.0 |"),
        "{with_all}"
    );
    assert!(
        with_all.contains("| carl (dropped below) | 3 | 1 | 2 | 0 | 1 | 1 |"),
        "{with_all}"
    );
    assert!(without.contains("| simple visual | 57.1 | 28.6 | 14.3 |"), "{without}");

    let only_carl = Judgments::from([(rater("carl"), judgments[&rater("carl")].clone())]);
    assert!(markdown(&report(&study, &only_carl)).ends_with("No rater is left.\n"));

    let lenient = StudyReport::new(&study, names(), &judgments, 0.5);
    assert_eq!(lenient.trusted, None, "half is not more than half");
}

#[test]
fn the_csv_has_a_line_for_each_judgment() {
    let (study, judgments) = three_raters();
    let csv = to_csv(&study, &judgments);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 6 + 4 + 5);
    assert_eq!(lines[0], "rater,item,kind,left,choice,verdict");
    assert_eq!(lines[1], "anna,q0,simple visual,a,left,a");
    assert_eq!(lines[3], "anna,q2,simple visual,a,right,b");
    assert_eq!(lines[15], "carl,\"check, 1\",check,a,tie,tie");
}

#[test]
fn a_study_nobody_judged_has_a_report() {
    let (study, _) = three_raters();
    let report = report(&study, &Judgments::from([(rater("anna"), Vec::new())]));
    assert_eq!(
        (report.raters.len(), report.all.raters, report.all.position.p),
        (0, 0, 1.0)
    );
    assert!(markdown(&report).contains("0 judgments of 0 queries by 0 raters"));
}

#[test]
fn names_cannot_break_the_table() {
    let (study, judgments) = three_raters();
    let names = ["a|b".to_owned(), "c\u{1b}[2J\nd".to_owned()];
    let report = StudyReport::new(&study, names, &judgments, MAX_FAILED_CHECKS);
    assert!(
        markdown(&report).contains("| intent | a\\|b | c [2J d | tie |\n"),
        "{}",
        markdown(&report)
    );
}

#[test]
fn many_queries_of_several_raters_have_intervals_over_queries() {
    let items: Vec<_> = (0..40).map(|number| item(&format!("q{number}"), SIMPLE)).collect();
    let study = Study::new(settings(), names(), items);
    let said = [("anna", "ab".repeat(20)), ("bert", "abab--ba".repeat(5))];
    let judgments = said.map(|(name, said)| (rater(name), judge(&study, &said)));
    let report = report(&study, &Judgments::from(judgments));
    let simple = &report.all.classes[0];
    let (share, interval) = (simple.a.percent.unwrap(), simple.a.by_query.unwrap());
    assert!(
        interval.low < share && share < interval.high && 20.0 < interval.high - interval.low,
        "{interval:?}"
    );
    let (alpha, interval) = (simple.alpha.unwrap(), simple.alpha_interval.unwrap());
    assert!(
        interval.low < alpha && alpha < interval.high && interval.high <= 1.0,
        "{interval:?}"
    );
}
