//! The files that the servers of CIRR and CIRCO score, whose test truth is hidden. Every rule of a server is checked before
//! anything is written, so that no submission of the few that are allowed is lost.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use magiclens_data::files::write_atomic_bytes;
use serde_json::{Map, Value, json};

use crate::EvalError;
use crate::benchmark::{Benchmark, Query, Task};
use crate::outcome::QueryOutcome;

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

/// Writes the server files of a benchmark into a folder and gives their paths. The outcome has to hold at least 50 of each
/// ranking: `circo_test.json`, or `cirr_recall.json` and
/// `cirr_recall_subset.json`.
///
/// # Errors
/// A rule of the server that an answer breaks; then nothing is written.
pub fn write(
    folder: &Path,
    benchmark: &Benchmark,
    task: &Task,
    outcome: &[QueryOutcome],
) -> Result<Vec<PathBuf>, EvalError> {
    let files = files(benchmark, task, outcome)?;
    fs_err::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        write_atomic_bytes(&path, text)?;
        written.push(path);
    }
    Ok(written)
}

/// The files that the benchmark's server takes, by name.
fn files(
    benchmark: &Benchmark,
    task: &Task,
    outcome: &[QueryOutcome],
) -> Result<Vec<(&'static str, String)>, EvalError> {
    match benchmark.name.as_str() {
        "circo" => Ok(vec![("circo_test.json", circo(benchmark, task, outcome)?)]),
        "cirr" => {
            let [recall, subset] = cirr(benchmark, task, outcome)?;
            Ok(vec![("cirr_recall.json", recall), ("cirr_recall_subset.json", subset)])
        }
        other => Err(EvalError::Option {
            benchmark: other.to_owned(),
            option: "server for",
            found: "--submission".to_owned(),
            known: vec!["circo --split test".to_owned(), "cirr --split test1".to_owned()],
        }),
    }
}

/// CIRCO's file: `{"0": [50 ids], ..}` for all 800 queries, no id twice.
fn circo(benchmark: &Benchmark, task: &Task, outcome: &[QueryOutcome]) -> Result<String, EvalError> {
    let refuse = |reason| EvalError::ServerFile {
        benchmark: "CIRCO",
        reason,
    };
    let mut entries: BTreeMap<usize, Value> = BTreeMap::new();
    for (query, answer) in task.queries.iter().zip(outcome) {
        let number = query
            .id
            .parse()
            .map_err(|_| refuse(format!("`{}` is not the number of a query", query.id)))?;
        entries.insert(number, list(benchmark, &query.id, &answer.head, TOP).map_err(refuse)?);
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
fn cirr(benchmark: &Benchmark, task: &Task, outcome: &[QueryOutcome]) -> Result<[String; 2], EvalError> {
    let refuse = |reason| EvalError::ServerFile {
        benchmark: "CIRR",
        reason,
    };
    let lists = |metric: &str| {
        let is_subset = metric == "recall_subset";
        let mut lists = Map::new();
        for (query, answer) in task.queries.iter().zip(outcome) {
            let ids = match is_subset {
                false => cirr_list(benchmark, query, &answer.head, TOP),
                true => cirr_list(benchmark, query, &answer.subset, TOP_SUBSET),
            };
            lists.insert(query.id.clone(), ids?);
        }
        if lists.len() != CIRR_QUERIES {
            let found = lists.len();
            return Err(format!("it wants all {CIRR_QUERIES} queries, but {found} are answered"));
        }
        lists.insert("version".to_owned(), json!("rc2"));
        lists.insert("metric".to_owned(), json!(metric));
        let text = Value::Object(lists).to_string();
        match text.len() {
            bytes if CIRR_MAX_BYTES < bytes => Err(format!(
                "the {metric} file has {bytes} bytes, more than {CIRR_MAX_BYTES}"
            )),
            _ => Ok(text),
        }
    };
    Ok([
        lists("recall").map_err(refuse)?,
        lists("recall_subset").map_err(refuse)?,
    ])
}

/// A list of CIRR's, or the rule that it breaks: the gallery without the query image, or members of the query's subset.
fn cirr_list(benchmark: &Benchmark, query: &Query, rows: &[usize], top: usize) -> Result<Value, String> {
    let ids = list(benchmark, &query.id, rows, top)?;
    let (pair, id) = (&query.id, |row: &usize| &benchmark.images[*row].id);
    let shown = &rows[..top];
    if let Some(row) = shown.iter().find(|row| query.images.contains(row)) {
        return Err(format!("pair {pair} ranks its own image `{}`", id(row)));
    }
    if top == TOP_SUBSET
        && let Some(row) = shown.iter().find(|row| !query.subset.contains(row))
    {
        return Err(format!("pair {pair} ranks `{}`, which is not in its subset", id(row)));
    }
    Ok(ids)
}

/// The first `top` ids of a list, or the rule that it breaks.
fn list(benchmark: &Benchmark, query: &str, rows: &[usize], top: usize) -> Result<Value, String> {
    if rows.len() < top {
        return Err(format!(
            "query {query} ranks {} images, but {top} are wanted",
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
        ids.push(json!(id));
    }
    Ok(Value::Array(ids))
}
