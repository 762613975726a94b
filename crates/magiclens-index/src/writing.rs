//! Bringing changes into the index, one commit each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use magiclens_data::ImageId;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::IndexError;
use crate::image::NewImage;
use crate::index::{Index, unless_missing};
use crate::plan::Plan;
use crate::skipped::Skipped;
use crate::{store, thumbnails};

impl Index {
    /// Brings in, in one commit, all that needs no embedding: moved, gone and skipped files, and descriptions.
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
            let listed: BTreeSet<&PathBuf> = plan.skipped.iter().map(|skipped| &skipped.path).collect();
            for old in store::skipped(connection)? {
                let is_covered = plan.roots.iter().any(|root| old.path.starts_with(root));
                if is_covered && !listed.contains(&old.path) {
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
            thumbnails::write(&thumbnails::path_of(&self.dir, image.id), &image.thumbnail)?;
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

    /// Forgets all files in `folder` (or the file of that name), existing or not; returns their number.
    pub fn forget(&mut self, folder: &Path) -> Result<usize, IndexError> {
        let folder = fs_err::canonicalize(folder).or_else(|_| std::path::absolute(folder))?;
        let mut forgotten = 0;
        self.write(|connection| {
            let mut left = Vec::new();
            let files = store::file_paths(connection)?;
            for path in files.iter().filter(|path| path.starts_with(&folder)) {
                left.extend(store::remove_file(connection, path)?);
                forgotten += 1;
            }
            let skipped = store::skipped(connection)?;
            for skipped in skipped.iter().filter(|skipped| skipped.path.starts_with(&folder)) {
                store::remove_skipped(connection, &skipped.path)?;
            }
            store::remove_orphans(connection, &left)
        })?;
        Ok(forgotten)
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
            unless_missing(fs_err::remove_file(thumbnails::path_of(dir, id)))?;
        }
        Ok(())
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
