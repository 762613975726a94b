//! Checks the tree itself: which crate uses which, module heads, links in the documents, file sizes, leftovers.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod shape;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

/// Who may use whom. A new crate needs a row here and one in ARCHITECTURE.md.
const USES: &[(&str, &[&str])] = &[
    ("data", &[]),
    ("metrics", &["data"]),
    ("report", &["data"]),
    ("index", &["data"]),
    ("cpu", &[]),
    ("model", &["data", "cpu"]),
    ("hub", &["data"]),
    ("collection", &["data", "metrics"]),
    ("web", &["data"]),
    ("search", &["data", "hub", "index", "model"]),
    ("http", &["data"]),
    ("mine", &["data", "report", "model", "web"]),
    ("eval", &["data", "metrics", "report", "model", "collection"]),
    ("train", &["data", "metrics", "cpu", "report", "model", "collection"]),
    (
        "experiment",
        &["data", "metrics", "report", "model", "collection", "eval", "train"],
    ),
    ("compare", &["data", "metrics", "report", "index", "search", "http"]),
    ("serve", &["data", "index", "report", "search", "http"]),
    (
        "cli",
        &[
            "data",
            "metrics",
            "report",
            "hub",
            "index",
            "model",
            "collection",
            "web",
            "search",
            "http",
            "mine",
            "eval",
            "train",
            "experiment",
            "compare",
            "serve",
        ],
    ),
];

/// What a crate must not know, as the crates by which it would.
const FOREIGN: &[(&str, &[&str])] = &[
    ("data", &["axum", "burn", "resvg", "rusqlite", "tokio"]),
    (
        "metrics",
        &["axum", "burn", "fs-err", "image", "parquet", "rusqlite", "tokio"],
    ),
    ("report", &["axum", "burn", "parquet", "rusqlite", "tokio"]),
    ("index", &["axum", "burn", "tokio"]),
    ("model", &["axum", "parquet", "rusqlite", "tokio"]),
    ("hub", &["axum", "burn", "image", "parquet", "rusqlite"]),
    ("collection", &["axum", "burn", "rusqlite", "tokio"]),
    ("web", &["burn", "rusqlite"]),
    ("search", &["axum", "burn", "clap", "parquet", "rusqlite", "tokio"]),
    ("http", &["burn", "image", "parquet", "rusqlite"]),
    ("mine", &["burn", "html5gum", "rusqlite"]),
    ("eval", &["axum", "burn", "parquet", "tokio"]),
    ("train", &["axum", "rusqlite", "tokio"]),
    ("experiment", &["axum", "parquet", "rusqlite", "tokio"]),
    ("compare", &["burn", "parquet", "rusqlite"]),
    ("serve", &["burn", "parquet", "rusqlite"]),
    ("cli", &["axum", "burn", "rusqlite"]),
];

const MAX_FILE_BYTES: u64 = 50_000_000;

#[test]
fn crates_use_only_what_their_row_allows() {
    let dependencies = dependencies_of_the_workspace();
    let with_row: BTreeSet<_> = USES.iter().map(|(name, _)| format!("magiclens-{name}")).collect();
    assert_eq!(
        dependencies.keys().cloned().collect::<BTreeSet<_>>(),
        with_row,
        "every crate has a row in USES"
    );
    for (name, allowed) in USES {
        let allowed: BTreeSet<_> = allowed.iter().map(|used| format!("magiclens-{used}")).collect();
        let used: BTreeSet<_> = dependencies[&format!("magiclens-{name}")]
            .iter()
            .filter(|used| used.starts_with("magiclens-"))
            .collect();
        for one in used {
            assert!(allowed.contains(one), "magiclens-{name} must not use {one}");
        }
    }
    for (name, foreign) in FOREIGN {
        for one in *foreign {
            assert!(
                !dependencies[&format!("magiclens-{name}")].contains(*one),
                "magiclens-{name} must not use {one}"
            );
        }
    }
}

#[test]
fn crates_are_in_folders_of_their_name_and_share_the_lints() {
    for (name, _) in USES {
        let manifest = root().join(format!("crates/magiclens-{name}/Cargo.toml"));
        let text = fs_err::read_to_string(&manifest).unwrap();
        for line in [
            format!("name = \"magiclens-{name}\""),
            "[lints]\nworkspace = true".to_owned(),
        ] {
            assert!(text.contains(&line), "{} lacks `{line}`", manifest.display());
        }
    }
}

#[test]
fn every_rust_file_has_a_head() {
    let files = files_with_extension(&["rs"]);
    assert!(
        files.iter().any(|path| path.ends_with("magiclens-cli/src/main.rs")),
        "the walk finds the crates"
    );
    for path in files {
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} does not start with a `//!` head",
            path.display()
        );
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let documents = files_with_extension(&["md"]);
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/decisions.md"] {
        assert!(documents.contains(&root().join(name)), "no {name}");
    }
    for document in &documents {
        for link in links(&fs_err::read_to_string(document).unwrap()) {
            if let Err(problem) = follow(document, &link) {
                panic!("{}: link `{link}`: {problem}", document.display());
            }
        }
    }
}

#[test]
fn no_file_is_too_large_for_the_repository() {
    for path in files() {
        let bytes = fs_err::metadata(&path).unwrap().len();
        assert!(
            bytes <= MAX_FILE_BYTES,
            "{} holds {bytes} bytes, more than {MAX_FILE_BYTES}",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    for path in files() {
        let Ok(text) = fs_err::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for word in words {
                assert!(!line.contains(word), "{}:{}: `{word}`", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn links_are_found_in_markdown() {
    let text =
        "[a](b.md) ![c](d.png \"title\") `[no](code)` <https://x.y>\n```\n[no](block)\n```\n[e](<f g.md>) [h](#i)";
    assert_eq!(links(text), ["b.md", "d.png", "f g.md", "#i"]);
}

#[test]
fn headings_become_the_anchors_of_the_web_page() {
    for (heading, expected) in [
        ("Two commands", "two-commands"),
        ("`small`, our own", "small-our-own"),
        ("A_b 1.2", "a_b-12"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
}

/// Each crate of the workspace with all it names as a dependency, those for tests and builds included.
fn dependencies_of_the_workspace() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |list: &serde_json::Value| -> BTreeSet<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|one| (one["name"].as_str().unwrap().to_owned(), names(&one["dependencies"])))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// All files that belong to the repository; build output, runs and caches do not.
fn files() -> Vec<PathBuf> {
    let foreign = ["target", "runs", ".git", "__pycache__"];
    let walk = WalkDir::new(root()).sort_by_file_name().into_iter();
    let kept = walk.filter_entry(|entry| !foreign.iter().any(|name| entry.file_name() == *name));
    kept.map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn files_with_extension(extensions: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| {
        path.extension()
            .is_some_and(|found| extensions.iter().any(|one| found == *one))
    };
    files().into_iter().filter(wanted).collect()
}

/// The targets of the inline links and images of a Markdown text, outside code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let line: String = line.split('`').step_by(2).collect();
        let mut rest = line.as_str();
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let (target, after) = match rest.strip_prefix('<') {
                Some(inner) => inner.split_once('>').unwrap_or((inner, "")),
                None => rest.split_once(')').unwrap_or((rest, "")),
            };
            let target = if rest.starts_with('<') {
                target
            } else {
                target.split(' ').next().unwrap_or(target)
            };
            found.push(target.to_owned());
            rest = after;
        }
    }
    found
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn follow(document: &Path, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        document.to_owned()
    } else {
        document.parent().unwrap().join(file)
    };
    if !target.exists() {
        return Err(format!("no {}", target.display()));
    }
    if heading.is_empty() || target.extension().is_none_or(|found| found != "md") {
        return Ok(());
    }
    let text = fs_err::read_to_string(&target).unwrap();
    let anchors: Vec<_> = prose(&text)
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    if anchors.iter().any(|one| one == heading) {
        Ok(())
    } else {
        Err(format!("no heading `{heading}` among {anchors:?}"))
    }
}

/// The anchor that a heading gets on the web: lower case, spaces to dashes, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
