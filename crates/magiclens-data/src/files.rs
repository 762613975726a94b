//! Files that are read or written whole: reading bounded in size, and writing that never leaves half a file behind.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// An error of [`read_capped`].
#[derive(Debug, thiserror::Error)]
pub enum ReadCappedError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, a pipe or a device.
    #[error("`{path}` is not an ordinary file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than allowed.
    #[error("`{path}` has {bytes} bytes, more than the limit of {max}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, at least.
        bytes: u64,
        /// The limit in force.
        max: u64,
    },
}

/// The bytes of an ordinary file that has at most `max_bytes`; no more than one byte beyond is read, even if the file grows.
pub fn read_capped(path: impl AsRef<Path>, max_bytes: u64) -> Result<Vec<u8>, ReadCappedError> {
    let path = path.as_ref();
    // Looked at before it is opened: opening a pipe waits for its writer.
    let metadata = fs_err::metadata(path)?;
    if !metadata.is_file() {
        return Err(ReadCappedError::NotAFile { path: path.to_owned() });
    }
    check_size(path, metadata.len(), max_bytes)?;
    read_at_most(path, fs_err::File::open(path)?, metadata.len(), max_bytes)
}

/// All of `reader`, unless it has more than `max_bytes`. `expected` bytes are reserved at once.
fn read_at_most(path: &Path, reader: impl Read, expected: u64, max_bytes: u64) -> Result<Vec<u8>, ReadCappedError> {
    let mut bytes = Vec::with_capacity(expected.min(max_bytes) as usize + 1);
    reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    check_size(path, bytes.len() as u64, max_bytes)?;
    Ok(bytes)
}

fn check_size(path: &Path, bytes: u64, max: u64) -> Result<(), ReadCappedError> {
    if max < bytes {
        let path = path.to_owned();
        return Err(ReadCappedError::TooLarge { path, bytes, max });
    }
    Ok(())
}

/// Writes the file `path` whole or not at all: `write` fills a temporary file beside it, which is synced and renamed.
///
/// # Errors
/// The error of `write`, or an I/O error that names `path`. A file that stood at `path` is unchanged then.
pub fn write_atomic<T, E: From<io::Error>>(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    let path = path.as_ref();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot write `{}`: {error}", path.display()));
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".part-");
    // Others may read the file, as with any new file; the system's mask has the last word.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (file, temporary) = builder.tempfile_in(folder).map_err(named)?.into_parts();
    let mut writer = BufWriter::new(file);
    let written = write(&mut writer)?;
    let file = writer.into_inner().map_err(|error| named(error.into_error()))?;
    file.sync_all().map_err(named)?;
    drop(file);
    temporary.persist(path).map_err(|error| named(error.error))?;
    sync_folder(folder).map_err(named)?;
    Ok(written)
}

/// [`write_atomic`] of bytes that are there already.
pub fn write_atomic_bytes(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write_atomic(path, |writer| writer.write_all(bytes.as_ref()))
}

/// Makes a rename or a new file in `folder` last through a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix opens folders as files; elsewhere the rename itself has to do.
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for text in ["first", "", "another, longer one"] {
            write_atomic_bytes(&path, text).unwrap();
            assert_eq!(read_capped(&path, text.len() as u64).unwrap(), text.as_bytes());
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let fail = |writer: &mut BufWriter<File>| {
            writer.write_all(&[7; 100_000])?;
            Err::<(), _>(io::Error::other("no more"))
        };
        write_atomic(&path, fail).unwrap_err();
        assert!(names(folder.path()).is_empty());
        write_atomic_bytes(&path, "old").unwrap();
        assert_eq!(write_atomic(&path, fail).unwrap_err().to_string(), "no more");
        std::panic::catch_unwind(|| {
            write_atomic(&path, |_| -> io::Result<()> { panic!("in the middle") }).unwrap();
        })
        .unwrap_err();
        assert_eq!(
            (fs_err::read(&path).unwrap(), names(folder.path()).len()),
            (b"old".to_vec(), 1)
        );
        let error = write_atomic_bytes(folder.path().join("no/folder"), "").unwrap_err();
        assert!(error.to_string().contains("no/folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_may_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
        write_atomic_bytes(&ours, "").unwrap();
        fs_err::write(&plain, "").unwrap();
        let [ours, plain] = [ours, plain].map(|path| fs_err::metadata(path).unwrap().permissions().mode());
        assert_eq!(ours, plain);
    }

    #[test]
    fn more_than_allowed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, [1; 1000]).unwrap();
        assert_eq!(read_capped(&path, 1000).unwrap().len(), 1000);
        let too_large = |found: Result<Vec<u8>, ReadCappedError>| match found {
            Err(ReadCappedError::TooLarge { bytes, max, .. }) => (bytes, max),
            other => panic!("{other:?}"),
        };
        assert_eq!(too_large(read_capped(&path, 999)), (1000, 999));
        // A file that grows after its size was read, here without end.
        assert_eq!(too_large(read_at_most(&path, io::repeat(1), 5, 999)), (1000, 999));
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &Path| assert!(matches!(read_capped(path, 9), Err(ReadCappedError::NotAFile { .. })));
        check(folder.path());
        if cfg!(unix) {
            check(Path::new("/dev/zero"));
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            check(&pipe);
        }
        let error = read_capped(folder.path().join("missing"), 9).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
