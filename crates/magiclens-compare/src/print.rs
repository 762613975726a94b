//! The printed forms of a report: Markdown for people, with the paper's table first; CSV for other programs.

use std::fmt::Write;

use magiclens_metrics::Interval;

use crate::judgment::Side;
use crate::ratings::Judgments;
use crate::report::{ClassFigures, Figures, Report, Share, SignTest};
use crate::study::{Kind, Study};

/// The report as Markdown. The first table has the form of the paper's: shares of the judgments in %.
pub fn to_markdown(report: &Report) -> String {
    let mut text = String::new();
    write_markdown(&mut text, report).expect("writing to a string does not fail");
    text
}

/// One line a judgment, checks included, in the order in which each rater gave them. `left` is the system that stood on
/// the left; in a check, `a` is the ranking that is right.
pub fn to_csv(study: &Study, judgments: &Judgments) -> String {
    let mut text = "rater,item,kind,left,choice,verdict\n".to_owned();
    for (rater, judged) in judgments {
        for judgment in judged {
            let kind = match study
                .items
                .iter()
                .find(|item| item.id == judgment.item)
                .map(|item| item.kind)
            {
                Some(Kind::Query { intent }) => intent.name(),
                Some(Kind::Check { .. }) | None => "check",
            };
            let left = if judgment.left == Side::A { "a" } else { "b" };
            let (choice, verdict) = (judgment.choice.word(), judgment.verdict().word());
            let fields = [
                &quoted(rater.as_str()),
                &*quoted(&judgment.item),
                kind,
                left,
                choice,
                verdict,
            ];
            text.push_str(&fields.join(","));
            text.push('\n');
        }
    }
    text
}

fn write_markdown(out: &mut String, report: &Report) -> std::fmt::Result {
    let Report { k, queries, .. } = report;
    write_paper_table(out, report, &report.all)?;
    writeln!(
        out,
        "\n% of {} judgements of {} queries by {}; the study has {queries} queries, rankings of {k}, {} of them the same \
         for both systems.",
        report.all.overall.judgments,
        report.all.overall.queries,
        raters(report.all.raters),
        report.identical_rankings,
    )?;
    write_details(out, report, &report.all)?;
    write_raters(out, report)?;
    let share = 100.0 * report.max_failed_checks;
    match &report.trusted {
        None => writeln!(out, "\nNobody failed more than {share:.0} % of the checks."),
        Some(trusted) => {
            writeln!(
                out,
                "\n## Without raters who failed more than {share:.0} % of the checks\n"
            )?;
            if trusted.overall.judgments == 0 {
                return writeln!(out, "No rater is left.");
            }
            write_paper_table(out, report, trusted)?;
            writeln!(
                out,
                "\n{} judgements by {}.",
                trusted.overall.judgments,
                raters(trusted.raters)
            )?;
            write_details(out, report, trusted)
        }
    }
}

fn write_paper_table(out: &mut String, report: &Report, figures: &Figures) -> std::fmt::Result {
    let [a, b] = report.systems.each_ref().map(|name| cell(name));
    writeln!(out, "| intent | {a} | {b} | tie |\n|---|---|---|---|")?;
    for class in &figures.classes {
        let [a, b, tie] = [class.a, class.b, class.tie].map(|share| percent(share.percent));
        writeln!(out, "| {} | {a} | {b} | {tie} |", class.intent)?;
    }
    Ok(())
}

fn write_details(out: &mut String, report: &Report, figures: &Figures) -> std::fmt::Result {
    let [a, b] = report.systems.each_ref().map(|name| cell(name));
    let several = has_several_raters(&figures.overall);
    let kind = match several {
        true => "bootstrap over queries, since several raters judged the same query",
        false => "Wilson, since no query was judged twice",
    };
    writeln!(out, "\n95 % intervals: {kind}.\n")?;
    writeln!(
        out,
        "| intent | queries | judgements | {a} | {b} | tie |\n|---|---|---|---|---|---|"
    )?;
    for class in rows(figures) {
        let [a, b, tie] = [class.a, class.b, class.tie].map(|share| with_interval(share, several));
        writeln!(
            out,
            "| {} | {} | {} | {a} | {b} | {tie} |",
            class.intent, class.queries, class.judgments
        )?;
    }
    writeln!(
        out,
        "\nExact two-sided sign tests, ties left out; by query: a query counts once, for the side that more of its raters \
         preferred. Agreement: Krippendorff's alpha, nominal, bootstrap interval over queries.\n"
    )?;
    writeln!(
        out,
        "| intent | by query: {a} / {b} | p | by judgement: {a} / {b} | p | alpha |\n|---|---|---|---|---|---|"
    )?;
    for class in rows(figures) {
        let [by_query, by_judgment] = [class.sign_test_by_query, class.sign_test].map(sign);
        let alpha = match (class.alpha, class.alpha_interval) {
            (None, _) => "not defined".to_owned(),
            (Some(alpha), None) => format!("{alpha:.3}"),
            (Some(alpha), Some(Interval { low, high })) => format!("{alpha:.3} ({low:.3} to {high:.3})"),
        };
        writeln!(out, "| {} | {by_query} | {by_judgment} | {alpha} |", class.intent)?;
    }
    if several {
        writeln!(
            out,
            "\nSeveral raters judged the same query, and their judgements are not independent: trust the test by query."
        )?;
    }
    let position = figures.position;
    writeln!(
        out,
        "\nPosition: the left list was preferred {} times, the right one {} times (exact two-sided p = {}).",
        position.left,
        position.right,
        p_value(position.p),
    )
}

fn write_raters(out: &mut String, report: &Report) -> std::fmt::Result {
    let [a, b] = report.systems.each_ref().map(|name| cell(name));
    writeln!(
        out,
        "\n| rater | judged of {} | {a} | {b} | tie | checks passed | checks failed |\n|---|---|---|---|---|---|---|",
        report.queries
    )?;
    for row in &report.raters {
        let mark = if row.left_out { " (left out below)" } else { "" };
        writeln!(
            out,
            "| {}{mark} | {} | {} | {} | {} | {} | {} |",
            row.rater, row.judged, row.a, row.b, row.ties, row.checks_passed, row.checks_failed
        )?;
    }
    Ok(())
}

fn rows(figures: &Figures) -> impl Iterator<Item = &ClassFigures> {
    figures.classes.iter().chain([&figures.overall])
}

/// Whether some query was judged by more than one rater, so that judgments are not independent.
fn has_several_raters(overall: &ClassFigures) -> bool {
    overall.queries < overall.judgments
}

fn raters(count: usize) -> String {
    format!("{count} {}", if count == 1 { "rater" } else { "raters" })
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.1}"))
}

fn with_interval(share: Share, several: bool) -> String {
    match if several { share.by_query } else { share.wilson } {
        Some(Interval { low, high }) => format!("{} ({low:.1} to {high:.1})", percent(share.percent)),
        None => percent(share.percent),
    }
}

/// Two cells: the counts, and the p value.
fn sign(SignTest { a, b, p, .. }: SignTest) -> String {
    format!("{a} / {b} | {}", p_value(p))
}

fn p_value(p: f64) -> String {
    if p < 1e-4 {
        format!("{p:.1e}")
    } else {
        format!("{p:.4}")
    }
}

/// A name that cannot break the table or the terminal.
fn cell(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .collect::<String>()
        .replace('|', "\\|")
}

fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
