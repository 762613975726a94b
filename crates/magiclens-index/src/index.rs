//! The index as a folder: opening, bringing changes in, searching.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use magiclens_data::decode::Limits;
use magiclens_data::{Embedding, ImageId};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::IndexError;
use crate::exact::Matrix;
use crate::image::{FileStamp, Hit, IndexedImage, ModelStamp, NewImage, Space};
use crate::scan::{self, Pending, Plan, Skipped};
use crate::store::{self, Kind};
use crate::thumbnails;

pub(crate) const DATABASE_FILE: &str = "index.sqlite";
pub(crate) const THUMBNAILS_FOLDER: &str = "thumbnails";
const LOCK_FILE: &str = "index.lock";

/// An index in a folder: one process writes, any number reads.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    stamp: ModelStamp,
    connection: Connection,
    /// Vectors in memory, brought up to date at each search.
    target: RefCell<Cached>,
    image: RefCell<Cached>,
    /// Held by the one writer; the system lets go of it when the process dies.
    writer_lock: Option<fs_err::File>,
}

/// A question to the index.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What to look for, as long as the vectors of the index.
    pub vector: &'a Embedding,
    /// Which vector of the images to compare with.
    pub space: Space,
    /// Largest number of hits.
    pub limit: usize,
    /// Images to leave out, for example the query's own.
    pub exclude: &'a [ImageId],
    /// Hits with a lower score are left out.
    pub min_score: Option<f32>,
}

impl Index {
    /// Opens the index in `dir` for writing and makes it if there is none.
    ///
    /// Fails if it belongs to another model, another process is writing to it, or it is damaged.
    pub fn create_or_open(dir: &Path, model: &ModelStamp) -> Result<Self, IndexError> {
        fs_err::create_dir_all(dir)?;
        let lock = lock(dir)?;
        Self::write_locked(dir, model, lock)
    }

    /// Makes the index in `dir` anew, whatever is there: for another model, another format, or after damage.
    ///
    /// Processes that have the old index open go on with it; they must open it again.
    pub fn rebuild(dir: &Path, model: &ModelStamp) -> Result<Self, IndexError> {
        fs_err::create_dir_all(dir)?;
        let lock = lock(dir)?;
        // The database first: its journal must never meet another database.
        for name in [DATABASE_FILE, "index.sqlite-wal", "index.sqlite-shm"] {
            unless_missing(fs_err::remove_file(dir.join(name)))?;
        }
        unless_missing(fs_err::remove_dir_all(dir.join(THUMBNAILS_FOLDER)))?;
        Self::write_locked(dir, model, lock)
    }

    /// Opens the index in `dir` for searching.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let path = dir.join(DATABASE_FILE);
        if !path.is_file() {
            return Err(IndexError::Missing { dir: dir.to_owned() });
        }
        let sql = |error| IndexError::from_sqlite(dir, error);
        let connection = store::connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
        match store::kind(&connection).map_err(sql)? {
            Kind::Fresh => Err(IndexError::Missing { dir: dir.to_owned() }),
            kind => Self::new(dir, connection, &kind, None),
        }
    }

    /// The model that the index belongs to.
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// The folder of the index.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fails if the index belongs to another model: their vectors must not be compared.
    pub fn check_model(&self, model: &ModelStamp) -> Result<(), IndexError> {
        if self.stamp == *model {
            return Ok(());
        }
        Err(IndexError::OtherModel {
            dir: self.dir.clone(),
            found: self.stamp.clone(),
            wanted: model.clone(),
        })
    }

    /// Number of images.
    pub fn len(&self) -> Result<usize, IndexError> {
        self.sql(store::count(&self.connection))
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> Result<bool, IndexError> {
        Ok(self.len()? == 0)
    }

    /// Compares the files under `paths` with the index. Reads only; `hashed(done, of)` is called as files are hashed.
    ///
    /// Fails if one of the paths does not exist; anything wrong below them is listed as skipped.
    pub fn scan(
        &self,
        paths: &[PathBuf],
        limits: &Limits,
        hashed: impl Fn(usize, usize) + Sync,
    ) -> Result<Plan, IndexError> {
        scan::scan(paths, &self.sql(store::before(&self.connection))?, limits, hashed)
    }

    /// Brings in, in one commit, what needs no embedding: moved, gone and skipped files, and what collections say.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), IndexError> {
        self.write(|connection| {
            let mut left = Vec::new();
            for (file, id) in &plan.known {
                if let Some(seq) = store::seq_of(connection, *id)? {
                    left.extend(store::put_file(connection, file, seq)?);
                }
            }
            for path in &plan.gone {
                left.extend(store::remove_file(connection, path)?);
            }
            let is_listed: BTreeSet<&str> = plan.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
            for old in store::skipped(connection)? {
                let is_covered = plan.roots.iter().any(|root| scan::is_within(&old.path, root));
                if is_covered && !is_listed.contains(old.path.as_str()) {
                    store::remove_skipped(connection, &old.path)?;
                }
            }
            for skipped in &plan.skipped {
                left.extend(put_skipped(connection, skipped)?);
            }
            for (id, payload) in &plan.payloads {
                store::set_payload(connection, *id, payload)?;
            }
            store::remove_orphans(connection, &left)
        })
    }

    /// Adds images in one commit: when this returns, they survive anything but the loss of the disk.
    ///
    /// An image that is there already keeps its vectors and gets the files. Files that held another image before are
    /// taken from it, and it goes if it has no file left.
    pub fn add(&mut self, batch: &[NewImage]) -> Result<(), IndexError> {
        for image in batch {
            for vector in [&image.target, &image.image] {
                self.check_dim(vector)?;
            }
            thumbnails::write(&self.dir.join(THUMBNAILS_FOLDER), image.id, &image.thumbnail)?;
        }
        self.write(|connection| {
            let mut left = Vec::new();
            for image in batch {
                let seq = store::put_image(connection, image)?;
                for file in &image.files {
                    left.extend(store::put_file(connection, file, seq)?);
                }
            }
            store::remove_orphans(connection, &left)
        })
    }

    /// Lists files as skipped, in one commit. A file whose content cannot be used holds no image any more.
    pub fn skip(&mut self, batch: &[Skipped]) -> Result<(), IndexError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write(|connection| {
            let mut left = Vec::new();
            for skipped in batch {
                left.extend(put_skipped(connection, skipped)?);
            }
            store::remove_orphans(connection, &left)
        })
    }

    /// Forgets all files in `folder` (or the file of that name), whether they exist or not; returns how many.
    pub fn forget(&mut self, folder: &Path) -> Result<usize, IndexError> {
        let absolute = fs_err::canonicalize(folder).or_else(|_| std::path::absolute(folder))?;
        let Some(folder) = absolute.to_str().map(|text| text.trim_end_matches('/')) else {
            return Err(IndexError::NotUnicode { path: absolute });
        };
        let mut forgotten = 0;
        self.write(|connection| {
            let mut left = Vec::new();
            for path in store::file_paths(connection)?
                .iter()
                .filter(|path| scan::is_within(path, folder))
            {
                left.extend(store::remove_file(connection, path)?);
                forgotten += 1;
            }
            for skipped in store::skipped(connection)?
                .iter()
                .filter(|skipped| scan::is_within(&skipped.path, folder))
            {
                store::remove_skipped(connection, &skipped.path)?;
            }
            store::remove_orphans(connection, &left)
        })?;
        Ok(forgotten)
    }

    /// All files that could not be used, in the order of their paths.
    pub fn skipped(&self) -> Result<Vec<Skipped>, IndexError> {
        self.sql(store::skipped(&self.connection))
    }

    /// The nearest images, best first; ties in the order of their ids. Exact: every vector is compared.
    ///
    /// Sees everything committed before the call, by this process or another.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Hit>, IndexError> {
        self.check_dim(query.vector)?;
        // One snapshot for the vectors and the payload, so that a hit is always there.
        let snapshot = self.sql(self.connection.unchecked_transaction())?;
        let cached = match query.space {
            Space::Target => &self.target,
            Space::Image => &self.image,
        };
        let mut cached = cached.borrow_mut();
        self.refresh(&mut cached, query.space)?;
        let found = cached
            .matrix
            .nearest(query.vector.as_slice(), query.limit, query.exclude, query.min_score);
        let mut hits = Vec::with_capacity(found.len());
        for (id, score) in found {
            let image = self.get(id)?.ok_or_else(|| self.damaged("a vector has no picture"))?;
            if image.paths.is_empty() {
                return Err(self.damaged("an image has no file"));
            }
            hits.push(Hit { score, image });
        }
        self.sql(snapshot.finish())?;
        Ok(hits)
    }

    /// The folder that all indexed files lie in, without a slash at its end; empty if they share none but the root.
    pub fn common_folder(&self) -> Result<String, IndexError> {
        let Some((first, last)) = self.sql(store::first_and_last_path(&self.connection))? else {
            return Ok(String::new());
        };
        // All paths lie between these two, so they share what these two share.
        let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let folder_end = first.as_bytes()[..shared].iter().rposition(|byte| *byte == b'/');
        Ok(first[..folder_end.unwrap_or(0)].to_owned())
    }

    /// The image with this content, if it is in the index.
    pub fn get(&self, id: ImageId) -> Result<Option<IndexedImage>, IndexError> {
        self.sql(store::image(&self.connection, id))
    }

    /// A stored vector of the image, to 11 bits a number; `None` if the image is not in the index.
    pub fn vector(&self, id: ImageId, space: Space) -> Result<Option<Embedding>, IndexError> {
        let Some(bytes) = self.sql(store::vector(&self.connection, id, space))? else {
            return Ok(None);
        };
        let vector = Embedding::from_unit(store::from_f16_bytes(&bytes).map(f32::from).collect())?;
        self.check_dim(&vector)?;
        Ok(Some(vector))
    }

    /// Up to `limit` images from all over the index, always the same ones, for a page without a query.
    pub fn sample(&self, limit: usize) -> Result<Vec<IndexedImage>, IndexError> {
        let mut images = Vec::new();
        for id in self.sql(store::first_ids(&self.connection, limit))? {
            images.extend(self.get(id)?);
        }
        Ok(images)
    }

    /// The ids of all images, in their order.
    pub fn ids(&self) -> Result<Vec<ImageId>, IndexError> {
        self.sql(store::first_ids(&self.connection, usize::MAX))
    }

    /// The file of the image's thumbnail, a JPEG. A missing one is made again from the image.
    ///
    /// `None` if the image is not in the index, or the thumbnail and all its files are gone.
    pub fn thumbnail_path(&self, id: ImageId) -> Result<Option<PathBuf>, IndexError> {
        let folder = self.dir.join(THUMBNAILS_FOLDER);
        let path = thumbnails::path_of(&folder, id);
        // Thumbnails are not synced to disk, so a power cut can leave an empty one.
        if fs_err::metadata(&path).is_ok_and(|metadata| 0 < metadata.len()) {
            return Ok(Some(path));
        }
        let Some(image) = self.get(id)? else { return Ok(None) };
        let files = image
            .paths
            .into_iter()
            .map(|path| FileStamp {
                path,
                size: 0,
                mtime_ns: 0,
            })
            .collect();
        let pending = Pending {
            id,
            files,
            change: scan::Change::Added,
            payload: image.payload,
        };
        match pending.load(&Limits::default()).loaded {
            Some(loaded) => Ok(Some(thumbnails::write(&folder, id, &loaded.thumbnail.jpeg)?)),
            None => Ok(None),
        }
    }

    fn write_locked(dir: &Path, model: &ModelStamp, lock: fs_err::File) -> Result<Self, IndexError> {
        let sql = |error| IndexError::from_sqlite(dir, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = store::connect(&dir.join(DATABASE_FILE), flags).map_err(sql)?;
        let mut kind = store::kind(&connection).map_err(sql)?;
        if matches!(kind, Kind::Fresh | Kind::Ours) {
            store::prepare_for_writing(&connection).map_err(sql)?;
        }
        if matches!(kind, Kind::Fresh) {
            store::create(&mut connection, model).map_err(sql)?;
            kind = Kind::Ours;
        }
        let index = Self::new(dir, connection, &kind, Some(lock))?;
        index.check_model(model)?;
        Ok(index)
    }

    fn new(
        dir: &Path,
        connection: Connection,
        kind: &Kind,
        writer_lock: Option<fs_err::File>,
    ) -> Result<Self, IndexError> {
        match *kind {
            Kind::Ours => {}
            Kind::OtherFormat(found) => {
                return Err(IndexError::OtherFormat {
                    dir: dir.to_owned(),
                    found,
                    wanted: store::FORMAT,
                });
            }
            Kind::Fresh | Kind::Foreign => {
                let detail = format!("`{DATABASE_FILE}` is not a database of magiclens");
                return Err(IndexError::Damaged {
                    dir: dir.to_owned(),
                    detail,
                });
            }
        }
        let stamp = store::stamp(&connection).map_err(|error| IndexError::from_sqlite(dir, error))?;
        let cached = || RefCell::new(Cached::new(stamp.dim));
        Ok(Self {
            dir: dir.to_owned(),
            target: cached(),
            image: cached(),
            stamp,
            connection,
            writer_lock,
        })
    }

    /// Runs `change` as one commit, then deletes the thumbnails of the images that it took out.
    fn write(&mut self, change: impl FnOnce(&Connection) -> rusqlite::Result<Vec<ImageId>>) -> Result<(), IndexError> {
        if self.writer_lock.is_none() {
            return Err(IndexError::ReadOnly { dir: self.dir.clone() });
        }
        let dir = &self.dir;
        let sql = |error| IndexError::from_sqlite(dir, error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        let removed = change(&transaction).map_err(sql)?;
        transaction.commit().map_err(sql)?;
        for id in removed {
            unless_missing(fs_err::remove_file(thumbnails::path_of(
                &dir.join(THUMBNAILS_FOLDER),
                id,
            )))?;
        }
        Ok(())
    }

    /// Brings the vectors in memory up to the snapshot: reads the new ones only, or all if some were taken out.
    fn refresh(&self, cached: &mut Cached, space: Space) -> Result<(), IndexError> {
        let removals = self.sql(store::removals(&self.connection))?;
        if cached.removals.as_ref() != Some(&removals) {
            *cached = Cached {
                removals: Some(removals),
                ..Cached::new(self.stamp.dim)
            };
        }
        let mut has_wrong_length = false;
        let rows_before = cached.matrix.len();
        let result = store::visit_vectors(&self.connection, space, cached.last_seq, |seq, id, bytes| {
            if bytes.len() == 2 * self.stamp.dim {
                cached.matrix.push(id, store::from_f16_bytes(bytes));
                cached.last_seq = seq;
            } else {
                has_wrong_length = true;
            }
        });
        self.sql(result)?;
        if has_wrong_length {
            return Err(self.damaged("a vector has the wrong length"));
        }
        let rows = cached.matrix.len();
        if rows != rows_before && rows != self.len()? {
            return Err(self.damaged("there are pictures without vectors"));
        }
        Ok(())
    }

    fn check_dim(&self, vector: &Embedding) -> Result<(), IndexError> {
        let (found, expected) = (vector.dim(), self.stamp.dim);
        if found == expected {
            Ok(())
        } else {
            Err(IndexError::WrongDim { found, expected })
        }
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, IndexError> {
        result.map_err(|error| IndexError::from_sqlite(&self.dir, error))
    }

    fn damaged(&self, detail: &str) -> IndexError {
        IndexError::Damaged {
            dir: self.dir.clone(),
            detail: detail.to_owned(),
        }
    }
}

/// The vectors of one space in memory.
#[derive(Debug)]
struct Cached {
    matrix: Matrix,
    last_seq: i64,
    removals: Option<String>,
}

impl Cached {
    fn new(dim: usize) -> Self {
        Self {
            matrix: Matrix::new(dim),
            last_seq: 0,
            removals: None,
        }
    }
}

/// A file with a broken content loses its image; one that could not be read keeps it until it can be.
fn put_skipped(connection: &Connection, skipped: &Skipped) -> rusqlite::Result<Option<i64>> {
    store::put_skipped(connection, skipped)?;
    match skipped.stamp {
        Some(_) => store::remove_file(connection, &skipped.path),
        None => Ok(None),
    }
}

fn lock(dir: &Path) -> Result<fs_err::File, IndexError> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
