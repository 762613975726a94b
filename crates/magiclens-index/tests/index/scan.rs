//! Changes on disk, as a scan sees them.

use std::path::PathBuf;
use std::time::SystemTime;

use magiclens_data::{Image, write_images};
use magiclens_index::{Payload, SkipReason};

use super::*;

const NONE: Counts = Counts {
    added: 0,
    changed: 0,
    moved: 0,
    duplicates: 0,
    removed: 0,
    unchanged: 0,
    other_files: 0,
};
const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];

/// Starts with `a.png` (red) and `b.png` (green) in the index, makes `change`, and compares the next run's counts and
/// the images (all paths, by content) afterwards.
#[track_caller]
fn check(change: impl FnOnce(&Path), expected: Counts, expected_paths: &[&[&str]]) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap().join("pictures");
    draw(&folder.join("a.png"), RED);
    draw(&folder.join("b.png"), GREEN);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    assert_eq!(run(&mut index, &folder).0, Counts { added: 2, ..NONE });
    change(&folder);
    assert_eq!(run(&mut index, &folder).0, expected);
    let mut paths: Vec<Vec<PathBuf>> = index.sample(99).unwrap().into_iter().map(|image| image.paths).collect();
    paths.sort();
    let expected_paths: Vec<Vec<PathBuf>> = expected_paths
        .iter()
        .map(|paths| paths.iter().map(|path| folder.join(path)).collect())
        .collect();
    assert_eq!(paths, expected_paths);
    assert_eq!(index.len().unwrap(), expected_paths.len());
    let files: usize = expected_paths.iter().map(Vec::len).sum();
    let (again, plan) = run(&mut index, &folder);
    assert_eq!(
        again,
        Counts {
            unchanged: files,
            other_files: expected.other_files,
            ..NONE
        }
    );
    assert!(plan.pending.is_empty());
}

fn touch(path: &Path) {
    let later = SystemTime::now() + std::time::Duration::from_secs(5);
    fs_err::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .file()
        .set_modified(later)
        .unwrap();
}

#[test]
fn nothing_changed() {
    check(|_| (), Counts { unchanged: 2, ..NONE }, &[&["a.png"], &["b.png"]]);
}

#[test]
fn added() {
    let expected = Counts {
        added: 1,
        unchanged: 2,
        ..NONE
    };
    check(
        |folder| draw(&folder.join("sub/c d ü.png"), BLUE),
        expected,
        &[&["a.png"], &["b.png"], &["sub/c d ü.png"]],
    );
}

#[test]
fn changed() {
    let change = |folder: &Path| {
        draw(&folder.join("a.png"), BLUE);
        touch(&folder.join("a.png"));
    };
    check(
        change,
        Counts {
            changed: 1,
            unchanged: 1,
            ..NONE
        },
        &[&["a.png"], &["b.png"]],
    );
}

#[test]
fn changed_to_a_known_content() {
    let change = |folder: &Path| {
        fs_err::copy(folder.join("b.png"), folder.join("a.png")).unwrap();
        touch(&folder.join("a.png"));
    };
    check(
        change,
        Counts {
            changed: 1,
            unchanged: 1,
            ..NONE
        },
        &[&["a.png", "b.png"]],
    );
}

#[test]
fn touched_but_the_same() {
    check(
        |folder| touch(&folder.join("a.png")),
        Counts { unchanged: 2, ..NONE },
        &[&["a.png"], &["b.png"]],
    );
}

#[test]
fn moved() {
    let change = |folder: &Path| fs_err::rename(folder.join("a.png"), folder.join("z.png")).unwrap();
    check(
        change,
        Counts {
            moved: 1,
            unchanged: 1,
            ..NONE
        },
        &[&["b.png"], &["z.png"]],
    );
}

#[test]
fn removed() {
    let change = |folder: &Path| fs_err::remove_file(folder.join("a.png")).unwrap();
    check(
        change,
        Counts {
            removed: 1,
            unchanged: 1,
            ..NONE
        },
        &[&["b.png"]],
    );
}

#[test]
fn copied() {
    let change = |folder: &Path| {
        fs_err::copy(folder.join("a.png"), folder.join("c.png")).unwrap();
    };
    check(
        change,
        Counts {
            duplicates: 1,
            unchanged: 2,
            ..NONE
        },
        &[&["a.png", "c.png"], &["b.png"]],
    );
}

#[test]
fn the_same_new_content_twice() {
    let change = |folder: &Path| {
        draw(&folder.join("c.png"), BLUE);
        draw(&folder.join("d.png"), BLUE);
    };
    let expected = Counts {
        added: 1,
        duplicates: 1,
        unchanged: 2,
        ..NONE
    };
    check(change, expected, &[&["a.png"], &["b.png"], &["c.png", "d.png"]]);
}

#[test]
fn swapped() {
    let change = |folder: &Path| {
        fs_err::rename(folder.join("a.png"), folder.join("c.png")).unwrap();
        fs_err::rename(folder.join("b.png"), folder.join("a.png")).unwrap();
        fs_err::rename(folder.join("c.png"), folder.join("b.png")).unwrap();
        touch(&folder.join("a.png"));
        touch(&folder.join("b.png"));
    };
    check(change, Counts { changed: 2, ..NONE }, &[&["a.png"], &["b.png"]]);
}

#[test]
fn other_files_and_images_without_an_extension() {
    let change = |folder: &Path| {
        fs_err::write(folder.join("notes.txt"), "hello").unwrap();
        draw(&folder.join("c.png"), BLUE);
        fs_err::rename(folder.join("c.png"), folder.join("c")).unwrap();
    };
    let expected = Counts {
        added: 1,
        unchanged: 2,
        other_files: 1,
        ..NONE
    };
    check(change, expected, &[&["a.png"], &["b.png"], &["c"]]);
}

#[test]
fn an_index_inside_the_folder_is_no_image() {
    let temp = tempfile::tempdir().unwrap();
    draw(&temp.path().join("a.png"), RED);
    let mut index = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    assert_eq!(run(&mut index, temp.path()).0.added, 1);
    let (counts, _) = run(&mut index, temp.path());
    assert_eq!((counts.added, counts.unchanged, index.len().unwrap()), (0, 1, 1));
}

/// Makes something unusable called `odd` or below it, and compares what is listed; the good neighbor is always found.
#[track_caller]
fn check_skipped(make: impl FnOnce(&Path), expected: &[(&str, SkipReason)]) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().canonicalize().unwrap().join("pictures");
    draw(&folder.join("good.png"), GREEN);
    make(&folder);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    for round in 0..2 {
        let (counts, plan) = run(&mut index, &folder);
        assert_eq!(
            (counts.added, counts.unchanged),
            if round == 0 { (1, 0) } else { (0, 1) }
        );
        assert!(round == 0 || plan.pending.is_empty(), "a broken content is tried once");
        let listed: Vec<_> = index
            .skipped()
            .unwrap()
            .into_iter()
            .map(|skipped| (skipped.path, skipped.reason))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, reason)| (folder.join(name), *reason))
            .collect();
        assert_eq!(listed, expected);
    }
    for (name, _) in expected {
        let path = folder.join(name);
        fs_err::remove_file(&path).unwrap();
    }
    run(&mut index, &folder);
    assert_eq!(index.skipped().unwrap(), []);
    assert_eq!(index.len().unwrap(), 1);
}

#[test]
fn unusable_files_are_listed() {
    let cut = |folder: &Path| {
        draw(&folder.join("cut.png"), RED);
        let bytes = fs_err::read(folder.join("cut.png")).unwrap();
        fs_err::write(folder.join("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    };
    check_skipped(cut, &[("cut.png", SkipReason::Damaged)]);
    check_skipped(
        |folder| fs_err::write(folder.join("e.jpg"), "").unwrap(),
        &[("e.jpg", SkipReason::Empty)],
    );
    let text = |folder: &Path| fs_err::write(folder.join("t.PNG"), "just a text, no picture").unwrap();
    check_skipped(text, &[("t.PNG", SkipReason::NotAnImage)]);
    let sparse = |folder: &Path| {
        fs_err::File::create(folder.join("s.png"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap()
    };
    check_skipped(sparse, &[("s.png", SkipReason::TooLarge)]);
    let collection = |folder: &Path| fs_err::write(folder.join("pictures.parquet"), "no table").unwrap();
    check_skipped(collection, &[("pictures.parquet", SkipReason::BadCollection)]);
}

#[cfg(unix)]
#[test]
fn odd_links_and_names() {
    use std::os::unix::fs::symlink;
    check_skipped(
        |folder| symlink("nowhere", folder.join("l.png")).unwrap(),
        &[("l.png", SkipReason::BrokenLink)],
    );
    check_skipped(
        |folder| symlink(folder, folder.join("up")).unwrap(),
        &[("up", SkipReason::LinkLoop)],
    );
    let myself = |folder: &Path| symlink(folder.join("me"), folder.join("me")).unwrap();
    check_skipped(myself, &[("me", SkipReason::Unreadable)]);
    let temp = tempfile::tempdir().unwrap();
    draw(&temp.path().join("two\nlines.png"), RED);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    assert_eq!(run(&mut index, temp.path()).0.added, 1);
    assert!(index.sample(1).unwrap()[0].paths[0].ends_with("two\nlines.png"));
}

#[test]
fn a_vanished_root_is_an_error_and_can_be_forgotten() {
    let temp = tempfile::tempdir().unwrap();
    let (here, gone) = (temp.path().join("here"), temp.path().join("gone"));
    draw(&here.join("a.png"), RED);
    draw(&gone.join("b.png"), GREEN);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    run(&mut index, temp.path());
    fs_err::remove_dir_all(&gone).unwrap();
    let error = index
        .scan(&[here.clone(), gone.clone()], &Limits::default(), |_, _| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("`{}` does not exist\nhint: ", gone.display())),
        "{error}"
    );
    assert_eq!(index.len().unwrap(), 2);
    assert_eq!(index.forget(&gone).unwrap(), 1);
    assert_eq!(index.len().unwrap(), 1);
    // What lies elsewhere is not touched by a scan of one folder.
    draw(&gone.join("c.png"), BLUE);
    assert_eq!(run(&mut index, &gone).0, Counts { added: 1, ..NONE });
    assert_eq!(index.len().unwrap(), 2);
}

#[test]
fn a_file_that_vanishes_or_changes_while_it_is_indexed() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("pictures");
    draw(&folder.join("a.png"), RED);
    draw(&folder.join("b.png"), GREEN);
    draw(&folder.join("c.png"), BLUE);
    draw(&folder.join("d.png"), BLUE);
    let limits = Limits::default();
    let index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    let plan = index.scan(&[PathBuf::from(&folder)], &limits, |_, _| ()).unwrap();
    fs_err::remove_file(folder.join("a.png")).unwrap();
    draw(&folder.join("b.png"), [9, 9, 9]);
    fs_err::remove_file(folder.join("c.png")).unwrap();
    let loadings: Vec<_> = plan.pending.iter().map(|pending| pending.load(&limits)).collect();
    let reasons: Vec<Vec<_>> = loadings
        .iter()
        .map(|l| l.skipped.iter().map(|skipped| skipped.reason).collect())
        .collect();
    assert_eq!(
        reasons,
        [[SkipReason::Vanished], [SkipReason::Changing], [SkipReason::Vanished]]
    );
    // The third content has another file.
    assert!(loadings[0].loaded.is_none() && loadings[1].loaded.is_none());
    assert!(loadings[2].loaded.as_ref().unwrap().files[0].path.ends_with("d.png"));
}

#[test]
fn a_image_that_breaks_leaves_the_index() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("pictures");
    draw(&folder.join("a.png"), RED);
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    run(&mut index, &folder);
    let id = index.sample(1).unwrap()[0].id;
    let thumbnail = index.thumbnail_path(id).unwrap().unwrap();
    fs_err::write(folder.join("a.png"), "not a picture any more").unwrap();
    run(&mut index, &folder);
    assert_eq!(index.len().unwrap(), 0);
    assert_eq!(index.get(id).unwrap(), None);
    assert!(!thumbnail.exists());
    assert_eq!(index.skipped().unwrap().len(), 1);
    draw(&folder.join("a.png"), RED);
    assert_eq!(run(&mut index, &folder).0, Counts { added: 1, ..NONE });
    assert_eq!(index.skipped().unwrap(), []);
}

#[test]
fn a_collection_says_what_its_images_are() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("collection");
    draw(&folder.join("pictures/a.png"), RED);
    draw(&folder.join("pictures/stray.png"), GREEN);
    let id = ImageId::of_bytes(&fs_err::read(folder.join("pictures/a.png")).unwrap());
    let write = |caption: &str| {
        let image = Image {
            id,
            path: "pictures/a.png".to_owned(),
            width: 20,
            height: 10,
            caption: caption.to_owned(),
            tags: vec!["colour".to_owned()],
            source: "own:1".to_owned(),
            license: "MIT".to_owned(),
        };
        write_images(folder.join("pictures.parquet"), &[image]).unwrap();
    };
    let mut index = Index::create_or_open(&temp.path().join("index"), &stamp("m")).unwrap();
    // The second time nothing but the caption has changed.
    for (caption, added) in [("a red field", 2), ("a field, red", 0)] {
        write(caption);
        assert_eq!(run(&mut index, &folder).0.added, added);
        let expected = Payload {
            caption: Some(caption.to_owned()),
            tags: vec!["colour".to_owned()],
            license: Some("MIT".to_owned()),
            source: Some("own:1".to_owned()),
        };
        assert_eq!(index.get(id).unwrap().unwrap().payload, expected);
    }
    let stray = index
        .sample(2)
        .unwrap()
        .into_iter()
        .find(|image| image.id != id)
        .unwrap();
    assert_eq!(stray.payload, Payload::default());
}
