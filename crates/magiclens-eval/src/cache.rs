//! Embeddings that were computed once, kept by content and model: a second run computes metrics only.
//!
//! One SQLite file for each model. Vectors are keyed by the things that they are made of (content of the image, its part, the
//! text, the way of combining them), so that renamed and repeated images cost nothing. Files are known by path, size and time of change,
//! so that a second run does not read 123,403 images to hash them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use magiclens_data::{DigestBuilder, ImageId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::EvalError;
use crate::benchmark::Crop;

/// Version of the tables, the keys and the pixels behind them: another one is another file.
const FORMAT: u32 = 2;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        content BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) STRICT;
";

/// The name of a vector: a hash of the things that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// The key of these parts; no two lists of parts have one.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut digest = DigestBuilder::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes()).update(part);
        }
        let bytes = digest.finish().to_bytes();
        Self(std::array::from_fn(|at| bytes[at]))
    }

    /// The key of an image, or a part of it, itself.
    pub(crate) fn of_image(content: ImageId, crop: Option<Crop>) -> Self {
        match crop {
            None => Self::of(&[b"picture", &content.to_bytes()]),
            Some(crop) => {
                let numbers = [crop.left, crop.top, crop.width, crop.height].map(f64::to_le_bytes);
                Self::of(&[b"part", &content.to_bytes(), numbers.as_flattened()])
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The cache of one model.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// Size and time of change of a file when its content was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    size: i64,
    mtime_ns: i64,
}

impl FileState {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        let mtime = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            mtime_ns: mtime.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)),
        }
    }
}

impl Cache {
    /// Opens the cache of a model in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be written, or holds something else under that name.
    pub fn open(folder: &Path, model_id: &str) -> Result<Self, EvalError> {
        fs_err::create_dir_all(folder)?;
        let path = folder.join(format!("{}-{FORMAT}.sqlite", &model_id[..model_id.len().min(32)]));
        let open = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(Duration::from_secs(30))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(TABLES)?;
            Ok(connection)
        };
        match open() {
            Ok(connection) => Ok(Self {
                connection: Mutex::new(connection),
                path,
            }),
            Err(reason) => Err(EvalError::Cache { path, reason }),
        }
    }

    /// The folder that it lies in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The content of a file that has not changed since it was hashed.
    pub(crate) fn content(&self, path: &Path, state: FileState) -> Result<Option<ImageId>, EvalError> {
        let found: Option<Vec<u8>> = self.run(|connection| {
            connection
                .prepare_cached("SELECT content FROM files WHERE path = ?1 AND size = ?2 AND mtime_ns = ?3")?
                .query_row(params![path_bytes(path), state.size, state.mtime_ns], |row| row.get(0))
                .optional()
        })?;
        Ok(found.and_then(|bytes| bytes.try_into().ok()).map(ImageId::from_bytes))
    }

    /// Keeps vectors, and the contents of the files that they came from, in one commit.
    pub(crate) fn put(
        &self,
        vectors: &[(Key, &[f32])],
        files: &[(&Path, FileState, ImageId)],
    ) -> Result<(), EvalError> {
        self.run(|connection| {
            let transaction = connection.unchecked_transaction()?;
            {
                let mut file = transaction.prepare_cached("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4)")?;
                for (path, state, content) in files {
                    file.execute(params![
                        path_bytes(path),
                        state.size,
                        state.mtime_ns,
                        content.to_bytes()
                    ])?;
                }
                let mut vector = transaction.prepare_cached("INSERT OR REPLACE INTO vectors VALUES (?1, ?2)")?;
                for (key, values) in vectors {
                    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    vector.execute(params![key.0, bytes])?;
                }
            }
            transaction.commit()
        })
    }

    /// The vectors of these keys, `None` where there is none of `dim` numbers.
    pub(crate) fn get(&self, keys: &[Key], dim: usize) -> Result<Vec<Option<Vec<f32>>>, EvalError> {
        self.run(|connection| {
            let mut select = connection.prepare_cached("SELECT vector FROM vectors WHERE key = ?1")?;
            keys.iter()
                .map(|key| {
                    let bytes: Option<Vec<u8>> = select.query_row([key.0], |row| row.get(0)).optional()?;
                    let values = bytes.map(|bytes| {
                        let (numbers, _) = bytes.as_chunks::<4>();
                        numbers.iter().copied().map(f32::from_le_bytes).collect::<Vec<f32>>()
                    });
                    Ok(values.filter(|values| values.len() == dim))
                })
                .collect()
        })
    }

    /// Whether a key has a vector.
    pub(crate) fn has(&self, key: Key) -> Result<bool, EvalError> {
        self.run(|connection| {
            let mut select = connection.prepare_cached("SELECT 1 FROM vectors WHERE key = ?1")?;
            select.exists([key.0])
        })
    }

    /// The vectors of these keys; those that are missing are computed, a few hundred at a time, and kept.
    ///
    /// # Errors
    /// Those of `compute`, which has to give a vector of `dim` numbers for each place it is asked for.
    pub(crate) fn get_or(
        &self,
        keys: &[Key],
        dim: usize,
        mut compute: impl FnMut(&[usize]) -> Result<Vec<Vec<f32>>, EvalError>,
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        let found = self.get(keys, dim)?;
        // A key that stands twice is computed once, for its first place.
        let mut seen = HashSet::new();
        let is_new = |at: &usize| found[*at].is_none() && seen.insert(keys[*at]);
        let missing: Vec<usize> = (0..keys.len()).filter(is_new).collect();
        let mut computed: HashMap<Key, Vec<f32>> = HashMap::with_capacity(missing.len());
        for places in missing.chunks(512) {
            let vectors = compute(places)?;
            if vectors.len() != places.len() || vectors.iter().any(|vector| vector.len() != dim) {
                return Err(EvalError::Vectors {
                    wanted: places.len(),
                    found: vectors.len(),
                    dim,
                });
            }
            let keyed = places.iter().map(|at| keys[*at]);
            let rows: Vec<(Key, &[f32])> = keyed.clone().zip(vectors.iter().map(Vec::as_slice)).collect();
            self.put(&rows, &[])?;
            computed.extend(keyed.zip(vectors));
        }
        let both = keys.iter().zip(found);
        Ok(both
            .map(|(key, vector)| vector.unwrap_or_else(|| computed[key].clone()))
            .collect())
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, EvalError> {
        work(&self.lock()).map_err(|reason| EvalError::Cache {
            path: self.path.clone(),
            reason,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_bytes(path: &Path) -> Vec<u8> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.as_os_str().as_encoded_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_keys_do_not_run_together() {
        assert_ne!(Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
        assert_ne!(Key::of(&[b"abc"]), Key::of(&[b"abc", b""]));
        let content = ImageId::of_bytes(b"x");
        let crop = |left| {
            Some(Crop {
                left,
                top: 0.0,
                width: 1.0,
                height: 1.0,
            })
        };
        assert_ne!(Key::of_image(content, crop(1.0)), Key::of_image(content, crop(2.0)));
        assert_ne!(Key::of_image(content, None), Key::of_image(content, crop(1.0)));
    }

    #[test]
    fn what_is_there_is_not_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<Key> = [&b"a"[..], b"b", b"a"].iter().map(|part| Key::of(&[part])).collect();
        let mut asked = Vec::new();
        for expected in [vec![0, 1], vec![0, 1]] {
            let cache = Cache::open(folder.path(), "model").unwrap();
            let found = cache.get_or(&keys, 2, |rows| {
                asked.extend_from_slice(rows);
                Ok(rows.iter().map(|row| vec![*row as f32, 1.0]).collect())
            });
            assert_eq!(found.unwrap(), [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]]);
            assert_eq!(asked, expected);
        }
        let other = Cache::open(folder.path(), "other").unwrap();
        assert!(keys.iter().all(|key| !other.has(*key).unwrap()));
        let cache = Cache::open(folder.path(), "model").unwrap();
        assert_eq!(cache.get(&keys[..1], 3).unwrap(), [None], "another width is no answer");
    }

    #[test]
    fn a_vector_that_was_not_computed_is_an_error_and_never_an_empty_vector() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), "model").unwrap();
        let keys: Vec<Key> = [b"a", b"b"].iter().map(|part| Key::of(&[*part])).collect();
        for made in [
            vec![vec![1.0, 2.0]],
            vec![vec![1.0, 2.0], vec![3.0]],
            vec![vec![1.0; 2]; 3],
        ] {
            let found = cache.get_or(&keys, 2, |_| Ok(made.clone()));
            let error = found.unwrap_err().to_string();
            assert!(error.contains("2 vectors of 2 numbers"), "{error}");
        }
        let is_kept = |key: &Key| cache.has(*key).unwrap();
        assert!(!keys.iter().any(is_kept), "nothing wrong is kept");
    }

    #[test]
    fn a_changed_file_is_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), "model").unwrap();
        let path = folder.path().join("p");
        let state = FileState { size: 3, mtime_ns: 9 };
        let content = ImageId::of_bytes(b"abc");
        cache.put(&[], &[(&path, state, content)]).unwrap();
        assert_eq!(cache.content(&path, state).unwrap(), Some(content));
        assert_eq!(cache.content(&path, FileState { size: 4, ..state }).unwrap(), None);
        assert_eq!(cache.content(&path, FileState { mtime_ns: 8, ..state }).unwrap(), None);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(
            folder.path().join(format!("model-{FORMAT}.sqlite")),
            "this is no database, but it is long enough",
        )
        .unwrap();
        let error = Cache::open(folder.path(), "model").unwrap_err().to_string();
        let name = format!("model-{FORMAT}.sqlite");
        assert!(error.contains(&name) && error.contains("--cache"), "{error}");
    }
}
