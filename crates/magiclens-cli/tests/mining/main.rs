//! `magiclens mine` as people run it: counts that were counted by hand, kills, hostile pages, a model that errs, a server to fetch from.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../magiclens-mine/tests/fake_chat/mod.rs"]
mod fake_chat;
mod fetching;
mod hostile;
mod kills;
mod models;
mod site;
mod small;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use magiclens_data::{Triplet, read_triplets};
use serde_json::Value;
use walkdir::WalkDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_magiclens");

/// Bands so wide that nothing hangs on what the model thinks of drawn images.
const WIDE: &str = "[pair]\nmin_image_similarity = -1.0\nmax_image_similarity = 1.1\nmin_text_similarity = -1.0\nmax_text_similarity = 1.1\n";
/// No pairs across the corpus.
const PAGES_ONLY: &str = "[neighbour]\nenabled = false\n";

fn magiclens(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("mine").args(args);
    command
}

#[track_caller]
fn succeed(args: &[&str]) -> Output {
    let output = magiclens(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[track_caller]
fn fail(args: &[&str]) -> String {
    let output = magiclens(args).output().unwrap();
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder for one test: an input, a configuration and a run.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("mine.toml"), config).unwrap();
        fs_err::create_dir(folder.path().join("site")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Mines the input into the run `run`.
    fn mine(&self, run: &str, more: &[&str]) -> Output {
        let (run, input, config) = (self.text(run), self.text("site"), self.text("mine.toml"));
        let mut args = vec!["run", &run, "--input", &input, "--config", &config];
        args.extend(more);
        succeed(&args)
    }

    fn counts(&self, run: &str, step: &str, task: usize) -> Value {
        let file = self.path(run).join(format!("counts/{step}/{task:05}.json"));
        serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
    }

    /// (items, kept, reasons) of a stage.
    fn stage(&self, run: &str, step: &str, stage: &str) -> (u64, u64, BTreeMap<String, u64>) {
        let counts = self.counts(run, step, 0);
        let stages = counts["stages"].as_array().unwrap();
        let found = stages
            .iter()
            .find(|found| found[0] == stage)
            .unwrap_or_else(|| panic!("no stage `{stage}` in {counts}"));
        let reasons = found[1]["dropped"].as_object().unwrap().iter();
        let reasons = reasons
            .map(|(reason, count)| (reason.clone(), count.as_u64().unwrap()))
            .collect();
        (
            found[1]["items"].as_u64().unwrap(),
            found[1]["kept"].as_u64().unwrap(),
            reasons,
        )
    }

    fn triplets(&self, run: &str) -> Vec<Triplet> {
        let mut files: Vec<PathBuf> = fs_err::read_dir(self.path(run).join("triplets"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.iter().flat_map(|file| read_triplets(file).unwrap()).collect()
    }
}

/// What a run has published, by name. Costs are seconds and memory, which no two runs share; replies are a cache.
fn published(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = WalkDir::new(run)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    let named = files.map(|entry| {
        (
            entry.path().strip_prefix(run).unwrap().to_str().unwrap().to_owned(),
            entry.path().to_owned(),
        )
    });
    named
        .filter(|(name, _)| {
            !["costs/", "tmp/", "replies/"]
                .iter()
                .any(|folder| name.starts_with(folder))
        })
        .map(|(name, path)| (name, fs_err::read(path).unwrap()))
        .collect()
}

#[track_caller]
fn check_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in expected {
        assert!(&found[name] == bytes, "{name} has other bytes");
    }
}
