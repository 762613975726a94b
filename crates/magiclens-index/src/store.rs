//! The database of an index: its tables, and the statements over them.
//!
//! Functions that write expect to be called within a transaction; it is the caller's, so that one batch is one commit.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use half::f16;
use magiclens_data::{Embedding, ImageId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, Row, params};

use crate::image::{FileStamp, IndexedImage, ModelStamp, NewImage, Payload, Space};
use crate::scan::{Before, SkipReason, Skipped};

/// Marks the file as ours: the letters `MLix`.
const APPLICATION_ID: i64 = 0x4d4c_6978;

/// Version of the tables below.
pub(crate) const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE pictures (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        payload TEXT NOT NULL
    ) STRICT;
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        picture INTEGER NOT NULL REFERENCES pictures (seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX files_by_picture ON files (picture);
    CREATE TABLE target_vectors (
        picture INTEGER PRIMARY KEY REFERENCES pictures (seq) ON DELETE CASCADE,
        vector BLOB NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
    CREATE TABLE image_vectors (
        picture INTEGER PRIMARY KEY REFERENCES pictures (seq) ON DELETE CASCADE,
        vector BLOB NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
    CREATE TABLE skipped (
        path TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        size INTEGER,
        mtime_ns INTEGER
    ) STRICT, WITHOUT ROWID;
";

impl Space {
    fn table(self) -> &'static str {
        match self {
            Self::Target => "target_vectors",
            Self::Image => "image_vectors",
        }
    }
}

/// What a database file turned out to be.
pub(crate) enum Kind {
    /// No tables yet: its maker died before the first commit, or it is just being made.
    Fresh,
    /// Ours, in the format of this program.
    Ours,
    /// Ours, in another format.
    OtherFormat(i64),
    /// The database of another program.
    Foreign,
}

/// Opens a database file. `CREATE` in `flags` makes a missing one.
pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Reads what the database is.
pub(crate) fn kind(connection: &Connection) -> Result<Kind> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, FORMAT) => Kind::Ours,
        (APPLICATION_ID, other) => Kind::OtherFormat(other),
        (0, 0) if tables == 0 => Kind::Fresh,
        _ => Kind::Foreign,
    })
}

/// Makes the tables in one commit.
pub(crate) fn create(connection: &mut Connection, stamp: &ModelStamp) -> Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    set_meta(&transaction, "model_id", &stamp.model_id)?;
    set_meta(&transaction, "dim", &stamp.dim.to_string())?;
    set_meta(&transaction, "removals", "0")?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Durable to the last commit, and readers do not wait for the writer.
pub(crate) fn prepare_for_writing(connection: &Connection) -> Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")
}

/// The model that the vectors are from.
pub(crate) fn stamp(connection: &Connection) -> Result<ModelStamp> {
    let dim: String = meta(connection, "dim")?;
    let dim = dim
        .parse()
        .ok()
        .filter(|dim| 0 < *dim)
        .ok_or_else(|| nonsense("the length of the vectors is no number"))?;
    Ok(ModelStamp {
        model_id: meta(connection, "model_id")?,
        dim,
    })
}

/// Grows whenever images are taken out, so that a reader knows that its copy holds too much.
pub(crate) fn removals(connection: &Connection) -> Result<String> {
    meta(connection, "removals")
}

fn meta(connection: &Connection, key: &str) -> Result<String> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", [key, value])?;
    Ok(())
}

/// Number of images.
pub(crate) fn count(connection: &Connection) -> Result<usize> {
    let count: i64 = connection.query_row("SELECT count(*) FROM pictures", [], |row| row.get(0))?;
    Ok(usize::try_from(count).expect("a count is not negative"))
}

/// The least and the greatest path, in the order of their bytes.
pub(crate) fn first_and_last_path(connection: &Connection) -> Result<Option<(String, String)>> {
    let ends = "SELECT (SELECT min(path) FROM files), (SELECT max(path) FROM files)";
    let (first, last): (Option<String>, Option<String>) =
        connection.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last))
}

/// Everything a scan compares with.
pub(crate) fn before(connection: &Connection) -> Result<Before> {
    let mut statement = connection.prepare(
        "SELECT files.path, files.size, files.mtime_ns, pictures.id FROM files JOIN pictures ON seq = files.picture",
    )?;
    let files = statement
        .query_map([], |row| {
            let stamp = file_stamp(row, row.get(0)?, 1)?;
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
        let path: String = row.get(0)?;
        let stamp = match row.get_ref(3)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(file_stamp(row, path.clone(), 3)?),
        };
        let reason: String = row.get(1)?;
        let reason = SkipReason::from_name(&reason).ok_or_else(|| nonsense("a reason for skipping is unknown"))?;
        Ok(Skipped {
            path,
            reason,
            detail: row.get(2)?,
            stamp,
        })
    })?;
    rows.collect()
}

fn file_stamp(row: &Row<'_>, path: String, first_column: usize) -> Result<FileStamp> {
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

/// Says that the file holds the image `seq`; returns the image that it held before, if another.
pub(crate) fn put_file(connection: &Connection, file: &FileStamp, seq: i64) -> Result<Option<i64>> {
    let before: Option<i64> = connection
        .prepare_cached("SELECT picture FROM files WHERE path = ?1")?
        .query_row([&file.path], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO files (path, size, mtime_ns, picture) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![file.path, file.size.cast_signed(), file.mtime_ns, seq])?;
    connection
        .prepare_cached("DELETE FROM skipped WHERE path = ?1")?
        .execute([&file.path])?;
    Ok(before.filter(|before| *before != seq))
}

/// Forgets a file; returns the image that it held.
pub(crate) fn remove_file(connection: &Connection, path: &str) -> Result<Option<i64>> {
    connection
        .prepare_cached("DELETE FROM files WHERE path = ?1 RETURNING picture")?
        .query_row([path], |row| row.get(0))
        .optional()
}

/// All paths of files, sorted.
pub(crate) fn file_paths(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare("SELECT path FROM files ORDER BY path")?
        .query_map([], |row| row.get(0))?
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
            skipped.path,
            skipped.reason.name(),
            skipped.detail,
            stamp.map(|stamp| stamp.size.cast_signed()),
            stamp.map(|stamp| stamp.mtime_ns),
        ])?;
    Ok(())
}

/// Strikes a path off the list of skipped files.
pub(crate) fn remove_skipped(connection: &Connection, path: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM skipped WHERE path = ?1")?
        .execute([path])?;
    Ok(())
}

/// Replaces what is known about an image; nothing happens if it is the same or there is no such image.
pub(crate) fn set_payload(connection: &Connection, id: ImageId, payload: &Payload) -> Result<()> {
    connection
        .prepare_cached("UPDATE pictures SET payload = ?2 WHERE id = ?1 AND payload <> ?2")?
        .execute(params![id.to_bytes(), to_json(payload)])?;
    Ok(())
}

/// The image with this content.
pub(crate) fn image(connection: &Connection, id: ImageId) -> Result<Option<IndexedImage>> {
    let row = connection
        .prepare_cached("SELECT seq, width, height, payload FROM pictures WHERE id = ?1")?
        .query_row([id.to_bytes()], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get::<_, String>(3)?,
            ))
        })
        .optional()?;
    let Some((seq, width, height, payload)) = row else {
        return Ok(None);
    };
    let paths = connection
        .prepare_cached("SELECT path FROM files WHERE picture = ?1 ORDER BY path")?
        .query_map([seq], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let payload = serde_json::from_str(&payload).map_err(|_| nonsense("what is known about a picture is no JSON"))?;
    Ok(Some(IndexedImage {
        id,
        paths,
        width,
        height,
        payload,
    }))
}

/// The first `limit` ids; ids are hashes, so this is a fixed random choice.
pub(crate) fn first_ids(connection: &Connection, limit: usize) -> Result<Vec<ImageId>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT id FROM pictures ORDER BY id LIMIT ?1")?
        .query_map([limit], |row| Ok(ImageId::from_bytes(row.get(0)?)))?
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
    Err(nonsense("the checksum of a stored vector is wrong"))
}

/// A value that SQLite is content with, but that was never written so.
fn nonsense(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, what.into())
}

/// Covers the id too, so that a vector cannot end up with another image.
fn checksum(id: ImageId, bytes: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.to_bytes()).update(bytes);
    let mut checksum = [0; 8];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
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

fn to_json(payload: &Payload) -> String {
    serde_json::to_string(payload).expect("texts and lists of texts can be written as JSON")
}
