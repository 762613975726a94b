//! A folder of this machine's disks as a place: a rename publishes.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use tempfile::{NamedTempFile, PersistError};

use super::place::{LocalFile, Place, missing};
use super::scratch::{self, Scratch};

/// The folder of a run that holds what is being written.
pub(super) const TEMPORARY: &str = "tmp";

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    scratch: Scratch,
}

impl Folder {
    /// Opens a folder, which is made if need be.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let root = std::path::absolute(path)?;
        fs_err::create_dir_all(&root)?;
        let scratch = Scratch::new(root.join(TEMPORARY));
        Ok(Self { root, scratch })
    }

    /// Moves a finished file to its place by `persist` and waits until the disk has it; the inner error is that of the move.
    fn persist<E>(
        &self,
        name: &str,
        temporary: NamedTempFile,
        persist: impl FnOnce(NamedTempFile, &Path) -> std::result::Result<E, PersistError>,
    ) -> Result<io::Result<()>> {
        temporary.as_file().sync_all()?;
        let path = self.root.join(name);
        let parent = make_parent(&self.root, &path)?;
        Ok(match persist(temporary, &path) {
            Ok(_) => Ok(sync_folder(parent)?),
            Err(PersistError { error, .. }) => Err(error),
        })
    }

    fn not_published(&self, name: &str, error: io::Error) -> anyhow::Error {
        let path = self.root.join(name);
        anyhow!(
            "`{}` cannot be published: {error}\nhint: check that the folder is writable and its disk has space",
            path.display()
        )
    }
}

impl Place for Folder {
    fn address(&self) -> String {
        self.root.display().to_string()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.root)
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.root.join(name).try_exists()?)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let entries = match fs_err::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // The names of a run are UTF-8; what else lies there is not the run's.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if entry.file_type()?.is_file() && !scratch::is_temporary(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.root.join(name);
        fs_err::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(path.display()),
            _ => error.into(),
        })
    }

    fn local(&self, name: &str) -> Result<LocalFile> {
        LocalFile::in_place(self.root.join(name))
    }

    fn publish(&self, name: &str, temporary: NamedTempFile) -> Result<()> {
        let published = self.persist(name, temporary, |file, path| file.persist(path))?;
        published.map_err(|error| self.not_published(name, error))
    }

    fn publish_new(&self, name: &str, temporary: NamedTempFile) -> Result<bool> {
        match self.persist(name, temporary, |file, path| file.persist_noclobber(path))? {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.not_published(name, error)),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs_err::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The folder of `path`, made if need be, so that it too outlives a loss of power.
fn make_parent<'a>(root: &Path, path: &'a Path) -> Result<&'a Path> {
    let parent = path.parent().unwrap_or(path);
    if !parent.try_exists()? {
        fs_err::create_dir_all(parent)?;
        for folder in parent.ancestors().skip(1) {
            sync_folder(folder)?;
            if folder == root {
                break;
            }
        }
    }
    Ok(parent)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}
