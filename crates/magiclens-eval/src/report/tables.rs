//! The tables of a report: what stands in them, for the Markdown and the HTML page alike.

use magiclens_metrics::Interval;

use super::published::{PublishedRow, published};
use super::{BenchmarkReport, ColumnReport, Report, SystemReport};
use crate::outcome::{Figure, TaskFigures};

/// Columns of figures that fit beside each other.
const MAX_COLUMNS: usize = 6;
/// Groups that people read; machines find all in the JSON form.
const MAX_GROUPS: usize = 40;
/// Characters of a digest that tell models apart.
const DIGEST: usize = 12;
/// Nothing was measured.
const NOTHING: &str = "-";

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<Row>,
    /// What stands below it.
    pub(super) notes: Vec<String>,
}

/// The head of a column.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) label: String,
    /// Numbers stand on the right.
    pub(super) numeric: bool,
}

/// A row with a cell for each head.
#[derive(Debug)]
pub(super) struct Row {
    /// Whether this was measured here, among published rows.
    pub(super) ours: bool,
    pub(super) cells: Vec<Cell>,
}

/// A text, with something smaller behind it.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) detail: Option<String>,
}

/// The tables of a benchmark, the one with published rows first.
pub(super) fn of_benchmark(report: &BenchmarkReport) -> Vec<Table> {
    let mut tables = results(report);
    tables.extend(variants(report));
    tables.extend(tasks(report));
    tables.extend(groups(report));
    tables.extend(differences(report));
    tables
}

/// How fast the systems were on each benchmark.
pub(super) fn speed(report: &Report) -> Option<Table> {
    let per_second = |count: usize, seconds: f64| {
        if count == 0 || seconds <= 0.0 {
            NOTHING.to_owned()
        } else {
            format!("{:.1}", count as f64 / seconds)
        }
    };
    let mut rows = Vec::new();
    for benchmark in &report.benchmarks {
        for system in &benchmark.systems {
            let Some(speed) = system.speed else { continue };
            rows.push(row([
                cell(&benchmark.title),
                cell(&system.system),
                cell(speed.images),
                cell(per_second(speed.images, speed.images_s)),
                cell(speed.images_cached),
                cell(speed.queries),
                cell(per_second(speed.queries, speed.queries_s)),
            ]));
        }
    }
    let heads = words(["benchmark", "system"]).chain(numbers([
        "pictures embedded",
        "pictures/s",
        "from the cache",
        "queries",
        "queries/s",
    ]));
    table("Speed", heads, rows)
}

/// Why figures cannot be compared with published ones; empty if they can.
pub(super) fn incomparable(report: &BenchmarkReport) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(published) = published(&report.benchmark)
        && published.split != report.split
    {
        reasons.push(format!(
            "these are of the split {}, published ones of {}",
            report.split, published.split
        ));
    }
    let wrong = report.counts.iter().filter(|count| count.found != count.published);
    reasons.extend(wrong.map(|count| format!("{} {} instead of {}", count.found, count.what, count.published)));
    if !report.complete && report.counts.iter().all(|count| count.found == count.published) {
        reasons.push("some data are missing".to_owned());
    }
    reasons
}

/// A share as %, with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}", rounded(share))
}

/// A share as %; what rounds to zero has no sign.
fn rounded(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0 + 0.0
}

fn results(report: &BenchmarkReport) -> Vec<Table> {
    let published = published(&report.benchmark).map_or(&[][..], |published| &published.rows);
    let tables = side_by_side(&report.columns).into_iter().enumerate();
    tables
        .filter_map(|(number, columns)| {
            let title = if number == 0 { "Results" } else { "Results, continued" };
            results_table(title, &columns, published, &report.systems)
        })
        .collect()
}

fn results_table(
    title: &str,
    columns: &[&ColumnReport],
    published: &[PublishedRow],
    systems: &[SystemReport],
) -> Option<Table> {
    let has_value = |row: &&PublishedRow| columns.iter().any(|column| row.values.contains_key(&column.label));
    let published: Vec<&PublishedRow> = published.iter().filter(has_value).collect();
    let mut caveats: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for row in &published {
        let mark = row.caveat.as_deref().map(|caveat| {
            let known = caveats.iter().position(|other| *other == caveat);
            let number = known.unwrap_or_else(|| {
                caveats.push(caveat);
                caveats.len() - 1
            });
            mark(number)
        });
        let mut cells = vec![
            cell(&row.model),
            cell(row.backbone.as_deref().unwrap_or_default()),
            cell(row.params.as_deref().unwrap_or_default()),
        ];
        cells.extend(columns.iter().map(|column| match row.values.get(&column.label) {
            Some(value) => cell(format!("{value:.1}")),
            None => cell(NOTHING),
        }));
        cells.push(Cell {
            text: row.source.clone(),
            detail: mark,
        });
        rows.push(Row { ours: false, cells });
    }
    for system in systems {
        let mut cells = vec![cell(&system.system), cell(""), cell("")];
        cells.extend(columns.iter().map(|column| with_interval(system.figure(column))));
        cells.push(cell(match &system.model_id {
            Some(id) => format!("here, model {}", id.chars().take(DIGEST).collect::<String>()),
            None => "here, rankings".to_owned(),
        }));
        rows.push(Row { ours: true, cells });
    }
    let mut heads: Vec<Head> = words(["system", "backbone"]).chain(numbers(["params"])).collect();
    heads.extend(numbers(columns.iter().map(|column| &column.label)));
    heads.extend(words(["source"]));
    if published.is_empty() {
        heads.drain(1..3);
        for row in &mut rows {
            row.cells.drain(1..3);
        }
    }
    let mut table = table(title, heads, rows)?;
    let caveats = caveats.iter().enumerate();
    table.notes = caveats
        .map(|(number, caveat)| format!("{} {caveat}.", mark(number)))
        .collect();
    Some(table)
}

/// (a), (b), ...
fn mark(number: usize) -> String {
    format!("({})", char::from(b'a' + (number % 26) as u8))
}

/// Columns of one table each. Where they are too many, means stand alone, and the columns of a task stay together.
fn side_by_side(columns: &[ColumnReport]) -> Vec<Vec<&ColumnReport>> {
    if columns.len() <= MAX_COLUMNS + 1 {
        return vec![columns.iter().collect()];
    }
    let (means, others): (Vec<_>, Vec<_>) = columns.iter().partition(|column| column.task.is_none());
    let even = others.len().div_ceil(others.len().div_ceil(MAX_COLUMNS).max(1));
    let mut tables = vec![Vec::new()];
    for task in others.chunk_by(|a, b| a.task == b.task) {
        match tables.last_mut() {
            Some(last) if last.is_empty() || last.len() + task.len() <= even => last.extend(task),
            _ => tables.push(task.to_vec()),
        }
    }
    tables.insert(0, means);
    tables.retain(|table| !table.is_empty());
    tables
}

fn variants(report: &BenchmarkReport) -> Option<Table> {
    let all = || report.systems.iter().flat_map(|system| &system.variants);
    let labels = distinct(
        all()
            .flat_map(|variant| &variant.means)
            .map(|figure| figure.label.as_str()),
    );
    let mut rows = Vec::new();
    for system in &report.systems {
        for variant in &system.variants {
            let mut cells = vec![cell(&system.system), cell(&variant.flag)];
            cells.extend(labels.iter().map(|label| plain(variant.figure(None, label))));
            rows.push(row(cells));
        }
    }
    let heads = words(["system", "variant"]).chain(numbers(&labels));
    let mut table = table("Variants of the protocol, means over tasks", heads, rows)?;
    let names = distinct(all().map(|variant| (variant.flag.as_str(), variant.variant.as_str())));
    table.notes = names.iter().map(|(flag, name)| format!("{flag}: {name}.")).collect();
    Some(table)
}

fn tasks(report: &BenchmarkReport) -> Option<Table> {
    let variants = || {
        let all = report
            .systems
            .iter()
            .flat_map(|system| system.variants.iter().map(move |variant| (system, variant)));
        all.filter(|(_, variant)| variant.tasks.len() > 1)
    };
    let labels = distinct(
        variants()
            .flat_map(|(_, variant)| &variant.tasks)
            .flat_map(|task| &task.figures)
            .map(|figure| figure.label.as_str()),
    );
    let mut rows = Vec::new();
    for (system, variant) in variants() {
        for task in &variant.tasks {
            let mut cells = vec![
                cell(&system.system),
                cell(&variant.flag),
                cell(&task.task),
                cell(task.queries),
                cell(task.gallery),
            ];
            cells.extend(
                labels
                    .iter()
                    .map(|label| plain(variant.figure(Some(&task.task), label))),
            );
            rows.push(row(cells));
        }
    }
    let heads = words(["system", "variant", "task"])
        .chain(numbers(["queries", "gallery"]))
        .chain(numbers(&labels));
    table("By task", heads, rows)
}

/// A table for each task of a reported variant that has groups, with the measures of the columns.
fn groups(report: &BenchmarkReport) -> Vec<Table> {
    let mut tables = Vec::new();
    for flag in distinct(report.columns.iter().map(|column| column.variant.as_str())) {
        let of_flag: Vec<(&SystemReport, &TaskFigures)> = report
            .systems
            .iter()
            .filter_map(|system| Some((system, system.variant(flag)?)))
            .flat_map(|(system, variant)| variant.tasks.iter().map(move |task| (system, task)))
            .collect();
        for task in distinct(of_flag.iter().map(|(_, task)| task.task.as_str())) {
            let of_task: Vec<_> = of_flag.iter().filter(|(_, figures)| figures.task == task).collect();
            let names = of_task.iter().flat_map(|(_, figures)| figures.groups.keys());
            let names: std::collections::BTreeSet<&String> = names.collect();
            if names.len() > MAX_GROUPS {
                continue;
            }
            let columns = report.columns.iter().filter(|column| {
                column.variant == flag && column.task.as_deref().is_none_or(|of_column| of_column == task)
            });
            let labels = distinct(columns.map(|column| column.measure.as_str()));
            let mut rows = Vec::new();
            for name in names {
                for (system, figures) in &of_task {
                    let Some(group) = figures.groups.get(name) else {
                        continue;
                    };
                    let mut cells = vec![cell(name), cell(group.queries), cell(&system.system)];
                    let of_label = |label: &&str| group.figures.iter().find(|figure| figure.label == *label);
                    cells.extend(labels.iter().map(|label| with_interval(of_label(label))));
                    rows.push(row(cells));
                }
            }
            let heads = words(["group"])
                .chain(numbers(["queries"]))
                .chain(words(["system"]))
                .chain(numbers(&labels));
            tables.extend(table(&format!("By group: {task}, {flag}"), heads, rows));
        }
    }
    tables
}

fn differences(report: &BenchmarkReport) -> Option<Table> {
    let (first, others) = report.systems.split_first()?;
    let mut rows = Vec::new();
    for system in others {
        for column in &report.columns {
            let Some(difference) = system.difference(column) else {
                continue;
            };
            let paired = &difference.paired;
            rows.push(row([
                cell(&system.system),
                cell(&column.label),
                cell(format!("{:+.1}", rounded(paired.difference))),
                cell(
                    paired
                        .confidence
                        .interval
                        .as_ref()
                        .map_or_else(|| NOTHING.to_owned(), interval),
                ),
                cell(p_value(paired.p_value)),
            ]));
        }
    }
    let comparisons = rows.len();
    let heads = words(["system", "measure"]).chain(numbers(["difference", "95 % interval", "p"]));
    let mut table = table(
        &format!("Paired differences from {}, in points", first.system),
        heads,
        rows,
    )?;
    if comparisons > 1 {
        table.notes.push(format!(
            "{comparisons} comparisons: one in 20 has p < 0.05 by chance alone. Among so many, one is significant at 5 % if p < \
             {} (Bonferroni).",
            three_digits(0.05 / comparisons as f64)
        ));
    }
    Some(table)
}

fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// 0.025 or 0.00217: three decimals, or as many as it takes for three digits.
fn three_digits(value: f64) -> String {
    let decimals = (2.0 - value.log10().floor()).clamp(3.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').to_owned()
}

fn with_interval(figure: Option<&Figure>) -> Cell {
    Cell {
        detail: figure
            .and_then(|figure| figure.confidence.interval.as_ref())
            .map(interval),
        ..plain(figure)
    }
}

fn plain(figure: Option<&Figure>) -> Cell {
    cell(
        figure
            .and_then(|figure| figure.value)
            .map_or_else(|| NOTHING.to_owned(), percent),
    )
}

fn interval(interval: &Interval) -> String {
    format!("[{}, {}]", percent(interval.low), percent(interval.high))
}

fn table(title: &str, heads: impl IntoIterator<Item = Head>, rows: Vec<Row>) -> Option<Table> {
    (!rows.is_empty()).then(|| Table {
        title: title.to_owned(),
        heads: heads.into_iter().collect(),
        rows,
        notes: Vec::new(),
    })
}

fn row(cells: impl Into<Vec<Cell>>) -> Row {
    Row {
        ours: false,
        cells: cells.into(),
    }
}

fn cell(text: impl ToString) -> Cell {
    Cell {
        text: text.to_string(),
        detail: None,
    }
}

fn words<L: ToString>(labels: impl IntoIterator<Item = L>) -> impl Iterator<Item = Head> {
    heads(labels, false)
}

fn numbers<L: ToString>(labels: impl IntoIterator<Item = L>) -> impl Iterator<Item = Head> {
    heads(labels, true)
}

fn heads<L: ToString>(labels: impl IntoIterator<Item = L>, numeric: bool) -> impl Iterator<Item = Head> {
    labels.into_iter().map(move |label| Head {
        label: label.to_string(),
        numeric,
    })
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn wide_tables_are_cut_between_tasks() {
        let columns = |tasks: &[(Option<&str>, usize)]| -> Vec<ColumnReport> {
            let each = tasks.iter().flat_map(|(task, count)| (0..*count).map(move |_| *task));
            each.map(|task| samples::column("R", "v", task, "R")).collect()
        };
        let check = |tasks: &[(Option<&str>, usize)], expected: &[usize]| {
            let columns = columns(tasks);
            let widths: Vec<usize> = side_by_side(&columns).iter().map(Vec::len).collect();
            assert_eq!(widths, expected, "{tasks:?}");
        };
        check(&[(Some("val"), 7)], &[7]);
        check(&[(Some("val"), 9)], &[9]);
        check(&[(None, 2), (Some("a"), 2), (Some("b"), 2), (Some("c"), 2)], &[2, 6]);
        let domains = ["a", "b", "c", "d"].map(|domain| (Some(domain), 2));
        check(&[&[(None, 2)], &domains[..]].concat(), &[2, 4, 4]);
        let genecis = ["a", "b", "c", "d"].map(|task| (Some(task), 3));
        check(&[&[(None, 1)], &genecis[..]].concat(), &[1, 6, 6]);
        check(&[], &[0]);
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(percent(0.24449), "24.4");
        assert_eq!((percent(-0.0002), percent(1.0)), ("0.0".to_owned(), "100.0".to_owned()));
        assert_eq!(format!("{:+.1}", rounded(-0.0002)), "+0.0");
        assert_eq!(
            (p_value(0.0004), p_value(0.0321)),
            ("<0.001".to_owned(), "0.032".to_owned())
        );
        assert_eq!(
            (three_digits(0.025), three_digits(0.05 / 23.0)),
            ("0.025".to_owned(), "0.00217".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let mut report = samples::report();
        let circo = &mut report.benchmarks[0];
        assert_eq!(
            incomparable(circo),
            [
                "these are of the split val, published ones of test",
                "20 val queries instead of 220"
            ]
        );
        circo.split = "test".to_owned();
        circo.counts.clear();
        assert_eq!(incomparable(circo), ["some data are missing"]);
        circo.complete = true;
        assert_eq!(incomparable(circo), [""; 0]);
    }

    #[test]
    fn too_many_groups_are_for_machines() {
        let mut report = samples::report();
        let circo = &mut report.benchmarks[0];
        assert_eq!(groups(circo).len(), 1);
        let groups_of = &mut circo.systems[0].variants[0].tasks[0].groups;
        let group = groups_of["color"].clone();
        groups_of.extend((0..MAX_GROUPS).map(|number| (number.to_string(), group.clone())));
        assert_eq!(groups(circo).len(), 0);
    }
}
