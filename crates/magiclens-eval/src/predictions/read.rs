//! Rankings are read: ids become rows, and files that cannot be scored are refused.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Answer, Line};
use crate::EvalError;
use crate::annotations::Entries;
use crate::benchmark::{Benchmark, Query, TaskKind};
use crate::id::Id;

/// Adds the answers of a file.
pub(super) fn read(path: &Path, benchmark: &Benchmark, answers: &mut Answers) -> Result<(), EvalError> {
    let mut reader = Reader::new(path, benchmark, answers);
    match is_lines(path)? {
        true => reader.lines(),
        false => reader.object(),
    }
}

/// `(task, query)` -> answer.
pub(super) type Answers = HashMap<(String, String), Answer>;

const LISTS_QUERIES: &str = "`--write-queries FILE` lists the tasks and queries of this benchmark";

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

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Value, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(Value::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Value::Task)
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// The items that a list ranks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ranks {
    Gallery,
    Subset,
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
    tasks: HashMap<&'a str, KnownTask<'a>>,
    answers: &'a mut Answers,
}

/// A task of any variant.
struct KnownTask<'a> {
    kind: TaskKind,
    has_gallery: bool,
    queries: HashMap<&'a str, &'a Query>,
}

/// The query that a key names.
#[derive(Clone, Copy)]
struct Place<'a> {
    task: &'a str,
    kind: TaskKind,
    has_gallery: bool,
    query: &'a Query,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, benchmark: &'a Benchmark, answers: &'a mut Answers) -> Self {
        let mut tasks: HashMap<&str, KnownTask<'_>> = HashMap::new();
        for task in benchmark.variants.iter().flat_map(|variant| &variant.tasks) {
            let known = tasks.entry(&task.name).or_insert_with(|| KnownTask {
                kind: task.kind,
                has_gallery: false,
                queries: HashMap::new(),
            });
            known.has_gallery |= !task.gallery.is_empty();
            known
                .queries
                .extend(task.queries.iter().map(|query| (query.id.as_str(), query)));
        }
        let images = (0..).zip(&benchmark.images).map(|(row, image)| (&image.id, row));
        let texts = (0..).zip(&benchmark.texts).map(|(row, text)| (&text.id, row));
        Self {
            path,
            benchmark,
            images: images.collect(),
            texts: texts.collect(),
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
            let place = self.place(read.task.as_deref(), &read.query.to_string())?;
            for (ranks, ids) in [(Ranks::Gallery, read.ranked), (Ranks::Subset, read.subset)] {
                ids.map_or(Ok(()), |ids| self.add(place, ranks, &ids))?;
            }
        }
    }

    fn object(&mut self) -> Result<(), EvalError> {
        let bytes = fs_err::read(self.path)?;
        let Entries(entries) = serde_json::from_slice::<Entries<Value>>(without_mark(&bytes)).map_err(|error| {
            let hint = "give JSON lines of {\"query\": .., \"ranked\": [ids]}, or one object of \"QUERY\": [ids]";
            self.refuse(error.to_string(), hint)
        })?;
        let is_subset = |(key, value): &(String, Value)| {
            key == "metric" && matches!(value, Value::Word(word) if word == "recall_subset")
        };
        let ranks = match entries.iter().any(is_subset) {
            true => Ranks::Subset,
            false => Ranks::Gallery,
        };
        for (key, value) in &entries {
            match value {
                Value::Word(_) if key == "version" || key == "metric" => {}
                Value::Word(word) => {
                    return Err(self.refuse(format!("`{key}` is `{word}`, not a list of ids"), "give lists of ids"));
                }
                Value::List(ids) => {
                    let place = self.place(None, key)?;
                    self.add(place, ranks, ids)?;
                }
                Value::Task(Entries(queries)) => {
                    for (query, ids) in queries {
                        let place = self.place(Some(key), query)?;
                        self.add(place, ranks, ids)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The query that a key means: of the task that is named beside it or in it, or of the only task that has it.
    fn place(&self, task: Option<&str>, key: &str) -> Result<Place<'a>, EvalError> {
        if let Some(task) = task {
            if !self.tasks.contains_key(task) {
                return Err(self.refuse(format!("there is no task `{task}`"), LISTS_QUERIES));
            }
            let unknown = || self.refuse(format!("task `{task}` has no query `{key}`"), LISTS_QUERIES);
            return self.query(task, key).ok_or_else(unknown);
        }
        if let Some((task, query)) = key.split_once('/')
            && let Some(place) = self.query(task, query)
        {
            return Ok(place);
        }
        let mut found = self.tasks.keys().filter_map(|task| self.query(task, key));
        match (found.next(), found.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(self.refuse(
                format!("the query `{key}` stands in several tasks"),
                "name the task: \"TASK/QUERY\": [ids]",
            )),
            (None, _) => Err(self.refuse(format!("there is no query `{key}`"), LISTS_QUERIES)),
        }
    }

    fn query(&self, task: &str, query: &str) -> Option<Place<'a>> {
        let (name, known) = self.tasks.get_key_value(task)?;
        Some(Place {
            task: name,
            kind: known.kind,
            has_gallery: known.has_gallery,
            query: known.queries.get(query)?,
        })
    }

    fn add(&mut self, place: Place<'_>, ranks: Ranks, ids: &[Id]) -> Result<(), EvalError> {
        let about = format!("query `{}` of `{}`", place.query.id, place.task);
        if ids.is_empty() {
            let hint = "give at least one id, or omit the query";
            return Err(self.refuse(format!("{about} has an empty list"), hint));
        }
        // Where every query has its own candidates, these are ranked.
        let ranks = if place.has_gallery { ranks } else { Ranks::Subset };
        let rows = self.rows(place, ranks, ids, &about)?;
        let key = (place.task.to_owned(), place.query.id.clone());
        let answer = self.answers.entry(key).or_default();
        let list = match ranks {
            Ranks::Gallery => &mut answer.ranked,
            Ranks::Subset => &mut answer.subset,
        };
        match list.replace(rows) {
            None => Ok(()),
            Some(_) => Err(self.refuse(format!("{about} is answered twice"), "answer each query once")),
        }
    }

    /// The rows of a list, each once; a second copy of an image in a list has `#2` behind its name.
    fn rows(&mut self, place: Place<'_>, ranks: Ranks, ids: &[Id], about: &str) -> Result<Vec<u32>, EvalError> {
        let mut seen = HashSet::with_capacity(ids.len());
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut row) = self.row(place.kind, id) else {
                let hint = format!("ids are those of {}'s annotation files", self.benchmark.name);
                return Err(self.refuse(format!("{about} ranks `{id}`, which is not in the gallery"), &hint));
            };
            if seen.contains(&row)
                && let Some(copy) = self.row(place.kind, &Id::text(format!("{id}#2")))
            {
                row = copy;
            }
            if !seen.insert(row) {
                let hint = "every id may stand once in a list";
                return Err(self.refuse(format!("{about} ranks `{id}` twice"), hint));
            }
            let at = row as usize;
            let is_candidate = place.query.images.contains(&at) || place.query.subset.contains(&at);
            if ranks == Ranks::Subset && !is_candidate {
                let hint = "`--write-queries FILE` lists the candidates of each query";
                return Err(self.refuse(
                    format!("{about} ranks `{id}`, which is not one of its candidates"),
                    hint,
                ));
            }
            rows.push(row);
        }
        Ok(rows)
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
