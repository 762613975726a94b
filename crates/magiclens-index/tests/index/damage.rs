//! Databases that cannot be trusted: an error that names the way out, never a wrong answer.

use magiclens_index::{IndexError, Query, Selection, Space};

use super::*;

fn filled(dir: &Path) {
    let mut index = Index::create_or_open(dir, &stamp("m")).unwrap();
    let images: Vec<_> = (0..300_u32)
        .map(|n| new_image(ImageId::of_bytes(&n.to_le_bytes()), &format!("/p/{n}.png")))
        .collect();
    index.add(&images).unwrap();
}

/// Every way to read all of the index.
fn read_all(dir: &Path) -> Result<Vec<ImageId>, IndexError> {
    let index = Index::open(dir)?;
    let vector = embedding(ImageId::of_bytes(b"q"), 0);
    let mut ids = Vec::new();
    for space in [Space::Target, Space::Image] {
        let query = Query {
            vector: &vector,
            space,
            selection: Selection::first(999),
        };
        ids.extend(index.search(&query)?.into_iter().map(|hit| hit.image.id));
    }
    Ok(ids)
}

#[test]
fn no_index_and_half_made_ones() {
    let temp = tempfile::tempdir().unwrap();
    let error = Index::open(temp.path()).unwrap_err();
    assert!(matches!(error, IndexError::Missing { .. }));
    assert!(error.to_string().contains("magiclens index"), "{error}");
    // The maker died before its first commit.
    fs_err::write(temp.path().join("index.sqlite"), "").unwrap();
    assert!(matches!(Index::open(temp.path()), Err(IndexError::Missing { .. })));
    assert_eq!(
        Index::create_or_open(temp.path(), &stamp("m")).unwrap().len().unwrap(),
        0
    );
}

#[track_caller]
fn check_damaged(damage: impl FnOnce(&Path)) {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path());
    damage(&temp.path().join("index.sqlite"));
    let error = read_all(temp.path()).unwrap_err();
    assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("is damaged: ") && error.to_string().contains("--rebuild"),
        "{error}"
    );
    assert_eq!(Index::rebuild(temp.path(), &stamp("m")).unwrap().len().unwrap(), 0);
    filled(temp.path());
    assert_eq!(read_all(temp.path()).unwrap().len(), 600);
}

#[test]
fn damaged_databases() {
    check_damaged(|path| {
        fs_err::write(
            path,
            "this is no database, and long enough to be seen as none".repeat(99),
        )
        .unwrap()
    });
    check_damaged(|path| {
        let bytes = fs_err::read(path).unwrap();
        fs_err::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    check_damaged(|path| {
        let mut bytes = fs_err::read(path).unwrap();
        let middle = bytes.len() / 4;
        bytes[middle..].fill(0xa5);
        fs_err::write(path, bytes).unwrap();
    });
    check_damaged(|path| {
        fs_err::remove_file(path).unwrap();
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch("CREATE TABLE songs (title TEXT)")
            .unwrap();
    });
    // SQLite alone would not notice these two.
    check_damaged(|path| {
        let sql = "UPDATE target_vectors SET vector = zeroblob(16) WHERE picture = 7";
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    });
    check_damaged(|path| {
        let sql = "PRAGMA foreign_keys = OFF; DELETE FROM files WHERE path = '/p/5.png'";
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    });
}

#[test]
fn another_format_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path());
    let path = temp.path().join("index.sqlite");
    rusqlite::Connection::open(path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for opened in [
        Index::open(temp.path()),
        Index::create_or_open(temp.path(), &stamp("m")),
    ] {
        assert!(matches!(opened, Err(IndexError::OtherFormat { found: 99, .. })));
    }
}

#[test]
fn a_flipped_byte_is_noticed_or_harmless() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path());
    let path = temp.path().join("index.sqlite");
    let good = read_all(temp.path()).unwrap();
    let bytes = fs_err::read(&path).unwrap();
    let mut noticed = 0;
    for at in (0..bytes.len()).step_by(997) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        fs_err::write(&path, &flipped).unwrap();
        match read_all(temp.path()) {
            Ok(ids) => assert_eq!(ids.len(), good.len(), "byte {at}"),
            Err(_) => noticed += 1,
        }
    }
    assert!(10 < noticed, "only {noticed}");
}
