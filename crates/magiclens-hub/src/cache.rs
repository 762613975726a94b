//! The hub's cache on disk, in the layout of its Python client, so that both use the same files.
//!
//! ```text
//! models--OWNER--NAME/blobs/ETAG                   contents
//!                    /refs/main                    the commit of a branch or tag
//!                    /snapshots/COMMIT/config.json links to blobs
//! .locks/models--OWNER--NAME/ETAG.lock             held while a blob is fetched
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::File;

use crate::error::HubError;
use crate::layout::model_files;
use crate::name::{HubName, is_commit};

/// A cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A model of the hub on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The repository, with the commit as its revision.
    pub name: HubName,
    /// Folder with the model's files.
    pub folder: PathBuf,
    /// License as the README states it.
    pub license: Option<String>,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Cache {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.root.join(format!("models--{}", repository.replace('/', "--")))
    }

    fn snapshots(&self, repository: &str) -> PathBuf {
        self.repository(repository).join("snapshots")
    }

    fn reference(&self, repository: &str, revision: &str) -> PathBuf {
        self.repository(repository).join("refs").join(revision)
    }

    /// The model at a revision, if all of it is here.
    pub(crate) fn find(&self, name: &HubName) -> Option<Snapshot> {
        let commit = match is_commit(name.revision()) {
            true => name.revision().to_owned(),
            false => self.commit_of(name)?,
        };
        self.snapshot(&name.at(&commit))
    }

    fn commit_of(&self, name: &HubName) -> Option<String> {
        let path = self.reference(&name.repository, name.revision());
        let commit = fs::read_to_string(path).ok()?.trim().to_owned();
        is_commit(&commit).then_some(commit)
    }

    fn snapshot(&self, name: &HubName) -> Option<Snapshot> {
        let folder = self.snapshots(&name.repository).join(name.revision());
        let names = names(&folder);
        let listing: Vec<&str> = names.iter().map(String::as_str).collect();
        let files = model_files(&listing)?;
        // A link whose blob is gone has no size.
        let sizes = files
            .iter()
            .map(|file| Some(fs::metadata(folder.join(file)).ok()?.len()));
        let readme = fs::read_to_string(folder.join("README.md")).ok();
        Some(Snapshot {
            name: name.clone(),
            bytes: sizes.sum::<Option<u64>>()?,
            license: readme.and_then(|text| stated_license(&text)),
            folder,
        })
    }

    /// Every model that is here whole, by name.
    pub(crate) fn all(&self) -> Vec<Snapshot> {
        let mut found = Vec::new();
        for folder in names(&self.root) {
            let Some(repository) = folder.strip_prefix("models--").map(|id| id.replacen("--", "/", 1)) else {
                continue;
            };
            for commit in names(&self.snapshots(&repository)) {
                let revision = Some(commit);
                found.extend(self.snapshot(&HubName {
                    repository: repository.clone(),
                    revision,
                }));
            }
        }
        found
    }

    /// Removes a model: one revision if the name has one, else all. Returns the bytes that this freed.
    pub(crate) fn remove(&self, name: &HubName) -> Result<u64, HubError> {
        let folder = self.repository(&name.repository);
        let before = blob_bytes(&folder);
        let not_here = || HubError::NotHere(name.to_string());
        match &name.revision {
            None if folder.is_dir() => fs::remove_dir_all(&folder)?,
            None => return Err(not_here()),
            Some(_) => {
                let commit = self.find(name).ok_or_else(not_here)?.name;
                self.remove_commit(&commit)?;
            }
        }
        Ok(before - blob_bytes(&folder).min(before))
    }

    /// Removes a commit, the references to it, and the blobs that no other commit needs.
    fn remove_commit(&self, name: &HubName) -> io::Result<()> {
        let (folder, snapshots) = (self.repository(&name.repository), self.snapshots(&name.repository));
        fs::remove_dir_all(snapshots.join(name.revision()))?;
        let references = folder.join("refs");
        for reference in names(&references) {
            let path = references.join(reference);
            if fs::read_to_string(&path).is_ok_and(|commit| commit.trim() == name.revision()) {
                fs::remove_file(path)?;
            }
        }
        let commits = names(&snapshots).into_iter().map(|commit| snapshots.join(commit));
        let links = commits.flat_map(|commit| names(&commit).into_iter().map(move |file| commit.join(file)));
        let needed: BTreeSet<_> = links
            .filter_map(|link| Some(fs::read_link(link).ok()?.file_name()?.to_owned()))
            .collect();
        let blobs = folder.join("blobs");
        for blob in names(&blobs) {
            if !needed.contains(OsStr::new(&blob)) {
                fs::remove_file(blobs.join(blob))?;
            }
        }
        Ok(())
    }
}

/// Filling the cache.
#[cfg(any(feature = "download", test))]
impl Cache {
    /// Place of a content.
    pub(crate) fn blob(&self, repository: &str, etag: &str) -> PathBuf {
        self.repository(repository).join("blobs").join(etag)
    }

    /// Place of a file of a commit.
    pub(crate) fn file(&self, repository: &str, commit: &str, file: &str) -> PathBuf {
        self.snapshots(repository).join(commit).join(file)
    }

    /// Waits until no other process fetches this content. The lock goes with the file, however the process ends.
    pub(crate) fn lock(&self, repository: &str, etag: &str, wait: impl FnOnce()) -> io::Result<File> {
        let name = self.repository(repository);
        let folder = self.root.join(".locks").join(name.file_name().unwrap_or_default());
        lock(&folder.join(format!("{etag}.lock")), wait)
    }

    /// Records the commit that a branch or tag stands for.
    pub(crate) fn set_reference(&self, name: &HubName, commit: &str) -> io::Result<()> {
        if is_commit(name.revision()) {
            return Ok(());
        }
        let path = self.reference(&name.repository, name.revision());
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        magiclens_data::files::write_atomic_bytes(path, commit)
    }

    /// Puts a blob into a commit's folder, as a link where the system has links.
    pub(crate) fn link(&self, repository: &str, commit: &str, file: &str, etag: &str) -> io::Result<()> {
        let place = self.file(repository, commit, file);
        fs::create_dir_all(place.parent().unwrap_or(&self.root))?;
        match link(
            &Path::new("../../blobs").join(etag),
            &self.blob(repository, etag),
            &place,
        ) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
}

/// Locks a file, which is made for that; `wait` is called where another process holds it.
pub(crate) fn lock(path: &Path, wait: impl FnOnce()) -> io::Result<File> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    if file.try_lock().is_err() {
        wait();
        file.lock()?;
    }
    Ok(file)
}

#[cfg(all(unix, any(feature = "download", test)))]
fn link(relative: &Path, _blob: &Path, place: &Path) -> io::Result<()> {
    fs_err::os::unix::fs::symlink(relative, place)
}

#[cfg(all(not(unix), any(feature = "download", test)))]
fn link(_relative: &Path, blob: &Path, place: &Path) -> io::Result<()> {
    fs::copy(blob, place).map(drop)
}

/// Names in a folder, sorted; none if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn blob_bytes(repository: &Path) -> u64 {
    let blobs = repository.join("blobs");
    let sizes = names(&blobs)
        .into_iter()
        .filter_map(|blob| Some(fs::metadata(blobs.join(blob)).ok()?.len()));
    sizes.sum()
}

/// `license` in the front matter of a README, or `license_name` where that says "other".
fn stated_license(readme: &str) -> Option<String> {
    let front = readme.strip_prefix("---")?.split("\n---").next()?;
    let field = |name: &str| {
        let value = front
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    field("license").map(|license| match license.as_str() {
        "other" => field("license_name").unwrap_or(license),
        _ => license,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "f123456789abcdef0123456789abcdef01234567";

    fn name(revision: Option<&str>) -> HubName {
        HubName {
            repository: "some/model".into(),
            revision: revision.map(str::to_owned),
        }
    }

    fn add(cache: &Cache, commit: &str, files: &[(&str, &str)]) {
        for (file, content) in files {
            let etag = format!("etag-{content}");
            let blob = cache.blob("some/model", &etag);
            fs::create_dir_all(blob.parent().unwrap()).unwrap();
            fs::write(blob, content).unwrap();
            cache.link("some/model", commit, file, &etag).unwrap();
        }
    }

    #[test]
    fn a_model_is_found_by_branch_and_by_commit_when_all_of_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.find(&name(None)), None);
        cache.set_reference(&name(None), COMMIT).unwrap();
        add(
            &cache,
            COMMIT,
            &[("config.json", "{}"), ("README.md", "---\nlicense: mit\n---\n")],
        );
        assert_eq!(cache.find(&name(None)), None, "the weights are missing");
        add(&cache, COMMIT, &[("model.safetensors", "weights")]);
        let found = cache.find(&name(None)).unwrap();
        assert_eq!(found.name, name(Some(COMMIT)));
        assert_eq!((found.license.as_deref(), found.bytes), (Some("mit"), 2 + 21 + 7));
        assert_eq!(cache.find(&name(Some(COMMIT))), Some(found.clone()));
        assert_eq!(cache.all(), [found]);
        fs::remove_file(cache.blob("some/model", "etag-weights")).unwrap();
        assert_eq!(cache.find(&name(None)), None, "the link leads nowhere");
    }

    #[test]
    fn removing_a_revision_keeps_the_blobs_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.set_reference(&name(None), COMMIT).unwrap();
        add(
            &cache,
            COMMIT,
            &[("config.json", "{}"), ("model.safetensors", "weights")],
        );
        add(&cache, OTHER, &[("config.json", "{}"), ("model.safetensors", "others")]);
        assert_eq!(cache.remove(&name(Some("main"))).unwrap(), 7);
        assert_eq!(cache.find(&name(Some(COMMIT))), None);
        assert!(cache.find(&name(Some(OTHER))).is_some());
        assert!(matches!(cache.remove(&name(Some(COMMIT))), Err(HubError::NotHere(_))));
        assert_eq!(cache.remove(&name(None)).unwrap(), 8);
        assert!(matches!(cache.remove(&name(None)), Err(HubError::NotHere(_))));
    }

    #[test]
    fn licenses_are_read_from_the_front_matter() {
        for (readme, expected) in [
            ("---\nlicense: mit\ntags:\n- x\n---\n# A", Some("mit")),
            ("---\nlicense: other\nlicense_name: \"flair\"\n---\n", Some("flair")),
            ("---\nlicense: other\n---\n", Some("other")),
            ("---\ntags: []\n---\nlicense: no\n", None),
            ("# A\nlicense: no\n", None),
        ] {
            assert_eq!(stated_license(readme).as_deref(), expected, "{readme}");
        }
    }
}
