//! Files of ranked ids, so that any system can be scored: what it ranked is all that counts.
//!
//! Three forms are read:
//! - JSON lines, `{"task": "dress", "query": "12", "ranked": [ids]}`, `subset` optional; the form that is written;
//! - one JSON object, `{"QUERY": [ids]}` or `{"TASK/QUERY": [ids]}`, as CIRCO's, CIRR's and MagicLens' own files are
//!   (`version` and `metric` are allowed; a `recall_subset` file ranks the subset alone);
//! - one JSON object by task, `{"TASK": {"QUERY": [ids]}}`.
//!
//! Refused are unknown queries and ids, an id twice in one list, an empty list, and (unless partial scoring is asked for) queries that
//! are not answered.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::annotations::Entries;
use crate::benchmark::{Benchmark, Query, Scope, Task, TaskKind, Variant};
use crate::id::Id;
use crate::outcome::{Classes, Ranked, TaskOutcome, judge};

/// The answers of one system: for each task and query what it ranked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predictions {
    path: PathBuf,
    /// `(task, query)` -> answer.
    answers: HashMap<(String, String), Answer>,
}

/// Rows of gallery items, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    ranked: Option<Vec<u32>>,
    subset: Option<Vec<u32>>,
}

/// Ids of a list that are kept for looking at them.
const HEAD: usize = 10;

/// A line of the form that is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranked: Option<Vec<Id>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subset: Option<Vec<Id>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Word(String),
    List(Vec<Id>),
    Task(Entries<Vec<Id>>),
}

/// What a list ranks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Gallery,
    Subset,
}

impl Predictions {
    /// Reads a file of rankings for a benchmark.
    ///
    /// # Errors
    /// See the head of this module; the message names the query and the way out.
    pub fn read(path: &Path, benchmark: &Benchmark) -> Result<Self, EvalError> {
        let mut reader = Reader::new(path, benchmark);
        if is_lines(path)? {
            reader.lines()?;
        } else {
            reader.object()?;
        }
        Ok(Self {
            path: path.to_owned(),
            answers: reader.answers,
        })
    }

    /// Scores a variant of the benchmark. With `partial`, queries that are not answered are left out of every mean.
    ///
    /// # Errors
    /// Queries that are not answered.
    pub fn outcomes(&self, variant: &Variant, partial: bool) -> Result<Vec<TaskOutcome>, EvalError> {
        let missing: Vec<String> = variant
            .tasks
            .iter()
            .flat_map(|task| task.queries.iter().map(move |query| (task, query)))
            .filter(|(task, query)| self.answer(task, query).is_none())
            .map(|(task, query)| format!("`{}/{}`", task.name, query.id))
            .collect();
        let all: usize = variant.tasks.iter().map(|task| task.queries.len()).sum();
        if missing.len() == all || (!partial && !missing.is_empty()) {
            return Err(EvalError::Predictions {
                path: self.path.clone(),
                reason: format!(
                    "{} of {all} queries are not answered, such as {}",
                    missing.len(),
                    missing[..missing.len().min(3)].join(", ")
                ),
                hint: "`--write-queries FILE` lists all queries; `--partial` scores those that are there".to_owned(),
            });
        }
        Ok(variant.tasks.iter().map(|task| self.outcome(task)).collect())
    }

    /// How many items the shortest list of a task holds.
    pub fn shortest(&self, task: &Task) -> usize {
        let lists = task
            .queries
            .iter()
            .filter_map(|query| self.answer(task, query)?.ranked.as_ref());
        lists.map(Vec::len).min().unwrap_or(0)
    }

    /// The ranked rows of a query.
    pub(crate) fn ranked(&self, task: &Task, query: &Query) -> Option<Vec<usize>> {
        let ranked = self.answer(task, query)?.ranked.as_ref()?;
        Some(
            ranked
                .iter()
                .map(|row| *row as usize)
                .filter(|row| !query.exclude.contains(row))
                .collect(),
        )
    }

    /// The ranked rows of a query's candidates, where they were given.
    pub(crate) fn subset(&self, task: &Task, query: &Query) -> Option<Vec<usize>> {
        let subset = self.answer(task, query)?.subset.as_ref()?;
        Some(subset.iter().map(|row| *row as usize).collect())
    }

    fn answer(&self, task: &Task, query: &Query) -> Option<&Answer> {
        self.answers.get(&(task.name.clone(), query.id.clone()))
    }

    fn outcome(&self, task: &Task) -> TaskOutcome {
        let classes = Classes::of(task);
        let members: HashSet<usize> = task.gallery.iter().copied().collect();
        let mut outcome = TaskOutcome::of(task);
        for query in &task.queries {
            let mut items = self.ranked(task, query);
            // A variant with a smaller gallery ranks what is left.
            if let Some(items) = &mut items
                && !members.is_empty()
            {
                items.retain(|row| members.contains(row));
            }
            let subset = self.subset(task, query).or_else(|| subset_of(query, items.as_deref()?));
            let (has_items, has_subset) = (items.is_some() && !members.is_empty(), subset.is_some());
            let ranked = Ranked {
                items: items.unwrap_or_default(),
                subset: subset.unwrap_or_default(),
            };
            let values = judge(task, &classes, query, &ranked);
            let known = |scope| match scope {
                Scope::Subset => has_subset,
                Scope::Ranking | Scope::Target => has_items,
            };
            let measured = task.measures.iter().zip(values);
            let values = measured.map(|(measure, value)| if known(measure.scope) { value } else { f64::NAN });
            outcome.push(task, values.collect(), ranked, HEAD);
        }
        outcome
    }
}

/// The order of a query's candidates in its ranking, if all of them are in it.
fn subset_of(query: &Query, items: &[usize]) -> Option<Vec<usize>> {
    let wanted: HashSet<usize> = query.subset.iter().copied().collect();
    let found: Vec<usize> = items.iter().copied().filter(|row| wanted.contains(row)).collect();
    (!wanted.is_empty() && found.len() == wanted.len()).then_some(found)
}

/// JSON lines begin with an object that ends on its own line and names a query.
fn is_lines(path: &Path) -> Result<bool, EvalError> {
    let mut first = String::new();
    let mut reader = BufReader::new(fs_err::File::open(path)?);
    while first.trim().is_empty() {
        first.clear();
        match reader.read_line(&mut first) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(serde_json::from_str::<Line>(&first).is_ok())
}

/// Turns ids into rows, and refuses what cannot be scored.
struct Reader<'a> {
    path: &'a Path,
    benchmark: &'a Benchmark,
    images: HashMap<&'a Id, u32>,
    texts: HashMap<&'a Id, u32>,
    /// Task -> what it ranks and its queries.
    tasks: HashMap<&'a str, (TaskKind, HashSet<&'a str>)>,
    answers: HashMap<(String, String), Answer>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, benchmark: &'a Benchmark) -> Self {
        let mut tasks: HashMap<&str, (TaskKind, HashSet<&str>)> = HashMap::new();
        for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
            let queries = &mut tasks.entry(&task.name).or_insert((task.kind, HashSet::new())).1;
            queries.extend(task.queries.iter().map(|query| query.id.as_str()));
        }
        Self {
            path,
            benchmark,
            images: (0..)
                .zip(&benchmark.images)
                .map(|(row, image)| (&image.id, row))
                .collect(),
            texts: (0..).zip(&benchmark.texts).map(|(row, text)| (&text.id, row)).collect(),
            tasks,
            answers: HashMap::new(),
        }
    }

    fn lines(&mut self) -> Result<(), EvalError> {
        let reader = BufReader::new(fs_err::File::open(self.path)?);
        for (number, line) in reader.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line).map_err(|error| {
                self.refuse(format!("line {}: {error}", number + 1), "one query is one line of JSON")
            })?;
            let (task, query) = self.place(line.task.as_deref(), &line.query)?;
            for (what, ids) in [(What::Gallery, line.ranked), (What::Subset, line.subset)] {
                if let Some(ids) = ids {
                    self.add(&task, &query, what, &ids)?;
                }
            }
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), EvalError> {
        let bytes = fs_err::read(self.path)?;
        let Entries(entries) = serde_json::from_slice::<Entries<Value>>(&bytes).map_err(|error| {
            let hint = "give JSON lines of `{\"query\": .., \"ranked\": [ids]}`, or one object of `\"QUERY\": [ids]`";
            self.refuse(error.to_string(), hint)
        })?;
        let metric = entries.iter().find_map(|(key, value)| match value {
            Value::Word(word) if key == "metric" => Some(word.as_str()),
            _ => None,
        });
        let what = match metric {
            Some("recall_subset") => What::Subset,
            _ => What::Gallery,
        };
        for (key, value) in &entries {
            match value {
                Value::Word(_) if key == "version" || key == "metric" => {}
                Value::Word(word) => {
                    return Err(self.refuse(format!("`{key}` is `{word}`, not a list of ids"), "give lists of ids"));
                }
                Value::List(ids) => {
                    let (task, query) = self.place(None, key)?;
                    self.add(&task, &query, what, ids)?;
                }
                Value::Task(Entries(queries)) => {
                    for (query, ids) in queries {
                        let (task, query) = self.place(Some(key), query)?;
                        self.add(&task, &query, what, ids)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The task and query that a key means.
    fn place(&self, task: Option<&str>, key: &str) -> Result<(String, String), EvalError> {
        let hint = "`--write-queries FILE` lists the tasks and queries of this benchmark";
        if let Some(task) = task {
            let Some((_, queries)) = self.tasks.get(task) else {
                return Err(self.refuse(format!("there is no task `{task}`"), hint));
            };
            return match queries.contains(key) {
                true => Ok((task.to_owned(), key.to_owned())),
                false => Err(self.refuse(format!("task `{task}` has no query `{key}`"), hint)),
            };
        }
        if let Some((task, query)) = key.split_once('/')
            && self.tasks.get(task).is_some_and(|(_, queries)| queries.contains(query))
        {
            return Ok((task.to_owned(), query.to_owned()));
        }
        let mut found = self.tasks.iter().filter(|(_, (_, queries))| queries.contains(key));
        match (found.next(), found.next()) {
            (Some((task, _)), None) => Ok((task.to_string(), key.to_owned())),
            (Some(_), Some(_)) => Err(self.refuse(
                format!("the query `{key}` stands in several tasks"),
                "name the task: `\"TASK/QUERY\": [ids]`",
            )),
            (None, _) => Err(self.refuse(format!("there is no query `{key}`"), hint)),
        }
    }

    fn add(&mut self, task: &str, query: &str, what: What, ids: &[Id]) -> Result<(), EvalError> {
        let about = format!("query `{query}` of `{task}`");
        if ids.is_empty() {
            return Err(self.refuse(
                format!("{about} has an empty list"),
                "give at least one id, or leave the query out",
            ));
        }
        let known = match self.tasks.get(task) {
            Some((TaskKind::ImageToText, _)) => &self.texts,
            _ => &self.images,
        };
        let mut seen = HashSet::with_capacity(ids.len());
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let row = known.get(id).or_else(|| known.get(&other_form(id)?)).copied();
            let Some(row) = row else {
                let hint = format!("ids are those of {}'s annotation files", self.benchmark.name);
                return Err(self.refuse(format!("{about} ranks `{id}`, which is not in the gallery"), &hint));
            };
            if !seen.insert(row) {
                return Err(self.refuse(
                    format!("{about} ranks `{id}` twice"),
                    "every id may stand once in a list",
                ));
            }
            rows.push(row);
        }
        let answer = self.answers.entry((task.to_owned(), query.to_owned())).or_default();
        let place = match what {
            What::Gallery => &mut answer.ranked,
            What::Subset => &mut answer.subset,
        };
        if place.replace(rows).is_some() {
            return Err(self.refuse(format!("{about} is answered twice"), "answer each query once"));
        }
        Ok(())
    }

    fn refuse(&self, reason: String, hint: &str) -> EvalError {
        EvalError::Predictions {
            path: self.path.to_owned(),
            reason,
            hint: hint.to_owned(),
        }
    }
}

/// `"7"` for `7` and the other way round: CIRCO's evaluator takes both. Only where nothing has the id as it stands.
fn other_form(id: &Id) -> Option<Id> {
    match id {
        Id::Number(number) => Some(Id::Text(number.to_string())),
        Id::Text(text) => text.parse().ok().map(Id::Number),
    }
}

/// Writes the rankings of a variant as JSON lines, aside first.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, benchmark: &Benchmark, variant: &Variant, outcomes: &[TaskOutcome]) -> Result<(), EvalError> {
    write_lines(path, |file| {
        for (task, outcome) in variant.tasks.iter().zip(outcomes) {
            for (query, head) in task.queries.iter().zip(&outcome.heads) {
                let ids = head.iter().map(|row| id_of(benchmark, task, *row)).collect();
                let (ranked, subset) = if task.gallery.is_empty() {
                    (None, Some(ids))
                } else {
                    (Some(ids), None)
                };
                let line = Line {
                    task: Some(task.name.clone()),
                    query: query.id.clone(),
                    ranked,
                    subset,
                };
                serde_json::to_writer(&mut *file, &line).map_err(std::io::Error::from)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

/// A query as other systems need it.
#[derive(Debug, Serialize)]
struct QueryLine<'a> {
    task: &'a str,
    query: &'a str,
    images: Vec<&'a Path>,
    text: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Id>,
}

/// Writes the queries of a variant as JSON lines: task, query, picture files, text, and candidates where they are few.
///
/// # Errors
/// The file cannot be written.
pub fn write_queries(path: &Path, benchmark: &Benchmark, variant: &Variant) -> Result<(), EvalError> {
    write_lines(path, |file| {
        for task in &variant.tasks {
            for query in &task.queries {
                let line = QueryLine {
                    task: &task.name,
                    query: &query.id,
                    images: query
                        .images
                        .iter()
                        .map(|row| benchmark.images[*row].path.as_path())
                        .collect(),
                    text: &query.text,
                    candidates: query.subset.iter().map(|row| id_of(benchmark, task, *row)).collect(),
                };
                serde_json::to_writer(&mut *file, &line).map_err(std::io::Error::from)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

pub(crate) fn id_of(benchmark: &Benchmark, task: &Task, row: usize) -> Id {
    match task.kind {
        TaskKind::ImageToText => benchmark.texts[row].id.clone(),
        TaskKind::Composed | TaskKind::TextToImage => benchmark.images[row].id.clone(),
    }
}

fn write_lines(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), EvalError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".partial");
    let aside = PathBuf::from(aside);
    let mut file = std::io::BufWriter::new(fs_err::File::create(&aside)?);
    fill(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    fs_err::rename(&aside, path)?;
    Ok(())
}
