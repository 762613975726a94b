//! The page of an experiment: the sentence, the chart, tables, and all numbers as JSON.

use std::path::{Path, PathBuf};

use magiclens_data::files::write_atomic_bytes;
use magiclens_metrics::{Interval, MIN_CLUSTERS};
use magiclens_report::numbers::{count, interval, points, signed_points, whole};
use magiclens_report::{Document, Table, Text};
use serde_json::{Value, json};

use crate::ExperimentError;
use crate::chart::svg;
use crate::finding::{FAILURE_MODES, kept, modes, sentence};
use crate::metric::Metric;
use crate::results::{ConditionResults, Results, Summary};

/// The files of a page.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page, Markdown; the chart and the numbers are beside it.
    pub page: PathBuf,
    /// The sentence about the claim.
    pub sentence: String,
}

/// Writes `NAME.md`, `NAME.svg` and `NAME.json` into a folder.
///
/// # Errors
/// Files that cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<Written, ExperimentError> {
    fs_err::create_dir_all(folder)?;
    let name = results.experiment.name;
    let path = |extension: &str| folder.join(format!("{name}.{extension}"));
    write_atomic_bytes(path("svg"), svg(results))?;
    write_atomic_bytes(path("json"), format!("{:#}\n", numbers(results)))?;
    write_atomic_bytes(path("md"), markdown(results))?;
    Ok(Written {
        page: path("md"),
        sentence: sentence(results),
    })
}

/// The image stands between the sentence and the first section: documents hold no files beside them.
fn markdown(results: &Results) -> String {
    let experiment = results.experiment;
    let image = format!("\n![{}]({}.svg)\n\n## ", experiment.title, experiment.name);
    document(results).to_markdown().replacen("\n## ", &image, 1)
}

fn document(results: &Results) -> Document {
    let experiment = results.experiment;
    let mut document = Document::new(experiment.title);
    // In spans, which are cut where they are long.
    let sentence = sentence(results);
    let spans = sentence.split_inclusive(", ");
    document.push(spans.fold(Text::strong("Finding.").then(" "), |text, span| text.then(span)));
    let section = document.section("The question");
    section.push(experiment.paper);
    section.push(settings(results));
    let section = document.section("Results");
    section.push(means(results));
    section.push(differences(results));
    section.extend(left_out(results).unless_empty());
    section.extend(agreements(results).unless_empty());
    section.extend(failures(results).unless_empty());
    document.section("By relation").push(relations(results));
    document
}

/// What all runs share, without which the numbers say nothing.
fn settings(results: &Results) -> Text {
    let train = &results.settings.train;
    Text::from(format!(
        "Every condition: {} of {} steps of {} triplets, from a random head on frozen towers; measured on the test part, in \
         wordings never trained on. Command: ",
        count(results.seeds(), "run", "runs"),
        train.steps,
        train.batch_size
    ))
    .then(Text::code(format!(
        "magiclens experiment {} --data COLLECTION --start weights/small-start.safetensors --out DIR",
        results.experiment.name
    )))
}

fn means(results: &Results) -> Table {
    let metrics = results.experiment.metrics;
    let heads = metrics.iter().map(|metric| metric.name);
    let table = Table::new("Means over runs");
    let mut table = table
        .words(["condition"])
        .numbers(std::iter::once("trained parameters").chain(heads));
    for (place, condition) in results.conditions.iter().enumerate() {
        let named = [
            Text::from(condition.condition.label),
            whole(condition.parameters() as u64).into(),
        ];
        let values = metrics
            .iter()
            .map(|metric| with_interval(condition.summary(*metric), |it| it.seeds));
        let cells: Vec<Text> = named.into_iter().chain(values).collect();
        match place {
            0 => table.strong_row(cells),
            _ => table.row(cells),
        };
    }
    table.note("In %, with 95 % intervals over seeds (Student's t). Means are over the relations of the last table, without focus and text.");
    table
}

fn with_interval(summary: Option<Summary>, of: impl Fn(&Summary) -> Option<Interval>) -> Text {
    let Some(summary) = summary else {
        return "-".into();
    };
    match of(&summary) {
        Some(Interval { low, high }) => format!("{} {}", points(summary.mean), interval(low, high)).into(),
        None => points(summary.mean).into(),
    }
}

fn differences(results: &Results) -> Table {
    let base = results.conditions[0].condition.label;
    let table = Table::new(format!("Differences from \"{base}\""));
    let mut table = table
        .words(["condition", "metric"])
        .numbers(["points", "over seeds", "over root concepts"]);
    for (place, condition) in results.conditions.iter().enumerate().skip(1) {
        for metric in results.experiment.metrics {
            let found = results.compare(0, place, *metric);
            if !found.difference.is_finite() {
                continue;
            }
            let ends = |found: Option<Interval>| found.map_or("-".to_owned(), |it| interval(it.low, it.high));
            table.row([
                condition.condition.label.to_owned(),
                metric.name.to_owned(),
                signed_points(found.difference),
                ends(found.seeds),
                ends(found.concepts),
            ]);
        }
    }
    table.note(format!(
        "Runs with one seed are compared with each other. The interval over root concepts is a paired bootstrap of the relations with \
         at least {MIN_CLUSTERS} of them."
    ));
    table
}

fn left_out(results: &Results) -> Table {
    let table = Table::new("Relations whose instructions were left out").words(["relation"]);
    let mut table = table.numbers(["its R@10", "trained on it", "share kept", "points of the others"]);
    for place in 1..results.conditions.len() {
        if let Some((relation, share, others)) = kept(results, 0, place) {
            let own = Metric::of(relation, relation, "R@10");
            let [without, with] = [place, 0].map(|place| points(results.conditions[place].mean_of(own)));
            table.row([relation.to_owned(), without, with, points(share), signed_points(others)]);
        }
    }
    table
}

fn agreements(results: &Results) -> Table {
    let table = Table::new("Agreement of instructions with the changes that they ask for").words(["condition"]);
    let mut table = table.numbers(["mean score", "area under the curve"]);
    for condition in &results.conditions {
        if let Some(found) = condition.agreement {
            table.row([
                condition.condition.label.to_owned(),
                format!("{:.3}", found.mean),
                found.area_under_curve.map_or("-".to_owned(), points),
            ]);
        }
    }
    table.note(
        "The score of a triplet is the mean cosine between its change (target minus query, in frozen image features) and those of the \
         ten triplets whose instructions are nearest in frozen text features; the area, in %, is that of sound above damaged \
         instructions. No label and no trained model takes part.",
    );
    table
}

fn failures(results: &Results) -> Table {
    let labels = results.conditions.iter().map(|condition| condition.condition.label);
    let mut table = Table::new("Failure modes").words(["mode"]).numbers(labels);
    let found: Vec<Vec<(&str, f64)>> = results.conditions.iter().map(modes).collect();
    for mode in FAILURE_MODES {
        let of_mode =
            |modes: &Vec<(&str, f64)>| modes.iter().find(|(other, _)| *other == mode).map(|(_, share)| *share);
        let shares: Vec<Option<f64>> = found.iter().map(of_mode).collect();
        if shares.iter().any(Option::is_some) {
            let shares = shares.into_iter().map(|share| share.map_or("-".to_owned(), points));
            table.row(std::iter::once(mode.to_owned()).chain(shares));
        }
    }
    table.note(
        "In % of the worst case, means over runs. Another wording: R@10 of a request's best wording minus that of its worst. \"Not\": \
         how often what is excluded comes, beside how often it comes when it is asked for. No words: what a request without a word \
         brings that the image alone does not. Nothing fits: 100 where the first similarity does not tell. Probes: \
         `magiclens eval robustness`.",
    );
    table
}

fn relations(results: &Results) -> Table {
    let labels = results.conditions.iter().map(|condition| condition.condition.label);
    let mut table = Table::new("").words(["asked for", "measure"]).numbers(labels);
    for task in results.tasks() {
        let measures: &[&'static str] = match task.starts_with("focus") {
            true => &["R@1"],
            false => &["R@1", "R@10"],
        };
        for measure in measures {
            let metric = Metric::of(task, task, measure);
            let value = |condition: &ConditionResults| with_interval(condition.summary(metric), |it| it.concepts);
            let values: Vec<Text> = results.conditions.iter().map(value).collect();
            table.row([Text::from(task), Text::from(*measure)].into_iter().chain(values));
        }
    }
    table.note(format!(
        "In %, means over runs, with 95 % bootstrap intervals over root concepts where there are at least {MIN_CLUSTERS}."
    ));
    table
}

/// Everything of the page, and the value of each run.
fn numbers(results: &Results) -> Value {
    let conditions: Vec<Value> = (0..results.conditions.len())
        .map(|place| condition(results, place))
        .collect();
    json!({
        "experiment": results.experiment.name,
        "sentence": sentence(results),
        "train": results.settings.train,
        "conditions": conditions,
    })
}

fn condition(results: &Results, place: usize) -> Value {
    let found = &results.conditions[place];
    let metrics = results.experiment.metrics.iter().map(|metric| {
        let difference = (place > 0).then(|| results.compare(0, place, *metric));
        let value = json!({ "value": found.summary(*metric), "difference": difference });
        (metric.name.to_owned(), value)
    });
    let measures = ["R@1", "R@10"];
    let of_task = |task: &'static str| {
        let of = |measure: &'static str| {
            (
                measure.to_owned(),
                json!(found.summary(Metric::of(task, task, measure))),
            )
        };
        (task.to_owned(), Value::Object(measures.map(of).into_iter().collect()))
    };
    json!({
        "condition": found.condition.name,
        "label": found.condition.label,
        "at": found.condition.at,
        "parameters": found.parameters(),
        "seeds": found.runs.iter().map(|run| run.seed).collect::<Vec<_>>(),
        "metrics": Value::Object(metrics.collect()),
        "tasks": Value::Object(results.tasks().into_iter().map(of_task).collect()),
        "agreement": found.agreement,
        "failure_modes": modes(found).into_iter().map(|(mode, share)| (mode.to_owned(), json!(share))).collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use magiclens_eval::robustness::calibration::Calibration;
    use magiclens_eval::robustness::{Better, Measured, RobustnessReport, Section, Unit};
    use magiclens_metrics::Confidence;

    use super::*;
    use crate::results::tests::made_up;

    #[test]
    fn a_failure_mode_stands_in_its_own_row_where_others_are_missing() {
        let mut results = made_up("failures", |_, _, _| 0.5);
        let report = |score: [&str; 2], area_under_curve: Option<f64>| -> RobustnessReport {
            let [title, label] = score;
            let scores = vec![Measured {
                label: label.to_owned(),
                unit: Unit::Percent,
                better: Better::Neither,
                value: Some(0.25),
                confidence: Confidence::default(),
            }];
            RobustnessReport {
                sections: vec![Section {
                    title: title.to_owned(),
                    scores,
                    ..Section::default()
                }],
                calibration: Calibration {
                    area_under_curve,
                    ..Calibration::default()
                },
                ..RobustnessReport::default()
            }
        };
        for run in &mut results.conditions[0].runs {
            run.robustness = Some(report(["Empty", "a space: overlap@10 with empty"], Some(0.75)));
        }
        for run in &mut results.conditions[1].runs {
            run.robustness = Some(report(["Paraphrases", "R@10, spread"], None));
        }
        let page = markdown(&results);
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let row = |mode: &str| {
            let found = rows.iter().find(|row| row.get(1) == Some(&mode))?;
            Some([found[2], found[3]])
        };
        assert_eq!(row("another wording"), Some(["-", "25.0"]));
        assert_eq!(row("no words"), Some(["75.0", "-"]));
        assert_eq!(row("nothing fits"), Some(["50.0", "-"]));
        assert_eq!(row("\"not\""), None, "{page}");
    }

    #[test]
    fn a_page_has_sentence_chart_tables_and_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let results = made_up("query-negatives", |place, seed, _| {
            0.5 - 0.1 * place as f64 + 0.01 * seed as f64
        });
        let written = write(&results, folder.path()).unwrap();
        let page = fs_err::read_to_string(&written.page).unwrap();
        for part in [
            "# Query images as negatives\n",
            "![Query images as negatives](query-negatives.svg)\n\n## The question",
            "**Finding.**",
            "| targets alone",
            "| **with query images**",
            "-10.0",
            "3 runs of 150 steps of 256 triplets",
            "| style",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("NaN"), "{page}");
        let json: Value =
            serde_json::from_str(&fs_err::read_to_string(folder.path().join("query-negatives.json")).unwrap()).unwrap();
        let second = &json["conditions"][1]["metrics"]["mean R@1"];
        assert!(
            (second["difference"]["difference"].as_f64().unwrap() + 0.1).abs() < 1e-9,
            "{json}"
        );
        assert_eq!(second["value"]["runs"].as_array().unwrap().len(), 3);
        assert_eq!(json["sentence"], written.sentence);
        assert!(folder.path().join("query-negatives.svg").is_file());
    }
}
