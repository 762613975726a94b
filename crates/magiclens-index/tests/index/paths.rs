//! File names that are not Unicode: indexed, found, moved and forgotten like any other.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use magiclens_index::{Query, Selection, Space};

use super::*;

const GREEN: [u8; 3] = [0, 255, 0];
const RED: [u8; 3] = [255, 0, 0];

/// "grün" and "rön" in Latin 1.
fn names(folder: &Path) -> [PathBuf; 2] {
    [&b"gr\xfcn.png"[..], b"r\xf6n/x\xff.png"].map(|name| folder.join(OsStr::from_bytes(name)))
}

fn found(index: &Index, id: ImageId) -> PathBuf {
    let hits = index.search(&Query {
        vector: &embedding(id, 0),
        space: Space::Target,
        selection: Selection::first(1),
    });
    hits.unwrap().remove(0).image.path().to_owned()
}

#[test]
fn a_name_that_is_not_unicode_is_indexed() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap().join("pictures");
    let [green, red] = names(&folder);
    draw(&green, GREEN);
    draw(&red, RED);
    let [green_id, red_id] = [&green, &red].map(|path| ImageId::of_bytes(&fs_err::read(path).unwrap()));
    let dir = temp.path().join("index");
    let mut index = Index::create_or_open(&dir, &stamp("m")).unwrap();
    assert_eq!(run(&mut index, &folder).0.added, 2);
    assert_eq!(index.skipped().unwrap(), []);
    assert_eq!(
        (found(&index, green_id), found(&index, red_id)),
        (green.clone(), red.clone())
    );
    // For people and in JSON the name is readable.
    let json = serde_json::to_string(&index.get(green_id).unwrap().unwrap()).unwrap();
    assert!(json.contains("gr\u{fffd}n.png"), "{json}");

    // The thumbnail is made again from the file.
    fs_err::remove_file(index.thumbnail_path(red_id).unwrap().unwrap()).unwrap();
    assert!(index.thumbnail_path(red_id).unwrap().is_some());

    // A second run knows the file again, also after a move and by another process.
    drop(index);
    let mut index = Index::create_or_open(&dir, &stamp("m")).unwrap();
    assert_eq!(run(&mut index, &folder).0.unchanged, 2);
    let moved = folder.join(OsStr::from_bytes(b"\xfe\xff.png"));
    fs_err::rename(&green, &moved).unwrap();
    let (counts, _) = run(&mut index, &folder);
    assert_eq!((counts.moved, counts.unchanged, counts.added), (1, 1, 0));
    assert_eq!(found(&index, green_id), moved);

    // A broken one is listed once, and goes from the list with the file.
    let broken = folder.join(OsStr::from_bytes(b"\x80.png"));
    fs_err::write(&broken, "no image").unwrap();
    run(&mut index, &folder);
    assert_eq!(index.skipped().unwrap()[0].path, broken);
    fs_err::remove_file(&broken).unwrap();
    run(&mut index, &folder);
    assert_eq!(index.skipped().unwrap(), []);

    assert_eq!(index.forget(red.parent().unwrap()).unwrap(), 1);
    assert_eq!(index.forget(&moved).unwrap(), 1);
    assert!(index.is_empty().unwrap());
}

#[test]
fn a_name_that_an_earlier_version_skipped_is_indexed_now() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap().join("pictures");
    let [green, _] = names(&folder);
    draw(&green, GREEN);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    rusqlite::Connection::open(temp.path().join("index/index.sqlite"))
        .unwrap()
        .execute(
            "INSERT INTO skipped (path, reason, detail) VALUES (?1, 'bad_name', 'the file name is not valid unicode')",
            [green.to_string_lossy()],
        )
        .unwrap();
    assert_eq!(index.skipped().unwrap().len(), 1);
    assert_eq!(run(&mut index, &folder).0.added, 1);
    assert_eq!((index.skipped().unwrap().len(), index.len().unwrap()), (0, 1));
}
