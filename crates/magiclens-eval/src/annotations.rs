//! Reading the annotation files of benchmarks: finding them, JSON with the file's name in errors, lists of paths with
//! labels, and one row an image.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::EvalError;
use crate::benchmark::{Crop, ImageEntry};
use crate::id::Id;

/// The first of `names` that is there, relative to the data folder.
pub(crate) fn find(data: &Path, what: &str, names: &[impl AsRef<str>], hint: &str) -> Result<PathBuf, EvalError> {
    let found = names
        .iter()
        .map(|name| data.join(name.as_ref()))
        .find(|path| path.exists());
    found.ok_or_else(|| EvalError::NoAnnotations {
        data: data.to_owned(),
        what: what.to_owned(),
        tried: names.iter().map(|name| name.as_ref().to_owned()).collect(),
        hint: hint.to_owned(),
    })
}

/// The file of a name in the first of `places` (such as `""` or `"cirr/"`) that has it.
pub(crate) fn find_in(data: &Path, what: &str, places: &[&str], name: &str, hint: &str) -> Result<PathBuf, EvalError> {
    let names: Vec<String> = places.iter().map(|place| format!("{place}{name}")).collect();
    find(data, what, &names, hint)
}

/// A JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EvalError> {
    let bytes = fs_err::read(path)?;
    serde_json::from_slice(&bytes).map_err(|reason| EvalError::Json {
        path: path.to_owned(),
        reason,
    })
}

/// Lines of a path, which may hold spaces, and a label.
pub(crate) fn read_labeled_paths(path: &Path) -> Result<Vec<(String, u32)>, EvalError> {
    let bytes = fs_err::read(path)?;
    let wrong = |reason: String| annotation(path, reason);
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let (name, label) = line
                .trim()
                .rsplit_once(char::is_whitespace)
                .ok_or_else(|| wrong(format!("line {} has no label: `{line}`", number + 1)))?;
            let label = label.parse().map_err(|_| {
                wrong(format!(
                    "line {}: `{label}` is not a label, which is a number",
                    number + 1
                ))
            })?;
            Ok((name.trim_end().to_owned(), label))
        })
        .collect()
}

/// An error that names the file and the entry.
pub(crate) fn annotation(path: &Path, reason: impl Into<String>) -> EvalError {
    EvalError::Annotation {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// Refuses a list that names a path twice.
pub(crate) fn unique(path: &Path, list: &[(String, u32)]) -> Result<(), EvalError> {
    let mut seen = HashSet::new();
    match list.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(annotation(path, format!("`{name}` is listed twice"))),
        None => Ok(()),
    }
}

/// A JSON object with its entries in the order of the file.
#[derive(Debug)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

/// The images of a benchmark, each once, by id.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) entries: Vec<ImageEntry>,
    rows: HashMap<Id, usize>,
}

impl Images {
    /// The row of an image, which is added if it is new.
    pub(crate) fn add(&mut self, id: Id, path: impl FnOnce() -> PathBuf) -> usize {
        self.add_cropped(id, path, None)
    }

    /// The row of a part of an image, which is added if it is new.
    pub(crate) fn add_cropped(&mut self, id: Id, path: impl FnOnce() -> PathBuf, crop: Option<Crop>) -> usize {
        let next = self.entries.len();
        let entries = &mut self.entries;
        *self.rows.entry(id).or_insert_with_key(|id| {
            entries.push(ImageEntry {
                id: id.clone(),
                path: path(),
                crop,
            });
            next
        })
    }

    /// The row of an image that was added.
    pub(crate) fn row(&self, id: &Id) -> Option<usize> {
        self.rows.get(id).copied()
    }
}

/// An image under one of `folders`, with one of `names`; the first combination if none is there, so that errors name it.
pub(crate) fn locate(folders: &[PathBuf], names: &[String]) -> PathBuf {
    let all = || {
        folders
            .iter()
            .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
    };
    all()
        .find(|path| path.exists())
        .or_else(|| all().next())
        .unwrap_or_default()
}

/// The folders of `names` under the data folder that are there; the first if none is, so that errors name it.
pub(crate) fn folders(data: &Path, names: &[&str]) -> Vec<PathBuf> {
    let there: Vec<PathBuf> = names
        .iter()
        .map(|name| data.join(name))
        .filter(|path| path.is_dir())
        .collect();
    if there.is_empty() {
        names.first().map(|name| data.join(name)).into_iter().collect()
    } else {
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_hold_spaces_and_bad_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        fs_err::write(&path, "a b/c d.png 3 \n\nx.jpg 12\n").unwrap();
        let found = read_labeled_paths(&path).unwrap();
        assert_eq!(found, [("a b/c d.png".to_owned(), 3), ("x.jpg".to_owned(), 12)]);
        for (text, part) in [
            ("a.png\n", "line 1 has no label"),
            ("a.png 1\nb.png x\n", "line 2: `x`"),
        ] {
            fs_err::write(&path, text).unwrap();
            let error = read_labeled_paths(&path).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("list.txt"), "{error}");
        }
    }

    #[test]
    fn objects_keep_their_order() {
        let Entries(found) = serde_json::from_str::<Entries<u32>>(r#"{"z": 1, "a": 2, "m": 3}"#).unwrap();
        assert_eq!(
            found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(),
            ["z", "a", "m"]
        );
    }

    #[test]
    fn an_image_has_one_row() {
        let mut images = Images::default();
        assert_eq!(images.add(Id::from(5), || "five".into()), 0);
        assert_eq!(images.add(Id::from(7), || "seven".into()), 1);
        assert_eq!(images.add(Id::from(5), || "other".into()), 0);
        assert_eq!((images.row(&Id::from(7)), images.row(&Id::from(9))), (Some(1), None));
        assert_eq!(images.entries[0].path, Path::new("five"));
    }
}
