//! The query file: JSON lines, all of them checked before anything is computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use magiclens_data::decode::Limits;
use magiclens_data::files::read_capped;
use magiclens_search::QueryImage;
use serde::Deserialize;

use crate::error::{CompareError, LineProblem};
use crate::study::{AUTOMATIC_CHECK, Intent, short_digest};

/// Largest query file.
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_INSTRUCTION_CHARS: usize = 2000;
const MAX_ID_CHARS: usize = 100;

/// An image that the query file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    /// Id of its content.
    pub id: ImageId,
    /// Its file.
    pub path: PathBuf,
}

/// A query to compare the systems on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyQuery {
    /// As given, else `line N`.
    pub id: String,
    /// The query image.
    pub image: NamedImage,
    /// The change that is wanted.
    pub instruction: String,
    /// Its class.
    pub intent: Intent,
}

/// A question with a known answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// As given, else `line N`.
    pub id: String,
    /// The query image.
    pub image: NamedImage,
    /// The change that is wanted.
    pub instruction: String,
    /// The ranking that is right, best first.
    pub good: Vec<NamedImage>,
    /// The ranking that is wrong.
    pub bad: Vec<NamedImage>,
}

/// A query file without bad lines. All images that it names can be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFile {
    /// Digest of the text and of all images that it names.
    pub digest: String,
    /// In the order of the file.
    pub queries: Vec<StudyQuery>,
    /// In the order of the file.
    pub checks: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    image: String,
    instruction: String,
    intent: Option<String>,
    #[serde(default)]
    check: bool,
    good: Option<Vec<String>>,
    bad: Option<Vec<String>>,
}

enum Parsed {
    Query(StudyQuery),
    Check(Check),
}

impl QueryFile {
    /// Reads and checks the whole file; images are named relative to it. Blank lines count, but hold nothing.
    ///
    /// # Errors
    /// All bad lines at once, each with its problem; a file without queries; a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self, CompareError> {
        let bytes = read_capped(path, MAX_FILE_BYTES)?;
        let mut images = Images {
            folder: path.parent().unwrap_or(Path::new("")),
            seen: BTreeMap::new(),
        };
        let (mut queries, mut checks, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut ids: BTreeMap<String, usize> = BTreeMap::new();
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let parsed = parse(line, number, &mut images).and_then(|parsed| {
                let (Parsed::Query(StudyQuery { id, .. }) | Parsed::Check(Check { id, .. })) = &parsed;
                match ids.insert(id.clone(), number) {
                    Some(before) => Err(format!("the id `{id}` stands in line {before} already")),
                    None => Ok(parsed),
                }
            });
            match parsed {
                Ok(Parsed::Query(query)) => queries.push(query),
                Ok(Parsed::Check(check)) => checks.push(check),
                Err(problem) => problems.push(LineProblem { line: number, problem }),
            }
        }
        let path = path.to_owned();
        if !problems.is_empty() {
            return Err(CompareError::BadQueries { path, problems });
        }
        if queries.is_empty() {
            return Err(CompareError::NoQueries { path });
        }
        let digest = images.digest(&bytes);
        Ok(Self {
            digest,
            queries,
            checks,
        })
    }

    /// All images that the file names.
    pub(crate) fn images(&self) -> impl Iterator<Item = &NamedImage> {
        let of_queries = self.queries.iter().map(|query| &query.image);
        let of_checks = self.checks.iter();
        of_queries.chain(of_checks.flat_map(|check| [&check.image].into_iter().chain(&check.good).chain(&check.bad)))
    }
}

fn parse(line: &[u8], number: usize, images: &mut Images<'_>) -> Result<Parsed, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let line: Line = serde_json::from_str(text.trim_start_matches('\u{feff}').trim()).map_err(|error| {
        // serde_json counts lines of its own, always 1 here.
        error.to_string().replace(" at line 1 column ", " at column ")
    })?;
    let id = check_id(line.id.unwrap_or_else(|| format!("line {number}")))?;
    let instruction = check_instruction(&line.instruction)?;
    let image = images.read("image", &line.image)?;
    if !line.check {
        if line.good.is_some() || line.bad.is_some() {
            return Err("`good` and `bad` belong to a check: add `\"check\": true`".to_owned());
        }
        let intent = intent(line.intent.as_deref())?;
        return Ok(Parsed::Query(StudyQuery {
            id,
            image,
            instruction,
            intent,
        }));
    }
    if line.intent.is_some() {
        return Err("a check has no `intent`".to_owned());
    }
    let good = images.read_all("good", line.good)?;
    let bad = images.read_all("bad", line.bad)?;
    if let Some(both) = good.iter().find(|one| bad.iter().any(|other| one.id == other.id)) {
        return Err(format!("`{}` is both `good` and `bad`", both.path.display()));
    }
    Ok(Parsed::Check(Check {
        id,
        image,
        instruction,
        good,
        bad,
    }))
}

fn check_id(id: String) -> Result<String, String> {
    if id.trim().is_empty() || MAX_ID_CHARS < id.chars().count() || id.chars().any(char::is_control) {
        return Err(format!(
            "`id` must be 1 to {MAX_ID_CHARS} characters without control characters"
        ));
    }
    if id.starts_with(AUTOMATIC_CHECK) {
        return Err(format!(
            "`id` begins with `{AUTOMATIC_CHECK}`, which is for checks made by the program"
        ));
    }
    Ok(id)
}

fn check_instruction(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("`instruction` is empty".to_owned()),
        chars if MAX_INSTRUCTION_CHARS < chars => Err(format!(
            "`instruction` has {chars} characters, more than {MAX_INSTRUCTION_CHARS}"
        )),
        _ => Ok(text.to_owned()),
    }
}

fn intent(name: Option<&str>) -> Result<Intent, String> {
    let names = Intent::ALL.map(|intent| format!("`{}`", intent.name())).join(", ");
    let name = name.ok_or_else(|| format!("`intent` is missing; it is one of {names}"))?;
    let found = Intent::ALL.into_iter().find(|intent| intent.name() == name);
    found.ok_or_else(|| format!("`intent` cannot be `{}`; it is one of {names}", name.escape_debug()))
}

/// Reads each image once, however often it is named.
struct Images<'a> {
    folder: &'a Path,
    seen: BTreeMap<String, Result<ImageId, String>>,
}

impl Images<'_> {
    fn read(&mut self, field: &str, name: &str) -> Result<NamedImage, String> {
        let path = self.folder.join(name);
        let read = || -> Result<ImageId, String> {
            if name.is_empty() {
                return Err("no file is named".to_owned());
            }
            QueryImage::read(&path, &Limits::default())
                .map(|image| image.id)
                .map_err(|error| error.to_string())
        };
        let id = self.seen.entry(name.to_owned()).or_insert_with(read).clone();
        id.map(|id| NamedImage { id, path }).map_err(|problem| {
            let first_line = problem.lines().next().unwrap_or_default();
            format!("`{field}`: `{}`: {first_line}", name.escape_debug())
        })
    }

    fn read_all(&mut self, field: &str, names: Option<Vec<String>>) -> Result<Vec<NamedImage>, String> {
        let names = names.unwrap_or_default();
        if names.is_empty() {
            return Err(format!("a check needs at least one image in `{field}`"));
        }
        names.iter().map(|name| self.read(field, name)).collect()
    }

    fn digest(&self, text: &[u8]) -> String {
        let mut bytes = text.to_vec();
        for id in self.seen.values().flatten() {
            bytes.extend(id.to_bytes());
        }
        short_digest(bytes)
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use serde_json::json;

    use super::*;

    /// A folder with two images, `a.png` and `b.png`, a broken one, and these lines as `queries.jsonl`.
    fn read(lines: &[String]) -> Result<QueryFile, CompareError> {
        let folder = tempfile::TempDir::new().unwrap();
        for (name, gray) in [("a.png", 10), ("b.png", 200)] {
            RgbImage::from_pixel(4, 4, Rgb([gray; 3]))
                .save(folder.path().join(name))
                .unwrap();
        }
        fs_err::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\nand no more").unwrap();
        let path = folder.path().join("queries.jsonl");
        fs_err::write(&path, lines.join("\n")).unwrap();
        QueryFile::read(&path)
    }

    #[test]
    fn queries_and_checks_are_read() {
        let file = read(&[
            json!({ "image": "a.png", "instruction": " at night ", "intent": "simple visual" }).to_string(),
            String::new(),
            json!({ "check": true, "id": "easy", "image": "a.png", "instruction": "x", "good": ["a.png"], "bad": ["b.png"] })
                .to_string(),
            json!({ "id": "q", "image": "b.png", "instruction": "in use", "intent": "beyond visual" }).to_string(),
        ])
        .unwrap();
        let [first, second] = &file.queries[..] else {
            panic!("{file:?}")
        };
        assert_eq!(
            (&*first.id, &*first.instruction, first.intent),
            ("line 1", "at night", Intent::SimpleVisual)
        );
        assert_eq!((&*second.id, second.intent), ("q", Intent::BeyondVisual));
        let [check] = &file.checks[..] else { panic!("{file:?}") };
        assert_eq!(
            (&*check.id, check.good[0].id, check.bad[0].id),
            ("easy", first.image.id, second.image.id)
        );
    }

    #[test]
    fn every_bad_line_is_named_with_its_reason() {
        let query = |change: serde_json::Value| {
            let mut line = json!({ "image": "a.png", "instruction": "x", "intent": "simple visual" });
            let (line_fields, changed) = (line.as_object_mut().unwrap(), change.as_object().unwrap());
            line_fields.extend(changed.clone());
            line_fields.retain(|_, value| !value.is_null());
            line.to_string()
        };
        let check = |change: serde_json::Value| {
            let mut all = json!({ "check": true, "intent": null, "good": ["a.png"], "bad": ["b.png"] });
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            query(all)
        };
        let rows = [
            ("{".to_owned(), "EOF while parsing an object at column 1"),
            ("[1]".to_owned(), "invalid"),
            (query(json!({ "image": null })), "missing field `image`"),
            (
                query(json!({ "image": "gone.png" })),
                "`image`: `gone.png`: the file cannot be read",
            ),
            (query(json!({ "image": "broken.png" })), "`broken.png`: the image is"),
            (query(json!({ "image": "" })), "no file is named"),
            (query(json!({ "image": "." })), "not an ordinary file"),
            (query(json!({ "instruction": " " })), "`instruction` is empty"),
            (query(json!({ "instruction": "x".repeat(2001) })), "2001 characters"),
            (
                query(json!({ "intent": null })),
                "`intent` is missing; it is one of `simple visual`",
            ),
            (query(json!({ "intent": "simple" })), "`intent` cannot be `simple`"),
            (query(json!({ "intnt": 1 })), "unknown field `intnt`"),
            (query(json!({ "good": ["a.png"] })), "belong to a check"),
            (query(json!({ "id": "a\nb" })), "`id` must be"),
            (
                query(json!({ "id": "automatic check 1" })),
                "checks made by the program",
            ),
            (query(json!({ "id": "good" })), ""),
            (
                query(json!({ "id": "good" })),
                "the id `good` stands in line 16 already",
            ),
            (check(json!({ "intent": "simple visual" })), "a check has no `intent`"),
            (check(json!({ "good": [] })), "at least one image in `good`"),
            (check(json!({ "bad": null })), "at least one image in `bad`"),
            (check(json!({ "bad": ["a.png"] })), "both `good` and `bad`"),
        ];
        let lines: Vec<String> = rows.iter().map(|(line, _)| line.clone()).collect();
        let error = read(&lines).unwrap_err();
        let CompareError::BadQueries { problems, .. } = &error else {
            panic!("{error}")
        };
        let mut found = problems.iter().peekable();
        for (number, (line, words)) in (1..).zip(&rows) {
            if words.is_empty() {
                continue;
            }
            let LineProblem { line: at, problem } = found.next().unwrap();
            assert_eq!(*at, number, "{line}");
            assert!(
                problem.contains(words),
                "{line}: `{problem}` does not contain `{words}`"
            );
        }
        assert_eq!(found.next(), None);
        let text = error.to_string();
        assert!(text.contains("20 bad lines") && text.contains("\n  line 1: "), "{text}");
    }

    #[test]
    fn a_file_without_queries_is_refused() {
        for lines in [vec![], vec![" ".to_owned()]] {
            assert!(matches!(read(&lines), Err(CompareError::NoQueries { .. })));
        }
    }

    #[test]
    fn another_image_is_another_file() {
        let line = |image| json!({ "image": image, "instruction": "x", "intent": "simple visual" }).to_string();
        let digest = |lines: &[String]| read(lines).unwrap().digest;
        assert_eq!(digest(&[line("a.png")]), digest(&[line("a.png")]));
        assert_ne!(digest(&[line("a.png")]), digest(&[line("b.png")]));
    }
}
