//! Finds what changed on disk since the last run.
//!
//! A file with the same path, size and time of change is taken as unchanged; of all others the content is hashed, and
//! the hash decides: new content must be embedded, known content has only got another path.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use image::ImageFormat;
use magiclens_data::decode::{DecodeError, Limits};
use magiclens_data::{ImageId, read_images};
use rayon::prelude::*;
use serde::Serialize;
use walkdir::WalkDir;

use crate::error::IndexError;
use crate::image::{FileStamp, Payload};
use crate::index::{DATABASE_FILE, THUMBNAILS_FOLDER};
use crate::load::{self, Loaded};

/// What a run has to do, as [`crate::Index::scan`] found it.
#[derive(Debug, Default)]
pub struct Plan {
    /// Contents to embed, in the order of their first path.
    pub pending: Vec<Pending>,
    /// Files that cannot be used, in the order of their paths.
    pub skipped: Vec<Skipped>,
    /// The counts that are known before anything is embedded.
    pub counts: Counts,
    /// Files whose content is in the index already.
    pub(crate) known: Vec<(FileStamp, ImageId)>,
    /// Paths in the index whose file is gone.
    pub(crate) gone: Vec<String>,
    /// What collections say about their images.
    pub(crate) payloads: BTreeMap<ImageId, Payload>,
    /// The folders and files that were walked, absolute.
    pub(crate) roots: Vec<String>,
}

/// One content to embed.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Id of the content.
    pub id: ImageId,
    /// All files with this content, at least one, in the order of their paths.
    pub files: Vec<FileStamp>,
    /// Whether the first of the files is new or has changed.
    pub change: Change,
    /// What its collection says about it.
    pub payload: Payload,
}

/// Why a content has to be embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The path was not in the index.
    Added,
    /// The path was in the index with another content.
    Changed,
}

/// Files by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New paths with a new content.
    pub added: usize,
    /// Known paths with another content than before.
    pub changed: usize,
    /// New paths with the content of a path that is gone.
    pub moved: usize,
    /// New paths with the content of another path that is still there.
    pub duplicates: usize,
    /// Paths that are gone and did not move.
    pub removed: usize,
    /// Paths with the same content as before.
    pub unchanged: usize,
    /// Files in the folders that are no images and do not look like any; they are not listed.
    pub other_files: usize,
}

impl Counts {
    /// Counts a pending content that could be loaded.
    pub fn record(&mut self, loaded: &Loaded) {
        match loaded.change {
            Change::Added => self.added += 1,
            Change::Changed => self.changed += 1,
        }
        self.duplicates += loaded.files.len() - 1;
    }
}

/// A file or folder that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Absolute path; unreadable characters are replaced.
    pub path: String,
    /// The sort of reason, for counting.
    pub reason: SkipReason,
    /// What is wrong, for people.
    pub detail: String,
    /// Set where the content is at fault, so that the same content need not be tried again.
    #[serde(skip)]
    pub(crate) stamp: Option<FileStamp>,
}

/// Why a file or folder cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No bytes.
    Empty,
    /// Too many bytes or pixels.
    TooLarge,
    /// The content is no image, whatever the name says.
    #[serde(rename = "not_a_picture")]
    NotAImage,
    /// Cut off or contradicting itself.
    Damaged,
    /// An image of a kind that is not read.
    Unsupported,
    /// An image for which the model has no vector, such as an all-black one for some models.
    NotEmbeddable,
    /// The system refused.
    Unreadable,
    /// It was there a moment ago.
    Vanished,
    /// It changed while it was read.
    Changing,
    /// A link that leads back to a folder above it.
    LinkLoop,
    /// A link that leads nowhere.
    BrokenLink,
    /// The name is not valid unicode.
    BadName,
    /// An `images.parquet` that is no table of images.
    BadCollection,
}

impl SkipReason {
    const ALL: [Self; 13] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotAImage,
        Self::Damaged,
        Self::Unsupported,
        Self::NotEmbeddable,
        Self::Unreadable,
        Self::Vanished,
        Self::Changing,
        Self::LinkLoop,
        Self::BrokenLink,
        Self::BadName,
        Self::BadCollection,
    ];

    /// The name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotAImage => "not_a_picture",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::NotEmbeddable => "not_embeddable",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Changing => "changing",
            Self::LinkLoop => "link_loop",
            Self::BrokenLink => "broken_link",
            Self::BadName => "bad_name",
            Self::BadCollection => "bad_collection",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name().replace('_', " "))
    }
}

impl Skipped {
    /// A file that may be fine the next time.
    pub(crate) fn now(path: &str, reason: SkipReason, detail: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason,
            detail: detail.into(),
            stamp: None,
        }
    }

    /// A file whose content could not be read or decoded.
    pub(crate) fn from_decode(path: &str, file: Option<&FileStamp>, error: &DecodeError) -> Self {
        let message = error.to_string();
        let detail = message.lines().next().unwrap_or_default();
        let reason = match error {
            DecodeError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::now(path, SkipReason::Vanished, "the file is gone");
            }
            DecodeError::Io(_) => return Self::now(path, SkipReason::Unreadable, detail),
            DecodeError::Empty => SkipReason::Empty,
            DecodeError::TooManyBytes { .. } | DecodeError::TooManyPixels { .. } => SkipReason::TooLarge,
            DecodeError::UnknownFormat | DecodeError::NotAFile => SkipReason::NotAImage,
            DecodeError::Unsupported(_) => SkipReason::Unsupported,
            DecodeError::Truncated | DecodeError::Corrupt(_) => SkipReason::Damaged,
        };
        Self {
            stamp: file.cloned(),
            ..Self::now(path, reason, detail)
        }
    }
}

/// What the index knew before the scan.
pub(crate) struct Before {
    /// Path to stamp and content.
    pub(crate) files: HashMap<String, (FileStamp, ImageId)>,
    /// Skipped paths; those with a stamp need no second try.
    pub(crate) skipped: HashMap<String, Skipped>,
}

/// The files and folders under some roots.
#[derive(Default)]
struct Walk {
    roots: Vec<String>,
    files: BTreeMap<String, FileStamp>,
    collections: BTreeSet<PathBuf>,
    skipped: BTreeMap<String, Skipped>,
    /// Folders and files that may hold images but could not be looked at.
    unseen: Vec<String>,
    other_files: usize,
}

/// Compares what lies under `paths` with what the index knew; `hashed(done, of)` tells how far the hashing is.
pub(crate) fn scan(
    paths: &[PathBuf],
    before: &Before,
    limits: &Limits,
    hashed: impl Fn(usize, usize) + Sync,
) -> Result<Plan, IndexError> {
    let mut walk = Walk::default();
    for path in paths {
        walk.root(path)?;
    }
    let mut plan = Plan {
        payloads: walk.read_collections(),
        roots: walk.roots.clone(),
        ..Plan::default()
    };
    plan.counts.other_files = walk.other_files;
    plan.gone = before
        .files
        .keys()
        .filter(|path| walk.covers(path) && !walk.files.contains_key(*path))
        .cloned()
        .collect();
    plan.gone.sort();

    let mut to_hash = Vec::new();
    for (path, stamp) in std::mem::take(&mut walk.files) {
        let as_before = before.files.get(&path).is_some_and(|(known, _)| *known == stamp);
        if as_before {
            plan.counts.unchanged += 1;
        } else if let Some(known) = before
            .skipped
            .get(&path)
            .filter(|known| known.stamp.as_ref() == Some(&stamp))
        {
            walk.skipped.insert(path, known.clone());
        } else {
            to_hash.push(stamp);
        }
    }
    let done = AtomicUsize::new(0);
    let hashes: Vec<_> = to_hash
        .par_iter()
        .map(|stamp| {
            let hash = load::read(stamp, limits).map(|bytes| ImageId::of_bytes(&bytes));
            hashed(done.fetch_add(1, Ordering::Relaxed) + 1, to_hash.len());
            hash
        })
        .collect();
    plan.sort_out(to_hash.into_iter().zip(hashes), before, &mut walk.skipped);
    plan.skipped = walk.skipped.into_values().collect();
    Ok(plan)
}

impl Plan {
    /// Decides about each hashed file.
    fn sort_out(
        &mut self,
        hashed: impl Iterator<Item = (FileStamp, Result<ImageId, DecodeError>)>,
        before: &Before,
        skipped: &mut BTreeMap<String, Skipped>,
    ) {
        let in_index: HashSet<ImageId> = before.files.values().map(|(_, id)| *id).collect();
        // Each path that is gone can have moved once.
        let mut departed: HashMap<ImageId, usize> = HashMap::new();
        for path in &self.gone {
            *departed.entry(before.files[path].1).or_default() += 1;
        }
        let mut pending_at: HashMap<ImageId, usize> = HashMap::new();
        for (stamp, hash) in hashed {
            let id = match hash {
                Ok(id) => id,
                Err(error) => {
                    skipped.insert(
                        stamp.path.clone(),
                        Skipped::from_decode(&stamp.path, Some(&stamp), &error),
                    );
                    continue;
                }
            };
            let before_here = before.files.get(&stamp.path).map(|(_, id)| *id);
            if !in_index.contains(&id) {
                let change = if before_here.is_some() {
                    Change::Changed
                } else {
                    Change::Added
                };
                match pending_at.get(&id) {
                    Some(&at) => self.pending[at].files.push(stamp),
                    None => {
                        pending_at.insert(id, self.pending.len());
                        let payload = self.payloads.get(&id).cloned().unwrap_or_default();
                        self.pending.push(Pending {
                            id,
                            files: vec![stamp],
                            change,
                            payload,
                        });
                    }
                }
                continue;
            }
            let departed = departed.get_mut(&id).filter(|count| 0 < **count);
            match (before_here, departed) {
                (Some(before_here), _) if before_here == id => self.counts.unchanged += 1,
                (Some(_), _) => self.counts.changed += 1,
                (None, Some(count)) => {
                    *count -= 1;
                    self.counts.moved += 1;
                }
                (None, None) => self.counts.duplicates += 1,
            }
            self.known.push((stamp, id));
        }
        self.counts.removed = self.gone.len() - self.counts.moved;
    }
}

impl Walk {
    fn root(&mut self, path: &Path) -> Result<(), IndexError> {
        let root = fs_err::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => IndexError::NoSuchPath { path: path.to_owned() },
            _ => error.into(),
        })?;
        let Some(text) = as_text(&root) else {
            return Err(IndexError::NotUnicode { path: root });
        };
        let metadata = fs_err::metadata(&root)?;
        if metadata.is_file() {
            // A file named by hand is tried, whatever it looks like.
            self.stamp(text.clone(), &metadata);
        } else if metadata.is_dir() {
            self.folder(&root);
        } else {
            return Err(IndexError::NotAFile { path: root });
        }
        self.roots.push(text);
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

    fn file(&mut self, entry: &walkdir::DirEntry) {
        let path = entry.path();
        if entry.file_name() == "pictures.parquet" {
            self.collections.insert(path.to_owned());
            return;
        }
        match looks_like_a_image(path) {
            Ok(true) => {}
            Ok(false) => {
                self.other_files += 1;
                return;
            }
            Err(error) => return self.unreadable(path, error),
        }
        let Some(text) = as_text(path) else {
            return self.skip(
                path,
                Skipped::now("", SkipReason::BadName, "the file name is not valid unicode"),
            );
        };
        match fs_err::metadata(path) {
            Ok(metadata) => self.stamp(text, &metadata),
            Err(error) => self.unreadable(path, error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unseen.extend(as_text(path));
        }
        self.skip(path, Skipped::from_decode("", None, &DecodeError::Io(error)));
    }

    fn stamp(&mut self, path: String, metadata: &std::fs::Metadata) {
        // A time before 1970 or unknown counts as 1970: the size and, once hashed, the content still decide.
        let mtime = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let mtime_ns = i64::try_from(mtime.as_nanos()).unwrap_or(i64::MAX);
        self.files.insert(
            path.clone(),
            FileStamp {
                path,
                size: metadata.len(),
                mtime_ns,
            },
        );
    }

    /// Lists what the walk could not look at. What the index holds below it stays, unless it is known to be gone.
    fn trouble(&mut self, error: &walkdir::Error) {
        let path = error.path().unwrap_or(Path::new("")).to_owned();
        let not_found = error
            .io_error()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
        let skipped = match error.loop_ancestor() {
            Some(above) => Skipped::now(
                "",
                SkipReason::LinkLoop,
                format!("a link back to `{}`", above.display()),
            ),
            None if not_found && fs_err::symlink_metadata(&path).is_ok() => {
                Skipped::now("", SkipReason::BrokenLink, "a link that leads nowhere")
            }
            None if not_found => Skipped::now("", SkipReason::Vanished, "it is gone"),
            None => {
                self.unseen.extend(as_text(&path));
                let detail = error
                    .io_error()
                    .map_or_else(|| error.to_string(), |error| error.kind().to_string());
                Skipped::now("", SkipReason::Unreadable, format!("it cannot be read: {detail}"))
            }
        };
        self.skip(&path, skipped);
    }

    fn skip(&mut self, path: &Path, skipped: Skipped) {
        let path = path.to_string_lossy().into_owned();
        self.skipped.insert(path.clone(), Skipped { path, ..skipped });
    }

    /// Whether the walk would have found the file `path` if it were there.
    fn covers(&self, path: &str) -> bool {
        self.roots.iter().any(|root| is_within(path, root)) && !self.unseen.iter().any(|unseen| is_within(path, unseen))
    }

    fn read_collections(&mut self) -> BTreeMap<ImageId, Payload> {
        let mut payloads = BTreeMap::new();
        for path in std::mem::take(&mut self.collections) {
            match read_images(&path) {
                Ok(images) => payloads.extend(images.into_iter().map(|image| {
                    let caption = Some(image.caption).filter(|caption| !caption.is_empty());
                    let (license, source) = (Some(image.license), Some(image.source));
                    (
                        image.id,
                        Payload {
                            caption,
                            tags: image.tags,
                            license,
                            source,
                        },
                    )
                })),
                Err(error) => {
                    let detail = error.to_string().lines().next().unwrap_or_default().to_owned();
                    self.skip(&path, Skipped::now("", SkipReason::BadCollection, detail));
                }
            }
        }
        payloads
    }
}

/// Whether `path` is `folder` or lies in it.
pub(crate) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

/// The path as it is stored; `None` if it is not valid unicode.
fn as_text(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    Some(if cfg!(windows) {
        text.replace('\\', "/")
    } else {
        text.to_owned()
    })
}

/// The thumbnails of an index are no images to index.
fn is_thumbnails(entry: &walkdir::DirEntry) -> bool {
    entry.file_name() == THUMBNAILS_FOLDER && entry.path().with_file_name(DATABASE_FILE).is_file()
}

/// By its name, or by its first bytes: an image without an extension is an image too, and a text called `a.png` is to
/// be listed as skipped.
fn looks_like_a_image(path: &Path) -> io::Result<bool> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    if ImageFormat::from_path(path).is_ok_and(|format| matches!(format, Bmp | Gif | Jpeg | Png | Tiff | WebP)) {
        return Ok(true);
    }
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs_err::File::open(path)?, 16), &mut start)?;
    // The two letters by which a BMP is known begin many other files.
    Ok(image::guess_format(&start).is_ok_and(|format| matches!(format, Gif | Jpeg | Png | Tiff | WebP)))
}
