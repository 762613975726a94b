//! `magiclens train` as people meet it: a training of seconds, its messages, and the report of its run.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../magiclens-train/tests/squares/mod.rs"]
mod squares;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const CONFIG: &str = include_str!("../../magiclens-train/tests/toy/toy.toml");

fn train(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magiclens"))
        .arg("train")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = train(folder, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {told}");
    told
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let output = train(folder, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && !told.contains("panicked"),
        "{arguments:?}: {told}"
    );
    for part in parts {
        assert!(told.contains(part), "{arguments:?}: `{part}` is not in {told}");
    }
}

#[test]
fn a_training_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    squares::collection(root);
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clip/hf");
    let start = start.to_str().unwrap();
    for (name, seed) in [("one", "seed = 1"), ("two", "seed = 2")] {
        let config = CONFIG.replace("seed = 1", seed).replace("steps = 30", "steps = 12");
        let config = config.replace("caption_weight = 0.2", "caption_weight = 0.0");
        fs_err::write(root.join("config.toml"), config).unwrap();
        let weights = format!("{name}.safetensors");
        let flags = [
            "--config",
            "config.toml",
            "--data",
            ".",
            "--start",
            start,
            "--out",
            name,
            "--weights",
            &weights,
        ];
        let told = succeeds(root, &flags);
        for part in [
            "step 10, dev R@1 / R@10: color ",
            "step 12, dev",
            &format!("wrote `{weights}`"),
        ] {
            assert!(told.contains(part), "`{part}` is not in {told}");
        }
    }
    assert_eq!(
        succeeds(root, &["report", "one", "two", "--out", "runs.html"]),
        "wrote `runs.html`\n"
    );
    let page = fs_err::read_to_string(root.join("runs.html")).unwrap();
    for part in [
        "Training of 2 runs",
        "<title>step 12\none ",
        "<td>1</td><td>2</td>",
        "\ntwo ",
    ] {
        assert!(page.contains(part), "`{part}` is not in {page}");
    }
    succeeds(root, &["report", "one", "--out", "tables/one.md"]);
    let tables = fs_err::read_to_string(root.join("tables/one.md")).unwrap();
    assert!(tables.contains("- steps: 12 of 12"), "{tables}");
    succeeds(root, &["report", "one", "--out", "one.json"]);
    let numbers: Value = serde_json::from_slice(&fs_err::read(root.join("one.json")).unwrap()).unwrap();
    assert_eq!(numbers["runs"][0]["steps"].as_array().unwrap().len(), 12);

    fails(
        root,
        &["report", "three", "--out", "a.html"],
        &["error: `three` holds no run", "hint: "],
    );
    fails(
        root,
        &["report", "one", "--out", "a.pdf"],
        &["error: `a.pdf`", ".html, .md or .json"],
    );
    assert!(!root.join("a.html").exists() && !root.join("a.pdf").exists());
}

#[test]
fn a_training_and_a_report_are_not_asked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let missing = [
        "--config <FILE.toml>",
        "--data <DIR>",
        "--start <NAME>",
        "--out <DIR>",
        "--weights <FILE>",
    ];
    fails(root, &[], &missing);
    fails(root, &["--config", "a.toml"], &missing[1..]);
    fails(root, &["report"], &["<RUN>...", "--out <FILE>"]);
    fails(
        root,
        &["--config", "a.toml", "report", "one", "--out", "a.html"],
        &["error: "],
    );
    let help = String::from_utf8(train(root, &["--help"]).stdout).unwrap();
    for part in ["Train a model on the triplets", "report", "--config <FILE.toml>"] {
        assert!(help.contains(part), "`{part}` is not in {help}");
    }
}
