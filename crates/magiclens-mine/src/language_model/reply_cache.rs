//! Keeps raw replies by the content of their requests, so that a rerun pays nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use magiclens_data::files::{read_capped, write_atomic};
use magiclens_data::{Digest, DigestBuilder};
use serde::{Deserialize, Serialize};

/// A folder of replies, one file each: `ab/cdef....json`, named by the hash of prompt version and request. Any number of
/// processes may share it: files are written aside and renamed, and two that answer the same request write the same name.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// The name of a reply: the same for the same prompt version, model, messages and parameters, wherever it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Digest);

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
        let mut digest = DigestBuilder::new();
        digest.update(prompt_version).update(b"\0").update(request_body);
        Self(digest.finish())
    }

    /// A number of the request: pauses differ from each other, and not from run to run.
    pub(super) fn seed(&self) -> u64 {
        self.0.seed()
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
        if !path.exists() {
            return None;
        }
        let reply = read(&path, key, max_reply_bytes);
        reply
            .inspect_err(|error| tracing::warn!("a kept reply is asked for anew: `{}`: {error}", path.display()))
            .ok()
    }

    /// Keeps a reply; an older one under the same key is replaced.
    pub(super) fn put(&self, key: &Key, model: &str, prompt_version: &str, reply: &str) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.folder);
        let entry = Entry {
            format: FORMAT,
            key: key.0.to_string(),
            model: model.to_owned(),
            prompt: prompt_version.to_owned(),
            hash: Digest::of(reply).to_string(),
            reply: reply.to_owned(),
        };
        fs_err::create_dir_all(folder)?;
        write_atomic(&path, |writer| {
            serde_json::to_writer(&mut *writer, &entry)?;
            writer.write_all(b"\n")
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        let hex = key.0.to_string();
        let (first, rest) = hex.split_at(2);
        self.folder.join(first).join(format!("{rest}.json"))
    }
}

fn read(path: &Path, key: &Key, max_reply_bytes: usize) -> anyhow::Result<String> {
    // Escapes make a string of JSON up to six times as long.
    let max_bytes = (max_reply_bytes as u64).saturating_mul(6).saturating_add(1 << 16);
    let entry: Entry = serde_json::from_slice(&read_capped(path, max_bytes)?)?;
    ensure!(
        entry.format == FORMAT && entry.key == key.0.to_string(),
        "it holds something else"
    );
    ensure!(entry.hash == Digest::of(&entry.reply).to_string(), "it is damaged");
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
        let hex = key.0.to_string();
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
