//! Keeps raw replies by the content of their requests, so that a rerun pays nothing.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A folder of replies, one file each: `ab/cdef....json`, named by the hash of prompt version and request. Any number of
/// processes may share it: files are written aside and renamed, and two that answer the same request write the same name.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// The name of a reply: the same for the same prompt version, model, messages and parameters, wherever it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

/// The layout of the files; another number is not read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    key: String,
    model: String,
    prompt: String,
    /// Hash of `reply`, so that a damaged file is noticed.
    hash: String,
    reply: String,
}

impl Key {
    pub(super) fn new(prompt_version: &str, request_body: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(prompt_version.as_bytes());
        hasher.update(b"\0");
        hasher.update(request_body.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The same for the same request: what makes pauses differ from each other, and not from run to run.
    pub(super) fn seed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Cache {
    /// A cache in this folder, which is made when the first reply is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The kept reply. Files that are damaged, cut off or too large count as missing: their request is sent again.
    pub(super) fn get(&self, key: &Key, max_reply_bytes: usize) -> Option<String> {
        let path = self.path(key);
        match read(&path, key, max_reply_bytes) {
            Ok(reply) => Some(reply),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("a kept reply is asked for anew: `{}`: {error}", path.display());
                None
            }
        }
    }

    /// Keeps a reply; an older one under the same key is replaced.
    pub(super) fn put(&self, key: &Key, model: &str, prompt_version: &str, reply: &str) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.folder);
        let entry = Entry {
            format: FORMAT,
            key: key.hex(),
            model: model.to_owned(),
            prompt: prompt_version.to_owned(),
            hash: blake3::hash(reply.as_bytes()).to_hex().to_string(),
            reply: reply.to_owned(),
        };
        fs_err::create_dir_all(folder)?;
        let at = |error| io::Error::other(format!("`{}`: {error}", path.display()));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(at)?;
        serde_json::to_writer(&mut file, &entry)?;
        file.write_all(b"\n").map_err(at)?;
        // Not synced: a file that a power cut empties is noticed by its hash and asked for again.
        file.persist(&path).map_err(|error| at(error.error))?;
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        let hex = key.hex();
        let (first, rest) = hex.split_at(2);
        self.folder.join(first).join(format!("{rest}.json"))
    }
}

fn read(path: &Path, key: &Key, max_reply_bytes: usize) -> io::Result<String> {
    // Escapes make a string of JSON up to six times as long.
    let max_bytes = (max_reply_bytes as u64).saturating_mul(6).saturating_add(1 << 16);
    let mut text = String::new();
    fs_err::File::open(path)?.take(max_bytes).read_to_string(&mut text)?;
    let entry: Entry = serde_json::from_str(&text)?;
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    if entry.format != FORMAT || entry.key != key.hex() {
        return wrong("it holds something else");
    }
    if entry.hash != blake3::hash(entry.reply.as_bytes()).to_hex().as_str() {
        return wrong("it is damaged");
    }
    Ok(entry.reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    #[test]
    fn replies_are_kept_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"));
        let key = Key::new("instruct/1", "{}");
        assert_eq!(cache.get(&key, MAX), None);
        cache.put(&key, "m", "instruct/1", "said \"so\"\n").unwrap();
        assert_eq!(cache.get(&key, MAX).as_deref(), Some("said \"so\"\n"));
        for other in [
            Key::new("instruct/2", "{}"),
            Key::new("instruct/1", "{ }"),
            Key::new("instruct/", "1{}"),
        ] {
            assert_eq!(cache.get(&other, MAX), None);
        }
        let hex = key.hex();
        let path = folder
            .path()
            .join("cache")
            .join(&hex[..2])
            .join(format!("{}.json", &hex[2..]));
        assert!(path.is_file());
        cache.put(&key, "m", "instruct/1", "said anew").unwrap();
        assert_eq!(cache.get(&key, MAX).as_deref(), Some("said anew"));
        let files = walkdir::WalkDir::new(folder.path())
            .into_iter()
            .filter(|entry| entry.as_ref().unwrap().file_type().is_file());
        assert_eq!(files.count(), 1, "nothing is left aside");
    }

    #[test]
    fn damaged_files_count_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let key = Key::new("instruct/1", "{}");
        cache.put(&key, "m", "instruct/1", "the answer is here").unwrap();
        let path = cache.path(&key);
        let whole = fs_err::read(&path).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        for damaged in [
            Vec::new(),
            whole[..whole.len() / 2].to_vec(),
            text.replace("answer", "ANSWER").into_bytes(),
            text.replace("\"format\":1", "\"format\":2").into_bytes(),
            vec![0xFF; 100],
        ] {
            fs_err::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&key, MAX), None);
        }
        fs_err::write(&path, &whole).unwrap();
        let other = Key::new("instruct/1", "another");
        fs_err::create_dir_all(cache.path(&other).parent().unwrap()).unwrap();
        fs_err::copy(&path, cache.path(&other)).unwrap();
        assert_eq!(cache.get(&other, MAX), None, "a file under another name");
        assert!(cache.get(&key, MAX).is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("cache");
        fs_err::write(&in_the_way, "a file").unwrap();
        let error = Cache::new(&in_the_way)
            .put(&Key::new("a", "b"), "m", "a", "r")
            .unwrap_err();
        assert!(error.to_string().contains("cache"), "{error}");
    }
}
