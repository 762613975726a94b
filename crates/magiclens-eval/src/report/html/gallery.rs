//! The queries that a system got wrong: query, instruction, truth, what came.

use super::escape;
use super::thumbnails::Thumbnails;
use crate::report::tables::percent;
use crate::report::{BenchmarkReport, Failure, Shown, SystemReport};

/// All galleries of a page with their images; each gets an equal share, and ends with the card that exceeds it.
pub(super) const MAX_GALLERY_BYTES: usize = 32 << 20;
/// Failures of a gallery.
const MAX_FAILURES: usize = 60;
/// Images of a query, of its truth, and answers.
const MAX_SHOWN: usize = 10;
/// Measures of a card.
const MAX_VALUES: usize = 4;

/// The gallery of a system; empty if nothing went wrong.
pub(super) fn of_system(
    report: &BenchmarkReport,
    system: &SystemReport,
    thumbnails: &mut Thumbnails,
    budget: usize,
) -> String {
    if system.failures.is_empty() {
        return String::new();
    }
    let (mut cards, mut shown) = (String::new(), 0);
    for failure in system.failures.iter().take(MAX_FAILURES) {
        thumbnails.make(
            parts(failure)
                .iter()
                .flat_map(|(_, items)| items.iter().map(|(shown, _)| *shown)),
        );
        cards += &card(report, failure, thumbnails);
        shown += 1;
        if cards.len() >= budget {
            break;
        }
    }
    let rest = system.failures.len() - shown;
    if rest > 0 {
        cards += &format!("<p class=\"note\">{rest} more are in the JSON form.</p>\n");
    }
    format!(
        "<details class=\"gallery\">\n<summary>What {} got wrong: {} examples</summary>\n{cards}</details>\n",
        escape(&system.system),
        system.failures.len()
    )
}

/// A shown thing, and whether it is right where that is a question.
type Item<'a> = (&'a Shown, Option<bool>);

/// Query, truth and answers, each with its title.
fn parts(failure: &Failure) -> [(&'static str, Vec<Item<'_>>); 3] {
    let answers = failure.came.iter().take(MAX_SHOWN);
    [
        ("query", without_verdict(&failure.images)),
        ("right", without_verdict(&failure.truth)),
        (
            "what came",
            answers.map(|answer| (&answer.shown, Some(answer.right))).collect(),
        ),
    ]
}

fn without_verdict(list: &[Shown]) -> Vec<Item<'_>> {
    list.iter().take(MAX_SHOWN).map(|shown| (shown, None)).collect()
}

fn card(report: &BenchmarkReport, failure: &Failure, thumbnails: &Thumbnails) -> String {
    // The measures of the table first tell most.
    let of_columns = |label: &String| report.columns.iter().position(|column| column.measure == *label);
    let mut values: Vec<(&String, &f64)> = failure.values.iter().filter(|(_, value)| value.is_finite()).collect();
    values.sort_by_key(|(label, _)| of_columns(label).unwrap_or(usize::MAX));
    let values: String = values
        .iter()
        .take(MAX_VALUES)
        .map(|(label, value)| format!(" · {} {}", escape(label), percent(**value)))
        .collect();
    let parts: String = parts(failure)
        .iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(title, items)| part(title, items, thumbnails))
        .collect();
    format!(
        "<article>\n<p class=\"instruction\"><bdi>{}</bdi></p>\n<p class=\"about\">{}, {} · query <bdi>{}</bdi>{values}</p>\n\
         <div class=\"strip\">\n{parts}</div>\n</article>\n",
        escape(&failure.text),
        escape(&failure.task),
        escape(&failure.variant),
        escape(&failure.query),
    )
}

fn part(title: &str, items: &[Item<'_>], thumbnails: &Thumbnails) -> String {
    let items: String = items
        .iter()
        .map(|(shown, right)| {
            let class = match right {
                None => "",
                Some(true) => " class=\"right\"",
                Some(false) => " class=\"wrong\"",
            };
            format!("<li{class}>{}</li>\n", item(shown, thumbnails))
        })
        .collect();
    format!("<div>\n<h4>{title}</h4>\n<ol>\n{items}</ol>\n</div>\n")
}

fn item(shown: &Shown, thumbnails: &Thumbnails) -> String {
    let name = escape(shown.name());
    match thumbnails.get(shown) {
        Some(Ok(small)) => format!(
            "<img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{name}\" title=\"{name}\">",
            small.uri, small.width, small.height
        ),
        Some(Err(reason)) => format!(
            "<span class=\"missing\" title=\"{}\"><bdi>{name}</bdi></span>",
            escape(reason)
        ),
        None => format!("<span class=\"text\"><bdi>{name}</bdi></span>"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::*;

    #[test]
    fn a_gallery_ends_with_its_budget() {
        let mut report = samples::report().benchmarks.remove(0);
        let mut system = report.systems.remove(0);
        let failure = system.failures[0].clone();
        system.failures = vec![failure; 100];
        let cards = |budget: usize| {
            let page = of_system(&report, &system, &mut Thumbnails::default(), budget);
            (
                page.matches("<article>").count(),
                page.contains("99 more are in the JSON form"),
            )
        };
        assert_eq!(cards(usize::MAX), (MAX_FAILURES, false));
        assert_eq!(cards(1), (1, true));
        system.failures.clear();
        assert_eq!(of_system(&report, &system, &mut Thumbnails::default(), 1), "");
    }
}
