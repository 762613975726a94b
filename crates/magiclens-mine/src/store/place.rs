//! The promises of a place of named files, whoever keeps it, and a file of it on this machine's disk.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use tempfile::NamedTempFile;

use super::scratch::Scratch;

/// A place of named files; the caller has checked the names.
pub(super) trait Place: fmt::Debug + Send + Sync {
    /// The address that opens it from anywhere.
    fn address(&self) -> String;
    /// The folder, if it is one of this machine's disks.
    fn folder(&self) -> Option<&Path>;
    /// The temporary files of what is being written to it.
    fn scratch(&self) -> &Scratch;
    fn exists(&self, name: &str) -> Result<bool>;
    /// The names of the files directly in a folder, without the folder, in any order.
    fn list(&self, folder: &str) -> Result<Vec<String>>;
    fn read(&self, name: &str) -> Result<Vec<u8>>;
    fn local(&self, name: &str) -> Result<LocalFile>;
    fn publish(&self, name: &str, temporary: NamedTempFile) -> Result<()>;
    /// Publishes unless the name is taken; false if it is.
    fn publish_new(&self, name: &str, temporary: NamedTempFile) -> Result<bool>;
    fn remove(&self, name: &str) -> Result<()>;
}

/// A file on this machine's disk, for reading. A copy of a remote file is removed when this is dropped.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    _copy: Option<NamedTempFile>,
}

impl LocalFile {
    /// The place on the disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn in_place(path: PathBuf) -> Result<Self> {
        ensure!(path.try_exists()?, missing(path.display()));
        Ok(Self { path, _copy: None })
    }

    /// A copy that `fill` writes.
    pub(super) fn copied(scratch: &Scratch, fill: impl FnOnce(File) -> Result<()>) -> Result<Self> {
        let copy = scratch.create()?;
        fill(copy.as_file().try_clone()?)?;
        Ok(Self {
            path: copy.path().to_owned(),
            _copy: Some(copy),
        })
    }
}

/// The error of a path or address where nothing is.
pub(super) fn missing(object: impl fmt::Display) -> anyhow::Error {
    anyhow!("`{object}` does not exist\nhint: check its name, and whether what writes it has run")
}

/// The error of an address that leads nowhere.
pub(super) fn no_place(address: &str, reason: impl fmt::Display) -> anyhow::Error {
    anyhow!(
        "`{address}` is no place that can be opened: {reason}\nhint: give a folder, `s3://BUCKET/PREFIX`, \
         `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`"
    )
}

/// The error of a name that would leave the place, or that some places cannot hold.
pub(super) fn bad_name(name: &str) -> anyhow::Error {
    anyhow!(
        "`{name}` cannot be the name of a file in a run\nhint: names are relative, with `/` between their parts, without `..`"
    )
}
