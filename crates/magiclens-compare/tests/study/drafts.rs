//! From a query file and two systems to a study.

use std::collections::BTreeSet;

use magiclens_compare::{
    CompareError, ComparedSystem, Draft, Kind, Method, Settings, Side, Study, check_galleries, image_path,
};
use serde_json::json;

use crate::house::{FakeModel, Gallery, names, query, settings_of as settings};

type Ranker<'a> = dyn Fn(&mut Draft, Side) -> Result<(), CompareError> + 'a;

#[test]
fn each_method_asks_in_its_way() {
    let gallery = Gallery::new(9);
    let model = FakeModel::new("fake", 2.0);
    let index = gallery.index(&model, 0);
    let queries = gallery.queries(&[query("q", "colour-00.png", "blue")]);
    let rows = [
        // The reddest image, twice as much blue: 1 red + 2 blue is nearest to the bluest.
        (Method::ImageText, [8, 7]),
        (Method::Image, [1, 2]),
        (Method::Text, [8, 7]),
    ];
    for (method, best) in rows {
        let dir = gallery.path(method.name());
        let settings = settings(&queries, (&index, method), (&index, Method::Image), 2, 0);
        let mut draft = Draft::open(&dir, settings).unwrap();
        for side in [Side::A, Side::B] {
            draft.rank(side, &index, &model, &queries, |_| {}).unwrap();
        }
        let study = draft.finish(&queries, [&index, &index], names()).unwrap();
        assert_eq!(study.items[0].a, best.map(|number| gallery.id(number)), "{method:?}");
        assert_eq!(
            study.items[0].b,
            [1, 2].map(|number| gallery.id(number)),
            "the query image is not in its own ranking"
        );
        assert_eq!(Study::open(&dir).unwrap(), study);
    }
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let gallery = Gallery::new(9);
    let (a, b) = (FakeModel::new("a", 2.0), FakeModel::new("b", 0.1));
    let (index_a, index_b) = (gallery.index(&a, 0), gallery.index(&b, 0));
    let lines = (0..20).map(|n| {
        query(
            &format!("q{n}"),
            &format!("colour-{:02}.png", n % 9),
            ["red", "blue"][n % 2],
        )
    });
    let queries = gallery.queries(&lines.collect::<Vec<_>>());
    let settings = settings(
        &queries,
        (&index_a, Method::ImageText),
        (&index_b, Method::ImageText),
        3,
        4,
    );
    let make = |dir: &str, at_side: &Ranker<'_>| {
        let mut draft = Draft::open(&gallery.path(dir), settings.clone())?;
        at_side(&mut draft, Side::A)?;
        at_side(&mut draft, Side::B)?;
        draft.finish(&queries, [&index_a, &index_b], names())
    };
    let rank = |draft: &mut Draft, side| match side {
        Side::A => draft.rank(side, &index_a, &a, &queries, |_| {}),
        Side::B => draft.rank(side, &index_b, &b, &queries, |_| {}),
    };
    let whole = make("whole", &rank).unwrap();

    // Two batches of 8 succeed, the third fails.
    a.patience.set(2);
    let error = make("stopped", &rank).unwrap_err();
    assert!(
        error.to_string().contains("out of patience") && error.to_string().contains("`q16`"),
        "{error}"
    );
    // The process died in the middle of a line.
    let log = gallery.path("stopped").join("rankings.jsonl");
    let text = fs_err::read_to_string(&log).unwrap();
    fs_err::write(&log, text + "{\"side\":\"a\",\"que").unwrap();
    a.patience.set(1);
    let resumed = make("stopped", &|draft, side| {
        assert_eq!(draft.missing(side, &queries), if side == Side::A { 4 } else { 20 });
        rank(draft, side)
    });
    assert_eq!(resumed.unwrap(), whole);
    assert!(!log.exists());
}

#[test]
fn checks_look_like_queries_and_their_answer_is_known() {
    let gallery = Gallery::new(30);
    let (a, b) = (FakeModel::new("a", 2.0), FakeModel::new("b", 0.1));
    let (index_a, index_b) = (gallery.index(&a, 0), gallery.index(&b, 0));
    let mut lines: Vec<_> = (0..8)
        .map(|n| query(&format!("q{n}"), &format!("colour-{n:02}.png"), "green"))
        .collect();
    lines.push(
        json!({ "check": true, "id": "easy", "image": "colour-03.png", "instruction": "red",
        "good": ["colour-00.png", "colour-01.png"], "bad": ["colour-29.png"] }),
    );
    let queries = gallery.queries(&lines);
    let settings = settings(
        &queries,
        (&index_a, Method::ImageText),
        (&index_b, Method::ImageText),
        5,
        4,
    );
    let dir = gallery.path("study");
    let mut draft = Draft::open(&dir, settings).unwrap();
    draft.rank(Side::A, &index_a, &a, &queries, |_| {}).unwrap();
    draft.rank(Side::B, &index_b, &b, &queries, |_| {}).unwrap();
    let study = draft.finish(&queries, [&index_a, &index_b], names()).unwrap();

    let mut real = Vec::new();
    for item in &study.items {
        assert_eq!((item.a.len(), item.b.len()), (5, 5), "{}", item.id);
        for ranking in [&item.a, &item.b] {
            assert_eq!(BTreeSet::from_iter(ranking).len(), 5, "{}: no image twice", item.id);
            assert!(!ranking.contains(&item.image), "{}: not the query itself", item.id);
        }
        for id in item.a.iter().chain(&item.b).chain([&item.image]) {
            let jpeg = fs_err::read(image_path(&dir, *id)).unwrap();
            assert!(jpeg.starts_with(&[0xff, 0xd8]), "{id} is a JPEG");
        }
        match item.kind {
            Kind::Query { .. } => {}
            Kind::Check { real: None } => {
                assert_eq!(item.id, "easy");
                assert_eq!(item.a[..2], [gallery.id(0), gallery.id(1)]);
                assert_eq!(item.b[0], gallery.id(29));
                let mut both = item.a.iter().chain(&item.b).collect::<Vec<_>>();
                both.sort_unstable();
                both.dedup();
                assert_eq!(both.len(), 10, "the sides have nothing in common");
            }
            Kind::Check { real: Some(side) } => {
                real.push(side);
                let source = study.queries().find(|(query, _)| query.image == item.image).unwrap().0;
                assert_eq!(item.a, source.ranking(side), "the right side is a system's ranking");
                assert!(
                    item.b.iter().all(|id| !item.a.contains(id)),
                    "the wrong one has none of it"
                );
            }
        }
    }
    real.sort_unstable();
    assert_eq!(real, [Side::A, Side::A, Side::B, Side::B]);
}

#[test]
fn a_small_gallery_still_fills_both_sides_of_a_check() {
    let gallery = Gallery::new(4);
    let model = FakeModel::new("a", 2.0);
    let index = gallery.index(&model, 0);
    let queries = gallery.queries(&[query("q", "colour-00.png", "green")]);
    let settings = settings(&queries, (&index, Method::ImageText), (&index, Method::Image), 2, 9);
    let mut draft = Draft::open(&gallery.path("study"), settings).unwrap();
    draft.rank(Side::A, &index, &model, &queries, |_| {}).unwrap();
    draft.rank(Side::B, &index, &model, &queries, |_| {}).unwrap();
    let study = draft.finish(&queries, [&index, &index], names()).unwrap();
    let [_, check] = &study.items[..] else {
        panic!("one query, so one check at most")
    };
    // Three images besides the query, two in the ranking: the one that is left, then the ranking's worst.
    let left = (1..4).map(|n| gallery.id(n)).find(|id| !check.a.contains(id)).unwrap();
    assert_eq!(check.b, [left, check.a[1]]);
}

#[test]
fn a_folder_belongs_to_one_configuration() {
    let gallery = Gallery::new(5);
    let (a, b) = (FakeModel::new("a", 2.0), FakeModel::new("b", 0.1));
    let (index_a, index_b) = (gallery.index(&a, 0), gallery.index(&b, 0));
    let queries = gallery.queries(&[query("q", "colour-00.png", "green")]);
    let dir = gallery.path("study");
    let original = settings(
        &queries,
        (&index_a, Method::ImageText),
        (&index_b, Method::ImageText),
        3,
        0,
    );
    let mut draft = Draft::open(&dir, original.clone()).unwrap();
    assert!(matches!(
        Draft::open(&dir, original.clone()),
        Err(CompareError::Busy { .. })
    ));

    let gallery_of = |images, gallery: &str| ComparedSystem {
        images,
        gallery: gallery.to_owned(),
        ..original.a.clone()
    };
    let rows = [
        (
            Settings {
                k: 4,
                ..original.clone()
            },
            "`-k` is `3` there and `4` now",
        ),
        (
            Settings {
                seed: 2,
                ..original.clone()
            },
            "`--seed` is `1`",
        ),
        (
            Settings {
                automatic_checks: 1,
                ..original.clone()
            },
            "`--checks`",
        ),
        (
            Settings {
                question: "Why?".to_owned(),
                ..original.clone()
            },
            "the question",
        ),
        (
            Settings {
                queries: "other".to_owned(),
                ..original.clone()
            },
            "the digest of the query file",
        ),
        (
            Settings {
                a: original.b.clone(),
                b: original.a.clone(),
                ..original.clone()
            },
            "the model of A is `a` there and `b` now",
        ),
        (
            Settings {
                b: ComparedSystem {
                    method: Method::Text,
                    ..original.b.clone()
                },
                ..original.clone()
            },
            "the method of B",
        ),
        (
            Settings {
                a: gallery_of(6, &original.a.gallery),
                ..original.clone()
            },
            "the gallery of A is `5 images",
        ),
        (
            Settings {
                a: gallery_of(5, "other"),
                ..original.clone()
            },
            "the gallery of A",
        ),
    ];
    let check = |find: &dyn Fn(&Settings) -> Result<(), CompareError>| {
        for (changed, words) in &rows {
            let error = find(changed).unwrap_err();
            assert!(
                matches!(error, CompareError::OtherStudy { .. }) && error.to_string().contains(words),
                "{words}: {error}"
            );
        }
        find(&original).unwrap();
    };
    draft.rank(Side::A, &index_a, &a, &queries, |_| {}).unwrap();
    drop(draft);
    check(&|settings| Draft::open(&dir, settings.clone()).map(drop));

    let mut draft = Draft::open(&dir, original.clone()).unwrap();
    assert_eq!([Side::A, Side::B].map(|side| draft.missing(side, &queries)), [0, 1]);
    draft.rank(Side::B, &index_b, &b, &queries, |_| {}).unwrap();
    draft.finish(&queries, [&index_a, &index_b], names()).unwrap();
    check(&|settings| Study::open_for(&dir, settings).map(|study| assert!(study.is_some())));
    assert_eq!(Study::open_for(&gallery.path("elsewhere"), &original).unwrap(), None);
}

#[test]
fn systems_that_cannot_be_compared_are_refused() {
    let gallery = Gallery::new(5);
    let (a, b) = (FakeModel::new("a", 2.0), FakeModel::new("b", 0.1));
    let (index_a, index_b) = (gallery.index(&a, 0), gallery.index(&b, 2));
    check_galleries(&index_a, &index_a).unwrap();
    let error = check_galleries(&index_a, &index_b).unwrap_err().to_string();
    assert!(
        error.contains("A has 5, B has 3, 2 only in A and 0 only in B"),
        "{error}"
    );
    assert!(error.contains("--allow-different-galleries"), "{error}");

    let queries = gallery.queries(&[query("q", "colour-00.png", "green")]);
    let same = settings(&queries, (&index_a, Method::Text), (&index_a, Method::Text), 3, 0);
    assert!(matches!(same.check_systems(), Err(CompareError::SameSystem)));
    let empty = gallery.index(&b, 5);
    let one_empty = settings(&queries, (&index_a, Method::Text), (&empty, Method::Text), 3, 0);
    assert!(matches!(
        one_empty.check_systems(),
        Err(CompareError::EmptyGallery { side: Side::B })
    ));
    settings(&queries, (&index_a, Method::Text), (&index_a, Method::Image), 3, 0)
        .check_systems()
        .unwrap();
}
