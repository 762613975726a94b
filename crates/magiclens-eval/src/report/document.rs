//! The report as a document: a chart for each benchmark, then its tables, then the queries that went wrong.

use std::collections::BTreeSet;

use magiclens_metrics::MIN_CLUSTERS;
use magiclens_report::numbers::{p_value, points, signed_points};
use magiclens_report::{Block, Document, Section, Table, Text, cells};

use super::chart::{brackets, chart};
use super::gallery::Galleries;
use super::published::{PublishedRow, published};
use super::{BenchmarkReport, Column, Report, SystemReport};
use crate::benchmark::Count;
use crate::scores::{Score, TaskScores};

/// Groups that people read; machines find all in the JSON form.
const MAX_GROUPS: usize = 40;
/// Characters of a digest that tell models apart.
const DIGEST: usize = 12;
/// The cell of a score that was not measured.
const NOTHING: &str = "-";

impl Report {
    /// The report as Markdown: tables alone.
    pub fn to_markdown(&self) -> String {
        document(self, None).to_markdown()
    }

    /// The report as one HTML page that needs nothing else: charts, tables, and the images of queries that went wrong.
    pub fn to_html(&self) -> String {
        document(self, Some(Galleries::of(self))).to_html()
    }

    /// Threads and memory, in one line.
    fn resources(&self) -> String {
        let memory = match self.peak_memory_bytes {
            Some(bytes) => format!("peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20)),
            None => "peak memory unknown".to_owned(),
        };
        format!("Threads {}, {memory}.", self.threads)
    }
}

fn document(report: &Report, mut galleries: Option<Galleries>) -> Document {
    let mut document = Document::new("Evaluation");
    document.push(format!(
        "Scores in %, with 95 % bootstrap confidence intervals over clusters of queries that depend on each other. Below \
         {MIN_CLUSTERS} clusters such an interval would be too narrow, and [-] stands in its place."
    ));
    let charts: Vec<Block> = report.benchmarks.iter().filter_map(chart).map(Block::from).collect();
    if !charts.is_empty() {
        document.push(Block::Columns(charts));
    }
    for benchmark in &report.benchmarks {
        fill(document.section(&benchmark.title), benchmark, galleries.as_mut());
    }
    let section = document.section("Speed");
    section.extend(speed(report));
    section.push(report.resources());
    document
}

fn fill(section: &mut Section, report: &BenchmarkReport, galleries: Option<&mut Galleries>) {
    let name = Text::code(&report.benchmark);
    section.push(name.then(format!(", split {}, template {}.", report.split, report.template)));
    let reasons = incomparable(report);
    if !reasons.is_empty() {
        let warning = format!("Not comparable with published scores: {}.", reasons.join("; "));
        section.push(Block::Warning(warning.into()));
    }
    section.extend(report.remarks.iter().map(|remark| Block::Remark(remark.into())));
    section.extend(results(report));
    section.extend(differences(report));
    section.extend(variants(report).map(Table::folded));
    section.extend(tasks(report).map(Table::folded));
    section.extend(groups(report).into_iter().map(Table::folded));
    if let Some(galleries) = galleries {
        section.extend(
            report
                .systems
                .iter()
                .filter_map(|system| galleries.of_system(report, system)),
        );
    }
}

/// The reasons why scores cannot be compared with published ones; empty if they can.
fn incomparable(report: &BenchmarkReport) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(published) = published(&report.benchmark)
        && published.split != report.split
    {
        let (ours, theirs) = (&report.split, &published.split);
        reasons.push(format!("these are of the split {ours}, published ones of {theirs}"));
    }
    let wrong = report.counts.iter().filter(|count| !count.is_published());
    reasons.extend(wrong.map(|count| format!("{} {} instead of {}", count.found, count.what, count.published)));
    if !report.complete && report.counts.iter().all(Count::is_published) {
        reasons.push("some data are missing".to_owned());
    }
    reasons
}

/// Published rows and ours beside each other; without published ones a row a column.
fn results(report: &BenchmarkReport) -> Option<Table> {
    let table = match published(&report.benchmark) {
        Some(published) => beside_published(report, &published.rows),
        None => by_column(report),
    };
    let mut table = table.unless_empty()?;
    let scores = report
        .systems
        .iter()
        .flat_map(|system| report.columns.iter().filter_map(|one| system.score(one)));
    if let Some(note) = clusters(scores) {
        table.note(note);
    }
    Some(table)
}

fn beside_published(report: &BenchmarkReport, published: &[PublishedRow]) -> Table {
    let labels = report.columns.iter().map(|column| &column.label);
    let heads = Table::new("Results").words(["system", "backbone"]).numbers(["params"]);
    let mut table = heads.numbers(labels).words(["source"]);
    let mut caveats: Vec<&str> = Vec::new();
    for row in published {
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut cells = cells![&row.model, or_empty(&row.backbone), or_empty(&row.params)].to_vec();
        let value = |column: &Column| row.values.get(&column.label).map(|value| format!("{value:.1}"));
        cells.extend(
            report
                .columns
                .iter()
                .map(|column| value(column).unwrap_or(NOTHING.to_owned()).into()),
        );
        let mark = row
            .caveat
            .as_deref()
            .map(|caveat| format!(" {}", mark(&mut caveats, caveat)));
        cells.push(Text::from(&row.source).then(Text::small(mark.unwrap_or_default())));
        table.row(cells);
    }
    for system in &report.systems {
        let mut cells = cells![&system.system, "", ""].to_vec();
        cells.extend(report.columns.iter().map(|column| with_interval(system.score(column))));
        cells.push(match &system.model_id {
            Some(id) => format!("here, model {}", id.chars().take(DIGEST).collect::<String>()).into(),
            None => "here, rankings".into(),
        });
        table.strong_row(cells);
    }
    for (number, caveat) in caveats.iter().enumerate() {
        table.note(format!("{} {caveat}.", letter(number)));
    }
    table
}

fn by_column(report: &BenchmarkReport) -> Table {
    let systems = report.systems.iter().map(|system| &system.system);
    let mut table = Table::new("Results").words(["measure"]).numbers(systems);
    for column in &report.columns {
        let scores = report.systems.iter().map(|system| with_interval(system.score(column)));
        table.row(std::iter::once(Text::from(&column.label)).chain(scores));
    }
    table
}

/// The letter of a caveat, the same for the same words.
fn mark<'a>(caveats: &mut Vec<&'a str>, caveat: &'a str) -> String {
    let known = caveats.iter().position(|other| *other == caveat);
    letter(known.unwrap_or_else(|| {
        caveats.push(caveat);
        caveats.len() - 1
    }))
}

/// (a), (b), ...
fn letter(number: usize) -> String {
    format!("({})", char::from(b'a' + (number % 26) as u8))
}

fn variants(report: &BenchmarkReport) -> Option<Table> {
    let all = || report.systems.iter().flat_map(|system| &system.variants);
    let labels = distinct(
        all()
            .flat_map(|variant| &variant.means)
            .map(|score| score.label.as_str()),
    );
    let heads = Table::new("Variants of the protocol, means over tasks").words(["system", "variant"]);
    let mut table = heads.numbers(labels.iter().copied());
    for system in &report.systems {
        for variant in &system.variants {
            let scores = labels.iter().map(|label| plain(variant.score(None, label)));
            table.row(cells![&system.system, &variant.flag].into_iter().chain(scores));
        }
    }
    let names = distinct(all().map(|variant| (variant.flag.as_str(), variant.variant.as_str())));
    let names: Vec<String> = names.iter().map(|(flag, name)| format!("{flag}: {name}.")).collect();
    table.note(names.join(" "));
    table.unless_empty()
}

fn tasks(report: &BenchmarkReport) -> Option<Table> {
    let systems = report.systems.iter();
    let variants = systems.flat_map(|system| system.variants.iter().map(move |variant| (system, variant)));
    let variants: Vec<_> = variants.filter(|(_, variant)| variant.tasks.len() > 1).collect();
    let scores = variants
        .iter()
        .flat_map(|(_, variant)| &variant.tasks)
        .flat_map(|task| &task.scores);
    let labels = distinct(scores.map(|score| score.label.as_str()));
    let heads = Table::new("By task").words(["system", "variant", "task"]);
    let mut table = heads.numbers(["queries", "gallery"]).numbers(labels.iter().copied());
    for (system, variant) in variants {
        for task in &variant.tasks {
            let names = cells![&system.system, &variant.flag, &task.task, task.queries, task.gallery];
            let scores = labels.iter().map(|label| plain(variant.score(Some(&task.task), label)));
            table.row(names.into_iter().chain(scores));
        }
    }
    table.unless_empty()
}

/// A table for each task of a reported variant that has groups, with the measures of the columns.
fn groups(report: &BenchmarkReport) -> Vec<Table> {
    let mut tables = Vec::new();
    for flag in distinct(report.columns.iter().map(|column| column.variant.as_str())) {
        let of_flag: Vec<(&SystemReport, &TaskScores)> = report
            .systems
            .iter()
            .filter_map(|system| Some((system, system.variant(flag)?)))
            .flat_map(|(system, variant)| variant.tasks.iter().map(move |task| (system, task)))
            .collect();
        for task in distinct(of_flag.iter().map(|(_, task)| task.task.as_str())) {
            let of_task = of_flag
                .iter()
                .filter(|(_, scores)| scores.task == task)
                .copied()
                .collect();
            let columns = report.columns.iter().filter(|column| {
                column.variant == flag && column.task.as_deref().is_none_or(|of_column| of_column == task)
            });
            let labels = distinct(columns.map(|column| column.measure.as_str()));
            tables.extend(groups_of(format!("By group: {task}, {flag}"), of_task, &labels));
        }
    }
    tables
}

fn groups_of(title: String, of_task: Vec<(&SystemReport, &TaskScores)>, labels: &[&str]) -> Option<Table> {
    let names: BTreeSet<&String> = of_task.iter().flat_map(|(_, scores)| scores.groups.keys()).collect();
    if names.len() > MAX_GROUPS {
        return None;
    }
    let heads = Table::new(title).words(["group"]).numbers(["queries", "clusters"]);
    let mut table = heads.words(["system"]).numbers(labels.iter().copied());
    for name in names {
        let groups = of_task
            .iter()
            .filter_map(|(system, scores)| Some((system, scores.groups.get(name)?)));
        for (system, group) in groups {
            let clusters = group.scores.first().map_or(0, |score| score.confidence.clusters);
            let names = cells![name, group.queries, clusters, &system.system];
            let of_label = |label: &&str| group.scores.iter().find(|score| score.label == *label);
            let scores = labels.iter().map(|label| with_interval(of_label(label)));
            table.row(names.into_iter().chain(scores));
        }
    }
    table.unless_empty()
}

fn differences(report: &BenchmarkReport) -> Option<Table> {
    let (first, others) = report.systems.split_first()?;
    let heads = Table::new(format!("Paired differences from {}, in points", first.system));
    let heads = heads.words(["system", "measure"]);
    let mut table = heads.numbers(["difference", "95 % interval", "clusters", "p"]);
    for system in others {
        for column in &report.columns {
            let Some(difference) = system.difference(column) else {
                continue;
            };
            let paired = &difference.paired;
            table.row(cells![
                &system.system,
                &column.label,
                signed_points(paired.difference),
                paired.confidence.interval.map_or(NOTHING.to_owned(), brackets),
                paired.confidence.clusters,
                p_value(paired.p_value),
            ]);
        }
    }
    let comparisons = table.rows.len();
    if comparisons > 1 {
        table.note(format!(
            "{comparisons} comparisons: one in 20 has p < 0.05 by chance alone. Among so many, one is significant at 5 % if p < \
             {} (Bonferroni).",
            three_digits(0.05 / comparisons as f64)
        ));
    }
    table.unless_empty()
}

/// Images and queries per second of the systems on each benchmark.
fn speed(report: &Report) -> Option<Table> {
    let per_second = |count: usize, seconds: f64| match count > 0 && seconds > 0.0 {
        true => format!("{:.1}", count as f64 / seconds),
        false => NOTHING.to_owned(),
    };
    let heads = Table::new("").words(["benchmark", "system"]);
    let mut table = heads.numbers(["images embedded", "images/s", "from the cache", "queries", "queries/s"]);
    for benchmark in &report.benchmarks {
        let timed = benchmark
            .systems
            .iter()
            .filter_map(|system| Some((system, system.speed?)));
        for (system, speed) in timed {
            table.row(cells![
                &benchmark.title,
                &system.system,
                speed.images,
                per_second(speed.images, speed.images_s),
                speed.images_cached,
                speed.queries,
                per_second(speed.queries, speed.queries_s),
            ]);
        }
    }
    table.unless_empty()
}

/// The number of clusters behind the intervals of some scores.
fn clusters<'a>(scores: impl Iterator<Item = &'a Score>) -> Option<String> {
    let counts: BTreeSet<usize> = scores
        .filter(|score| score.value.is_some())
        .map(|score| score.confidence.clusters)
        .collect();
    match (counts.first()?, counts.last()?) {
        (fewest, most) if fewest == most => Some(format!("Intervals are over {most} clusters of queries.")),
        (fewest, most) => Some(format!("Intervals are over {fewest} to {most} clusters of queries.")),
    }
}

fn with_interval(score: Option<&Score>) -> Text {
    let interval = match score {
        Some(Score {
            value: Some(_),
            confidence,
            ..
        }) => confidence.interval.map_or("[-]".to_owned(), brackets),
        _ => return plain(score),
    };
    plain(score).then(Text::small(format!(" {interval}")))
}

fn plain(score: Option<&Score>) -> Text {
    let value = score.and_then(|score| score.value);
    value.map_or(NOTHING.to_owned(), points).into()
}

/// 0.025 or 0.00217: three decimals, or as many as it takes for three digits.
fn three_digits(value: f64) -> String {
    let decimals = (2.0 - value.log10().floor()).clamp(3.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').to_owned()
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

    /// Whether some line has these cells, whatever their widths.
    #[track_caller]
    fn check_row(page: &str, cells: &[&str]) {
        let cells_of = |line: &str| -> Vec<String> {
            line.split(" |")
                .map(|cell| cell.trim_matches(['|', ' ']).to_owned())
                .collect()
        };
        let found = page
            .lines()
            .any(|line| cells_of(line).windows(cells.len()).any(|window| window == cells));
        assert!(found, "{cells:?}\n-- is not in --\n{page}");
    }

    #[test]
    fn published_rows_stand_beside_ours() {
        let page = samples::report().to_markdown();
        for line in [
            "# Evaluation",
            "## CIRCO",
            "`circo`, split val, template magiclens.",
            "> Not comparable with published scores: these are of the split val, published ones of test; 20 val queries instead of 220.",
            "> A remark.",
            "(a) the released weights, which were converted from the ones of the paper.",
            "Intervals are over 20 clusters of queries.",
            "Threads 2, peak memory 1536 MiB.",
        ] {
            assert!(
                page.lines().any(|found| found.contains(line)),
                "{line}\n-- is not in --\n{page}"
            );
        }
        check_row(
            &page,
            &["MagicLens-B", "CLIP-B", "166M", "23.1", "23.8", "MegaPairs, appendix D"],
        );
        check_row(&page, &["BGE-VL-large", "CLIP-L", "428M", "39.2", "-", "MegaPairs"]);
        check_row(
            &page,
            &[
                "**small**",
                "",
                "",
                "25.0 [18.8, 31.3]",
                "-",
                "here, model 0123456789ab",
            ],
        );
        // Nothing is published on the other benchmark: a row a column.
        check_row(&page, &["measure", "small", "base"]);
        check_row(&page, &["R@1", "25.0 [18.8, 31.3]", "12.5 [6.3, 18.8]"]);
    }

    #[test]
    fn breakdowns_differences_and_speed_follow() {
        let page = samples::report().to_markdown();
        check_row(&page, &["base", "removed", "62.5"]);
        check_row(&page, &["color", "7", "20", "small", "50.0 [43.8, 56.3]", "-"]);
        check_row(&page, &["base", "mAP@5", "+25.0", "[12.5, 37.5]", "20", "0.031"]);
        check_row(&page, &["CIRCO", "small", "100", "25.0", "20", "30", "60.0"]);
        assert!(
            page.contains("kept: query image kept. removed: query image removed."),
            "{page}"
        );
    }

    #[test]
    fn too_few_clusters_have_no_interval_and_say_so() {
        let mut report = samples::report();
        let score = &mut report.benchmarks[1].systems[0].variants[0].means[0];
        score.confidence = magiclens_metrics::Confidence {
            clusters: 19,
            interval: None,
        };
        let page = report.to_markdown();
        check_row(&page, &["R@1", "25.0 [-]", "12.5 [6.3, 18.8]"]);
        assert!(
            page.contains("Below 20 clusters") && page.contains("over 19 to 20 clusters"),
            "{page}"
        );
    }

    #[test]
    fn scores_that_cannot_be_compared_have_a_reason() {
        let mut report = samples::report();
        let circo = &mut report.benchmarks[0];
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

    #[test]
    fn bounds_have_three_digits() {
        for (value, expected) in [(0.025, "0.025"), (0.05 / 23.0, "0.00217")] {
            assert_eq!(three_digits(value), expected);
        }
    }

    #[test]
    fn the_page_opens_with_a_chart_for_each_benchmark() {
        let page = samples::report().to_html();
        let (charts, tables) = (page.find("<svg").unwrap(), page.find("<table").unwrap());
        assert!(charts < tables, "charts come first");
        assert_eq!(page.matches("<svg").count(), 2);
        for part in [
            "CIRCO",
            "Own",
            "BGE-VL-large CLIP-L",
            "over 20 clusters",
            "Not comparable with published scores",
        ] {
            assert!(page.contains(part), "{part}\n-- is not in --\n{page}");
        }
    }

    #[test]
    fn texts_are_no_markup() {
        let hostile = "</style><script>alert(1)</script>\"'";
        let mut report = samples::report();
        let circo = &mut report.benchmarks[0];
        for text in [
            &mut circo.title,
            &mut circo.split,
            &mut circo.template,
            &mut circo.benchmark,
        ] {
            *text = hostile.to_owned();
        }
        circo.remarks = vec![hostile.to_owned()];
        circo.columns[0].label = hostile.to_owned();
        let system = &mut circo.systems[0];
        system.system = hostile.to_owned();
        let failure = &mut system.failures[0];
        failure.text = hostile.to_owned();
        failure.images = vec![samples::image(hostile.into())];
        failure.truth = vec![super::super::Shown::Text(hostile.to_owned())];
        let page = report.to_html();
        assert!(!page.contains("<script") && page.matches("</style>").count() == 1);
        assert!(page.matches("&lt;script&gt;").count() >= 9);
    }

    #[test]
    fn an_empty_report_is_a_page() {
        assert!(
            Report::default()
                .to_markdown()
                .contains("Threads 0, peak memory unknown.")
        );
        assert!(Report::default().to_html().ends_with("</html>\n"));
    }
}
