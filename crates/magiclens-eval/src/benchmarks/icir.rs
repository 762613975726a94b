//! i-CIR (Psomas et al. 2025, arXiv 2510.25387): the same particular object, as a text says. CC BY-NC-SA 4.0; users fetch it from
//! vrg.fel.cvut.cz/icir.
//!
//! - Files: `query_files.csv` and `database_files.csv`, lines of an image path, a text and an instance, without a heading and
//!   without quotes, as `icir_dataset` of github.com/billpsomas/icir reads them; images in `query/` and `database/`.
//! - Query text: the text as it stands.
//! - A task for each instance. Gallery: the images listed for this instance, most of them hard negatives. An image that is
//!   listed twice stands there twice, as in the official code.
//! - Truth: the instance's images with the text of the query (`map_calc_icir`).
//! - Metric: `mAP` by the trapezoidal rule (`utils.py`, `compute_ap`), averaged over all queries (published); the variant
//!   `instances` averages over instances, the code's `mmAP`. Its third number, the mean of each instance's worst query, is not
//!   computed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{Choice, Entry};
use crate::EvalError;
use crate::annotations::{Images, annotation, find_in, folders, locate};
use crate::benchmark::{Benchmark, Column, Count, Mean, Measure, Metric, Query, Task, Truth, Variant};
use crate::id::Id;

pub(super) const ENTRY: Entry = Entry {
    name: "icir",
    title: "i-CIR",
    folder: "icir",
    layout: "query_files.csv, database_files.csv, query/, database/",
    splits: &["test"],
    templates: &["official"],
    load,
};

const QUERIES: &str = "queries";
const INSTANCES: &str = "instances";
const MEASURE: &str = "mAP";
const HINT: &str = "unpack icir_v1.0.0.tar.gz from https://vrg.fel.cvut.cz/icir";

/// A line of either file.
struct Line {
    path: String,
    text: String,
    instance: String,
}

/// The gallery of one instance, with the text of each of its images.
#[derive(Default)]
struct Gallery {
    rows: Vec<usize>,
    texts: Vec<String>,
}

fn load(data: &Path, _: &Choice<'_>) -> Result<Benchmark, EvalError> {
    let (file, queries) = lines(data, "list of queries", "query_files.csv")?;
    let (_, database) = lines(data, "list of the database", "database_files.csv")?;
    let roots = folders(data, &[".", "icir", ".."]);
    let mut images = Images::default();
    let galleries = galleries(database, &roots, &mut images);
    let tasks = tasks(&file, &queries, &galleries, |path| {
        images.add(Id::text(path), || found(&roots, path))
    })?;
    let counts = vec![
        Count::new("queries", queries.len(), 1883),
        Count::new("instances", tasks.len(), 202),
    ];
    let by_query = Variant::new(QUERIES, "mean over queries", tasks.clone()).averaged(Mean::Queries);
    let by_instance = Variant::new(INSTANCES, "mean over instances", tasks);
    Ok(Benchmark {
        name: ENTRY.name.to_owned(),
        images: images.entries,
        variants: vec![by_query, by_instance],
        counts,
        columns: vec![
            Column::of_mean("mAP", QUERIES, MEASURE),
            Column::of_mean("mmAP", INSTANCES, MEASURE),
        ],
        ..Benchmark::default()
    })
}

/// A task for each instance that is asked for, by name; `row` is that of a query's image.
fn tasks(
    file: &Path,
    lines: &[Line],
    galleries: &HashMap<String, Gallery>,
    mut row: impl FnMut(&str) -> usize,
) -> Result<Vec<Task>, EvalError> {
    let mut asked: BTreeMap<&str, (&Gallery, Vec<Query>)> = BTreeMap::new();
    for line in lines {
        let gallery = galleries.get(&line.instance).ok_or_else(|| {
            let reason = format!(
                "`{}` asks for the instance `{}`, which has no images",
                line.path, line.instance
            );
            annotation(file, reason)
        })?;
        let (_, queries) = asked.entry(&line.instance).or_insert((gallery, Vec::new()));
        queries.push(query(line, row(&line.path), gallery));
    }
    let tasks = asked.into_iter().map(|(instance, (gallery, queries))| Task {
        name: instance.to_owned(),
        gallery: gallery.rows.clone(),
        queries,
        measures: vec![Measure::new(MEASURE, Metric::TrapezoidalAveragePrecision)],
        ..Task::default()
    });
    Ok(tasks.collect())
}

fn lines(data: &Path, what: &str, name: &str) -> Result<(PathBuf, Vec<Line>), EvalError> {
    let file = find_in(data, what, &["", "icir/"], name, HINT)?;
    let text = fs_err::read_to_string(&file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(number, line)| {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let [path, text, instance] = fields[..] else {
            let reason = format!("line {}: `{line}` is no path, text and instance", number + 1);
            return Err(annotation(&file, reason));
        };
        let [path, text, instance] = [path, text, instance].map(str::to_owned);
        Ok(Line { path, text, instance })
    });
    let parsed = parsed.collect::<Result<_, _>>()?;
    Ok((file, parsed))
}

fn galleries(lines: Vec<Line>, roots: &[PathBuf], images: &mut Images) -> HashMap<String, Gallery> {
    let mut galleries: HashMap<String, Gallery> = HashMap::new();
    let mut times: HashMap<(String, String), usize> = HashMap::new();
    for Line { path, text, instance } in lines {
        let time = times.entry((instance.clone(), path.clone())).or_default();
        *time += 1;
        let id = match time {
            1 => Id::text(&path),
            _ => Id::text(format!("{path}#{time}")),
        };
        let gallery = galleries.entry(instance).or_default();
        gallery.rows.push(images.add(id, || found(roots, &path)));
        gallery.texts.push(text);
    }
    galleries
}

/// An image's file; listed paths begin with `icir/`, which may be the folder that was given.
fn found(roots: &[PathBuf], path: &str) -> PathBuf {
    locate(roots, &[path.to_owned(), path.trim_start_matches("icir/").to_owned()])
}

fn query(line: &Line, row: usize, gallery: &Gallery) -> Query {
    let items = gallery.rows.iter().zip(&gallery.texts);
    let right = items.filter(|(_, text)| **text == line.text).map(|(row, _)| *row);
    Query {
        id: format!("{}: {}", line.path, line.text),
        images: vec![row],
        text: line.text.clone(),
        caption: line.text.clone(),
        truth: Truth::Items(right.collect()),
        cluster: row,
        ..Query::default()
    }
}
