//! The database file of an index: its tables, its format, the model it belongs to.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Result};

use crate::image::ModelStamp;

/// The database in the folder of the index.
pub(crate) const DATABASE_FILE: &str = "index.sqlite";

/// Marks the file as ours: the letters `MLix`.
const APPLICATION_ID: i64 = 0x4d4c_6978;

/// Version of the tables below.
pub(crate) const FORMAT: i64 = 1;

/// Key of the model's name.
const NAME: &str = "model_name";

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

/// The sort of a database file.
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

/// The sort of the database.
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
    set_meta(&transaction, NAME, &stamp.name)?;
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
        .ok_or_else(|| unexpected("the length of the vectors is no number"))?;
    Ok(ModelStamp {
        name: name(connection)?,
        model_id: meta(connection, "model_id")?,
        dim,
    })
}

/// Indexes of version 0.1 do not tell their model's name.
fn name(connection: &Connection) -> Result<String> {
    meta(connection, NAME).optional().map(Option::unwrap_or_default)
}

/// Records the name of the model, which may have changed while its weights did not.
pub(crate) fn set_name(connection: &Connection, name: &str) -> Result<()> {
    set_meta(connection, NAME, name)
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

/// A value that SQLite accepts, but that this program never writes.
pub(crate) fn unexpected(detail: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, detail.into())
}
