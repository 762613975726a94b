//! A small report for tests: CIRCO with two systems, and a benchmark of one's own with classes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use magiclens_metrics::{Confidence, Interval, Paired};

use super::*;
use crate::scores::{GroupScores, TaskScores};

/// Numbers are fractions of two, which JSON keeps exactly.
pub(super) fn report() -> Report {
    Report {
        threads: 2,
        peak_memory_bytes: Some(3 << 29),
        benchmarks: vec![circo(), own()],
    }
}

fn circo() -> BenchmarkReport {
    let system = |name: &str, value: f64| SystemReport {
        model_id: Some("0123456789abcdef0123".to_owned()),
        variants: vec![
            variant("kept", "query image kept", &[("val", value)], "mAP@5"),
            variant("removed", "query image removed", &[("val", value + 0.125)], "mAP@5"),
        ],
        ..SystemReport::named(name)
    };
    let mut first = system("small", 0.25);
    first.variants[0].tasks[0].groups = BTreeMap::from([(
        "color".to_owned(),
        GroupScores {
            queries: 7,
            scores: vec![score("mAP@5", 0.5)],
        },
    )]);
    first.failures = vec![failure()];
    first.speed = Some(Speed {
        images: 100,
        images_s: 4.0,
        images_cached: 20,
        queries: 30,
        queries_s: 0.5,
    });
    let mut second = system("base", 0.5);
    second.differences = vec![difference("kept", "val", "mAP@5", 0.25, 0.03125)];
    BenchmarkReport {
        benchmark: "circo".to_owned(),
        title: "CIRCO".to_owned(),
        split: "val".to_owned(),
        template: "magiclens".to_owned(),
        counts: vec![
            Count {
                what: "val queries".to_owned(),
                found: 20,
                published: 220,
            },
            Count {
                what: "images".to_owned(),
                found: 123_403,
                published: 123_403,
            },
        ],
        complete: false,
        remarks: vec!["A remark.".to_owned()],
        columns: vec![
            column("mAP@5", "kept", Some("val"), "mAP@5"),
            column("mAP@10", "kept", Some("val"), "mAP@10"),
        ],
        systems: vec![first, second],
    }
}

/// A benchmark of which nothing is published.
fn own() -> BenchmarkReport {
    let system = |name: &str, value: f64| SystemReport {
        variants: vec![variant("all", "all images", &[("things", value)], "R@1")],
        ..SystemReport::named(name)
    };
    let mut second = system("base", 0.125);
    second.differences = vec![difference("all", "things", "R@1", -0.125, 0.25)];
    BenchmarkReport {
        benchmark: "own".to_owned(),
        title: "Own".to_owned(),
        split: "test".to_owned(),
        template: "plain".to_owned(),
        counts: Vec::new(),
        complete: true,
        remarks: Vec::new(),
        columns: vec![column("R@1", "all", None, "R@1")],
        systems: vec![system("small", 0.25), second],
    }
}

/// A variant of these tasks with one measure.
fn variant(flag: &str, name: &str, tasks: &[(&str, f64)], label: &str) -> VariantScores {
    let mean = tasks.iter().map(|(_, value)| value).sum::<f64>() / tasks.len() as f64;
    VariantScores {
        variant: name.to_owned(),
        flag: flag.to_owned(),
        tasks: tasks
            .iter()
            .map(|(task, value)| TaskScores {
                task: task.to_string(),
                queries: 20,
                gallery: 1000,
                scores: vec![score(label, *value)],
                groups: BTreeMap::new(),
            })
            .collect(),
        means: vec![score(label, mean)],
    }
}

fn score(label: &str, value: f64) -> Score {
    Score {
        label: label.to_owned(),
        value: Some(value),
        confidence: confidence(value, 0.0625),
    }
}

fn confidence(center: f64, half: f64) -> Confidence {
    Confidence {
        clusters: 20,
        interval: Some(Interval {
            low: center - half,
            high: center + half,
        }),
    }
}

fn column(label: &str, variant: &str, task: Option<&str>, measure: &str) -> Column {
    Column {
        label: label.to_owned(),
        variant: variant.to_owned(),
        task: task.map(str::to_owned),
        measure: measure.to_owned(),
    }
}

fn difference(variant: &str, task: &str, label: &str, difference: f64, p_value: f64) -> Difference {
    Difference {
        variant: variant.to_owned(),
        task: Some(task.to_owned()),
        label: label.to_owned(),
        paired: Paired {
            difference,
            confidence: confidence(difference, 0.125),
            p_value,
        },
    }
}

/// A query of which one answer is wrong; its images are not there.
fn failure() -> Failure {
    Failure {
        variant: "kept".to_owned(),
        task: "val".to_owned(),
        query: "17".to_owned(),
        text: "find a cat but it is black".to_owned(),
        images: vec![image("missing/1.jpg".into())],
        truth: vec![image("missing/2.jpg".into())],
        answers: vec![Answer {
            shown: image("missing/3.jpg".into()),
            right: false,
        }],
        values: BTreeMap::from([("mAP@5".to_owned(), 0.125)]),
    }
}

pub(super) fn image(path: PathBuf) -> Shown {
    Shown::Image {
        id: path.display().to_string(),
        path,
        crop: None,
    }
}
