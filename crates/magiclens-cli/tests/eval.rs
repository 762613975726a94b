//! `magiclens eval` as people meet it: exit status, messages, files.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

/// FashionIQ with four images and one query a category.
fn fashion() -> TempDir {
    fashion_of(4)
}

/// FashionIQ with so many images and one query a category.
fn fashion_of(images: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["captions", "image_splits", "images"] {
        fs_err::create_dir(root.join(name)).unwrap();
    }
    for (at, category) in ["dress", "shirt", "toptee"].iter().enumerate() {
        let names: Vec<String> = (0..images).map(|i| format!("{category}{i}")).collect();
        for (i, name) in names.iter().enumerate() {
            let color = Rgb([5 * i as u8, 80 * at as u8, 200]);
            let (i, at) = (i as u32, at as u32);
            let image = RgbImage::from_fn(20, 30, |x, y| match (x * (at + 1) + y * (i % 5 + 1)) % (i + 3) {
                0 | 1 => color,
                _ => Rgb([255; 3]),
            });
            image.save(root.join(format!("images/{name}.png"))).unwrap();
        }
        let write = |file: String, value: Value| fs_err::write(root.join(file), value.to_string()).unwrap();
        write(format!("image_splits/split.{category}.val.json"), json!(names));
        let pair = json!([{"candidate": names[0], "target": names[1], "captions": ["is blue", "is long"]}]);
        write(format!("captions/cap.{category}.val.json"), pair);
    }
    folder
}

fn eval(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_magiclens"))
        .arg("eval")
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = eval(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let output = eval(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    for part in parts {
        assert!(errors.contains(part), "{arguments:?}: `{part}` is not in {errors}");
    }
}

#[test]
fn a_benchmark_is_measured_reported_and_scored_again() {
    let folder = fashion_of(40);
    let root = folder.path();
    let written = [
        "--data",
        ".",
        "--method",
        "magiclens",
        "--method",
        "sum",
        "--out",
        "out",
        "--write-predictions",
        "rankings.jsonl",
    ];
    let table = succeeds(root, &[&["fiq"], &written[..]].concat());
    for part in ["FashionIQ", "MagicLens-L", "CoCa-L", "38.0", "Not comparable"] {
        assert!(table.contains(part), "`{part}` is not in {table}");
    }
    let report: Value = serde_json::from_str(&fs_err::read_to_string(root.join("out/report.json")).unwrap()).unwrap();
    let systems = report["benchmarks"][0]["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 2);
    assert_eq!(systems[0]["speed"]["pictures"], 120);
    assert!(!systems[1]["differences"].as_array().unwrap().is_empty());
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 0);
    let page = fs_err::read_to_string(root.join("out/report.html")).unwrap();
    assert!(
        page.contains("data:image/") && !page.contains("<script"),
        "failures are shown with images"
    );

    let scored = succeeds(
        root,
        &["fiq", "--data", ".", "--predictions", "rankings.jsonl", "--json"],
    );
    let scored: Value = serde_json::from_str(&scored).unwrap();
    let means = |report: &Value| report["benchmarks"][0]["systems"][0]["variants"][0]["means"].clone();
    assert_eq!(means(&scored), means(&report));
}

#[test]
fn the_second_run_reads_no_image() {
    let folder = fashion();
    let root = folder.path();
    let images = |text: &str| {
        let report: Value = serde_json::from_str(text).unwrap();
        report["benchmarks"][0]["systems"][0]["speed"]["pictures"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(images(&succeeds(root, &["fiq", "--data", ".", "--json"])), 12);
    assert_eq!(images(&succeeds(root, &["fiq", "--data", ".", "--json"])), 0);
}

#[test]
fn a_folder_is_checked_before_anything_is_computed() {
    let folder = fashion();
    let root = folder.path();
    fails(
        root,
        &["fiq", "--check", "."],
        &["cannot give comparable scores: FashionIQ"],
    );
    fs_err::remove_file(root.join("images/shirt1.png")).unwrap();
    fs_err::write(root.join("images/dress3.png"), "no image").unwrap();
    let output = eval(root, &["fiq", "--check", ".", "--json"]);
    assert!(!output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["missing"].as_array().unwrap().len(), 1);
    assert_eq!(found[0]["corrupt"].as_array().unwrap().len(), 1);
    fails(
        root,
        &["fiq", "--data", "."],
        &["2 of 12 images cannot be used", "--check", "--partial"],
    );
    let report: Value = serde_json::from_str(&succeeds(root, &["fiq", "--data", ".", "--partial", "--json"])).unwrap();
    assert_eq!(report["benchmarks"][0]["complete"], false);
}

#[test]
fn queries_are_written_for_other_systems() {
    let folder = fashion();
    succeeds(
        folder.path(),
        &["fiq", "--data", ".", "--write-queries", "queries.jsonl"],
    );
    let text = fs_err::read_to_string(folder.path().join("queries.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let words = |line: &Value, keys: [&str; 2]| keys.map(|key| line[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(words(&lines[1], ["gallery", "id"]), ["dress", "dress1"]);
    assert_eq!(words(&lines[4], ["task", "query"]), ["dress", "0"]);
    assert_eq!(lines[4]["text"], "is blue and is long");
    assert_eq!(lines.len(), 3 * (4 + 1));
}

#[test]
fn training_images_are_found_in_a_benchmark() {
    let folder = fashion();
    let root = folder.path();
    let training = root.join("training");
    fs_err::create_dir(&training).unwrap();
    fs_err::copy(root.join("images/dress1.png"), training.join("copy.png")).unwrap();
    let found: Value = serde_json::from_str(&succeeds(
        root,
        &["fiq", "--data", ".", "--leakage", "training", "--json"],
    ))
    .unwrap();
    assert_eq!(found["leaks"].as_array().unwrap().len(), 1);
    assert_eq!(found["leaks"][0]["likeness"], "equal");
    assert_eq!(
        (
            &found["queries_with_leaked_truth"],
            &found["queries_with_leaked_picture"]
        ),
        (&json!(1), &json!(0))
    );
}

#[test]
fn all_runs_what_is_there_and_names_what_is_not() {
    let outer = tempfile::tempdir().unwrap();
    let inner = fashion();
    fs_err::rename(inner.path(), outer.path().join("fiq")).unwrap();
    let output = eval(outer.path(), &["all", "--data", ".", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("CIRCO: no folder") && errors.contains("COCO: no folder"),
        "{errors}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["benchmarks"].as_array().unwrap().len(), 1);
    // One that cannot be read does not stop the others, and the exit status tells.
    fs_err::create_dir(outer.path().join("CIRCO")).unwrap();
    let output = eval(outer.path(), &["all", "--data", ".", "--json"]);
    assert!(!output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["benchmarks"][0]["benchmark"], "fiq");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not measured: CIRCO"));
    fails(
        outer.path(),
        &["all", "--data", ".", "--variant", "kept"],
        &["about one benchmark"],
    );
    let empty = tempfile::tempdir().unwrap();
    fails(empty.path(), &["all", "--data", "."], &["holds no benchmark", "hint: "]);
}

#[test]
fn wrong_words_are_named_with_the_way_out() {
    let folder = fashion();
    let root = folder.path();
    fails(
        root,
        &["imagenet", "--data", "."],
        &["no benchmark `imagenet`", "circo", "robustness"],
    );
    fails(root, &["fiq"], &["--data"]);
    fails(
        root,
        &["circo", "--data", "."],
        &["CIRCO cannot be read", "annotations/val.json", "hint: "],
    );
    fails(
        root,
        &["fiq", "--data", ".", "--variant", "easy"],
        &["no variant `easy`", "`original-removed`"],
    );
    fails(
        root,
        &["fiq", "--data", ".", "--template", "x"],
        &["no template `x`", "`megapairs`"],
    );
    fails(
        root,
        &["fiq", "--data", ".", "--method", "sum:7"],
        &["`sum:7` is not a method"],
    );
    fails(
        root,
        &["fiq", "--data", ".", "--predictions", "none.json"],
        &["none.json"],
    );
    fails(
        root,
        &["robustness", "--data", "."],
        &["no collection", "magiclens collection build"],
    );
}
