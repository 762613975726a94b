//! Mining on a cluster's engine and in an object store gives the same bytes as on one machine; the hub's cache is the one of
//! its Python client.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod archives;
#[path = "../../../magiclens-hub/tests/fake_hub/mod.rs"]
#[allow(dead_code, reason = "not every test needs every fault")]
mod fake_hub;
mod hub;
mod object_store;
mod spark;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use walkdir::WalkDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_magiclens");

fn magiclens(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("mine").args(args);
    command
}

#[track_caller]
fn check_success(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn python() -> String {
    std::env::var("MAGICLENS_PYTHON")
        .expect("`MAGICLENS_PYTHON` is not set: it names a Python with the packages `pyspark`, `moto[server]` and `huggingface_hub`; `scripts/test` makes one")
}

/// What a run has published, by name. Costs are seconds and memory, which no two runs share.
fn published(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = WalkDir::new(run).into_iter().map(Result::unwrap);
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(run).unwrap().to_str().unwrap().to_owned();
            (name, entry.path().to_owned())
        })
        .filter(|(name, _)| !name.starts_with("costs/") && !name.starts_with("tmp/"))
        .map(|(name, path)| (name, fs_err::read(path).unwrap()))
        .collect()
}

/// How many triplets a run counted.
fn triplets(published: &BTreeMap<String, Vec<u8>>) -> u64 {
    let counts = published
        .iter()
        .filter(|(name, _)| name.starts_with("counts/triplets/"));
    counts
        .map(|(_, bytes)| {
            serde_json::from_slice::<Value>(bytes).unwrap()["numbers"]["triplets"]
                .as_u64()
                .unwrap()
        })
        .sum()
}

#[track_caller]
fn check_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    let names = |published: &BTreeMap<String, Vec<u8>>| published.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found));
    for (name, bytes) in expected {
        assert!(&found[name] == bytes, "{name} has other bytes");
    }
}
