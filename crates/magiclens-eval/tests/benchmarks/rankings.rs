//! Files of rankings: written and read back, the official forms, everything that is refused; files for the servers.

use std::path::{Path, PathBuf};

use magiclens_eval::EvalError;
use magiclens_eval::benchmark::{Benchmark, Task};
use magiclens_eval::benchmarks::{Entry, LoadOptions};
use magiclens_eval::evaluate::{Contestant, EvaluateOptions, evaluate};
use magiclens_eval::method::Method;
use magiclens_eval::outcome::QueryOutcome;
use magiclens_eval::predictions::{self, Predictions};
use magiclens_eval::scores::VariantScores;
use magiclens_eval::server_files;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::loading::{load, task};
use crate::running::{NAMES, run};
use crate::stand_ins;

fn score(name: &str, folder: &Path, file: &Path, partial: bool) -> Result<Vec<VariantScores>, EvalError> {
    let contestant = Contestant::Rankings {
        name: "file".to_owned(),
        paths: vec![file.to_owned()],
    };
    let options = EvaluateOptions {
        partial,
        ..EvaluateOptions::default()
    };
    let evaluated = evaluate(load(name, folder), NAMES, folder, &[contestant], &options, &|_| ())?;
    Ok(evaluated.report.systems[0].variants.clone())
}

fn write(folder: &Path, value: &Value) -> PathBuf {
    let path = folder.join("predictions.json");
    fs_err::write(&path, value.to_string()).unwrap();
    path
}

#[test]
fn what_is_written_scores_as_it_ran() {
    for (name, folder) in stand_ins::all() {
        let cache = tempfile::tempdir().unwrap();
        let ran = run(name, folder.path(), cache.path(), &[Method::MagicLens], false).unwrap();
        let file = cache.path().join("rankings.jsonl");
        predictions::write(&file, &ran.benchmark, &ran.outcomes[0]).unwrap();
        let scored = score(name, folder.path(), &file, false).unwrap();
        for (scored, ran) in scored.iter().zip(&ran.report.systems[0].variants) {
            // Lists without the query image cannot tell where it would have stood.
            if (name, scored.flag.as_str()) != ("cirr", "kept") {
                assert_eq!(scored.means, ran.means, "{name} {}", scored.flag);
            }
        }
    }
}

#[test]
fn the_forms_of_the_official_files() {
    let folder = stand_ins::circo(9, 3);
    let ranked = json!({"0": [107, 100, 114, 156], "1": [100, 135]});
    let figure = |file: &Path, label: &str| {
        let scores = score("circo", folder.path(), file, false).unwrap();
        scores[0].score(Some("val"), label).unwrap().value.unwrap()
    };
    let file = write(folder.path(), &ranked);
    // Query 0: precision 1 at rank 1 and 2/3 at rank 3 of 3 right ones; query 1: 1/2 at rank 2 of 1.
    let expected = ((1.0 + 2.0 / 3.0) / 3.0 + 0.5) / 2.0;
    assert!((figure(&file, "mAP@5") - expected).abs() < 1e-12);
    assert_eq!(figure(&file, "target R@5"), 1.0);
    let words = write(
        folder.path(),
        &json!({"0": ["107", "100", "114", "156"], "1": ["100", "135"]}),
    );
    assert!(
        (figure(&words, "mAP@5") - expected).abs() < 1e-12,
        "numbers may be written as words"
    );
    // Without the query image the right answers move up.
    let removed = score("circo", folder.path(), &words, false).unwrap();
    let map = removed[1].score(Some("val"), "mAP@5").unwrap().value.unwrap();
    assert!((map - ((1.0 + 1.0) / 3.0 + 0.5) / 2.0).abs() < 1e-12, "{map}");

    let folder = stand_ins::cirr("val");
    let name = |i: usize| format!("dev-{i}-img0");
    let file = write(
        folder.path(),
        &json!({"version": "rc2", "metric": "recall_subset", "12": [name(1), name(2), name(3)], "34": [name(0), name(2), name(3)]}),
    );
    let scores = &score("cirr", folder.path(), &file, false).unwrap()[0];
    let value = |label: &str| scores.score(Some("val"), label).unwrap().value;
    assert_eq!(
        (value("Rs@1"), value("Rs@2"), value("R@1")),
        (Some(0.5), Some(1.0), None)
    );

    let folder = stand_ins::fiq();
    let lists = |letter: char| json!({"0": [format!("{letter}1")], "1": [format!("{letter}0"), format!("{letter}3")]});
    let file = write(
        folder.path(),
        &json!({"dress": lists('D'), "shirt": lists('S'), "toptee": lists('T')}),
    );
    let scores = score("fiq", folder.path(), &file, false).unwrap();
    let mean = |label: &str| scores[0].score(None, label).unwrap().value;
    assert_eq!((mean("R@1"), mean("R@5")), (Some(0.5), Some(1.0)));
    let slashed = json!({"dress/0": ["D1"], "dress/1": ["D3"], "shirt/0": ["S0"], "shirt/1": ["S1"], "toptee/0": ["T0"], "toptee/1": ["T0"]});
    let file = write(folder.path(), &slashed);
    let scores = score("fiq", folder.path(), &file, false).unwrap();
    assert!((scores[0].score(None, "R@1").unwrap().value.unwrap() - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_scored_is_refused_by_name() {
    let folder = stand_ins::circo(9, 3);
    let check = |value: Value, part: &str| {
        let file = write(folder.path(), &value);
        let error = score("circo", folder.path(), &file, false).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("hint: "),
            "{part} is not in {error}"
        );
    };
    check(json!({"0": [107]}), "1 of 2 queries are not answered, such as `val/1`");
    check(json!({"0": [107], "1": []}), "query `1` of `val` has an empty list");
    check(json!({"0": [107], "1": [100, 107, 100]}), "ranks `100` twice");
    check(
        json!({"0": [107], "1": [99]}),
        "ranks `99`, which is not in the gallery",
    );
    check(json!({"0": [107], "7": [100]}), "there is no query `7`");
    check(json!({"test": {"0": [107]}}), "there is no task `test`");
    check(json!({"0": [1.5]}), "an id, which is a whole number or a text");
    check(json!({"0": [[107, 0.5]]}), "an id, which is a whole number or a text");
    check(json!([1, 2]), "predictions.json");
    let file = folder.path().join("predictions.json");
    fs_err::write(
        &file,
        "{\"query\": \"0\", \"ranked\": [107]}\n{\"query\": \"0\", \"ranked\": [114]}\n",
    )
    .unwrap();
    let error = score("circo", folder.path(), &file, false).unwrap_err().to_string();
    assert!(error.contains("answered twice"), "{error}");
    fs_err::write(&file, "{\"query\": \"0\", \"ranked\": [107]}\n{\"qu\n").unwrap();
    assert!(
        score("circo", folder.path(), &file, false)
            .unwrap_err()
            .to_string()
            .contains("line 2")
    );
    let fiq = stand_ins::fiq();
    let ambiguous = write(fiq.path(), &json!({"0": ["D1"]}));
    let error = score("fiq", fiq.path(), &ambiguous, false).unwrap_err().to_string();
    assert!(error.contains("several tasks"), "{error}");
}

fn value(scores: &VariantScores, task: &str, label: &str) -> Option<f64> {
    scores.score(Some(task), label).unwrap().value
}

#[test]
fn figures_that_the_head_of_a_ranking_cannot_give_stay_empty() {
    // Five photographs; the lists name two.
    let folder = stand_ins::quickdraw();
    let list = ["ph/bat/a.png", "ph/bat/b.png"];
    let lists = json!({"sk/bat/1.png": list, "sk/hot air/2.png": list, "sk/bat/3.png": list});
    let scores = &score("quickdraw", folder.path(), &write(folder.path(), &lists), false).unwrap()[0];
    assert_eq!(
        value(scores, "30 unseen classes", "mAP"),
        None,
        "it needs whole rankings"
    );
    // Cut at min(200, 5): 2 of 3 found at ranks 1 and 2 for bats, nothing of 2 for the balloon.
    let expected = (2.0 / 3.0 + 0.0 + 2.0 / 3.0) / 3.0;
    for label in ["mAP@200", "P@100"] {
        assert!(
            (value(scores, "30 unseen classes", label).unwrap() - expected).abs() < 1e-12,
            "{label}"
        );
    }

    // A subset that is not wholly in the ranking has no recall.
    let folder = stand_ins::cirr("val");
    let name = |i: usize| format!("dev-{i}-img0");
    let all: Vec<String> = (0..8).map(name).collect();
    let lists = json!({"12": all, "34": [name(0), name(2), name(7)]});
    let scores = &score("cirr", folder.path(), &write(folder.path(), &lists), false).unwrap()[0];
    assert_eq!(
        (value(scores, "val", "Rs@1"), value(scores, "val", "R@1")),
        (None, Some(0.5))
    );

    // Without the query image four ids are left of five, but a recall at five is asked for.
    let folder = stand_ins::circo(9, 3);
    let lists = json!({"0": [100, 107, 114, 121, 128], "1": [128, 107, 114, 121, 100]});
    let scores = score("circo", folder.path(), &write(folder.path(), &lists), false).unwrap();
    assert!(value(&scores[0], "val", "mAP@5").is_some());
    assert_eq!(value(&scores[1], "val", "mAP@5"), None);
}

#[test]
fn candidates_are_held_to_their_lists() {
    let folder = stand_ins::cirr("val");
    let name = |i: usize| format!("dev-{i}-img0");
    let subset = |first: Vec<String>| json!({"metric": "recall_subset", "version": "rc2", "12": first, "34": [name(2), name(0), name(1)]});
    // The own image is passed over, a stranger is refused.
    let file = write(folder.path(), &subset(vec![name(0), name(1), name(2), name(3)]));
    let scores = &score("cirr", folder.path(), &file, false).unwrap()[0];
    assert_eq!(value(scores, "val", "Rs@1"), Some(1.0));
    let file = write(folder.path(), &subset(vec![name(7), name(1), name(2)]));
    let error = score("cirr", folder.path(), &file, false).unwrap_err().to_string();
    assert!(
        error.contains("`dev-7-img0`, which is not one of its candidates"),
        "{error}"
    );

    // CIRR's two files are one system.
    let recall = folder.path().join("recall.json");
    let all = json!({"metric": "recall", "version": "rc2", "12": [name(1)], "34": [name(1)]});
    fs_err::write(&recall, all.to_string()).unwrap();
    let subset = write(folder.path(), &subset(vec![name(1), name(2), name(3)]));
    let contestant = Contestant::Rankings {
        name: "both".to_owned(),
        paths: vec![recall, subset],
    };
    let options = EvaluateOptions::default();
    let benchmark = load("cirr", folder.path());
    let evaluated = evaluate(benchmark, NAMES, folder.path(), &[contestant], &options, &|_| ()).unwrap();
    let scores = &evaluated.report.systems[0].variants[0];
    assert_eq!(
        (value(scores, "val", "R@1"), value(scores, "val", "Rs@1")),
        (Some(0.5), Some(1.0))
    );
}

#[test]
fn a_target_that_is_its_own_distractor_is_right_once() {
    let folder = stand_ins::genecis();
    let path = folder.path().join("genecis/focus_object.json");
    let shown = |i: usize| json!({"val_image_id": i});
    let template =
        json!([{"condition": "wall", "reference": shown(0), "target": shown(1), "gallery": [shown(2), shown(1)]}]);
    stand_ins::write_json(&path, &template);
    for (list, first) in [
        (json!([1, 2, 1]), 1.0),
        (json!([2, 1, 1]), 0.0),
        (json!(["1#2", 1, 2]), 0.0),
    ] {
        let file = write(folder.path(), &json!({"focus_object": {"0": list}}));
        let scores = &score("genecis", folder.path(), &file, true).unwrap()[0];
        assert_eq!(value(scores, "focus_object", "R@1"), Some(first), "{list}");
    }
}

#[test]
fn circo_rankings_need_no_list_of_images() {
    let folder = stand_ins::circo(9, 3);
    fs_err::remove_dir_all(folder.path().join("COCO2017_unlabeled")).unwrap();
    let file = write(folder.path(), &json!({"0": [107, 999_999, 114], "1": [888_888, 135]}));
    let options = LoadOptions {
        only_rankings: true,
        ..LoadOptions::default()
    };
    let benchmark = Entry::named("circo").unwrap().load(folder.path(), &options).unwrap();
    let contestant = Contestant::Rankings {
        name: "file".to_owned(),
        paths: vec![file],
    };
    let options = EvaluateOptions::default();
    let report = evaluate(benchmark, NAMES, folder.path(), &[contestant], &options, &|_| ())
        .unwrap()
        .report;
    let map = value(&report.systems[0].variants[0], "val", "mAP@5").unwrap();
    assert!((map - ((1.0 + 2.0 / 3.0) / 3.0 + 0.5) / 2.0).abs() < 1e-12, "{map}");
}

#[test]
fn rankings_become_server_files() {
    let folder = stand_ins::circo(60, 800);
    let benchmark = hidden("circo", "test", folder.path());
    let lists: serde_json::Map<String, Value> = (0..800)
        .map(|i| {
            (
                i.to_string(),
                json!((0..50).map(|k| 100 + 7 * ((i + k) % 60)).collect::<Vec<_>>()),
            )
        })
        .collect();
    let predictions = Predictions::read(&[write(folder.path(), &Value::Object(lists))], &benchmark).unwrap();
    let scored = predictions.score(&benchmark.variants[0], 50, false).unwrap();
    let task = &benchmark.variants[0].tasks[0];
    let written = server_files::write(&folder.path().join("out"), &benchmark, task, &scored.outcomes[0]).unwrap();
    let file: Value = serde_json::from_str(&fs_err::read_to_string(&written[0]).unwrap()).unwrap();
    assert_eq!(file["3"].as_array().unwrap()[..2], [json!(121), json!(128)]);
}

#[test]
fn partial_scores_leave_out_what_is_not_answered() {
    let folder = stand_ins::circo(9, 3);
    let file = write(folder.path(), &json!({"1": [135]}));
    let contestant = Contestant::Rankings {
        name: "file".to_owned(),
        paths: vec![file],
    };
    let options = EvaluateOptions {
        partial: true,
        ..EvaluateOptions::default()
    };
    let benchmark = load("circo", folder.path());
    let report = evaluate(benchmark, NAMES, folder.path(), &[contestant], &options, &|_| ())
        .unwrap()
        .report;
    let task = &report.systems[0].variants[0].tasks[0];
    assert_eq!(
        (task.queries, task.groups.len()),
        (1, 1),
        "only what was answered is counted"
    );
    assert_eq!(value(&report.systems[0].variants[0], "val", "mAP@5"), Some(1.0));
    assert!(
        !report.complete && report.remarks.iter().any(|remark| remark.contains("1 of 2 queries")),
        "{:?}",
        report.remarks
    );
}

/// SEARLE's validation of CIRR and ZSE-SBIR's metrics, from rankings to scores (`fixtures/metrics`).
#[test]
fn recorded_figures_of_official_code() {
    #[derive(Deserialize)]
    struct Query {
        pairid: u64,
        reference: String,
        target: String,
        members: Vec<String>,
        ranked: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Case {
        name: String,
        names: Vec<String>,
        queries: Vec<Query>,
        expected: std::collections::BTreeMap<String, f64>,
    }
    for case in cases::<Case>("cirr_val.json") {
        let folder = tempfile::tempdir().unwrap();
        let images: serde_json::Map<String, Value> = case
            .names
            .iter()
            .map(|name| (name.clone(), json!(format!("./dev/{name}.png"))))
            .collect();
        stand_ins::write_json(
            &folder.path().join("image_splits/split.rc2.val.json"),
            &Value::Object(images),
        );
        let pairs: Vec<Value> = case
            .queries
            .iter()
            .map(|query| {
                json!({"pairid": query.pairid, "reference": query.reference, "target_hard": query.target,
                       "caption": "x", "img_set": {"members": query.members}})
            })
            .collect();
        stand_ins::write_json(&folder.path().join("captions/cap.rc2.val.json"), &json!(pairs));
        let lists: serde_json::Map<String, Value> = case
            .queries
            .iter()
            .map(|query| (query.pairid.to_string(), json!(query.ranked)))
            .collect();
        let file = write(folder.path(), &Value::Object(lists));
        let scores = &score("cirr", folder.path(), &file, false).unwrap()[0];
        for (label, expected) in &case.expected {
            let found = 100.0 * scores.score(Some("val"), label).unwrap().value.unwrap();
            assert!(
                (found - expected).abs() < 1e-6,
                "{} {label}: {found} instead of {expected}",
                case.name
            );
        }
    }
}

#[test]
fn sketch_figures_of_official_code() {
    #[derive(Deserialize)]
    struct Expected {
        each: Vec<Value>,
        mean: Value,
    }
    #[derive(Deserialize)]
    struct Case {
        name: String,
        relevant_by_rank: Vec<String>,
        expected: std::collections::BTreeMap<String, Expected>,
    }
    let folder = stand_ins::quickdraw();
    let benchmark = load("quickdraw", folder.path());
    let measures = &benchmark.variants[0].tasks[0].measures;
    for case in cases::<Case>("sketch.json") {
        for measure in measures {
            let values: Vec<f64> = case
                .relevant_by_rank
                .iter()
                .map(|flags| {
                    let flags: Vec<bool> = flags.bytes().map(|flag| flag == b'1').collect();
                    let relevant = flags.iter().filter(|flag| **flag).count();
                    measure.metric.value(&magiclens_metrics::Judged::by(flags, relevant))
                })
                .collect();
            let expected = &case.expected[&measure.label];
            for (found, expected) in values.iter().zip(&expected.each) {
                close(*found, expected, &format!("{} {}", case.name, measure.label));
            }
            close(magiclens_metrics::mean(values), &expected.mean, &case.name);
        }
    }
}

fn close(found: f64, expected: &Value, about: &str) {
    match expected.as_f64() {
        Some(expected) => assert!(
            (found - expected).abs() < 1e-9,
            "{about}: {found} instead of {expected}"
        ),
        None => assert!(found.is_nan(), "{about}: {found} instead of nan"),
    }
}

fn cases<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/metrics")
        .join(name);
    let mut file: Value = serde_json::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap();
    serde_json::from_value(file["cases"].take()).unwrap()
}

fn hidden(name: &str, split: &str, folder: &Path) -> Benchmark {
    let options = LoadOptions {
        split: Some(split.to_owned()),
        template: None,
        only_rankings: false,
    };
    Entry::named(name).unwrap().load(folder, &options).unwrap()
}

/// 800 queries over 60 images: a server file, and every rule broken once.
#[test]
fn the_circo_server_gets_what_it_wants_or_nothing() {
    let folder = stand_ins::circo(60, 800);
    let benchmark = hidden("circo", "test", folder.path());
    let test = task(&benchmark, "kept", "test");
    let good: Vec<QueryOutcome> = (0..800)
        .map(|i| QueryOutcome {
            head: (0..60).map(|k| test.gallery[(i + k) % 60]).collect(),
            ..QueryOutcome::default()
        })
        .collect();
    let out = folder.path().join("out");
    let written = server_files::write(&out, &benchmark, test, &good).unwrap();
    let file: Value = serde_json::from_str(&fs_err::read_to_string(&written[0]).unwrap()).unwrap();
    assert_eq!(file.as_object().unwrap().len(), 800);
    let ids: Vec<i64> = serde_json::from_value(file["799"].clone()).unwrap();
    assert_eq!((ids.len(), ids[0]), (50, 100 + 7 * (799 % 60)));
    let refused = |test: &Task, answers: &[QueryOutcome], part: &str| {
        let out = folder.path().join("refused");
        let error = server_files::write(&out, &benchmark, test, answers)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{part} is not in {error}");
        assert!(!out.exists(), "nothing is written");
    };
    let mut short = good.clone();
    short[5].head.truncate(49);
    refused(test, &short, "query 5 ranks 49 images, but 50 are wanted");
    let mut twice = good.clone();
    twice[7].head[3] = twice[7].head[0];
    refused(test, &twice, "query 7 ranks `149` twice");
    let mut fewer = test.clone();
    fewer.queries.remove(17);
    refused(&fewer, &good[1..], "query 17 is not");
    refused(test, &vec![QueryOutcome::default(); 800], "query 0 ranks 0 images");
}

#[test]
fn the_cirr_server_refuses_own_images_and_strangers() {
    let folder = stand_ins::cirr("test1");
    let benchmark = hidden("cirr", "test1", folder.path());
    let test = task(&benchmark, "removed", "test1");
    let gallery = |own: usize| -> Vec<usize> {
        // Fifty rows are wanted; the rules that come first are looked at with what is there.
        test.gallery
            .iter()
            .copied()
            .filter(|row| *row != own)
            .cycle()
            .take(50)
            .collect()
    };
    let answers: Vec<QueryOutcome> = test
        .queries
        .iter()
        .map(|query| QueryOutcome {
            head: gallery(query.images[0]),
            subset: query.subset[..3].to_vec(),
            ..QueryOutcome::default()
        })
        .collect();
    let error = server_files::write(folder.path(), &benchmark, test, &answers)
        .unwrap_err()
        .to_string();
    assert!(error.contains("twice"), "{error}");
    let predictions = write(folder.path(), &json!({"12": ["test1-1-img0"], "34": ["test1-2-img0"]}));
    let read = Predictions::read(&[predictions], &benchmark).unwrap();
    let scored = read.score(benchmark.variant("removed").unwrap(), 50, false).unwrap();
    let error = server_files::write(folder.path(), &benchmark, test, &scored.outcomes[0]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("query 12 ranks 1 images, but 50 are wanted"), "{error}");
}
