//! Where a run lives: a folder, or a place in an object store. Files appear in it whole or not at all.
//!
//! What is written goes to a temporary file first: beside the run for a folder (`tmp/`, so that a rename publishes it), in the
//! machine's own temporary folder for an object store (an upload publishes it). A process that is killed at any moment
//! leaves at most such a temporary file, which no [`Store::list`] shows and which [`Store::clean`] removes.

mod bucket;
mod error;
mod scratch;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use self::bucket::Bucket;
pub use self::error::{Provider, StoreError};
use self::scratch::Scratch;

type Result<T> = std::result::Result<T, StoreError>;

/// The folder of a run that holds what is being written.
const TEMPORARY: &str = "tmp";

/// A place of named files. Names are relative and use `/`: `pages/00003.parquet`. Clones share the place.
#[derive(Clone, Debug)]
pub struct Store {
    place: Place,
    scratch: Scratch,
}

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// A file that is being written; dropping it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    store: Store,
    name: String,
    temporary: NamedTempFile,
}

/// A file on this machine's disk, for reading. A copy of a remote file is removed when this is dropped.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    copy: Option<NamedTempFile>,
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
        match parse_address(address)? {
            Address::Path(path) => {
                let folder = std::path::absolute(path)?;
                fs_err::create_dir_all(&folder)?;
                let scratch = Scratch::new(folder.join(TEMPORARY));
                let place = Place::Folder(folder);
                Ok(Self { place, scratch })
            }
            Address::Url(url) => {
                let bucket = Bucket::open(&url, settings)?;
                let place = Place::Bucket(bucket);
                let scratch = Scratch::new(std::env::temp_dir());
                Ok(Self { place, scratch })
            }
        }
    }

    /// The address that opens it from anywhere; a folder's is absolute.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Folder(folder) => folder.display().to_string(),
            Place::Bucket(bucket) => bucket.to_string(),
        }
    }

    /// The folder, if it is one of this machine's disks.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket(_) => None,
        }
    }

    /// Whether a file of that name is published.
    ///
    /// # Errors
    /// If the name is malformed or the store does not answer.
    pub fn exists(&self, name: &str) -> Result<bool> {
        check_name(name)?;
        match &self.place {
            Place::Folder(folder) => Ok(folder.join(name).try_exists()?),
            Place::Bucket(bucket) => bucket.exists(name),
        }
    }

    /// The names of the files that lie directly in a folder (`""`: in the place itself), sorted. No such folder: none.
    ///
    /// # Errors
    /// If the name is malformed or the store does not answer.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        if !folder.is_empty() {
            check_name(folder)?;
        }
        let mut names = match &self.place {
            Place::Folder(root) => list_folder(&root.join(folder))?,
            Place::Bucket(bucket) => bucket.list(folder)?,
        };
        if !folder.is_empty() {
            names.iter_mut().for_each(|name| *name = format!("{folder}/{name}"));
        }
        names.sort();
        Ok(names)
    }

    /// A whole file; for small ones.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none; others if it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        check_name(name)?;
        match &self.place {
            Place::Folder(folder) => read_file(&folder.join(name)),
            Place::Bucket(bucket) => bucket.read(name),
        }
    }

    /// A file of this machine's disk with the same content: the file itself, or a copy of a remote one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none; others if it cannot be had.
    pub fn local(&self, name: &str) -> Result<LocalFile> {
        check_name(name)?;
        match &self.place {
            Place::Folder(folder) => LocalFile::in_place(folder.join(name)),
            Place::Bucket(bucket) => LocalFile::copied(&self.scratch, |file| bucket.download(name, file)),
        }
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
            temporary: self.scratch.create()?,
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
        check_name(name)?;
        match &self.place {
            Place::Folder(folder) => {
                let mut file = self.create(name)?;
                file.write_all(bytes)?;
                file.temporary.as_file().sync_all()?;
                let target = folder.join(name);
                let parent = make_parent(folder, &target)?;
                match file.temporary.persist_noclobber(&target) {
                    Ok(_) => sync_folder(parent).map(|()| true),
                    Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
                    Err(error) => Err(unpublished(&target, error.error)),
                }
            }
            Place::Bucket(bucket) => bucket.create_exclusive(name, bytes),
        }
    }

    /// Removes a file; none of that name is fine.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        match &self.place {
            Place::Folder(folder) => match fs_err::remove_file(folder.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Place::Bucket(bucket) => bucket.remove(name),
        }
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
        self.scratch.clean(older_than)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address())
    }
}

impl NewFile {
    /// Where it is written, for writers that want a path.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Makes it appear under its name, whole and durable; a file of that name is replaced.
    ///
    /// # Errors
    /// If it cannot be published; nothing has changed then.
    pub fn publish(self) -> Result<()> {
        match &self.store.place {
            Place::Folder(folder) => {
                self.temporary.as_file().sync_all()?;
                let target = folder.join(&self.name);
                let parent = make_parent(folder, &target)?;
                match self.temporary.persist(&target) {
                    Ok(_) => sync_folder(parent),
                    Err(error) => Err(unpublished(&target, error.error)),
                }
            }
            Place::Bucket(bucket) => bucket.upload(&self.name, self.temporary.path()),
        }
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

impl LocalFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.copy.as_ref().map_or(&self.path, |copy| copy.path())
    }

    fn in_place(path: PathBuf) -> Result<Self> {
        if !path.try_exists()? {
            return Err(missing(&path));
        }
        Ok(Self { path, copy: None })
    }

    fn copied(scratch: &Scratch, fill: impl FnOnce(File) -> Result<()>) -> Result<Self> {
        let copy = scratch.create()?;
        fill(copy.as_file().try_clone()?)?;
        Ok(Self {
            path: copy.path().to_owned(),
            copy: Some(copy),
        })
    }
}

/// A file of this machine's disk with the content of a path or of an object's address (`s3://BUCKET/crawl/a.warc.gz`).
///
/// # Errors
/// [`StoreError::Missing`] if there is none; others if it cannot be had.
pub fn fetch(address: &str) -> Result<LocalFile> {
    fetch_with(address, &[])
}

fn fetch_with(address: &str, settings: &[(&str, &str)]) -> Result<LocalFile> {
    match parse_address(address)? {
        Address::Path(path) => LocalFile::in_place(path),
        Address::Url(url) => {
            let object = Bucket::of_object(&url, settings)?;
            LocalFile::copied(&Scratch::new(std::env::temp_dir()), |file| object.download("", file))
        }
    }
}

enum Address {
    Path(PathBuf),
    Url(url::Url),
}

fn parse_address(address: &str) -> Result<Address> {
    let refuse = |reason: &str| {
        Err(StoreError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if address.is_empty() {
        return refuse("it is empty");
    }
    if !address.contains("://") {
        return Ok(Address::Path(address.into()));
    }
    match url::Url::parse(address) {
        Ok(url) if url.scheme() == "file" => match url.to_file_path() {
            Ok(path) => Ok(Address::Path(path)),
            Err(()) => refuse("it names no path of this machine"),
        },
        Ok(url) => Ok(Address::Url(url)),
        Err(error) => refuse(&error.to_string()),
    }
}

/// A name that stays in the place, and means the same in a folder and in an object store.
fn check_name(name: &str) -> Result<()> {
    let is_good = |part: &str| !matches!(part, "" | "." | "..");
    if name.split('/').all(is_good) && !name.contains(|c: char| c == '\\' || c.is_control()) {
        Ok(())
    } else {
        Err(StoreError::Name { name: name.to_owned() })
    }
}

fn list_folder(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Names are ours; what else lies there is not.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type()?.is_file() && !scratch::is_temporary(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs_err::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(path),
        _ => error.into(),
    })
}

fn missing(path: &Path) -> StoreError {
    StoreError::Missing {
        object: path.display().to_string(),
    }
}

fn unpublished(target: &Path, error: io::Error) -> StoreError {
    StoreError::Publish {
        path: target.to_owned(),
        error,
    }
}

/// The folder of `target`, made if need be, so that it too outlives a loss of power.
fn make_parent<'a>(root: &Path, target: &'a Path) -> Result<&'a Path> {
    let parent = target.parent().unwrap_or(target);
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

fn sync_folder(folder: &Path) -> Result<()> {
    Ok(fs_err::File::open(folder)?.sync_all()?)
}
