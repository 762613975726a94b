//! The report as a document: Markdown, and one HTML page with charts and images. Its samples are numbered and print as sheets to
//! judge by.

use magiclens_data::ImageId;
use magiclens_report::numbers::{percent, rate, seconds, whole};
use magiclens_report::{
    Bar, BarChart, Block, Card, Document, Figure, Gallery, Group, Histogram, Section, Table, Text, Thumbnails, cells,
};

use serde::Serialize;
use serde_json::Value;

use super::counts::{Counted, Counts};
use super::funnel::{Dropped, FunnelStage, FunnelStep};
use super::triplets::{BINS, ScoreHistogram};
use super::words::{Diversity, GeneratorWords, MIN_COMPARED_WORDS};
use super::{MiningReport, Sample};

/// Samples in the Markdown form.
const SAMPLES_IN_MARKDOWN: usize = 12;

impl MiningReport {
    /// The report for people, with the images of `MiningReport::sampled_images`.
    pub fn document(&self, thumbnails: &Thumbnails<ImageId>) -> Document {
        let mut document = Document::new(match self.run.name.as_str() {
            "" => "Mining".to_owned(),
            name => format!("Mining: {name}"),
        });
        lead(self, &mut document);
        funnel(self, document.section("Funnel"));
        speed(self, document.section("Time, memory, speed"));
        triplets(self, document.section("Triplets"));
        instructions(self, document.section("Instructions"));
        samples(self, thumbnails, document.section("Samples"));
        relations(self, thumbnails, document.section("By relation"));
        document
    }
}

/// Key metrics, remarks, problems and settings.
fn lead(report: &MiningReport, document: &mut Document) {
    // Steps may look at the same pages and images again: the most that any of them saw.
    let mut facts: Vec<(&str, u64)> = Vec::new();
    for rate in report.steps.iter().flat_map(|step| &step.rates) {
        match facts.iter_mut().find(|(name, _)| *name == rate.unit) {
            Some((_, most)) => *most = rate.items.max(*most),
            None => facts.push((&rate.unit, rate.items)),
        }
    }
    facts.retain(|(name, _)| *name != "triplets");
    facts.push(("triplets", report.triplets.triplets));
    let facts = facts.into_iter().map(|(name, items)| (name.to_owned(), items.into()));
    let mut facts: Vec<(String, Text)> = facts.collect();
    let cpu: f64 = report.steps.iter().map(|step| step.cpu_seconds).sum();
    if cpu > 0.0 {
        facts.push(("CPU time".to_owned(), seconds(cpu).into()));
    }
    document.push(Block::Facts(facts));
    for remark in &report.run.remarks {
        document.push(Block::Remark(remark.into()));
    }
    for problem in &report.problems {
        document.push(Block::Warning(Text::strong("Does not add up: ").then(problem)));
    }
    let setting = |(name, value): (&String, &String)| Text::from(format!("{name}: {value}"));
    document.push(Block::List(report.run.settings.iter().map(setting).collect()));
}

fn funnel(report: &MiningReport, section: &mut Section) {
    if report.steps.is_empty() {
        section.push("No step has run.");
    } else if report.problems.is_empty() {
        section.push(Block::Note(
            "In every stage, what went on and what was dropped add up to what came in.".into(),
        ));
    }
    section.extend(funnel_chart(&report.steps));
    for step in &report.steps {
        section.push(stages(step)).extend(reasons(step).unless_empty());
    }
}

/// All stages below each other. Bars of one unit share a scale.
fn funnel_chart(steps: &[FunnelStep]) -> Option<BarChart> {
    let mut chart = BarChart::new("Items that went on from stage to stage").legend("went on", "dropped");
    for step in steps {
        chart.heading(&step.step);
        for stage in &step.stages {
            let stages = steps.iter().flat_map(|step| &step.stages);
            let of_unit = stages.filter(|other| other.unit == stage.unit);
            let largest = of_unit.fold(1, |most, other| most.max(other.items).max(other.kept));
            chart.bar(Bar {
                label: stage.stage.clone(),
                text: format!("{} of {} {}", whole(stage.kept), whole(stage.items), stage.unit),
                value: stage.items as f64,
                part: Some(stage.kept as f64),
                full: Some(largest as f64),
                about: about_stage(stage),
                ..Bar::default()
            });
        }
    }
    chart.unless_empty()
}

fn about_stage(stage: &FunnelStage) -> String {
    let reason = |dropped: &Dropped| format!("{} {}", dropped.reason, whole(dropped.items));
    let reasons: Vec<String> = stage.dropped.iter().map(reason).collect();
    let dropped = if reasons.is_empty() { "" } else { "; dropped: " };
    let (kept, items) = (whole(stage.kept), whole(stage.items));
    format!(
        "{}: {kept} of {items} {} went on{dropped}{}",
        stage.stage,
        stage.unit,
        reasons.join(", ")
    )
}

/// Items of each stage of a step.
fn stages(step: &FunnelStep) -> Table {
    let mut table = Table::new(format!("Step {}: items that each stage kept", step.step))
        .words(["stage", "decides about"])
        .numbers(["came in", "went on", "dropped", "kept", "time", "a second"]);
    for stage in &step.stages {
        let time = stage.seconds.filter(|seconds| *seconds > 0.0);
        let speed = time.map(|seconds| rate(stage.items as f64 / seconds));
        table.row(cells![
            &stage.stage,
            &stage.unit,
            stage.items,
            stage.kept,
            stage.dropped_items(),
            stage.kept_share.map(percent).unwrap_or_default(),
            stage.seconds.map(seconds).unwrap_or_default(),
            speed.unwrap_or_default(),
        ]);
    }
    for pair in step.stages.windows(2) {
        if let Some(note) = change(&pair[0], &pair[1]) {
            table.note(note);
        }
    }
    table
}

/// A change of number or unit between two stages, in a sentence.
fn change(before: &FunnelStage, stage: &FunnelStage) -> Option<String> {
    let (kept, items) = (whole(before.kept), whole(stage.items));
    let (name, unit) = (&before.stage, &before.unit);
    if *unit == stage.unit {
        return (before.kept != stage.items)
            .then(|| format!("{kept} {unit} went on from {name}, {items} came into {}.", stage.stage));
    }
    let each = match before.kept {
        0 => String::new(),
        before => format!(", {:.1} for each", stage.items as f64 / before as f64),
    };
    Some(format!(
        "From {name} to {} the unit changes: {kept} {unit}, then {items} {}{each}.",
        stage.stage, stage.unit
    ))
}

/// The reasons of dropped items of a step.
fn reasons(step: &FunnelStep) -> Table {
    let mut table = Table::new(format!("Step {}: reasons of dropped items", step.step))
        .words(["stage", "reason"])
        .numbers(["dropped"])
        .words(["unit"])
        .numbers(["of those that came in"]);
    for stage in &step.stages {
        for dropped in &stage.dropped {
            let share = dropped.share.map(percent).unwrap_or_default();
            table.row(cells![&stage.stage, &dropped.reason, dropped.items, &stage.unit, share]);
        }
    }
    table
}

fn speed(report: &MiningReport, section: &mut Section) {
    let mut resources =
        Table::new("Time and memory")
            .words(["step"])
            .numbers(["tasks", "time", "CPU time", "peak memory"]);
    resources.note("Times are sums over tasks; memory is that of the largest task.");
    let mut rates = Table::new("Speed")
        .words(["step", "unit"])
        .numbers(["items", "a second", "a second a core"]);
    let mut numbers = Table::new("Other numbers")
        .words(["step", "name"])
        .numbers(["number"])
        .folded();
    for step in &report.steps {
        let (time, cpu) = (seconds(step.wall_seconds), seconds(step.cpu_seconds));
        let memory = format!("{:.0} MiB", step.peak_memory_mib);
        resources.row(cells![&step.step, step.tasks, time, cpu, memory]);
        for rated in &step.rates {
            let [a_second, a_core_second] =
                [rated.per_second, rated.per_core_second].map(|speed| speed.map(rate).unwrap_or_default());
            rates.row(cells![&step.step, &rated.unit, rated.items, a_second, a_core_second]);
        }
        for (name, value) in other_numbers(step) {
            numbers.row(cells![&step.step, name, value]);
        }
    }
    let tables = [resources, rates, numbers];
    section.extend(tables.into_iter().filter_map(Table::unless_empty));
}

fn other_numbers(step: &FunnelStep) -> impl Iterator<Item = (String, String)> {
    let number = |(name, &number): (&String, &u64)| {
        let text = match name.ends_with("bytes") || name.starts_with("bytes") {
            true => format!("{:.1} MiB", number as f64 / f64::from(1 << 20)),
            false => whole(number),
        };
        (name.clone(), text)
    };
    let amount = |(name, amount): (&String, &f64)| (name.clone(), format!("{amount:.2}"));
    let time = |(name, &time): (&String, &f64)| (format!("{name} (time)"), seconds(time));
    let numbers = step.numbers.iter().map(number);
    let amounts = step.amounts.iter().map(amount);
    numbers.chain(amounts).chain(step.other_seconds.iter().map(time))
}

/// Lists of values: name of the counts, title, head, words for an empty value.
const LISTS: [(&str, &str, &str, &str); 8] = [
    ("relations", "Relations", "relation", "none"),
    (
        "generators",
        "Generators of the instructions",
        "generator",
        "not stated",
    ),
    ("prompts", "Prompts", "prompt", "none"),
    ("models", "Models", "model", "none"),
    ("origins", "Origins of the pairs", "origin", "not stated"),
    ("hosts", "Hosts and folders", "host", "not stated"),
    ("licences", "Licenses", "license", "not stated"),
    ("opt_outs", "Opt-outs", "wish", "none"),
];

fn triplets(report: &MiningReport, section: &mut Section) {
    let metrics = &report.triplets;
    let each = |items: u64| format!("{:.2}", items as f64 / metrics.triplets.max(1) as f64);
    let hosts = metrics.counts.get("hosts").map_or(0, |hosts| hosts.distinct);
    let mut table = Table::new("Counts").words(["name"]).numbers(["number"]);
    table
        .row(cells!["triplets", metrics.triplets])
        .row(cells!["targets of a triplet", each(metrics.targets)])
        .row(cells!["hard negatives of a triplet", each(metrics.hard_negatives)])
        .row(cells!["different images", metrics.images])
        .row(cells!["pages with a triplet", metrics.pages])
        .row(cells!["hosts or folders with a triplet", hosts])
        .row(cells!["triplets whose pages state an opt-out", metrics.opted_out]);
    section.push(table);
    let lists = LISTS.iter().filter_map(|(name, title, head, empty)| {
        let counts = metrics.counts.get(*name)?;
        let says_something = counts.values.iter().any(|counted| !counted.value.is_empty());
        says_something.then(|| list(title, head, empty, counts, metrics.triplets).into())
    });
    section.push(Block::Columns(lists.collect()));
    section.extend(scores(&metrics.scores).unless_empty());
    let histograms = metrics.scores.iter().filter_map(score_histogram).map(Block::from);
    section.push(Block::Columns(histograms.collect()));
}

fn list(title: &str, head: &str, empty: &str, counts: &Counts, triplets: u64) -> Table {
    let share = |items: u64| percent(items as f64 / triplets.max(1) as f64);
    let mut table = Table::new(title).words([head]).numbers(["triplets", "share"]);
    for Counted { value, items } in &counts.values {
        let none = format!("({empty})");
        table.row(cells![or(value, &none), *items, share(*items)]);
    }
    if counts.others > 0 {
        table.row(cells!["(others)", counts.others, share(counts.others)]);
        table.note(format!("{} different values.", whole(counts.distinct)));
    }
    table
}

fn scores(scores: &[ScoreHistogram]) -> Table {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
    let mut table = Table::new("Scores")
        .words(["score"])
        .numbers(["values", "mean", "least", "most", "undefined"]);
    for score in scores {
        let [mean, min, max] = [score.mean, score.min, score.max].map(number);
        table.row(cells![&score.score, score.values, mean, min, max, score.undefined]);
    }
    table
}

/// The bins between the first and the last that are not empty; none without values.
fn score_histogram(score: &ScoreHistogram) -> Option<Histogram> {
    let first = score.bins.iter().position(|&items| items > 0)?;
    let last = score.bins.iter().rposition(|&items| items > 0)?;
    let from = |bin: usize| bin as f64 / (BINS as f64 / 2.0) - 1.0;
    let bar = |bin: usize| (format!("{:.2} to {:.2}", from(bin), from(bin + 1)), score.bins[bin]);
    Some(Histogram {
        title: format!("Score {}", score.score),
        bars: (first..=last).map(bar).collect(),
        ends: [from(first), from(last + 1)].map(|end| format!("{end:.2}")),
    })
}

fn instructions(report: &MiningReport, section: &mut Section) {
    let generators = &report.words.generators;
    if generators.is_empty() {
        section.push("There are none.");
        return;
    }
    section.push(wording(report));
    let lengths = generators.iter().map(|generator| lengths(generator).into());
    section.push(Block::Columns(lengths.collect()));
    for generator in generators {
        let title = format!("Words of {}", generator.generator);
        let words = format!("Most frequent: {}.", counted(&generator.top_words));
        let openings = format!("Openings: {}.", counted(&generator.openings));
        section.push(Block::Folded(title.into(), vec![words.into(), openings.into()]));
    }
}

/// The wording of generators side by side.
fn wording(report: &MiningReport) -> Table {
    type Measure = (&'static str, fn(&Diversity) -> String);
    const MEASURES: [Measure; 6] = [
        ("words", |d| whole(d.words)),
        ("different words", |d| whole(d.ngrams[0].unique)),
        ("distinct-1 (type-token ratio)", |d| {
            format!("{:.3}", d.ngrams[0].distinct)
        }),
        ("distinct-2", |d| format!("{:.3}", d.ngrams[1].distinct)),
        ("distinct-3", |d| format!("{:.3}", d.ngrams[2].distinct)),
        ("entropy of words, bits", |d| format!("{:.2}", d.entropy_bits)),
    ];
    let generators = &report.words.generators;
    let names = generators.iter().map(|generator| &generator.generator);
    let mut table = Table::new("Wording by generator").words(["measure"]).numbers(names);
    let mut line = |name: String, value: &dyn Fn(&GeneratorWords) -> String| {
        table.row(std::iter::once(name).chain(generators.iter().map(value)));
    };
    line("instructions".into(), &|g| whole(g.instructions));
    line("different instructions".into(), &|g| whole(g.distinct));
    line("share of different ones".into(), &|g| percent(g.distinct_share));
    let one_digit = |value: f64| format!("{value:.1}");
    line("words of an instruction, mean".into(), &|g| one_digit(g.length.mean));
    line("words of an instruction, median".into(), &|g| {
        one_digit(g.length.median)
    });
    line("words of the longest".into(), &|g| whole(g.length.longest));
    for (name, measure) in MEASURES {
        line(format!("all: {name}"), &|g| measure(&g.whole));
    }
    if report.words.compared_size.is_some() {
        for (name, measure) in MEASURES {
            let compared = |g: &GeneratorWords| g.compared.as_ref().map(measure).unwrap_or_default();
            line(format!("same size: {name}"), &compared);
        }
    }
    wording_notes(report, &mut table);
    table
}

fn wording_notes(report: &MiningReport, table: &mut Table) {
    table.note("distinct-n is the share of n-grams that are different.");
    table.note(match report.words.compared_size {
        Some(words) => format!(
            "Diversity depends on the size: \"same size\" is measured on the first {} words of each generator that has them.",
            whole(words)
        ),
        None => format!("No generator has the {MIN_COMPARED_WORDS} words that a comparison at the same size needs."),
    });
    for generator in report.words.generators.iter().filter(|g| g.measured < g.instructions) {
        table.note(format!(
            "{}: n-grams, words and openings are those of {} instructions drawn from {}.",
            generator.generator,
            whole(generator.measured),
            whole(generator.instructions)
        ));
    }
}

/// The lengths of a generator's instructions; the last bar is all longer ones.
fn lengths(generator: &GeneratorWords) -> Histogram {
    const LEAST_SHOWN: usize = 12;
    let histogram = &generator.length.histogram;
    let last = histogram.iter().rposition(|&items| items > 0);
    let used = last.map_or(0, |last| last + 1);
    let shown = used.max(LEAST_SHOWN).min(histogram.len());
    let bar = |(words, &items): (usize, &u64)| (format!("{words} words"), items);
    let more = if shown == histogram.len() { "+" } else { "" };
    Histogram {
        title: format!("Length, {}", generator.generator),
        bars: histogram.iter().enumerate().take(shown).map(bar).collect(),
        ends: ["0".to_owned(), format!("{}{more} words", shown.saturating_sub(1))],
    }
}

fn counted(counted: &[Counted]) -> String {
    let count = |counted: &Counted| format!("{} {}", counted.value, whole(counted.items));
    counted.iter().map(count).collect::<Vec<_>>().join(", ")
}

fn samples(report: &MiningReport, thumbnails: &Thumbnails<ImageId>, section: &mut Section) {
    let gallery = gallery(report, thumbnails, false);
    section.push(match gallery.cards.len() {
        0 => "There are none.".to_owned(),
        drawn => format!(
            "{drawn} of {} triplets, drawn at random with seed {}.",
            whole(report.triplets.triplets),
            report.config.seed
        ),
    });
    section.push(gallery);
}

/// Each relation with its share and links to its samples, and the samples that were drawn besides.
fn relations(report: &MiningReport, thumbnails: &Thumbnails<ImageId>, section: &mut Section) {
    let mut table = Table::new("")
        .words(["relation"])
        .numbers(["triplets", "share"])
        .words(["samples"]);
    let relations = report.triplets.counts.get("relations");
    for Counted { value, items } in relations.iter().flat_map(|counts| &counts.values) {
        let samples = report.samples.iter().filter(|sample| sample.relation == *value);
        let jump = |sample: &Sample| Text::jump(&card_id(sample), sample.number.to_string());
        let links = samples.fold(Text::default(), |links, sample| links.then(jump(sample)).then(" "));
        let share = *items as f64 / report.triplets.triplets.max(1) as f64;
        table.row(cells![or(value, "(none)"), *items, percent(share), links]);
    }
    let gallery = gallery(report, thumbnails, true);
    section.push(Block::HtmlOnly(vec![table.into(), gallery.into()]));
}

fn gallery(report: &MiningReport, thumbnails: &Thumbnails<ImageId>, extra: bool) -> Gallery {
    let samples = report.samples.iter().filter(|sample| sample.extra == extra);
    Gallery {
        cards: samples.map(|sample| card(sample, thumbnails)).collect(),
        in_markdown: if extra { 0 } else { SAMPLES_IN_MARKDOWN },
        small: false,
    }
}

fn card_id(sample: &Sample) -> String {
    format!("sample-{}", sample.number)
}

fn card(sample: &Sample, thumbnails: &Thumbnails<ImageId>) -> Card {
    let figure = |image: ImageId| Figure {
        image: Some(thumbnails.get(&image)),
        name: or(sample.words(image), "an image without words").to_owned(),
        caption: or(sample.words(image), "(no words)").into(),
        right: None,
    };
    let group = |title: &str, images: &[ImageId]| Group {
        title: title.to_owned(),
        figures: images.iter().map(|&image| figure(image)).collect(),
    };
    let hidden = sample.targets.len() - sample.shown_targets().len();
    let generator = or(&sample.provenance.generator, "generator not stated");
    let relation = or(&sample.relation, "no relation");
    let mut about = vec![Text::from(format!("{} · {relation} · {generator}", sample.number))];
    about.extend((hidden > 0).then(|| format!("{hidden} more targets").into()));
    Card {
        id: card_id(sample),
        title: Text::from(&sample.instruction),
        groups: vec![group("query", &[sample.query]), group("target", sample.shown_targets())],
        about,
        facts: facts(sample),
        print_only: "☐ true ☐ not true ☐ unsure".to_owned(),
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Provenance of the triplet and metadata of its images, without what is empty.
fn facts(sample: &Sample) -> Vec<(String, Text)> {
    let mut provenance = sample.provenance.clone();
    let addresses = std::mem::take(&mut provenance.urls);
    let mut facts = Vec::new();
    add_facts("", &provenance, &mut facts);
    let roles = std::iter::once("query").chain(std::iter::repeat("target"));
    for (role, image) in roles.zip(sample.shown()) {
        facts.push((format!("{role} id"), Text::code(image.to_string())));
        add_facts(role, &addresses.get(&image), &mut facts);
        let described = sample.described.get(&image);
        add_facts(role, &described.map(|described| &described.metadata), &mut facts);
    }
    facts
}

/// The fields of a value that are not empty, with the names of its JSON form behind `prefix`.
fn add_facts(prefix: &str, value: &impl Serialize, facts: &mut Vec<(String, Text)>) {
    let Ok(Value::Object(fields)) = serde_json::to_value(value) else {
        return;
    };
    for (name, value) in fields {
        let text = value_text(&value);
        if !text.is_empty() {
            let name = format!("{prefix} {}", name.replace('_', " "));
            facts.push((name.trim().to_owned(), Text::link(&text)));
        }
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(value_text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name} {}", value_text(value));
            fields.iter().map(field).collect::<Vec<_>>().join(" · ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    fn no_thumbnails() -> Thumbnails<ImageId> {
        Thumbnails::new(8)
    }

    #[track_caller]
    fn check_lines(page: &str, lines: &[&str]) {
        for line in lines {
            assert!(
                page.lines().any(|known| known == *line),
                "{line}\n-- is not in --\n{page}"
            );
        }
    }

    #[test]
    fn the_page_tells_the_run() {
        let page = examples::report().document(&no_thumbnails()).to_markdown();
        check_lines(
            &page,
            &[
                "# Mining: example",
                "> One shard of 4 is not done yet.",
                "- generator: template",
                "- shards: 3",
                "| parse    | pages         |   1,200 |   1,000 |     200 | 83.3 % | 2.0 s |      600 |",
                "| gates    | leaks the caption |      20 | instructions |                25.0 % |",
                "From language to size the unit changes: 900 pages, then 4,000 images, 4.4 for each.",
                "| pages    | pages        | 1,200 |      120 |              75 |",
                "| aspect   |      120 | 75.0 % |",
            ],
        );
        assert_eq!(page.matches("; query Image ").count(), SAMPLES_IN_MARKDOWN, "{page}");
    }

    #[test]
    fn wording_has_a_column_for_each_generator() {
        let report = examples::report();
        let row = |name: &str| {
            let table = wording(&report);
            let row = table.rows.iter().find(|row| row.cells[0].plain() == name).unwrap();
            [row.cells[1].plain(), row.cells[2].plain()]
        };
        assert_eq!(row("instructions"), ["40", "120"]);
        // "the same house number 3, but after dark" and "with effect 0".
        assert_eq!(row("words of an instruction, mean"), ["8.0", "3.0"]);
        assert_eq!(row("all: words"), ["320", "360"]);
        // Eight words, of which the number differs: 7 + 40; two words + 120 numbers.
        assert_eq!(row("all: different words"), ["47", "122"]);
        assert_eq!(row("same size: words"), ["320", "320"]);
    }

    #[test]
    fn charts_have_bars() {
        let report = examples::report();
        let histogram = score_histogram(&report.triplets.scores[1]).unwrap();
        assert_eq!(histogram.bars, [("0.25 to 0.30".to_owned(), 160)]);
        assert_eq!(score_histogram(&ScoreHistogram::default()), None);
        let lengths = lengths(&report.words.generators[1]);
        assert_eq!(
            (lengths.bars.len(), &lengths.bars[3]),
            (12, &("3 words".to_owned(), 120))
        );
        let html = report.document(&no_thumbnails()).to_html();
        for part in [
            "language: 900 of 1,000 pages went on; dropped: other language 100",
            "size: 3,000 of 4,000 images went on; dropped: too small 750, extreme aspect 250",
            "In every stage",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    #[test]
    fn samples_have_cards_links_and_images() {
        let report = examples::report();
        let mut thumbnails = no_thumbnails();
        thumbnails.add(report.sampled_images(), |id| match id.to_bytes()[0] % 2 == 0 {
            true => Err("shard 7 is gone".to_owned()),
            false => Ok(image::RgbImage::new(4, 4)),
        });
        let html = report.document(&thumbnails).to_html();
        assert_eq!(html.matches("<article").count(), report.samples.len());
        assert!(html.matches("data:image/jpeg;base64,").count() > 10);
        for part in [
            "href=\"#sample-1\"",
            "id=\"sample-1\"",
            "<dt>query alt</dt>",
            "☐ true",
            "shard 7 is gone",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    #[test]
    fn texts_of_others_are_no_markup() {
        let mut mined = examples::mined(1).remove(0);
        mined.instruction = "<script>alert(1)</script>\n# Title | `x`".to_owned();
        mined.relation = "a\n| b |".to_owned();
        mined.provenance.source = "javascript:alert(1)".to_owned();
        let document = examples::collected(&[mined], 10).document(&no_thumbnails());
        let (markdown, html) = (document.to_markdown(), document.to_html());
        assert!(
            !markdown.contains("<script>") && !markdown.contains("\n# Title"),
            "{markdown}"
        );
        assert!(
            !html.contains("<script") && !html.contains("href=\"javascript"),
            "{html}"
        );
    }

    #[test]
    fn runs_without_triplets_are_pages() {
        let document = examples::empty().document(&no_thumbnails());
        let (markdown, html) = (document.to_markdown(), document.to_html());
        check_lines(&markdown, &["# Mining", "No step has run.", "There are none."]);
        assert!(!html.contains("NaN"), "{html}");
    }
}
