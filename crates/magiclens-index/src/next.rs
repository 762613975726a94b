//! Another model for an index: a second index is built beside the first, in its folder `next`, and takes its place in one
//! commit when it is complete. Until then searches go on with the first; a process that dies leaves both as they were.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Result};

use crate::error::IndexError;
use crate::image::{ModelStamp, Payload};
use crate::index::Index;
use crate::schema::DATABASE_FILE;
use crate::store;
use crate::thumbnails::THUMBNAILS_FOLDER;

/// Folder of the second index, in that of the first.
const NEXT_FOLDER: &str = "next";

/// Puts the contents of the attached database `next` in the place of ours. Images that were given as single files keep the
/// payload that they had.
const REPLACE: &str = "
    CREATE TEMP TABLE payloads AS SELECT id, payload FROM main.pictures;
    DELETE FROM main.image_vectors;
    DELETE FROM main.target_vectors;
    DELETE FROM main.files;
    DELETE FROM main.pictures;
    DELETE FROM main.skipped;
    INSERT INTO main.pictures SELECT * FROM next.pictures;
    INSERT INTO main.files SELECT * FROM next.files;
    INSERT INTO main.target_vectors SELECT * FROM next.target_vectors;
    INSERT INTO main.image_vectors SELECT * FROM next.image_vectors;
    INSERT INTO main.skipped SELECT * FROM next.skipped;
    INSERT OR REPLACE INTO main.meta SELECT key, value FROM next.meta WHERE key <> 'removals';
    UPDATE main.meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'removals';
";

const KEEP_PAYLOADS: &str = "
    UPDATE main.pictures SET payload = (SELECT payload FROM temp.payloads WHERE payloads.id = pictures.id)
    WHERE payload = ?1 AND id IN (SELECT id FROM temp.payloads)
";

impl Index {
    /// True if there is an index in `dir`, and it belongs to another model.
    ///
    /// # Errors
    /// An index that cannot be opened.
    pub fn is_of_another_model(dir: &Path, model: &ModelStamp) -> Result<bool, IndexError> {
        match Self::open(dir) {
            Ok(index) => Ok(index.stamp() != model),
            Err(IndexError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The second index beside the one in `dir`, for another model. One that was begun for that model is gone on with.
    ///
    /// # Errors
    /// See [`Index::create_or_open`].
    pub fn next_to(dir: &Path, model: &ModelStamp) -> Result<Self, IndexError> {
        let next = dir.join(NEXT_FOLDER);
        match Self::is_of_another_model(&next, model)? {
            true => Self::rebuild(&next, model),
            false => Self::create_or_open(&next, model),
        }
    }

    /// Puts a complete second index in the place of the one in `dir`, in one commit.
    ///
    /// # Errors
    /// Another process that writes to either, or files that cannot be written.
    pub fn replace_with(dir: &Path, next: Self) -> Result<Self, IndexError> {
        let (model, folder) = (next.stamp().clone(), next.dir.clone());
        // Closing brings its journal into the database file.
        drop(next);
        let mut index = Self::create_or_open(dir, Self::open(dir)?.stamp())?;
        let replaced = replace(&mut index.connection, &folder.join(DATABASE_FILE));
        index.sql(replaced)?;
        move_thumbnails(&folder, dir)?;
        drop(index);
        fs_err::remove_dir_all(folder)?;
        Self::create_or_open(dir, &model)
    }

    /// All indexed files, in the order of their paths.
    ///
    /// # Errors
    /// A database that cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, IndexError> {
        self.sql(store::files(&self.connection))
    }
}

fn replace(connection: &mut Connection, next: &Path) -> Result<()> {
    connection.execute("ATTACH ?1 AS next", [next.to_string_lossy()])?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(REPLACE)?;
    transaction.execute(KEEP_PAYLOADS, [store::to_json(&Payload::default())])?;
    transaction.execute_batch("DROP TABLE temp.payloads")?;
    transaction.commit()?;
    connection.execute_batch("DETACH next")
}

/// Thumbnails are named by their content, so those that both have are alike.
fn move_thumbnails(from: &Path, to: &Path) -> Result<(), IndexError> {
    let (from, to) = (from.join(THUMBNAILS_FOLDER), to.join(THUMBNAILS_FOLDER));
    if !from.is_dir() {
        return Ok(());
    }
    for group in fs_err::read_dir(&from)? {
        let group = group?.path();
        let place = to.join(group.file_name().unwrap_or_default());
        fs_err::create_dir_all(&place)?;
        for thumbnail in fs_err::read_dir(&group)? {
            let thumbnail = thumbnail?.path();
            fs_err::rename(&thumbnail, place.join(thumbnail.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}
