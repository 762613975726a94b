//! Files of ranked ids, so that any system can be scored: what it ranked is all that counts.
//!
//! Three forms are read:
//! - JSON lines, `{"task": "dress", "query": "12", "ranked": [ids]}`, `subset` optional; the form that is written, and the one for
//!   long rankings, since it is read a line at a time;
//! - one JSON object, `{"QUERY": [ids]}` or `{"TASK/QUERY": [ids]}`, as CIRCO's, CIRR's and MagicLens' own files are
//!   (`version` and `metric` are allowed; a `recall_subset` file ranks the subset alone);
//! - one JSON object by task, `{"TASK": {"QUERY": [ids]}}`.
//!
//! Refused are unknown queries and ids, an id twice in one list, an id outside a query's candidates, an empty list, and (unless partial
//! scoring is asked for) queries that are not answered.
//!
//! A list that is shorter than a metric looks is taken as it is: what is not listed was not found. Three figures cannot be had from
//! the head of a ranking and stay empty: an average precision over the whole ranking, a subset that is not wholly listed, and a
//! variant that takes images out of lists which then are too short.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::EvalError;
use crate::annotations::Entries;
use crate::benchmark::{Benchmark, Measure, Query, Scope, Task, TaskKind, Variant};
use crate::id::Id;
use crate::outcome::{Classes, Ranked, TaskOutcome, gallery_size, judge};

/// The answers of one system: for each task and query what it ranked.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    paths: Vec<PathBuf>,
    /// `(task, query)` -> answer.
    answers: HashMap<(String, String), Answer>,
    /// Rows from here on are ids that the annotation files do not name.
    images: usize,
    open_gallery: bool,
}

/// Rows of gallery items, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    ranked: Option<Vec<u32>>,
    subset: Option<Vec<u32>>,
}

/// A line of the form that is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    query: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranked: Option<Vec<Id>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subset: Option<Vec<Id>>,
}

/// A value of the object form.
enum Value {
    Word(String),
    List(Vec<Id>),
    Task(Entries<Vec<Id>>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, or lists of ids by query")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Word(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element()? {
                    ids.push(id);
                }
                Ok(Value::List(ids))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Value::Task(Entries(entries)))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// What a list ranks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Gallery,
    Subset,
}

/// A variant scored.
#[derive(Clone, Debug)]
pub struct Scored {
    /// By task.
    pub outcomes: Vec<TaskOutcome>,
    /// What a reader should know.
    pub remarks: Vec<String>,
    /// Whether queries were left out because they are not answered.
    pub partial: bool,
}

impl Predictions {
    /// Reads the rankings of one system for a benchmark; several files complete each other, as CIRR's two do.
    ///
    /// # Errors
    /// See the head of this module; the message names the query and the way out.
    pub fn read(paths: &[PathBuf], benchmark: &Benchmark) -> Result<Self, EvalError> {
        let mut answers = HashMap::new();
        for path in paths {
            let mut reader = Reader::new(path, benchmark, answers);
            if is_lines(path)? {
                reader.lines()?;
            } else {
                reader.object()?;
            }
            answers = reader.answers;
        }
        Ok(Self {
            paths: paths.to_vec(),
            answers,
            images: benchmark.images.len(),
            open_gallery: benchmark.open_gallery,
        })
    }

    /// Whether any query of a variant is answered.
    pub fn answers_any(&self, variant: &Variant) -> bool {
        let mut queries = variant
            .tasks
            .iter()
            .flat_map(|task| task.queries.iter().map(move |query| (task, query)));
        queries.any(|(task, query)| self.answer(task, query).is_some())
    }

    /// Scores a variant of the benchmark and keeps the first `head` ids of each ranking. With `partial`, queries that are not
    /// answered are left out of every mean.
    ///
    /// # Errors
    /// Queries that are not answered.
    pub fn score(&self, variant: &Variant, head: usize, partial: bool) -> Result<Scored, EvalError> {
        let queries = || {
            variant
                .tasks
                .iter()
                .flat_map(|task| task.queries.iter().map(move |query| (task, query)))
        };
        let missing: Vec<String> = queries()
            .filter(|(task, query)| self.answer(task, query).is_none())
            .map(|(task, query)| format!("`{}/{}`", task.name, query.id))
            .collect();
        let all = queries().count();
        if missing.len() == all || (!partial && !missing.is_empty()) {
            return Err(EvalError::Predictions {
                path: self.paths.first().cloned().unwrap_or_default(),
                reason: format!(
                    "{} of {all} queries are not answered, such as {}",
                    missing.len(),
                    missing[..missing.len().min(3)].join(", ")
                ),
                hint: "`--write-queries FILE` lists all queries; `--partial` scores those that are there".to_owned(),
            });
        }
        let mut remarks = BTreeSet::new();
        if !missing.is_empty() {
            let answered = all - missing.len();
            remarks.insert(format!(
                "PARTIAL: {answered} of {all} queries are answered; figures are over those alone."
            ));
        }
        let outcomes = variant
            .tasks
            .iter()
            .map(|task| self.outcome(task, head, &mut remarks))
            .collect();
        Ok(Scored {
            outcomes,
            remarks: remarks.into_iter().collect(),
            partial: !missing.is_empty(),
        })
    }

    /// A variant of which nothing is known.
    pub fn nothing(variant: &Variant) -> Vec<TaskOutcome> {
        let unknown = |task: &Task| {
            let mut outcome = TaskOutcome::of(task);
            for _ in &task.queries {
                outcome.push(task, vec![f64::NAN; task.measures.len()], Ranked::default(), 0);
            }
            outcome
        };
        variant.tasks.iter().map(unknown).collect()
    }

    fn answer(&self, task: &Task, query: &Query) -> Option<&Answer> {
        self.answers.get(&(task.name.clone(), query.id.clone()))
    }

    fn outcome(&self, task: &Task, head: usize, remarks: &mut BTreeSet<String>) -> TaskOutcome {
        let classes = Classes::of(task);
        let members: HashSet<usize> = match self.open_gallery {
            true => HashSet::new(),
            false => task.gallery.iter().copied().collect(),
        };
        let mut outcome = TaskOutcome::of(task);
        let mut unknown = BTreeSet::new();
        for query in &task.queries {
            let Some(answer) = self.answer(task, query) else {
                outcome.push(task, vec![f64::NAN; task.measures.len()], Ranked::default(), head);
                continue;
            };
            let ranked = self.ranked(answer, query, &members);
            for (at, measure) in task.measures.iter().enumerate() {
                if let Some(reason) = cannot_be_had(measure, task, query, answer, &ranked) {
                    unknown.insert(at);
                    remarks.insert(format!("{}, {}: {reason}.", task.name, measure.label));
                }
            }
            let values = judge(task, &classes, query, &ranked);
            outcome.push(task, values, ranked, head);
        }
        // A mean over some queries only would be another figure.
        for at in unknown {
            outcome.values[at].fill(f64::NAN);
        }
        for head in &mut outcome.heads {
            head.retain(|row| *row < self.images || task.kind == TaskKind::ImageToText);
        }
        outcome
    }

    fn ranked(&self, answer: &Answer, query: &Query, members: &HashSet<usize>) -> Ranked {
        let rows = |list: &Option<Vec<u32>>| -> Vec<usize> {
            let rows = list.iter().flatten().map(|row| *row as usize);
            rows.filter(|row| !query.exclude.contains(row)).collect()
        };
        let mut items = rows(&answer.ranked);
        let mut subset = match &answer.subset {
            Some(_) => rows(&answer.subset),
            None => items.clone(),
        };
        subset.retain(|row| query.subset.contains(row));
        // A variant with a smaller gallery ranks what is left.
        if !members.is_empty() {
            items.retain(|row| members.contains(row));
        }
        Ranked { items, subset }
    }
}

/// Why a measure cannot be had from this answer.
fn cannot_be_had(
    measure: &Measure,
    task: &Task,
    query: &Query,
    answer: &Answer,
    ranked: &Ranked,
) -> Option<&'static str> {
    let depth = measure.metric.depth();
    if measure.scope == Scope::Subset {
        let found = ranked.subset.len();
        let deep_enough = answer.subset.is_some() && depth.is_some_and(|depth| depth <= found);
        return (found < query.subset.len() && !deep_enough).then_some("its candidates are not all ranked");
    }
    let listed = answer.ranked.as_ref().map_or(0, Vec::len);
    if listed == 0 {
        return Some("the gallery is not ranked");
    }
    let gallery = gallery_size(task, query);
    match depth {
        None => (ranked.items.len() < gallery).then_some("it needs whole rankings"),
        Some(depth) => {
            let wanted = depth.min(gallery);
            let is_cut = ranked.items.len() < wanted && wanted <= listed;
            is_cut.then_some("the lists are too short once this variant has taken pictures out of them")
        }
    }
}

/// JSON lines are objects that end on their own line and name a query.
fn is_lines(path: &Path) -> Result<bool, EvalError> {
    let mut reader = BufReader::new(fs_err::File::open(path)?);
    let mut first = Vec::new();
    while first.trim_ascii().is_empty() {
        first.clear();
        if reader.read_until(b'\n', &mut first)? == 0 {
            return Ok(false);
        }
    }
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(without_mark(&first));
    Ok(object.is_ok_and(|object| object.contains_key("query")))
}

/// A text without the mark that some editors put before it.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Turns ids into rows, and refuses what cannot be scored.
struct Reader<'a> {
    path: &'a Path,
    benchmark: &'a Benchmark,
    images: HashMap<&'a Id, u32>,
    texts: HashMap<&'a Id, u32>,
    /// Ids that the annotation files do not name, where that is allowed.
    others: HashMap<Id, u32>,
    /// Task -> what it ranks and its queries.
    tasks: HashMap<&'a str, (TaskKind, HashMap<&'a str, &'a Query>)>,
    answers: HashMap<(String, String), Answer>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, benchmark: &'a Benchmark, answers: HashMap<(String, String), Answer>) -> Self {
        let mut tasks: HashMap<&str, (TaskKind, HashMap<&str, &Query>)> = HashMap::new();
        for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
            let queries = &mut tasks.entry(&task.name).or_insert((task.kind, HashMap::new())).1;
            queries.extend(task.queries.iter().map(|query| (query.id.as_str(), query)));
        }
        Self {
            path,
            benchmark,
            images: (0..)
                .zip(&benchmark.images)
                .map(|(row, image)| (&image.id, row))
                .collect(),
            texts: (0..).zip(&benchmark.texts).map(|(row, text)| (&text.id, row)).collect(),
            others: HashMap::new(),
            tasks,
            answers,
        }
    }

    fn lines(&mut self) -> Result<(), EvalError> {
        let mut reader = BufReader::new(fs_err::File::open(self.path)?);
        let (mut line, mut number) = (Vec::new(), 0);
        loop {
            line.clear();
            number += 1;
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read: Line = serde_json::from_slice(without_mark(&line)).map_err(|error| {
                let hint = "one query is one line: {\"task\": .., \"query\": .., \"ranked\": [ids]}";
                self.refuse(format!("line {number}: {error}"), hint)
            })?;
            let (task, query) = self.place(read.task.as_deref(), &read.query.to_string())?;
            for (what, ids) in [(What::Gallery, read.ranked), (What::Subset, read.subset)] {
                if let Some(ids) = ids {
                    self.add(&task, &query, what, &ids)?;
                }
            }
        }
    }

    fn object(&mut self) -> Result<(), EvalError> {
        let bytes = fs_err::read(self.path)?;
        let Entries(entries) = serde_json::from_slice::<Entries<Value>>(without_mark(&bytes)).map_err(|error| {
            let hint = "give JSON lines of {\"query\": .., \"ranked\": [ids]}, or one object of \"QUERY\": [ids]";
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
            return match queries.contains_key(key) {
                true => Ok((task.to_owned(), key.to_owned())),
                false => Err(self.refuse(format!("task `{task}` has no query `{key}`"), hint)),
            };
        }
        if let Some((task, query)) = key.split_once('/')
            && self
                .tasks
                .get(task)
                .is_some_and(|(_, queries)| queries.contains_key(query))
        {
            return Ok((task.to_owned(), query.to_owned()));
        }
        let mut found = self.tasks.iter().filter(|(_, (_, queries))| queries.contains_key(key));
        match (found.next(), found.next()) {
            (Some((task, _)), None) => Ok((task.to_string(), key.to_owned())),
            (Some(_), Some(_)) => Err(self.refuse(
                format!("the query `{key}` stands in several tasks"),
                "name the task: \"TASK/QUERY\": [ids]",
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
        let Some((kind, asked)) = self
            .tasks
            .get(task)
            .and_then(|(kind, queries)| Some((*kind, *queries.get(query)?)))
        else {
            return Err(self.refuse(
                format!("there is no {about}"),
                "`--write-queries FILE` lists the queries",
            ));
        };
        // Where every query has its own candidates, these are what it ranks.
        let has_gallery = self.benchmark.variants.iter().flat_map(|variant| &variant.tasks);
        let has_gallery = has_gallery
            .into_iter()
            .any(|found| found.name == task && !found.gallery.is_empty());
        let what = if has_gallery { what } else { What::Subset };
        let mut seen = HashSet::with_capacity(ids.len());
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut row) = self.row(kind, id) else {
                let hint = format!("ids are those of {}'s annotation files", self.benchmark.name);
                return Err(self.refuse(format!("{about} ranks `{id}`, which is not in the gallery"), &hint));
            };
            if seen.contains(&row)
                && let Some(copy) = self.row(kind, &Id::text(format!("{id}#2")))
            {
                row = copy;
            }
            if !seen.insert(row) {
                return Err(self.refuse(
                    format!("{about} ranks `{id}` twice"),
                    "every id may stand once in a list",
                ));
            }
            let is_own = asked.images.contains(&(row as usize));
            if what == What::Subset && !is_own && !asked.subset.contains(&(row as usize)) {
                let hint = "`--write-queries FILE` lists the candidates of each query";
                return Err(self.refuse(
                    format!("{about} ranks `{id}`, which is not one of its candidates"),
                    hint,
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

    /// The row of an id; CIRCO's evaluator takes `"7"` for `7`, and so does this where nothing has the id as it stands.
    fn row(&mut self, kind: TaskKind, id: &Id) -> Option<u32> {
        let known = match kind {
            TaskKind::ImageToText => &self.texts,
            TaskKind::Composed | TaskKind::TextToImage => &self.images,
        };
        let other = other_form(id);
        if let Some(row) = known.get(id).or_else(|| known.get(other.as_ref()?)) {
            return Some(*row);
        }
        if !self.benchmark.open_gallery {
            return None;
        }
        let number = [Some(id.clone()), other]
            .into_iter()
            .flatten()
            .find(|id| matches!(id, Id::Number(_)))?;
        let next = (self.benchmark.images.len() + self.others.len()) as u32;
        Some(*self.others.entry(number).or_insert(next))
    }

    fn refuse(&self, reason: String, hint: &str) -> EvalError {
        EvalError::Predictions {
            path: self.path.to_owned(),
            reason,
            hint: hint.to_owned(),
        }
    }
}

fn other_form(id: &Id) -> Option<Id> {
    match id {
        Id::Number(number) => Some(Id::Text(number.to_string())),
        Id::Text(text) => text.parse().ok().map(Id::Number),
    }
}

/// Writes the rankings of every variant as JSON lines, aside first. Of tasks that several variants have, the first counts.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, benchmark: &Benchmark, outcomes: &[Vec<TaskOutcome>]) -> Result<(), EvalError> {
    write_lines(path, |file| {
        let tasks = benchmark.variants.iter().zip(outcomes);
        let mut written = HashSet::new();
        for (task, outcome) in tasks.flat_map(|(variant, outcomes)| variant.tasks.iter().zip(outcomes)) {
            if !written.insert(&task.name) {
                continue;
            }
            for ((query, head), subset) in task.queries.iter().zip(&outcome.heads).zip(&outcome.subsets) {
                let ids = |rows: &[usize]| rows.iter().map(|row| id_of(benchmark, task, *row)).collect();
                let line = Line {
                    task: Some(task.name.clone()),
                    query: Id::text(&query.id),
                    ranked: (!task.gallery.is_empty()).then(|| ids(head)),
                    subset: (!subset.is_empty()).then(|| ids(subset)),
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
    candidates: Vec<Item<'a>>,
}

/// An item to be ranked as other systems need it.
#[derive(Debug, Serialize)]
struct Item<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<&'a str>,
    id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<crate::benchmark::Crop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Writes what a system has to rank, as JSON lines: first the items of each gallery with their ids, then the queries: task, id,
/// image files, text, and candidates where a query has its own.
///
/// # Errors
/// The file cannot be written.
pub fn write_queries(path: &Path, benchmark: &Benchmark) -> Result<(), EvalError> {
    write_lines(path, |file| {
        let mut written = HashSet::new();
        let tasks = benchmark.variants.iter().flat_map(|variant| &variant.tasks);
        for task in tasks.filter(|task| written.insert(&task.name)) {
            for row in &task.gallery {
                let mut item = item_of(benchmark, task, *row);
                item.gallery = Some(&task.name);
                serde_json::to_writer(&mut *file, &item).map_err(std::io::Error::from)?;
                file.write_all(b"\n")?;
            }
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
                    candidates: query.subset.iter().map(|row| item_of(benchmark, task, *row)).collect(),
                };
                serde_json::to_writer(&mut *file, &line).map_err(std::io::Error::from)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

fn item_of<'a>(benchmark: &'a Benchmark, task: &Task, row: usize) -> Item<'a> {
    let nothing = |id| Item {
        gallery: None,
        id,
        image: None,
        crop: None,
        text: None,
    };
    match task.kind {
        TaskKind::ImageToText => {
            let entry = &benchmark.texts[row];
            Item {
                text: Some(&entry.text),
                ..nothing(&entry.id)
            }
        }
        TaskKind::Composed | TaskKind::TextToImage => {
            let entry = &benchmark.images[row];
            Item {
                image: Some(&entry.path),
                crop: entry.crop,
                ..nothing(&entry.id)
            }
        }
    }
}

fn id_of(benchmark: &Benchmark, task: &Task, row: usize) -> Id {
    item_of(benchmark, task, row).id.clone()
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
