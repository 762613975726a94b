//! `magiclens experiment` as people meet it: the list, messages, a run of moments.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../magiclens-experiment/tests/toy/mod.rs"]
mod toy;

use std::path::Path;
use std::process::{Command, Output};

fn experiment(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magiclens"))
        .arg("experiment")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn the_list_names_all_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let list = experiment(folder.path(), &["list"]);
    let shown = String::from_utf8(list.stdout).unwrap();
    for name in ["query-negatives: ", "data-scale: ", "wording: ", "efficiency: "] {
        assert!(list.status.success() && shown.contains(name), "{shown}");
    }
    for (arguments, part) in [
        (&["none"][..], "no experiment `none`"),
        (&["wording"], "`--start NAME` is needed"),
        (&["wording", "--seeds", "0"], "`seeds` must be at least 1"),
    ] {
        let output = experiment(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(part), "{errors}");
    }
}

#[test]
fn an_experiment_writes_its_page() {
    let folder = tempfile::tempdir().unwrap();
    toy::collection(folder.path());
    let start = toy::start().to_str().unwrap().to_owned();
    let arguments = [
        "query-negatives",
        "--data",
        ".",
        "--start",
        &start,
        "--out",
        "runs",
        "--results",
        "pages",
        "--steps",
        "3",
        "--seeds",
        "2",
    ];
    let output = experiment(folder.path(), &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let page = fs_err::read_to_string(folder.path().join("pages/query-negatives.md")).unwrap();
    let sentence = String::from_utf8(output.stdout).unwrap();
    assert!(
        sentence.starts_with("Here the claim that query images as negatives help "),
        "{sentence}"
    );
    assert!(
        page.contains("(query-negatives.svg)") && page.contains("2 runs of 3 steps"),
        "{page}"
    );
    assert!(
        folder
            .path()
            .join("runs/runs/no-query-negatives/seed-2/values.json")
            .is_file()
    );

    let narrow = [
        "efficiency",
        "--data",
        ".",
        "--start",
        &start,
        "--out",
        "runs",
        "--steps",
        "3",
    ];
    let output = experiment(folder.path(), &narrow);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("no projection to train"),
        "{errors}"
    );
}
