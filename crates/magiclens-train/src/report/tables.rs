//! The tables of a report: scores and times of the runs, scores by relation, settings.

use std::collections::BTreeSet;

use magiclens_report::numbers::{compact, points, rate, seconds, whole};
use magiclens_report::{Table, Text, cells};

use super::record::{DevRecord, RunRecord, RunState};

/// Name of the digests among the settings.
const DATA: &str = "start and data";

/// The facts of one run, for the head of its page.
pub(super) fn facts(run: &RunRecord) -> Vec<(String, Text)> {
    let mut facts = vec![
        ("state".to_owned(), Text::from(state(run))),
        ("steps".to_owned(), steps(run)),
    ];
    if let Some(best) = run.best() {
        let at = Text::small(format!(" at step {}", whole(best.step as u64)));
        let score = Text::from(percent(best.recall_at_10()));
        facts.push(("best mean R@10".to_owned(), score.then(at)));
        facts.push(("mean R@1 there".to_owned(), percent(best.recall_at_1()).into()));
    }
    if let Some(last) = run.measurements.last() {
        facts.push(("last mean R@10".to_owned(), percent(last.recall_at_10()).into()));
    }
    facts.push(("time in steps".to_owned(), seconds(run.seconds()).into()));
    facts.push(("triplets a second".to_owned(), rate(run.triplets_per_second()).into()));
    facts
}

/// A row for each run: how far it came, its best and its last scores, its time.
pub(super) fn runs(runs: &[RunRecord]) -> Table {
    let mut table = Table::new("Runs").words(["run", "state"]).numbers([
        "steps",
        "best R@10",
        "R@1 there",
        "at step",
        "last R@10",
        "last R@1",
        "time in steps",
        "triplets/s",
    ]);
    for run in runs {
        let (best, last) = (run.best(), run.measurements.last());
        let score =
            |of: Option<&DevRecord>, score: fn(&DevRecord) -> f64| of.map_or("-".to_owned(), |of| shown(score(of)));
        table.row(cells![
            run.name.as_str(),
            state(run),
            steps(run),
            score(best, DevRecord::recall_at_10),
            score(best, DevRecord::recall_at_1),
            best.map_or("-".to_owned(), |best| whole(best.step as u64)),
            score(last, DevRecord::recall_at_10),
            score(last, DevRecord::recall_at_1),
            seconds(run.seconds()),
            rate(run.triplets_per_second()),
        ]);
    }
    table.note("Scores are means of the relations on the dev part, in %. The best is the highest mean R@10.");
    table.note("The time is that of the steps, without measurements and saved states.");
    table
}

/// The numbers of the last step of each run.
pub(super) fn last_steps(runs: &[RunRecord]) -> Table {
    let heads = [
        "step",
        "loss",
        "caption loss",
        "accuracy in the batch",
        "temperature",
        "learning rate",
    ];
    let mut table = Table::new("Last steps").words(["run"]).numbers(heads);
    for (run, last) in runs.iter().filter_map(|run| Some((run, run.steps.last()?))) {
        table.row(cells![
            run.name.as_str(),
            last.step,
            compact(last.loss),
            compact(last.caption_loss),
            points(last.batch_accuracy),
            compact(last.temperature),
            compact(last.learning_rate),
        ]);
    }
    table.note("The accuracy is in %.");
    table
}

/// Scores of each relation at the best measurement of each run; `None` if nothing was measured.
pub(super) fn relations(runs: &[RunRecord]) -> Option<Table> {
    let relations: BTreeSet<&String> = runs
        .iter()
        .filter_map(RunRecord::best)
        .flat_map(|best| best.dev.keys())
        .collect();
    let heads = runs
        .iter()
        .map(|run| Text::from(&run.name).then(Text::small(" R@1 / R@10")));
    let mut table = Table::new("Relations at the best measurement")
        .words(["relation"])
        .numbers(heads);
    for relation in relations {
        let cell = |run: &RunRecord| {
            let scores = run.best().and_then(|best| best.dev.get(relation));
            scores.map_or("-".to_owned(), |s| {
                format!("{} / {}", shown(s.recall_at_1), shown(s.recall_at_10))
            })
        };
        let cells = runs.iter().map(|run| Text::from(cell(run)));
        table.row(std::iter::once(Text::from(relation)).chain(cells));
    }
    table.unless_empty()
}

/// The settings that differ, then those that all runs share.
pub(super) fn settings(runs: &[RunRecord]) -> Vec<Table> {
    let named = runs.iter().flat_map(|run| run.settings.keys().map(String::as_str));
    let names: BTreeSet<&str> = named.chain([DATA]).collect();
    let is_shared = |name: &&str| runs.iter().all(|run| setting(run, name) == setting(&runs[0], name));
    let (shared, differing): (Vec<&str>, Vec<&str>) = names.into_iter().partition(is_shared);
    let heads = runs.iter().map(|run| run.name.as_str());
    let mut different = Table::new("Settings that differ").words(["setting"]).words(heads);
    for name in differing {
        let cells = runs.iter().map(|run| setting(run, name));
        different.row(std::iter::once(Text::from(name)).chain(cells));
    }
    let title = if runs.len() > 1 {
        "Settings of all runs"
    } else {
        "All settings"
    };
    let mut same = Table::new(title).words(["setting", "value"]);
    for name in shared {
        same.row([Text::from(name), setting(&runs[0], name)]);
    }
    same.note("Settings that are not here hold their default.");
    let tables = [different.unless_empty(), same.unless_empty()];
    tables.into_iter().flatten().collect()
}

/// The value of a setting as TOML writes it.
fn setting(run: &RunRecord, name: &str) -> Text {
    match run.settings.get(name) {
        _ if name == DATA => Text::code(&run.data),
        None => Text::small("default"),
        Some(toml::Value::String(text)) => text.into(),
        Some(value) => value.to_string().into(),
    }
}

fn state(run: &RunRecord) -> &'static str {
    match run.state {
        RunState::Finished => "finished",
        RunState::EndedEarly => "ended early",
        RunState::Diverged => "diverged",
        RunState::Unfinished => "unfinished",
    }
}

fn steps(run: &RunRecord) -> Text {
    let planned = Text::small(format!(" of {}", whole(run.plan.steps as u64)));
    Text::from(run.last_step()).then(planned)
}

fn percent(share: f64) -> String {
    format!("{} %", shown(share))
}

fn shown(share: f64) -> String {
    if share.is_finite() {
        points(share)
    } else {
        "-".to_owned()
    }
}
