//! Walks folders for images and collections.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use magiclens_data::decode::DecodeError;
use magiclens_data::{Image, ImageId, read_images};
use walkdir::{DirEntry, WalkDir};

use crate::error::IndexError;
use crate::image::{FileStamp, Payload};
use crate::schema::DATABASE_FILE;
use crate::skipped::{SkipReason, Skipped};
use crate::thumbnails::THUMBNAILS_FOLDER;

/// The files and folders under some roots.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) files: BTreeMap<PathBuf, FileStamp>,
    pub(crate) skipped: BTreeMap<PathBuf, Skipped>,
    pub(crate) other_files: usize,
    collections: BTreeSet<PathBuf>,
    /// Folders and files that may hold images but could not be looked at.
    unseen: Vec<PathBuf>,
}

impl Walk {
    /// Walks a folder, or takes a file.
    pub(crate) fn root(&mut self, path: &Path) -> Result<(), IndexError> {
        let root = fs_err::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IndexError::NoSuchPath { path: path.to_owned() },
            _ => error.into(),
        })?;
        let metadata = fs_err::metadata(&root)?;
        if metadata.is_file() {
            // A file named by hand is tried, whatever it looks like.
            self.files.insert(root.clone(), FileStamp::new(&root, &metadata));
        } else if metadata.is_dir() {
            self.folder(&root);
        } else {
            return Err(IndexError::NotAFile { path: root });
        }
        self.roots.push(root);
        Ok(())
    }

    fn folder(&mut self, root: &Path) {
        let entries = WalkDir::new(root).follow_links(true).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(|entry| !is_thumbnails(entry)) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => self.file(&entry),
                Ok(_) => {}
                Err(error) => self.trouble(&error),
            }
        }
    }

    fn file(&mut self, entry: &DirEntry) {
        let path = entry.path();
        if entry.file_name() == "pictures.parquet" {
            self.collections.insert(path.to_owned());
            return;
        }
        let stamp = match looks_like_an_image(path) {
            Ok(true) => fs_err::metadata(path).map(|metadata| FileStamp::new(path, &metadata)),
            Ok(false) => {
                self.other_files += 1;
                return;
            }
            Err(error) => Err(error),
        };
        match stamp {
            Ok(stamp) => {
                self.files.insert(path.to_owned(), stamp);
            }
            Err(error) => self.unreadable(path, error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unseen.push(path.to_owned());
        }
        self.skip(Skipped::from_decode(path, None, &DecodeError::Io(error)));
    }

    /// Lists a path that the walk could not look at. What the index holds below it stays, unless it is known to be gone.
    fn trouble(&mut self, error: &walkdir::Error) {
        let path = error.path().unwrap_or(Path::new(""));
        let not_found = error
            .io_error()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
        let (reason, detail) = match error.loop_ancestor() {
            Some(above) => (SkipReason::LinkLoop, format!("a link back to `{}`", above.display())),
            None if not_found && fs_err::symlink_metadata(path).is_ok() => {
                (SkipReason::BrokenLink, "a link that leads nowhere".to_owned())
            }
            None if not_found => (SkipReason::Vanished, "it is gone".to_owned()),
            None => {
                self.unseen.push(path.to_owned());
                let cause = error
                    .io_error()
                    .map_or_else(|| error.to_string(), |error| error.kind().to_string());
                (SkipReason::Unreadable, format!("it cannot be read: {cause}"))
            }
        };
        self.skip(Skipped::now(path, reason, detail));
    }

    fn skip(&mut self, skipped: Skipped) {
        self.skipped.insert(skipped.path.clone(), skipped);
    }

    /// True if the walk would have found the file `path`, had it been there.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        let within = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        within(&self.roots) && !within(&self.unseen)
    }

    /// The descriptions in the collections that were found; a broken one is listed as skipped.
    pub(crate) fn read_collections(&mut self) -> BTreeMap<ImageId, Payload> {
        let mut payloads = BTreeMap::new();
        for path in std::mem::take(&mut self.collections) {
            match read_images(&path) {
                Ok(images) => payloads.extend(images.into_iter().map(|image| (image.id, payload(image)))),
                Err(error) => {
                    let message = error.to_string();
                    let detail = message.lines().next().unwrap_or_default();
                    self.skip(Skipped::now(&path, SkipReason::BadCollection, detail));
                }
            }
        }
        payloads
    }
}

fn payload(image: Image) -> Payload {
    Payload {
        caption: Some(image.caption).filter(|caption| !caption.is_empty()),
        tags: image.tags,
        license: Some(image.license),
        source: Some(image.source),
    }
}

/// The thumbnails of an index are no images to index.
fn is_thumbnails(entry: &DirEntry) -> bool {
    entry.file_name() == THUMBNAILS_FOLDER && entry.path().with_file_name(DATABASE_FILE).is_file()
}

/// By its name, or by its first bytes: an image without an extension is an image too, and a text called `a.png` is to
/// be listed as skipped.
fn looks_like_an_image(path: &Path) -> io::Result<bool> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    if ImageFormat::from_path(path).is_ok_and(|format| matches!(format, Bmp | Gif | Jpeg | Png | Tiff | WebP)) {
        return Ok(true);
    }
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs_err::File::open(path)?, 16), &mut start)?;
    // The two letters by which a BMP is known begin many other files.
    Ok(image::guess_format(&start).is_ok_and(|format| matches!(format, Gif | Jpeg | Png | Tiff | WebP)))
}
