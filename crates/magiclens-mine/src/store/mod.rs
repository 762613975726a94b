//! The place where a run lives: a folder, or a prefix in an object store. Files appear in it whole or not at all.
//!
//! Every write goes to a temporary file first: beside the run for a folder (`tmp/`, so that a rename publishes it), in the
//! machine's own temporary folder for an object store (an upload publishes it). A process that is killed at any moment
//! leaves at most such a temporary file, which no [`Store::list`] shows and which [`Store::clean`] removes.

#[cfg(feature = "object-store")]
mod bucket;
mod folder;
mod place;
#[cfg(feature = "object-store")]
mod provider;
mod scratch;
#[cfg(feature = "object-store")]
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::NamedTempFile;

use self::folder::Folder;
pub use self::place::LocalFile;
use self::place::{Place, bad_name, no_place};

/// A place of named files. Names are relative and use `/`: `pages/00003.parquet`. Clones share the place.
#[derive(Clone, Debug)]
pub struct Store {
    place: Arc<dyn Place>,
}

/// A file that is being written; dropping it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    store: Store,
    name: String,
    temporary: NamedTempFile,
}

impl Store {
    /// Opens a folder, which is made if need be, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`,
    /// `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`, `file:///PATH`.
    ///
    /// Credentials and endpoints come from the variables that the provider's own tools use (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    ///
    /// # Errors
    /// If the address is malformed, or the folder or bucket cannot be used.
    pub fn open(address: &str) -> Result<Self> {
        Self::open_with(address, &[])
    }

    /// Like [`Store::open`]; `settings` are variables that count more than those of the environment.
    fn open_with(address: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let place: Arc<dyn Place> = match parse_address(address)? {
            Address::Path(path) => Arc::new(Folder::open(&path)?),
            Address::Url(url) => remote::open(&url, settings)?,
        };
        Ok(Self { place })
    }

    /// The address that opens it from anywhere; a folder's is absolute.
    pub fn address(&self) -> String {
        self.place.address()
    }

    /// The folder, if it is one of this machine's disks.
    pub fn folder(&self) -> Option<&Path> {
        self.place.folder()
    }

    /// Whether a file of that name is published.
    ///
    /// # Errors
    /// If the name is malformed or the store does not answer.
    pub fn exists(&self, name: &str) -> Result<bool> {
        check_name(name)?;
        self.place.exists(name)
    }

    /// The names of the files that lie directly in a folder (`""`: in the place itself), sorted. No such folder: none.
    ///
    /// # Errors
    /// If the name is malformed or the store does not answer.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        #[cfg(test)]
        tests::LISTS.with(|lists| lists.set(lists.get() + 1));
        let mut names = match folder {
            "" => self.place.list(folder)?,
            _ => {
                check_name(folder)?;
                let names = self.place.list(folder)?.into_iter();
                names.map(|name| format!("{folder}/{name}")).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    /// A whole file; for small ones.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        check_name(name)?;
        self.place.read(name)
    }

    /// A file of this machine's disk with the same content: the file itself, or a copy of a remote one.
    ///
    /// # Errors
    /// If there is none, or it cannot be had.
    pub fn local(&self, name: &str) -> Result<LocalFile> {
        check_name(name)?;
        self.place.local(name)
    }

    /// Starts a file of that name, which appears when it is published.
    ///
    /// # Errors
    /// If the name is malformed or no temporary file can be made.
    pub fn create(&self, name: &str) -> Result<NewFile> {
        check_name(name)?;
        Ok(NewFile {
            store: self.clone(),
            name: name.to_owned(),
            temporary: self.place.scratch().create()?,
        })
    }

    /// Publishes a small file; one of that name is replaced.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        file.publish()
    }

    /// Publishes a small file unless there is one of that name: of all who try, over all machines, one gets `true`.
    ///
    /// `false` means that the name is taken, perhaps by this very call, when an answer of the object store was lost and
    /// the request was repeated: compare with what is there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create_exclusive(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let mut file = self.create(name)?;
        file.write_all(bytes)?;
        self.place.publish_new(name, file.temporary)
    }

    /// Removes a file; none of that name is fine.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.place.remove(name)
    }

    /// Removes temporary files whose writers are dead, and returns how many they were.
    ///
    /// Writers of this machine are known to be dead or alive. Files of other machines, on a shared disk, go when nobody
    /// seems to hold them and they have not been written to for `older_than`. Parts of an upload to an object store that was
    /// killed are invisible here; a lifecycle rule of the bucket removes them.
    ///
    /// # Errors
    /// If the temporary folder cannot be read.
    pub fn clean(&self, older_than: Duration) -> Result<usize> {
        self.place.scratch().clean(older_than)
    }
}

impl NewFile {
    /// The path that it is written under, for writers that want one.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Makes it appear under its name, whole and durable; a file of that name is replaced.
    ///
    /// # Errors
    /// If it cannot be published; nothing has changed then.
    pub fn publish(self) -> Result<()> {
        self.store.place.publish(&self.name, self.temporary)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// A file of this machine's disk with the content of a path or of an object's address (`s3://BUCKET/crawl/a.warc.gz`).
///
/// # Errors
/// If there is none, or it cannot be had.
pub fn fetch(address: &str) -> Result<LocalFile> {
    fetch_with(address, &[])
}

fn fetch_with(address: &str, settings: &[(&str, &str)]) -> Result<LocalFile> {
    match parse_address(address)? {
        Address::Path(path) => LocalFile::in_place(path),
        Address::Url(url) => remote::fetch(&url, settings),
    }
}

#[cfg(feature = "object-store")]
use bucket as remote;

/// Programs built without the feature `object-store` know folders only.
#[cfg(not(feature = "object-store"))]
mod remote {
    use super::{Arc, LocalFile, Place, Result, no_place};

    pub(super) fn open(url: &url::Url, _settings: &[(&str, &str)]) -> Result<Arc<dyn Place>> {
        let reason = "this program was built without the feature `object-store`";
        Err(no_place(url.as_str(), reason))
    }

    pub(super) fn fetch(url: &url::Url, settings: &[(&str, &str)]) -> Result<LocalFile> {
        open(url, settings)?.local("")
    }
}

enum Address {
    Path(PathBuf),
    Url(url::Url),
}

fn parse_address(address: &str) -> Result<Address> {
    ensure!(!address.is_empty(), no_place(address, "it is empty"));
    if !address.contains("://") {
        return Ok(Address::Path(address.into()));
    }
    let url = url::Url::parse(address).map_err(|error| no_place(address, error))?;
    if url.scheme() != "file" {
        return Ok(Address::Url(url));
    }
    let path = url.to_file_path();
    let path = path.map_err(|()| no_place(address, "it names no path of this machine"))?;
    Ok(Address::Path(path))
}

/// A name that stays in the place, and means the same in a folder and in an object store.
fn check_name(name: &str) -> Result<()> {
    let is_good = |part: &str| !matches!(part, "" | "." | "..");
    let is_portable = name.split('/').all(is_good) && !name.contains(|c: char| c == '\\' || c.is_control());
    ensure!(is_portable, bad_name(name));
    Ok(())
}
