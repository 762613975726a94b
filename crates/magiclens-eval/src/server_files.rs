//! The files that the servers of CIRR and CIRCO score, whose test truth is hidden. Every rule of a server is checked before
//! anything is written, so that no submission of the few that are allowed is lost.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::EvalError;
use crate::benchmark::{Benchmark, Task};
use crate::id::Id;
use crate::outcome::TaskOutcome;

/// Ids of each list that the servers want.
pub const TOP: usize = 50;
/// Ids of each list of CIRR's subset file.
const TOP_SUBSET: usize = 3;
/// Queries of CIRCO's test split.
const CIRCO_QUERIES: usize = 800;
/// Queries of CIRR's test split.
const CIRR_QUERIES: usize = 4148;
/// The largest file that CIRR's server takes.
const CIRR_MAX_BYTES: usize = 5_000_000;

/// What one query ranked: the gallery, and its subset where the benchmark has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Rows of the gallery, best first.
    pub ranked: Vec<usize>,
    /// Rows of the subset, best first.
    pub subset: Vec<usize>,
}

/// The answers in an outcome that kept at least 50 of each ranking.
pub fn answers_of(outcome: &TaskOutcome) -> Vec<Answer> {
    let both = outcome.heads.iter().zip(&outcome.subsets);
    both.map(|(ranked, subset)| Answer {
        ranked: ranked.clone(),
        subset: subset.clone(),
    })
    .collect()
}

/// Writes the server files of a benchmark into a folder and gives their paths: `circo_test.json`, or `cirr_recall.json` and
/// `cirr_recall_subset.json`.
///
/// # Errors
/// A rule of the server that an answer breaks; then nothing is written.
pub fn write(folder: &Path, benchmark: &Benchmark, task: &Task, answers: &[Answer]) -> Result<Vec<PathBuf>, EvalError> {
    let files = match benchmark.name.as_str() {
        "circo" => vec![("circo_test.json", circo(benchmark, task, answers)?)],
        "cirr" => {
            let [recall, subset] = cirr(benchmark, task, answers)?;
            vec![("cirr_recall.json", recall), ("cirr_recall_subset.json", subset)]
        }
        other => {
            return Err(EvalError::Option {
                benchmark: other.to_owned(),
                option: "server for",
                found: "--submission".to_owned(),
                known: vec!["circo --split test".to_owned(), "cirr --split test1".to_owned()],
            });
        }
    };
    fs_err::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        let aside = folder.join(format!("{name}.partial"));
        fs_err::write(&aside, text)?;
        fs_err::rename(&aside, &path)?;
        written.push(path);
    }
    Ok(written)
}

/// CIRCO's file: `{"0": [50 ids], ..}` for all 800 queries, no id twice.
fn circo(benchmark: &Benchmark, task: &Task, answers: &[Answer]) -> Result<String, EvalError> {
    let refuse = |reason| EvalError::ServerFile {
        benchmark: "CIRCO",
        reason,
    };
    let mut entries: BTreeMap<usize, Value> = BTreeMap::new();
    for (query, answer) in task.queries.iter().zip(answers) {
        let number = query
            .id
            .parse()
            .map_err(|_| refuse(format!("`{}` is not the number of a query", query.id)))?;
        entries.insert(number, list(benchmark, &query.id, &answer.ranked, TOP).map_err(refuse)?);
    }
    if let Some(missing) = (0..CIRCO_QUERIES).find(|number| !entries.contains_key(number)) {
        let found = entries.len();
        return Err(refuse(format!(
            "it wants all {CIRCO_QUERIES} queries, but {found} are answered; query {missing} is not"
        )));
    }
    if CIRCO_QUERIES < entries.len() {
        return Err(refuse(format!(
            "it wants {CIRCO_QUERIES} queries, but {} are answered",
            entries.len()
        )));
    }
    // Written by hand, since a JSON map would put "10" before "2".
    let lines: Vec<String> = entries
        .iter()
        .map(|(number, ids)| format!("\"{number}\": {ids}"))
        .collect();
    Ok(format!("{{{}}}\n", lines.join(",\n")))
}

/// CIRR's files: version `rc2`, a list for every pair id, the query image in none of them, 5 MB at most.
fn cirr(benchmark: &Benchmark, task: &Task, answers: &[Answer]) -> Result<[String; 2], EvalError> {
    let refuse = |reason| EvalError::ServerFile {
        benchmark: "CIRR",
        reason,
    };
    let mut files = [("recall", Map::new()), ("recall_subset", Map::new())];
    for (query, answer) in task.queries.iter().zip(answers) {
        for (at, rows, top) in [(0, &answer.ranked, TOP), (1, &answer.subset, TOP_SUBSET)] {
            let ids = list(benchmark, &query.id, rows, top).map_err(refuse)?;
            let shown = &rows[..top];
            if let Some(row) = shown.iter().find(|row| query.images.contains(row)) {
                return Err(refuse(format!(
                    "pair {} ranks its own picture `{}`",
                    query.id, benchmark.images[*row].id
                )));
            }
            if at == 1
                && let Some(row) = shown.iter().find(|row| !query.subset.contains(row))
            {
                let id = &benchmark.images[*row].id;
                return Err(refuse(format!(
                    "pair {} ranks `{id}`, which is not in its subset",
                    query.id
                )));
            }
            files[at].1.insert(query.id.clone(), ids);
        }
    }
    let found = files[0].1.len();
    if found != CIRR_QUERIES {
        return Err(refuse(format!(
            "it wants all {CIRR_QUERIES} queries, but {found} are answered"
        )));
    }
    let mut texts = Vec::with_capacity(2);
    for (metric, mut lists) in files {
        lists.insert("version".to_owned(), json!("rc2"));
        lists.insert("metric".to_owned(), json!(metric));
        let text = Value::Object(lists).to_string();
        if CIRR_MAX_BYTES < text.len() {
            return Err(refuse(format!(
                "the {metric} file has {} bytes, more than {CIRR_MAX_BYTES}",
                text.len()
            )));
        }
        texts.push(text);
    }
    Ok(texts.try_into().unwrap_or_default())
}

/// The first `top` ids of a list, or the rule that it breaks.
fn list(benchmark: &Benchmark, query: &str, rows: &[usize], top: usize) -> Result<Value, String> {
    if rows.len() < top {
        return Err(format!(
            "query {query} ranks {} pictures, but {top} are wanted",
            rows.len()
        ));
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::with_capacity(top);
    for row in &rows[..top] {
        let id = &benchmark.images[*row].id;
        if !seen.insert(row) {
            return Err(format!("query {query} ranks `{id}` twice"));
        }
        ids.push(match id {
            Id::Number(number) => json!(number),
            Id::Text(text) => json!(text),
        });
    }
    Ok(Value::Array(ids))
}
