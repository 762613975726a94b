//! The index as a folder: opening, scanning, searching.

use std::cell::RefCell;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use magiclens_data::decode::Limits;
use magiclens_data::{Embedding, ImageId, dot};
use rusqlite::{Connection, OpenFlags};

use crate::error::IndexError;
use crate::exact::{Found, Rows, Selection};
use crate::image::{Hit, IndexedImage, ModelStamp, Space};
use crate::path_text::from_text;
use crate::plan::Plan;
use crate::schema::{self, DATABASE_FILE, Kind};
use crate::skipped::Skipped;
use crate::thumbnails::{self, THUMBNAILS_FOLDER, ThumbnailFile};
use crate::{scan, store};

const LOCK_FILE: &str = "index.lock";

/// An index in a folder: one process writes, any number reads.
#[derive(Debug)]
pub struct Index {
    pub(crate) dir: PathBuf,
    pub(crate) connection: Connection,
    stamp: ModelStamp,
    /// Vectors in memory, brought up to date at each search.
    target: RefCell<Cached>,
    image: RefCell<Cached>,
    /// Held by the one writer; the system lets go of it when the process dies.
    pub(crate) writer_lock: Option<fs_err::File>,
}

/// A query to the index.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The vector to look for, as long as those of the index.
    pub vector: &'a Embedding,
    /// The vector of the images to compare with.
    pub space: Space,
    /// The hits that are wanted.
    pub selection: Selection<'a>,
}

/// The vectors of one space in memory.
#[derive(Debug)]
struct Cached {
    rows: Rows,
    last_seq: i64,
    removals: Option<String>,
}

impl Cached {
    fn new(dim: usize) -> Self {
        Self {
            rows: Rows::new(dim),
            last_seq: 0,
            removals: None,
        }
    }
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

    /// True if `dir` is a folder with an index.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(DATABASE_FILE).is_file()
    }

    /// Opens the index in `dir` for searching.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let path = dir.join(DATABASE_FILE);
        if !path.is_file() {
            return Err(IndexError::Missing { dir: dir.to_owned() });
        }
        let sql = |error| IndexError::from_sqlite(dir, error);
        let connection = schema::connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
        match schema::kind(&connection).map_err(sql)? {
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
            found: Box::new(self.stamp.clone()),
            wanted: Box::new(model.clone()),
        })
    }

    /// Number of images.
    pub fn len(&self) -> Result<usize, IndexError> {
        self.sql(store::count(&self.connection))
    }

    /// True if there are no images.
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

    /// All files that could not be used, in the order of their paths.
    pub fn skipped(&self) -> Result<Vec<Skipped>, IndexError> {
        self.sql(store::skipped(&self.connection))
    }

    /// The nearest images, best first; ties in the order of their ids. Exact: every vector is compared.
    ///
    /// Sees everything committed before the call, by this process or another.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Hit>, IndexError> {
        self.check_dim(query.vector)?;
        let vector = query.vector.as_slice();
        self.rank(query.space, |rows| {
            Ok(rows.best(&query.selection, |row| dot(vector, row)))
        })
    }

    /// The images of the rows that `rank` finds among the vectors of a space, in its order. Vectors and images are of one
    /// snapshot, which holds everything committed before the call.
    ///
    /// # Errors
    /// An index that cannot be read; those of `rank`.
    pub fn rank<E: From<IndexError>>(
        &self,
        space: Space,
        rank: impl FnOnce(&Rows) -> Result<Vec<Found>, E>,
    ) -> Result<Vec<Hit>, E> {
        let snapshot = self.sql(self.connection.unchecked_transaction())?;
        let cached = match space {
            Space::Target => &self.target,
            Space::Image => &self.image,
        };
        let mut cached = cached.borrow_mut();
        self.refresh(&mut cached, space)?;
        let hits = self.hits(&rank(&cached.rows)?)?;
        self.sql(snapshot.finish())?;
        Ok(hits)
    }

    /// The folder that all indexed files lie in, without a slash at its end; empty if they share none but the root.
    pub fn common_folder(&self) -> Result<PathBuf, IndexError> {
        let Some((first, last)) = self.sql(store::first_and_last_path(&self.connection))? else {
            return Ok(PathBuf::new());
        };
        // All paths lie between these two, so they share what these two share.
        let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let folder_end = first.as_bytes()[..shared].iter().rposition(|byte| *byte == b'/');
        Ok(from_text(&first[..folder_end.unwrap_or(0)]))
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
        self.page(0, limit)
    }

    /// The images of [`Index::sample`] after the first `offset`; reads no more than these.
    pub fn page(&self, offset: usize, limit: usize) -> Result<Vec<IndexedImage>, IndexError> {
        self.sql(store::page(&self.connection, offset, limit))
    }

    /// The ids of all images, in their order.
    pub fn ids(&self) -> Result<Vec<ImageId>, IndexError> {
        self.sql(store::ids(&self.connection))
    }

    /// The place of the image's thumbnail; `None` if the image is not in the index. Decodes nothing.
    pub fn thumbnail(&self, id: ImageId) -> Result<Option<ThumbnailFile>, IndexError> {
        let path = thumbnails::path_of(&self.dir, id);
        let originals = match thumbnails::is_whole(&path) {
            true => Vec::new(),
            false => match self.get(id)? {
                Some(image) => image.paths,
                None => return Ok(None),
            },
        };
        Ok(Some(ThumbnailFile { id, path, originals }))
    }

    /// The file of the image's thumbnail, a JPEG. A missing one is made again from the image, while the index waits.
    ///
    /// `None` if the image is not in the index, or the thumbnail and all its files are gone.
    pub fn thumbnail_path(&self, id: ImageId) -> Result<Option<PathBuf>, IndexError> {
        match self.thumbnail(id)? {
            Some(thumbnail) => Ok(thumbnail.find_or_make(&Limits::default())?),
            None => Ok(None),
        }
    }

    fn hits(&self, found: &[Found]) -> Result<Vec<Hit>, IndexError> {
        let ids: Vec<ImageId> = found.iter().map(|found| found.id).collect();
        let images = self.sql(store::images_of(&self.connection, &ids))?;
        if images.len() != found.len() {
            return Err(self.damaged("a vector has no image"));
        }
        if images.iter().any(|image| image.paths.is_empty()) {
            return Err(self.damaged("an image has no file"));
        }
        let hits = images.into_iter().zip(found);
        let hit = |(image, found): (IndexedImage, &Found)| Hit {
            score: found.score,
            image,
        };
        Ok(hits.map(hit).collect())
    }

    fn write_locked(dir: &Path, model: &ModelStamp, lock: fs_err::File) -> Result<Self, IndexError> {
        let sql = |error| IndexError::from_sqlite(dir, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = schema::connect(&dir.join(DATABASE_FILE), flags).map_err(sql)?;
        let mut kind = schema::kind(&connection).map_err(sql)?;
        if matches!(kind, Kind::Fresh | Kind::Ours) {
            schema::prepare_for_writing(&connection).map_err(sql)?;
        }
        if matches!(kind, Kind::Fresh) {
            schema::create(&mut connection, model).map_err(sql)?;
            kind = Kind::Ours;
        }
        let mut index = Self::new(dir, connection, &kind, Some(lock))?;
        index.check_model(model)?;
        if !model.name.is_empty() && model.name != index.stamp.name {
            index.sql(schema::set_name(&index.connection, &model.name))?;
            index.stamp = model.clone();
        }
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
                    wanted: schema::FORMAT,
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
        let stamp = schema::stamp(&connection).map_err(|error| IndexError::from_sqlite(dir, error))?;
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

    /// Brings the vectors in memory up to the snapshot: reads the new ones only, or all if some were taken out.
    fn refresh(&self, cached: &mut Cached, space: Space) -> Result<(), IndexError> {
        let removals = self.sql(schema::removals(&self.connection))?;
        if cached.removals.as_ref() != Some(&removals) {
            // Another model may have taken the place of ours, see `next.rs`.
            let now = self.sql(schema::stamp(&self.connection))?;
            if now != self.stamp {
                return Err(IndexError::ModelChanged {
                    dir: self.dir.clone(),
                    now: Box::new(now),
                });
            }
            *cached = Cached {
                removals: Some(removals),
                ..Cached::new(self.stamp.dim)
            };
        }
        let mut has_wrong_length = false;
        let rows_before = cached.rows.len();
        let result = store::visit_vectors(&self.connection, space, cached.last_seq, |seq, id, bytes| {
            if bytes.len() == 2 * self.stamp.dim {
                cached.rows.push(id, store::from_f16_bytes(bytes));
                cached.last_seq = seq;
            } else {
                has_wrong_length = true;
            }
        });
        self.sql(result)?;
        if has_wrong_length {
            return Err(self.damaged("a vector has the wrong length"));
        }
        let rows = cached.rows.len();
        if rows != rows_before && rows != self.len()? {
            return Err(self.damaged("there are images without vectors"));
        }
        Ok(())
    }

    pub(crate) fn check_dim(&self, vector: &Embedding) -> Result<(), IndexError> {
        let (found, expected) = (vector.dim(), self.stamp.dim);
        if found == expected {
            Ok(())
        } else {
            Err(IndexError::WrongDim { found, expected })
        }
    }

    pub(crate) fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, IndexError> {
        result.map_err(|error| IndexError::from_sqlite(&self.dir, error))
    }

    fn damaged(&self, detail: &str) -> IndexError {
        IndexError::Damaged {
            dir: self.dir.clone(),
            detail: detail.to_owned(),
        }
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

pub(crate) fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
