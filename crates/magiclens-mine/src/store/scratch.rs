//! Temporary files that betray whether their writer lives: it holds a lock on each, and the system takes it back at death.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use magiclens_data::Digest;
use tempfile::NamedTempFile;

/// The start of the names of temporary files; then come the machine, the process and random letters.
const PREFIX: &str = "magiclens-tmp-";

/// Tells this machine, since it was started, from others; none where the system does not say.
static MACHINE: LazyLock<Option<String>> = LazyLock::new(|| {
    let boot = fs_err::read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(Digest::of(boot).to_string()[..12].to_owned())
});

/// A folder of temporary files, made when the first one is.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

/// Whether a file name is that of a temporary file.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl Scratch {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A new file, locked as long as it is open.
    pub(super) fn create(&self) -> Result<NamedTempFile> {
        fs_err::create_dir_all(&self.folder)?;
        let machine = MACHINE.as_deref().unwrap_or("unknown");
        let prefix = format!("{PREFIX}{machine}-{}-", process::id());
        loop {
            let mut builder = tempfile::Builder::new();
            builder.prefix(&prefix);
            // What is published is for all who may use the run, as far as the umask lets them.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let temporary = builder.tempfile_in(&self.folder)?;
            // Without locks, as on some shared disks, age alone tells what is left over.
            let _ = temporary.as_file().lock();
            // A cleaner may have come between the file and its lock.
            if temporary.path().try_exists()? {
                return Ok(temporary);
            }
        }
    }

    /// Removes what dead writers left; see [`super::Store::clean`].
    pub(super) fn clean(&self, older_than: Duration) -> Result<usize> {
        let entries = match fs_err::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if is_temporary(&name.to_string_lossy()) && remove_if_left(&entry.path(), older_than) {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Whether a file was left over, and is gone now. One that cannot be opened is another user's, or gone already.
fn remove_if_left(path: &Path, older_than: Duration) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else {
        return false;
    };
    let is_left = match file.try_lock() {
        Ok(()) => is_of_this_machine(path) || is_older(&file, older_than),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => is_older(&file, older_than),
    };
    // The lock is still held: a writer that waits for it finds its file gone and makes another.
    is_left && fs_err::remove_file(path).is_ok()
}

fn is_of_this_machine(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let machine = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    machine.is_some() && machine == MACHINE.as_deref()
}

fn is_older(file: &File, age: Duration) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    // A time in the future, by another machine's clock, is not old.
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| age <= elapsed))
}
