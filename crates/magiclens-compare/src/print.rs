//! The printed forms of a report: a document for people, with the paper's table first; CSV for other programs.

use std::collections::BTreeMap;

use magiclens_metrics::{Interval, MIN_CLUSTERS};
use magiclens_report::numbers::{count, p_value};
use magiclens_report::{Document, Section, Table, Text, cells};

use crate::judgment::Side;
use crate::ratings::Judgments;
use crate::report::{ClassResults, Results, Share, StudyReport};
use crate::study::{Kind, Study};

impl StudyReport {
    /// The report for people. Its first table has the form of the paper's: shares of the judgments in %.
    pub fn document(&self) -> Document {
        let [a, b] = &self.systems;
        let mut document = Document::new(format!("{a} and {b} compared by people"));
        let section = document.section("Preferences");
        section.push(self.paper_table(&self.all));
        section.push(format!(
            "% of {} judgments of {} queries by {}; the study has {} queries, rankings of {}, {} of them the same for both \
             systems.",
            self.all.overall.judgments,
            self.all.overall.queries,
            count(self.all.raters, "rater", "raters"),
            self.queries,
            self.k,
            self.identical_rankings,
        ));
        self.details(section, &self.all);
        document.section("Raters").push(self.rater_table());
        self.trusted_section(&mut document);
        document
    }

    fn trusted_section(&self, document: &mut Document) {
        let share = 100.0 * self.max_failed_checks;
        let title = format!("Without raters who failed more than {share:.0} % of the checks");
        let section = document.section(title);
        match &self.trusted {
            None => _ = section.push(format!("Nobody failed more than {share:.0} % of the checks.")),
            Some(trusted) if trusted.overall.judgments == 0 => _ = section.push("No rater is left."),
            Some(trusted) => {
                let raters = count(trusted.raters, "rater", "raters");
                section.push(self.paper_table(trusted));
                section.push(format!("{} judgments by {raters}.", trusted.overall.judgments));
                self.details(section, trusted);
            }
        }
    }

    fn paper_table(&self, results: &Results) -> Table {
        let [a, b] = &self.systems;
        let mut table = Table::new("").words(["intent"]).numbers(cells![a, b, "tie"]);
        for class in &results.classes {
            let [a, b, tie] = [class.a, class.b, class.tie].map(percent);
            table.row(cells![class.intent, a, b, tie]);
        }
        table
    }

    fn details(&self, section: &mut Section, results: &Results) {
        section.push(self.share_table(results)).push(self.test_table(results));
        let position = results.position;
        section.push(format!(
            "Position: the left list was preferred {} times, the right one {} times (exact two-sided p = {}).",
            position.left,
            position.right,
            p_value(position.p),
        ));
    }

    fn share_table(&self, results: &Results) -> Table {
        let [a, b] = &self.systems;
        let several = results.has_several_raters();
        let title = "Shares in %, with 95 % confidence intervals";
        let mut table = Table::new(title)
            .words(["intent"])
            .numbers(cells!["queries", "judgments", a, b, "tie"]);
        for class in rows(results) {
            let [a, b, tie] = [class.a, class.b, class.tie].map(|share| with_interval(share, several));
            table.row(cells![class.intent, class.queries, class.judgments, a, b, tie]);
        }
        table.note(match several {
            true => format!(
                "Intervals: bootstrap over queries, since several raters judged the same query. The queries of a row are its \
                 clusters; below {MIN_CLUSTERS} of them there is no interval."
            ),
            false => "Intervals: Wilson, since no query was judged twice.".to_owned(),
        });
        table
    }

    fn test_table(&self, results: &Results) -> Table {
        let [a, b] = &self.systems;
        let heads = [
            format!("by query: {a} / {b}"),
            "p".to_owned(),
            format!("by judgment: {a} / {b}"),
        ];
        let table = Table::new("Sign tests and agreement").words(["intent"]);
        let mut table = table.numbers(heads).numbers(["p", "alpha"]);
        for class in rows(results) {
            let [queries, judgments] = [class.sign_test_by_query, class.sign_test];
            table.row(cells![
                class.intent,
                format!("{} / {}", queries.a, queries.b),
                p_value(queries.p),
                format!("{} / {}", judgments.a, judgments.b),
                p_value(judgments.p),
                agreement(class),
            ]);
        }
        table.note(
            "Exact two-sided sign tests without ties; by query: a query counts once, for the side that more of its raters \
             preferred. Agreement: Krippendorff's alpha, nominal, with its bootstrap interval over queries.",
        );
        if results.has_several_raters() {
            table.note("Several raters judged the same query, and their judgments are not independent: trust the test by query.");
        }
        table
    }

    fn rater_table(&self) -> Table {
        let [a, b] = &self.systems;
        let judged = format!("judged of {}", self.queries);
        let table = Table::new("").words(["rater"]);
        let mut table = table.numbers(cells![judged, a, b, "tie", "checks passed", "checks failed"]);
        for row in &self.raters {
            let mark = if row.dropped { " (dropped below)" } else { "" };
            let rater = format!("{}{mark}", row.rater);
            table.row(cells![
                rater,
                row.judged,
                row.a,
                row.b,
                row.ties,
                row.checks_passed,
                row.checks_failed
            ]);
        }
        table
    }
}

/// One line a judgment, checks included, in the order in which each rater gave them. `left` is the system that was on the
/// left; in a check, `a` is the ranking that is right.
pub fn to_csv(study: &Study, judgments: &Judgments) -> String {
    let kinds: BTreeMap<&str, Kind> = study.items.iter().map(|item| (&*item.id, item.kind)).collect();
    let mut text = "rater,item,kind,left,choice,verdict\n".to_owned();
    for (rater, judged) in judgments {
        for judgment in judged {
            let kind = match kinds.get(&*judgment.item) {
                Some(Kind::Query { intent }) => intent.name(),
                Some(Kind::Check { .. }) | None => "check",
            };
            let left = if judgment.left == Side::A { "a" } else { "b" };
            let (choice, preference) = (judgment.choice.word(), judgment.preference().word());
            let (rater, item) = (quoted(rater.as_str()), quoted(&judgment.item));
            text += &format!("{rater},{item},{kind},{left},{choice},{preference}\n");
        }
    }
    text
}

fn rows(results: &Results) -> impl Iterator<Item = &ClassResults> {
    results.classes.iter().chain([&results.overall])
}

fn percent(share: Share) -> String {
    share.percent.map_or("–".to_owned(), |percent| format!("{percent:.1}"))
}

/// A share with the interval that suits its queries.
fn with_interval(share: Share, several: bool) -> Text {
    let interval = if several { share.by_query } else { share.wilson };
    beside(percent(share), interval, 1)
}

fn agreement(class: &ClassResults) -> Text {
    let alpha = class.alpha.map(|alpha| format!("{alpha:.3}"));
    beside(alpha.unwrap_or("not defined".to_owned()), class.alpha_interval, 3)
}

/// A value and its interval, if there is one.
fn beside(value: String, interval: Option<Interval>, decimals: usize) -> Text {
    let interval = interval.map(|Interval { low, high }| format!(" [{low:.decimals$}, {high:.decimals$}]"));
    match interval {
        Some(interval) => Text::from(value).then(Text::small(interval)),
        None => value.into(),
    }
}

fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
