//! The tables of both pages, as texts in cells.

mod wording;

use super::counts::{Counted, Counts};
use super::funnel::{Before, FunnelStage, FunnelStep};
use super::reservoir::Distinct;
use super::{MiningReport, TripletFigures};
pub(super) use wording::wording;

/// A table; the first cell of a row names the row.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) heads: Vec<Head>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// The head of a column.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) label: String,
    pub(super) numeric: bool,
}

fn heads(labels: &[(&str, bool)]) -> Vec<Head> {
    labels
        .iter()
        .map(|&(label, numeric)| Head {
            label: label.to_owned(),
            numeric,
        })
        .collect()
}

/// What each stage of a step got and kept.
pub(super) fn funnel(step: &FunnelStep) -> Table {
    let row = |stage: &FunnelStage| {
        vec![
            stage.stage.clone(),
            stage.unit.clone(),
            whole(stage.items),
            whole(stage.kept),
            whole(stage.dropped_items()),
            stage.kept_share.map(percent).unwrap_or_default(),
            stage.seconds.map(seconds).unwrap_or_default(),
            speed(stage),
        ]
    };
    Table {
        title: format!("Step {}: what each stage kept", step.step),
        heads: heads(&[
            ("stage", false),
            ("decides about", false),
            ("came in", true),
            ("went on", true),
            ("dropped", true),
            ("kept", true),
            ("time", true),
            ("a second", true),
        ]),
        rows: step.stages.iter().map(row).collect(),
        notes: step.stages.iter().filter_map(change).collect(),
    }
}

/// How another number or unit came to be between two stages, in a sentence.
fn change(stage: &FunnelStage) -> Option<String> {
    let Before {
        stage: name,
        unit,
        kept,
    } = stage.before.as_ref()?;
    let (kept_text, items) = (whole(*kept), whole(stage.items));
    if *unit == stage.unit {
        return Some(format!(
            "{kept_text} {unit} went on from {name}, {items} came into {}.",
            stage.stage
        ));
    }
    let each = if *kept == 0 {
        String::new()
    } else {
        format!(", {:.1} for each", stage.items as f64 / *kept as f64)
    };
    Some(format!(
        "From {name} to {} the unit changes: {kept_text} {unit}, then {items} {}{each}.",
        stage.stage, stage.unit
    ))
}

/// Items of a stage in each of its wall seconds.
fn speed(stage: &FunnelStage) -> String {
    match stage.seconds {
        Some(seconds) if seconds > 0.0 => rate(stage.items as f64 / seconds),
        _ => String::new(),
    }
}

/// Why a step dropped items; none if it dropped none.
pub(super) fn reasons(step: &FunnelStep) -> Option<Table> {
    let rows: Vec<Vec<String>> = step
        .stages
        .iter()
        .flat_map(|stage| stage.dropped.iter().map(move |dropped| (stage, dropped)))
        .map(|(stage, dropped)| {
            vec![
                stage.stage.clone(),
                dropped.reason.clone(),
                whole(dropped.items),
                stage.unit.clone(),
                dropped.share.map(percent).unwrap_or_default(),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: format!("Step {}: why items were dropped", step.step),
        heads: heads(&[
            ("stage", false),
            ("reason", false),
            ("dropped", true),
            ("what", false),
            ("of what came in", true),
        ]),
        rows,
        notes: Vec::new(),
    })
}

/// Time and memory of the steps.
pub(super) fn resources(report: &MiningReport) -> Table {
    let row = |step: &FunnelStep| {
        vec![
            step.step.clone(),
            whole(step.tasks),
            seconds(step.wall_seconds),
            seconds(step.cpu_seconds),
            format!("{:.0} MiB", step.peak_memory_mib),
        ]
    };
    Table {
        title: "Time and memory".to_owned(),
        heads: heads(&[
            ("step", false),
            ("tasks", true),
            ("time", true),
            ("CPU time", true),
            ("peak memory", true),
        ]),
        rows: report.steps.iter().map(row).collect(),
        notes: vec!["Times are sums over tasks; memory is that of the largest task.".to_owned()],
    }
}

/// Items a second.
pub(super) fn rates(report: &MiningReport) -> Table {
    let rows = report.steps.iter().flat_map(|step| {
        step.rates.iter().map(|rated| {
            vec![
                step.step.clone(),
                rated.unit.clone(),
                whole(rated.items),
                rated.per_second.map(rate).unwrap_or_default(),
                rated.per_core_second.map(rate).unwrap_or_default(),
            ]
        })
    });
    Table {
        title: "Speed".to_owned(),
        heads: heads(&[
            ("step", false),
            ("what", false),
            ("items", true),
            ("a second", true),
            ("a second a core", true),
        ]),
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

/// Other numbers and times; none if there are none.
pub(super) fn numbers(report: &MiningReport) -> Option<Table> {
    let rows: Vec<Vec<String>> = report
        .steps
        .iter()
        .flat_map(|step| {
            let counted = step
                .numbers
                .iter()
                .map(|(name, &number)| (name.clone(), named_number(name, number)));
            let amounts = step
                .amounts
                .iter()
                .map(|(name, amount)| (name.clone(), format!("{amount:.2}")));
            let timed = step
                .other_seconds
                .iter()
                .map(|(name, &value)| (format!("{name} (time)"), seconds(value)));
            counted
                .chain(amounts)
                .chain(timed)
                .map(|(name, value)| vec![step.step.clone(), name, value])
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: "Other numbers".to_owned(),
        heads: heads(&[("step", false), ("what", false), ("number", true)]),
        rows,
        notes: Vec::new(),
    })
}

fn named_number(name: &str, number: u64) -> String {
    if name.ends_with("bytes") || name.starts_with("bytes") {
        format!("{:.1} MiB", number as f64 / f64::from(1 << 20))
    } else {
        whole(number)
    }
}

/// The triplets in numbers.
pub(super) fn figures(report: &MiningReport) -> Table {
    let TripletFigures {
        triplets,
        targets,
        hard_negatives,
        images,
        pages,
        hosts,
        opted_out,
        ..
    } = &report.triplets;
    let each = |items: u64| format!("{:.2}", items as f64 / (*triplets).max(1) as f64);
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    Table {
        title: "In numbers".to_owned(),
        heads: heads(&[("what", false), ("number", true)]),
        rows: vec![
            row("triplets", whole(*triplets)),
            row("targets of a triplet", each(*targets)),
            row("hard negatives of a triplet", each(*hard_negatives)),
            row("different pictures", distinct(*images)),
            row("pages with a triplet", distinct(*pages)),
            row("hosts or folders with a triplet", distinct(hosts.distinct)),
            row("triplets whose pages state an opt-out", whole(*opted_out)),
        ],
        notes: Vec::new(),
    }
}

/// Lists of values and their counts, those that say something.
pub(super) fn lists(report: &MiningReport) -> Vec<Table> {
    let TripletFigures {
        hosts,
        relations,
        generators,
        prompts,
        models,
        origins,
        licenses,
        opt_outs,
        ..
    } = &report.triplets;
    [
        ("Relations", "relation", "none", relations),
        ("What wrote the instructions", "generator", "not stated", generators),
        ("Prompts", "prompt", "none", prompts),
        ("Models", "model", "none", models),
        ("How pairs were found", "origin", "not stated", origins),
        ("Hosts and folders", "host", "not stated", hosts),
        ("Licences", "licence", "not stated", licenses),
        ("Opt-outs", "wish", "none", opt_outs),
    ]
    .into_iter()
    .filter(|(_, _, _, counts)| counts.values.iter().any(|counted| !counted.value.is_empty()))
    .map(|(title, head, empty, counts)| list(title, head, empty, counts, report.triplets.triplets))
    .collect()
}

fn list(title: &str, head: &str, empty: &str, counts: &Counts, triplets: u64) -> Table {
    let share = |items: u64| percent(items as f64 / triplets.max(1) as f64);
    let row = |Counted { value, items }: &Counted| {
        let name = if value.is_empty() {
            format!("({empty})")
        } else {
            value.clone()
        };
        vec![name, whole(*items), share(*items)]
    };
    let mut rows: Vec<Vec<String>> = counts.values.iter().map(row).collect();
    let mut notes = Vec::new();
    if counts.others > 0 {
        rows.push(vec!["(others)".to_owned(), whole(counts.others), share(counts.others)]);
        notes.push(format!("{} different values.", distinct(counts.distinct)));
    }
    if !counts.distinct.exact {
        notes.push(
            "There were more values than are remembered: these are the most frequent of a random part of them."
                .to_owned(),
        );
    }
    Table {
        title: title.to_owned(),
        heads: heads(&[(head, false), ("triplets", true), ("share", true)]),
        rows,
        notes,
    }
}

/// The scores; none if there are none.
pub(super) fn scores(report: &MiningReport) -> Option<Table> {
    let rows: Vec<Vec<String>> = report
        .triplets
        .scores
        .iter()
        .map(|score| {
            let number = |value: Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
            vec![
                score.score.clone(),
                whole(score.values),
                number(score.mean),
                number(score.min),
                number(score.max),
                whole(score.undefined),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: "Scores".to_owned(),
        heads: heads(&[
            ("score", false),
            ("values", true),
            ("mean", true),
            ("least", true),
            ("most", true),
            ("undefined", true),
        ]),
        rows,
        notes: Vec::new(),
    })
}

/// 1234567 -> 1,234,567
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of different things; an estimate has a sign before it.
pub(super) fn distinct(distinct: Distinct) -> String {
    let about = if distinct.exact { "" } else { "≈ " };
    format!("{about}{}", whole(distinct.items))
}

/// 0.1234 -> 12.3 %; little is not nothing.
pub(super) fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".to_owned(),
        share if share < 0.0005 => "<0.1 %".to_owned(),
        share => format!("{:.1} %", share * 100.0),
    }
}

/// Items a second.
fn rate(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.2}")
    } else {
        whole(rate.round() as u64)
    }
}

/// 3725.4 -> 1 h 2 min
pub(super) fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Gathering, ReportConfig, RunFacts, examples};
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(whole(number), expected);
        }
        for (value, expected) in [
            (0.0, "0.0 s"),
            (59.2, "59.2 s"),
            (59.7, "1 min 0 s"),
            (3725.4, "1 h 2 min"),
        ] {
            assert_eq!(seconds(value), expected);
        }
        assert_eq!(
            (rate(0.126), rate(1234.5), percent(0.1236)),
            ("0.13".into(), "1,235".into(), "12.4 %".into())
        );
        assert_eq!(
            distinct(Distinct {
                items: 1200,
                exact: false
            }),
            "≈ 1,200"
        );
        assert_eq!(
            (named_number("bytes read", 3 << 19), named_number("tokens", 5000)),
            ("1.5 MiB".into(), "5,000".into())
        );
    }

    #[test]
    fn the_funnel_says_units_and_their_changes() {
        let report = examples::report();
        let table = funnel(&report.steps[0]);
        assert_eq!(
            table.rows[0],
            ["parse", "pages", "1,200", "1,000", "200", "83.3 %", "2.0 s", "600"]
        );
        assert_eq!(
            table.rows[1],
            ["language", "pages", "1,000", "900", "100", "90.0 %", "", ""]
        );
        assert_eq!(
            table.notes,
            ["From language to size the unit changes: 900 pages, then 4,000 pictures, 4.4 for each."]
        );
        let table = reasons(&report.steps[0]).unwrap();
        assert_eq!(table.rows[0], ["parse", "not HTML", "150", "pages", "12.5 %"]);
        assert_eq!(table.rows[4], ["size", "extreme aspect", "250", "pictures", "6.2 %"]);
        assert_eq!(
            funnel(&report.steps[1]).notes,
            ["From instruct to gates the unit changes: 50 pairs, then 80 instructions, 1.6 for each."]
        );
    }

    #[test]
    fn time_memory_and_speed_are_told() {
        let report = examples::report();
        assert_eq!(
            resources(&report).rows[0],
            ["pages", "3", "10.0 s", "16.0 s", "256 MiB"]
        );
        assert_eq!(rates(&report).rows[0], ["pages", "pages", "1,200", "120", "75"]);
        assert_eq!(rates(&report).rows[1], ["pages", "pictures", "4,000", "400", "250"]);
        let rows = numbers(&report).unwrap().rows;
        assert_eq!(
            rows,
            [
                ["pages", "bytes read", "5.0 MiB"],
                ["pages", "robots refused", "3"],
                ["pages", "cost", "0.25"],
                ["pages", "write (time)", "0.5 s"]
            ]
        );
    }

    #[test]
    fn lists_have_a_row_for_what_is_not_listed() {
        let mut gathering = Gathering::new(ReportConfig {
            listed: 1,
            max_relations: 1,
            ..ReportConfig::default()
        });
        examples::mined(8).iter().for_each(|mined| gathering.add(mined));
        let report = gathering.finish(RunFacts::default(), &[]);
        let relations = &lists(&report)[0];
        assert_eq!(relations.rows, [["effect", "6", "75.0 %"], ["(others)", "2", "25.0 %"]]);
        assert_eq!(relations.notes, ["2 different values."]);
        // License "" leads the list and is all that it shows.
        assert!(!lists(&report).iter().any(|table| table.title == "Licences"));
    }
}
