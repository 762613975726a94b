//! The report of runs: its numbers are those of the files, whatever state a run is in.
#![allow(clippy::unwrap_used)]

mod toy;

use std::path::{Path, PathBuf};
use std::slice::from_ref;

use magiclens_report::numbers::{compact, percent, points};
use magiclens_train::learner::Learner;
use magiclens_train::report::{MAX_RUNS, TrainReport};
use magiclens_train::run::{Measurement, Observer, StepMetrics, TrainingData, train};
use magiclens_train::trained::TrainedTowers;
use magiclens_train::{TrainConfig, TrainError};
use serde_json::{Value, json};
use toy::{Toy, train_config};

/// Measures made-up scores of two relations.
struct MadeUp;

impl Observer for MadeUp {
    fn step(&mut self, _metrics: &StepMetrics, _steps: usize) {}

    fn measure(&mut self, step: usize, learner: &Learner) -> Result<Measurement, TrainError> {
        assert!(!learner.tensors().is_empty());
        let line = scores(step as f64 / 100.0, 0.125);
        Ok(Measurement {
            mean_recall_at_10: 0.0,
            line,
        })
    }

    fn chosen(&mut self, _step: usize, _best: usize) {}
}

/// R@10 of two relations; R@1 is half of it.
fn scores(style: f64, sketch: f64) -> Value {
    let of = |ten: f64| json!({ "recall_at_1": ten / 2.0, "recall_at_10": ten, "map_at_10": ten });
    json!({ "style": of(style), "sketch": of(sketch) })
}

fn step(step: usize, loss: f64) -> String {
    let line = json!({ "step": step, "loss": loss, "caption_loss": 0.0, "temperature": 14.2, "batch_accuracy": 0.25,
        "learning_rate": 3e-4, "seconds": 0.5 });
    format!("{line}\n")
}

fn measurement(step: usize, style: f64, sketch: f64) -> String {
    format!("{}\n", json!({ "step": step, "dev": scores(style, sketch) }))
}

/// The folder of a run with these lines.
fn run(parent: &Path, name: &str, config: &TrainConfig, lines: &str) -> PathBuf {
    let folder = parent.join(name);
    fs_err::create_dir_all(&folder).unwrap();
    let config = toml::to_string(config).unwrap();
    fs_err::write(
        folder.join("config.toml"),
        format!("# data: start aa triplets {name}\n{config}"),
    )
    .unwrap();
    fs_err::write(folder.join("metrics.jsonl"), lines).unwrap();
    folder
}

fn report_of(folders: &[PathBuf]) -> (TrainReport, Value) {
    let report = TrainReport::read(folders).unwrap();
    let json = serde_json::from_str(&report.to_json()).unwrap();
    (report, json)
}

#[track_caller]
fn refused(folders: &[PathBuf], parts: &[&str]) {
    let told = TrainReport::read(folders).unwrap_err().to_string();
    for part in parts.iter().chain(&["\nhint: "]) {
        assert!(told.contains(part), "`{part}` is not in {told}");
    }
}

#[track_caller]
fn holds(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "`{part}` is not in the page:\n{page}");
    }
}

#[test]
fn a_toy_training_is_told_number_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("toy run");
    let toy = Toy::new();
    let data = TrainingData {
        digest: "start 12 triplets 34".into(),
        ..toy.data()
    };
    let learner = toy.learner(TrainedTowers::None);
    train(&train_config(), learner, &data, &out, &mut MadeUp).unwrap();

    let (report, json) = report_of(from_ref(&out));
    let lines = fs_err::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (measured, steps): (Vec<Value>, Vec<Value>) = lines.into_iter().partition(|line| line.get("dev").is_some());
    let run = &json["runs"][0];
    assert_eq!((steps.len(), measured.len()), (30, 3));
    assert_eq!((&run["steps"], &run["measurements"]), (&json!(steps), &json!(measured)));
    assert_eq!((&run["name"], &run["state"]), (&json!("toy run"), &json!("finished")));

    let page = report.document().to_html();
    for step in &steps {
        let number = |name: &str| step[name].as_f64().unwrap();
        let seconds = number("seconds");
        for (what, value) in [
            ("Loss", compact(number("loss"))),
            ("Caption loss", compact(number("caption_loss"))),
            ("Accuracy in the batch", percent(number("batch_accuracy"))),
            ("Temperature", compact(number("temperature"))),
            ("Learning rate", compact(number("learning_rate"))),
            ("Triplets a second", compact(8.0 / seconds)),
        ] {
            holds(
                &page,
                &[&format!("<title>step {}\n{what} {value}</title>", step["step"])],
            );
        }
    }
    let best = format!("{} %", points((0.3 + 0.125) / 2.0));
    holds(
        &page,
        &[
            "<title>step 30\nR@10 30.0 %\nR@1 15.0 %</title>",
            &format!("<bdi>{best}</bdi><small> at step 30</small>"),
            "<th scope=\"row\">style</th><td class=\"number\">15.0 / 30.0</td>",
            "<th scope=\"row\">learning_rate</th><td>0.003</td>",
            "<th scope=\"row\">weight_decay</th><td>0.01</td>",
            "<code>start 12 triplets 34</code>",
        ],
    );
    assert!(!page.contains("NaN") && !page.contains("class=\"warning\""), "{page}");
    holds(
        &report.document().to_markdown(),
        &["- steps: 30 of 30", "| toy run | ", "| style    |        15.0 / 30.0 |"],
    );
}

#[test]
fn steps_that_were_done_again_count_once_and_half_a_line_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        step(1, 6.0),
        step(2, 5.0),
        step(3, 4.0),
        measurement(3, 0.9, 0.9),
        step(4, 3.0),
        // Went on from step 2, and was killed in the middle of a line.
        step(3, 4.5),
        measurement(3, 0.5, 0.25),
        measurement(3, 0.5, 0.3),
        "{\"step\":4,\"loss\":3.".to_owned(),
    ];
    let (report, json) = report_of(&[run(folder.path(), "a", &train_config(), &lines.concat())]);
    let run = &json["runs"][0];
    let losses: Vec<(u64, f64)> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_u64().unwrap(), step["loss"].as_f64().unwrap()))
        .collect();
    assert_eq!(losses, [(1, 6.0), (2, 5.0), (3, 4.5)]);
    assert_eq!(run["measurements"], json!([{ "step": 3, "dev": scores(0.5, 0.3) }]));
    assert_eq!(
        (&run["state"], &run["unreadable_lines"]),
        (&json!("unfinished"), &json!(0))
    );
    let page = report.document().to_html();
    holds(&page, &["<dd><bdi>3</bdi><small> of 30</small></dd>", "40.0 %"]);
    assert!(!page.contains("class=\"warning\""));
}

#[test]
fn broken_lines_and_losses_are_told_and_leave_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let broken = [
        &step(1, 2.0)[..],
        "{\"step\":2,\"lo\n",
        "\u{0}\u{0}\n",
        &step(3, 4.0),
        &step(4, f64::NAN),
    ]
    .concat();
    let (report, json) = report_of(&[run(folder.path(), "broken", &train_config(), &broken)]);
    assert_eq!(json["runs"][0]["state"], "diverged");
    assert_eq!(json["runs"][0]["steps"][2]["loss"], Value::Null);
    let page = report.document().to_html();
    holds(
        &page,
        &[
            "the loss of step 4 is no number",
            "2 lines of `metrics.jsonl` cannot be read",
            "<title>step 3\nLoss 4</title>",
        ],
    );
    assert!(!page.contains("NaN") && !page.contains("Relations") && !page.contains("Caption loss"));
}

#[test]
fn a_run_without_patience_left_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let patient = TrainConfig {
        patience: Some(2),
        ..train_config()
    };
    let measured = [(1, 0.2), (2, 0.5), (3, 0.5), (4, 0.1)];
    let lines: Vec<String> = measured
        .iter()
        .flat_map(|(at, score)| [step(*at, 2.0), measurement(*at, *score, *score)])
        .collect();
    let state = |name: &str, config: &TrainConfig, lines: &[String]| {
        let (report, json) = report_of(&[run(folder.path(), name, config, &lines.concat())]);
        (json["runs"][0]["state"].clone(), report.document().to_html())
    };
    let (ended, page) = state("ended", &patient, &lines);
    assert_eq!(ended, "ended_early");
    holds(&page, &["50.0 %</bdi><small> at step 2</small>"]);
    assert_eq!(state("on", &patient, &lines[..6]).0, "unfinished");
    assert_eq!(state("steady", &train_config(), &lines).0, "unfinished");
}

#[test]
fn runs_lie_over_each_other_by_name_with_the_settings_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |loss: f64| {
        [
            step(1, loss),
            step(2, loss / 2.0),
            measurement(2, loss / 10.0, loss / 10.0),
        ]
        .concat()
    };
    let slow = TrainConfig {
        learning_rate: 1e-4,
        temperature: Some(20.0),
        ..train_config()
    };
    let hostile = run(folder.path(), "<script>alert(1)<", &train_config(), &lines(6.0));
    let slow = run(folder.path(), "slow", &slow, &lines(4.0));
    let page = TrainReport::read(&[hostile.clone(), slow.clone()])
        .unwrap()
        .document()
        .to_html();
    let escaped = "&lt;script&gt;alert(1)&lt;";
    holds(
        &page,
        &[
            &format!("<title>step 1\n{escaped} 6\nslow 4</title>"),
            &format!(
                "<span class=\"key line-0\">{escaped} <b>3</b></span> <span class=\"key line-1\">slow <b>2</b></span>"
            ),
            &format!("<title>step 2\n{escaped} 60.0 % / 30.0 %\nslow 40.0 % / 20.0 %</title>"),
            "<th scope=\"row\">learning_rate</th><td>0.003</td><td>0.0001</td>",
            "<th scope=\"row\">temperature</th><td><small>default</small></td><td>20.0</td>",
            "<th scope=\"row\">start and data</th>",
            "<th scope=\"row\">batch_size</th><td>8</td>",
        ],
    );
    assert!(!page.contains("<script"));

    // Two runs of one folder name are told apart by their paths.
    let other = run(&folder.path().join("again"), "slow", &train_config(), &lines(2.0));
    let (_, json) = report_of(&[slow.clone(), other.clone()]);
    let names = [0, 1].map(|at| json["runs"][at]["name"].as_str().unwrap());
    assert_eq!(names, [slow.to_str().unwrap(), other.to_str().unwrap()]);
}

#[test]
fn folders_without_a_run_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    refused(
        &[place("gone")],
        &["gone` holds no run: there is no such folder", "`--out`"],
    );
    fs_err::create_dir(place("other")).unwrap();
    refused(&[place("other")], &["other` holds no run: it has no `config.toml`"]);
    let begun = run(folder.path(), "begun", &train_config(), "");
    refused(
        from_ref(&begun),
        &["begun/metrics.jsonl` holds no step", "after the first step"],
    );
    fs_err::write(begun.join("metrics.jsonl"), "{\"step\":1,").unwrap();
    refused(from_ref(&begun), &["holds no step"]);
    fs_err::remove_file(begun.join("metrics.jsonl")).unwrap();
    refused(from_ref(&begun), &["holds no step"]);
    fs_err::write(begun.join("config.toml"), "steps = 3").unwrap();
    let told = TrainReport::read(from_ref(&begun)).unwrap_err().to_string();
    assert!(
        told.contains("not a valid training configuration") && told.contains("batch_size"),
        "{told}"
    );
    refused(
        &[begun.clone(), place("other/../begun")],
        &["other/../begun` is given twice"],
    );
    let many: Vec<PathBuf> = (0..=MAX_RUNS).map(|at| place(&at.to_string())).collect();
    refused(&many, &["9 runs are given", "several pages"]);
}
