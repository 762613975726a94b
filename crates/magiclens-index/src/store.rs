//! The statements over the tables of an index.
//!
//! Functions that write expect to be called within a transaction; it is the caller's, so that one batch is one commit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::f16;
use magiclens_data::{DigestBuilder, Embedding, ImageId};
use rusqlite::{Connection, OptionalExtension, Params, Result, Row, params};

use crate::image::{FileStamp, IndexedImage, NewImage, Payload, Space};
use crate::path_text::{from_text, to_text};
use crate::plan::Before;
use crate::schema::unexpected;
use crate::skipped::{SkipReason, Skipped};

impl Space {
    fn table(self) -> &'static str {
        match self {
            Self::Target => "target_vectors",
            Self::Image => "image_vectors",
        }
    }
}

/// Number of images.
pub(crate) fn count(connection: &Connection) -> Result<usize> {
    let count: i64 = connection.query_row("SELECT count(*) FROM pictures", [], |row| row.get(0))?;
    Ok(usize::try_from(count).expect("a count is not negative"))
}

/// The least and the greatest path, in the order of their bytes, as they are stored.
pub(crate) fn first_and_last_path(connection: &Connection) -> Result<Option<(String, String)>> {
    let ends = "SELECT (SELECT min(path) FROM files), (SELECT max(path) FROM files)";
    let (first, last): (Option<String>, Option<String>) =
        connection.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last))
}

/// All files, in the order of their paths.
pub(crate) fn files(connection: &Connection) -> Result<Vec<PathBuf>> {
    let mut statement = connection.prepare("SELECT path FROM files ORDER BY path")?;
    statement.query_map([], |row| path_at(row, 0))?.collect()
}

/// The files that a scan compares with.
pub(crate) fn before(connection: &Connection) -> Result<Before> {
    let mut statement = connection.prepare(
        "SELECT files.path, files.size, files.mtime_ns, pictures.id FROM files JOIN pictures ON seq = files.picture",
    )?;
    let files = statement
        .query_map([], |row| {
            let stamp = file_stamp(row, path_at(row, 0)?, 1)?;
            Ok((stamp.path.clone(), (stamp, ImageId::from_bytes(row.get(3)?))))
        })?
        .collect::<Result<HashMap<_, _>>>()?;
    let skipped = skipped(connection)?
        .into_iter()
        .map(|skipped| (skipped.path.clone(), skipped))
        .collect();
    Ok(Before { files, skipped })
}

/// All skipped files, in the order of their paths.
pub(crate) fn skipped(connection: &Connection) -> Result<Vec<Skipped>> {
    let mut statement = connection.prepare("SELECT path, reason, detail, size, mtime_ns FROM skipped ORDER BY path")?;
    let rows = statement.query_map([], |row| {
        let path = path_at(row, 0)?;
        let stamp = match row.get_ref(3)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(file_stamp(row, path.clone(), 3)?),
        };
        let reason: String = row.get(1)?;
        let reason = SkipReason::from_name(&reason).ok_or_else(|| unexpected("a reason for skipping is unknown"))?;
        Ok(Skipped {
            path,
            reason,
            detail: row.get(2)?,
            stamp,
        })
    })?;
    rows.collect()
}

fn path_at(row: &Row<'_>, column: usize) -> Result<PathBuf> {
    Ok(from_text(row.get_ref(column)?.as_str()?))
}

fn file_stamp(row: &Row<'_>, path: PathBuf, first_column: usize) -> Result<FileStamp> {
    let size: i64 = row.get(first_column)?;
    Ok(FileStamp {
        path,
        size: size.cast_unsigned(),
        mtime_ns: row.get(first_column + 1)?,
    })
}

/// Writes an image with its vectors; returns its number. An image that is there already stays as it is.
pub(crate) fn put_image(connection: &Connection, image: &NewImage) -> Result<i64> {
    let id = image.id.to_bytes();
    if let Some(seq) = seq_of(connection, image.id)? {
        return Ok(seq);
    }
    connection
        .prepare_cached("INSERT INTO pictures (id, width, height, payload) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, image.width, image.height, to_json(&image.payload)])?;
    let seq = connection.last_insert_rowid();
    for (space, vector) in [(Space::Target, &image.target), (Space::Image, &image.image)] {
        let bytes = to_f16_bytes(vector);
        let sql = format!(
            "INSERT INTO {} (picture, vector, checksum) VALUES (?1, ?2, ?3)",
            space.table()
        );
        connection
            .prepare_cached(&sql)?
            .execute(params![seq, bytes, checksum(image.id, &bytes)])?;
    }
    Ok(seq)
}

/// Number of the image with this content.
pub(crate) fn seq_of(connection: &Connection, id: ImageId) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT seq FROM pictures WHERE id = ?1")?
        .query_row([id.to_bytes()], |row| row.get(0))
        .optional()
}

/// Notes that the file holds the image `seq`; returns the image that it held before, if another.
pub(crate) fn put_file(connection: &Connection, file: &FileStamp, seq: i64) -> Result<Option<i64>> {
    let path = to_text(&file.path);
    let before: Option<i64> = connection
        .prepare_cached("SELECT picture FROM files WHERE path = ?1")?
        .query_row([&path], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO files (path, size, mtime_ns, picture) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![path, file.size.cast_signed(), file.mtime_ns, seq])?;
    remove_skipped(connection, &file.path)?;
    Ok(before.filter(|before| *before != seq))
}

/// Forgets a file; returns the image that it held.
pub(crate) fn remove_file(connection: &Connection, path: &Path) -> Result<Option<i64>> {
    connection
        .prepare_cached("DELETE FROM files WHERE path = ?1 RETURNING picture")?
        .query_row([to_text(path)], |row| row.get(0))
        .optional()
}

/// All paths of files, sorted.
pub(crate) fn file_paths(connection: &Connection) -> Result<Vec<PathBuf>> {
    connection
        .prepare("SELECT path FROM files ORDER BY path")?
        .query_map([], |row| path_at(row, 0))?
        .collect()
}

/// Deletes those of the images that have no file left; returns their ids.
pub(crate) fn remove_orphans(connection: &Connection, candidates: &[i64]) -> Result<Vec<ImageId>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM pictures WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM files WHERE picture = ?1) RETURNING id",
    )?;
    let mut removed = Vec::new();
    for seq in candidates {
        removed.extend(
            statement
                .query_row([seq], |row| row.get(0))
                .optional()?
                .map(ImageId::from_bytes),
        );
    }
    if !removed.is_empty() {
        connection.execute(
            "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'removals'",
            [],
        )?;
    }
    Ok(removed)
}

/// Writes down a skipped file.
pub(crate) fn put_skipped(connection: &Connection, skipped: &Skipped) -> Result<()> {
    let stamp = skipped.stamp.as_ref();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO skipped (path, reason, detail, size, mtime_ns) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            to_text(&skipped.path),
            skipped.reason.name(),
            skipped.detail,
            stamp.map(|stamp| stamp.size.cast_signed()),
            stamp.map(|stamp| stamp.mtime_ns),
        ])?;
    Ok(())
}

/// Strikes a path off the list of skipped files.
pub(crate) fn remove_skipped(connection: &Connection, path: &Path) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM skipped WHERE path = ?1")?
        .execute([to_text(path)])?;
    Ok(())
}

/// Replaces the description of an image; nothing happens if it is the same or there is no such image.
pub(crate) fn set_payload(connection: &Connection, id: ImageId, payload: &Payload) -> Result<()> {
    connection
        .prepare_cached("UPDATE pictures SET payload = ?2 WHERE id = ?1 AND payload <> ?2")?
        .execute(params![id.to_bytes(), to_json(payload)])?;
    Ok(())
}

/// The image with this content.
pub(crate) fn image(connection: &Connection, id: ImageId) -> Result<Option<IndexedImage>> {
    let from = "pictures LEFT JOIN files ON picture = seq WHERE pictures.id = ?1 ORDER BY files.path";
    Ok(images(connection, from, [id.to_bytes()])?.pop())
}

/// The images with these contents that are there, in the order of `ids`, in one statement.
pub(crate) fn images_of(connection: &Connection, ids: &[ImageId]) -> Result<Vec<IndexedImage>> {
    let from = "json_each(?1) AS wanted JOIN pictures ON pictures.id = unhex(wanted.value)
        LEFT JOIN files ON picture = seq ORDER BY wanted.key, files.path";
    let ids = serde_json::to_string(ids).expect("ids can be written as JSON");
    images(connection, from, [ids])
}

/// `limit` images in the order of their ids, after the first `offset`; ids are hashes, so this is a fixed random choice.
pub(crate) fn page(connection: &Connection, offset: usize, limit: usize) -> Result<Vec<IndexedImage>> {
    let from = "(SELECT * FROM pictures ORDER BY id LIMIT ?1 OFFSET ?2) AS pictures
        LEFT JOIN files ON picture = seq ORDER BY pictures.id, files.path";
    images(
        connection,
        from,
        [limit, offset].map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
    )
}

/// The images of a query that gives the files of each image one after another.
fn images(connection: &Connection, from: &str, params: impl Params) -> Result<Vec<IndexedImage>> {
    let sql = format!("SELECT pictures.id, width, height, payload, files.path FROM {from}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut images: Vec<IndexedImage> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = ImageId::from_bytes(row.get(0)?);
        if images.last().is_none_or(|last| last.id != id) {
            let payload = serde_json::from_str(row.get_ref(3)?.as_str()?);
            images.push(IndexedImage {
                id,
                paths: Vec::new(),
                width: row.get(1)?,
                height: row.get(2)?,
                payload: payload.map_err(|_| unexpected("the description of a picture is no JSON"))?,
            });
        }
        if let (Some(image), Some(path)) = (images.last_mut(), row.get_ref(4)?.as_str_or_null()?) {
            image.paths.push(from_text(path));
        }
    }
    Ok(images)
}

/// All ids, in their order.
pub(crate) fn ids(connection: &Connection) -> Result<Vec<ImageId>> {
    connection
        .prepare_cached("SELECT id FROM pictures ORDER BY id")?
        .query_map([], |row| Ok(ImageId::from_bytes(row.get(0)?)))?
        .collect()
}

/// One stored vector as bytes; a wrong checksum is an error.
pub(crate) fn vector(connection: &Connection, id: ImageId, space: Space) -> Result<Option<Vec<u8>>> {
    let sql = format!(
        "SELECT vector, checksum FROM {} JOIN pictures ON seq = picture WHERE id = ?1",
        space.table()
    );
    connection
        .prepare_cached(&sql)?
        .query_row([id.to_bytes()], |row| checked_vector(row, id).map(<[u8]>::to_vec))
        .optional()
}

/// Calls `visit(seq, id, bytes)` for every vector of the space whose image came after number `after`, in that order.
pub(crate) fn visit_vectors(
    connection: &Connection,
    space: Space,
    after: i64,
    mut visit: impl FnMut(i64, ImageId, &[u8]),
) -> Result<()> {
    let sql = format!(
        "SELECT vector, checksum, picture, id FROM {} LEFT JOIN pictures ON seq = picture
         WHERE picture > ?1 ORDER BY picture",
        space.table()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let id = ImageId::from_bytes(row.get(3)?);
        visit(row.get(2)?, id, checked_vector(row, id)?);
    }
    Ok(())
}

/// The vector in the first column, if the checksum in the second is right: SQLite would not notice a flipped bit.
fn checked_vector<'row>(row: &'row Row<'_>, id: ImageId) -> Result<&'row [u8]> {
    let bytes = row.get_ref(0)?.as_blob()?;
    if row.get::<_, [u8; 8]>(1)? == checksum(id, bytes) {
        return Ok(bytes);
    }
    Err(unexpected("the checksum of a stored vector is wrong"))
}

/// Covers the id too, so that a vector cannot end up with another image.
fn checksum(id: ImageId, bytes: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = DigestBuilder::new()
        .update(id.to_bytes())
        .update(bytes)
        .finish()
        .to_bytes();
    [a, b, c, d, e, f, g, h]
}

fn to_f16_bytes(vector: &Embedding) -> Vec<u8> {
    vector
        .as_slice()
        .iter()
        .flat_map(|&value| f16::from_f32(value).to_le_bytes())
        .collect()
}

/// The numbers of a stored vector.
pub(crate) fn from_f16_bytes(bytes: &[u8]) -> impl Iterator<Item = f16> {
    bytes.as_chunks::<2>().0.iter().map(|&pair| f16::from_le_bytes(pair))
}

pub(crate) fn to_json(payload: &Payload) -> String {
    serde_json::to_string(payload).expect("texts and lists of texts can be written as JSON")
}
