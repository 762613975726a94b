//! Searching while others write.

use magiclens_index::{IndexError, IndexedImage, Query, Selection, Space};

use super::*;

fn ids(count: u32) -> Vec<ImageId> {
    (0..count).map(|n| ImageId::of_bytes(&n.to_le_bytes())).collect()
}

fn query(vector: &Embedding, space: Space, limit: usize) -> Query<'_> {
    Query {
        vector,
        space,
        selection: Selection::first(limit),
    }
}

fn images(ids: &[ImageId]) -> Vec<NewImage> {
    ids.iter().map(|id| new_image(*id, &format!("/p/{id}.png"))).collect()
}

/// The ids in the order of their exact scores.
fn expected(ids: &[ImageId], vector: &Embedding, salt: u8) -> Vec<(ImageId, f32)> {
    let mut scores: Vec<_> = ids.iter().map(|id| (*id, embedding(*id, salt).dot(vector))).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores
}

#[test]
fn finds_what_a_plain_loop_finds() {
    let temp = tempfile::tempdir().unwrap();
    let ids = ids(500);
    let mut index = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    index.add(&images(&ids)).unwrap();
    for (space, salt) in [(Space::Target, 0), (Space::Image, 0x55)] {
        for probe in 0..20_u32 {
            let vector = embedding(ImageId::of_bytes(&[7, probe as u8]), 3);
            let hits = index.search(&query(&vector, space, 10)).unwrap();
            // Stored numbers have 11 bits: scores may differ by 1e-3, and near ties may swap.
            for (hit, (_, score)) in hits.iter().zip(expected(&ids, &vector, salt)) {
                assert!((hit.score - score).abs() < 1e-3, "{} against {score}", hit.score);
                assert!((embedding(hit.image.id, salt).dot(&vector) - hit.score).abs() < 1e-3);
            }
            assert_eq!(hits.len(), 10);
            assert!(hits.is_sorted_by(|a, b| (b.score, a.image.id) <= (a.score, b.image.id)));
        }
    }
    let me = embedding(ids[3], 0);
    let hits = index
        .search(&Query {
            selection: Selection::first(500).without(&[ids[3]]),
            ..query(&me, Space::Target, 500)
        })
        .unwrap();
    assert_eq!(hits.len(), 499);
    assert!(hits.iter().all(|hit| hit.image.id != ids[3]));
    let hits = index
        .search(&Query {
            selection: Selection {
                min_score: Some(0.99),
                ..Selection::first(500)
            },
            ..query(&me, Space::Target, 500)
        })
        .unwrap();
    assert_eq!(
        (hits[0].image.id, hits[0].image.path()),
        (ids[3], std::path::Path::new(&format!("/p/{}.png", ids[3])))
    );
    assert!(hits.iter().all(|hit| 0.99 <= hit.score));
}

#[test]
fn a_reader_sees_what_another_connection_commits() {
    let temp = tempfile::tempdir().unwrap();
    let ids = ids(60);
    let mut writer = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    let reader = Index::open(temp.path()).unwrap();
    let vector = embedding(ids[0], 0);
    let found = || -> Vec<ImageId> {
        let mut ids: Vec<_> = reader
            .search(&query(&vector, Space::Target, 99))
            .unwrap()
            .into_iter()
            .map(|hit| hit.image.id)
            .collect();
        ids.sort();
        ids
    };
    let sorted = |ids: &[ImageId]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    assert_eq!(found(), []);
    writer.add(&images(&ids[..20])).unwrap();
    assert_eq!(found(), sorted(&ids[..20]));
    writer.add(&images(&ids[20..50])).unwrap();
    assert_eq!(found(), sorted(&ids[..50]));
    writer.forget(Path::new(&format!("/p/{}.png", ids[0]))).unwrap();
    assert_eq!(found(), sorted(&ids[1..50]));
    writer.add(&images(&ids[50..])).unwrap();
    assert_eq!(found(), sorted(&ids[1..]));
    writer.forget(Path::new("/p")).unwrap();
    assert_eq!(found(), []);
}

#[test]
fn what_is_stored_comes_back() {
    let temp = tempfile::tempdir().unwrap();
    let id = ids(1)[0];
    let mut image = new_image(id, "/p/b.png");
    image.files.push(magiclens_index::FileStamp {
        path: "/p/a 'quoted' \n.png".into(),
        size: u64::MAX,
        mtime_ns: -1,
    });
    image.payload = magiclens_index::Payload {
        caption: Some("a cat \"Tom\"".to_owned()),
        tags: vec!["cat".to_owned(), "türkis".to_owned()],
        license: Some("CC-BY-4.0".to_owned()),
        source: None,
    };
    let mut index = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    index.add(&[image.clone()]).unwrap();
    drop(index);
    let index = Index::open(temp.path()).unwrap();
    let paths = vec!["/p/a 'quoted' \n.png".into(), "/p/b.png".into()];
    let expected = IndexedImage {
        id,
        paths,
        width: 3,
        height: 2,
        payload: image.payload,
    };
    assert_eq!(index.get(id).unwrap(), Some(expected.clone()));
    assert_eq!(index.sample(5).unwrap(), [expected]);
    for (space, vector) in [(Space::Target, image.target), (Space::Image, image.image)] {
        let stored = index.vector(id, space).unwrap().unwrap();
        assert!(
            vector
                .as_slice()
                .iter()
                .zip(stored.as_slice())
                .all(|(a, b)| (a - b).abs() < 1e-3)
        );
    }
    assert_eq!(
        fs_err::read(index.thumbnail_path(id).unwrap().unwrap()).unwrap(),
        b"jpeg"
    );
    let other = ImageId::of_bytes(b"other");
    assert_eq!(index.get(other).unwrap(), None);
    assert_eq!(index.vector(other, Space::Image).unwrap(), None);
    assert_eq!(index.thumbnail_path(other).unwrap(), None);
}

#[test]
fn a_lost_thumbnail_is_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("pictures");
    draw(&folder.join("a.png"), [1, 2, 3]);
    let dir = temp.path().join("index");
    run(&mut Index::create_or_open(&dir, &stamp("m")).unwrap(), &folder);
    let index = Index::open(&dir).unwrap();
    let id = index.sample(1).unwrap()[0].id;
    let path = index.thumbnail_path(id).unwrap().unwrap();
    let bytes = fs_err::read(&path).unwrap();
    for lose in [
        |path: &Path| fs_err::remove_file(path),
        |path: &Path| fs_err::write(path, ""),
    ] {
        lose(&path).unwrap();
        assert_eq!(index.thumbnail_path(id).unwrap(), Some(path.clone()));
        assert_eq!(fs_err::read(&path).unwrap(), bytes);
    }
    fs_err::remove_file(&path).unwrap();
    // Decoding needs no index: others can search meanwhile.
    let thumbnail = index.thumbnail(id).unwrap().unwrap();
    drop(index);
    let made = std::thread::spawn(move || thumbnail.find_or_make(&Limits::default()).unwrap());
    assert_eq!(made.join().unwrap(), Some(path.clone()));
    assert_eq!(fs_err::read(&path).unwrap(), bytes);
    fs_err::remove_file(&path).unwrap();
    fs_err::remove_file(folder.join("a.png")).unwrap();
    let index = Index::open(&dir).unwrap();
    assert_eq!(index.thumbnail_path(id).unwrap(), None);
}

#[test]
fn pages_follow_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let mut sorted = ids(25);
    let mut index = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    index.add(&images(&sorted)).unwrap();
    sorted.sort();
    let page = |offset, limit| -> Vec<ImageId> {
        let images = index.page(offset, limit).unwrap();
        images.into_iter().map(|image| image.id).collect()
    };
    assert_eq!([page(0, 10), page(10, 10), page(20, 10)].concat(), sorted);
    assert_eq!(
        (page(25, 10), page(usize::MAX, 1), page(3, 0)),
        (vec![], vec![], vec![])
    );
    assert_eq!(index.sample(7).unwrap(), index.page(0, 7).unwrap());
}

#[test]
fn one_writer_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let first = Index::create_or_open(temp.path(), &stamp("m")).unwrap();
    for second in [
        Index::create_or_open(temp.path(), &stamp("m")),
        Index::rebuild(temp.path(), &stamp("m")),
    ] {
        let error = second.unwrap_err();
        assert!(matches!(error, IndexError::Busy { .. }));
        assert!(error.to_string().contains("another `magiclens index`"), "{error}");
    }
    let mut reader = Index::open(temp.path()).unwrap();
    assert!(matches!(reader.add(&images(&ids(1))), Err(IndexError::ReadOnly { .. })));
    drop(first);
    Index::create_or_open(temp.path(), &stamp("m")).unwrap();
}

#[test]
fn an_index_belongs_to_one_model() {
    let temp = tempfile::tempdir().unwrap();
    Index::create_or_open(temp.path(), &stamp("old"))
        .unwrap()
        .add(&images(&ids(1)))
        .unwrap();
    let error = Index::create_or_open(temp.path(), &stamp("new"))
        .unwrap_err()
        .to_string();
    for part in ["`old`", "`new`", "--index", "--model"] {
        assert!(error.contains(part), "{error}");
    }
    let index = Index::open(temp.path()).unwrap();
    assert_eq!(index.stamp(), &stamp("old"));
    assert!(matches!(
        index.check_model(&stamp("new")),
        Err(IndexError::OtherModel { .. })
    ));
    let rebuilt = Index::rebuild(temp.path(), &stamp("new")).unwrap();
    assert_eq!((rebuilt.stamp(), rebuilt.len().unwrap()), (&stamp("new"), 0));
    assert!(!temp.path().join("thumbnails").exists());
    let short = Embedding::normalize(vec![1.0]).unwrap();
    let error = rebuilt.search(&query(&short, Space::Target, 1)).unwrap_err();
    assert!(matches!(
        error,
        IndexError::WrongDim {
            found: 1,
            expected: DIM
        }
    ));
}
