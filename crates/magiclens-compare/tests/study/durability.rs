//! The log of judgments through every kind of end.

use magiclens_compare::{Choice, CompareError, Judgment, Ratings, Side, Study, read_judgments};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house::{rater, study};

fn judgment(study: &Study, number: usize, choice: Choice) -> Judgment {
    Judgment {
        item: study.items[number].id.clone(),
        left: Side::B,
        choice,
    }
}

#[test]
fn what_was_acknowledged_is_there_without_any_farewell() {
    let folder = TempDir::new().unwrap();
    let study = study(folder.path());
    let [anna, bert] = ["anna", "bert"].map(rater);
    let mut ratings = Ratings::open(folder.path(), &study).unwrap();
    ratings.add(&anna, judgment(&study, 0, Choice::Left)).unwrap();
    ratings.add(&bert, judgment(&study, 0, Choice::Tie)).unwrap();
    ratings.add(&anna, judgment(&study, 1, Choice::Right)).unwrap();
    ratings.undo(&anna).unwrap();
    ratings.add(&anna, judgment(&study, 1, Choice::Tie)).unwrap();
    let told = ratings.judgments().clone();
    // Somebody else may read meanwhile, but not write.
    assert_eq!(read_judgments(folder.path(), &study).unwrap(), told);
    assert!(matches!(
        Ratings::open(folder.path(), &study),
        Err(CompareError::Busy { .. })
    ));
    // No destructor runs; only the lock is let go of, as the system does for a dead process.
    let copy = TempDir::new().unwrap();
    fs_err::copy(folder.path().join("ratings.jsonl"), copy.path().join("ratings.jsonl")).unwrap();
    std::mem::forget(ratings);

    let again = Ratings::open(copy.path(), &study).unwrap();
    assert_eq!(*again.judgments(), told);
    assert_eq!(
        again.of(&anna),
        [judgment(&study, 0, Choice::Left), judgment(&study, 1, Choice::Tie)]
    );
    assert_eq!(again.of(&rater("nobody")), []);
}

#[test]
fn a_line_that_was_cut_off_at_any_byte_goes_and_the_rest_stays() {
    let folder = TempDir::new().unwrap();
    let study = study(folder.path());
    let anna = rater("anna");
    let log = folder.path().join("ratings.jsonl");
    let mut ratings = Ratings::open(folder.path(), &study).unwrap();
    ratings.add(&anna, judgment(&study, 0, Choice::Left)).unwrap();
    let first = fs_err::read(&log).unwrap();
    ratings.add(&anna, judgment(&study, 1, Choice::Right)).unwrap();
    let both = fs_err::read(&log).unwrap();
    drop(ratings);
    for end in first.len()..both.len() {
        fs_err::write(&log, &both[..end]).unwrap();
        assert_eq!(
            read_judgments(folder.path(), &study).unwrap()[&anna].len(),
            1,
            "read at {end}"
        );
        let mut ratings = Ratings::open(folder.path(), &study).unwrap();
        assert_eq!(ratings.of(&anna), [judgment(&study, 0, Choice::Left)], "cut at {end}");
        ratings.add(&anna, judgment(&study, 1, Choice::Right)).unwrap();
        drop(ratings);
        assert_eq!(fs_err::read(&log).unwrap(), both, "cut at {end}, then judged again");
    }
}

#[test]
fn a_damaged_log_is_refused_by_its_line() {
    let folder = TempDir::new().unwrap();
    let study = study(folder.path());
    let line = |item: &str| {
        format!("{{\"event\":\"judged\",\"rater\":\"anna\",\"item\":\"{item}\",\"left\":\"a\",\"choice\":\"tie\"}}\n")
    };
    let good = line("secret query 0");
    let rows = [
        (format!("{good}nonsense\n"), "line 2: "),
        (
            format!("{good}{}", line("other")),
            "line 2: the study has no item `other`",
        ),
        (
            format!("{good}{good}"),
            "line 2: item `secret query 0` was judged before",
        ),
        (good.replace("anna", "<b>"), "line 1: the name `<b>` may hold"),
        (
            "{\"event\":\"undone\",\"rater\":\"anna\",\"item\":\"secret query 0\"}\n".to_owned(),
            "line 1: item `secret query 0` was not",
        ),
    ];
    for (text, words) in rows {
        fs_err::write(folder.path().join("ratings.jsonl"), &text).unwrap();
        let error = Ratings::open(folder.path(), &study).unwrap_err().to_string();
        assert!(
            error.contains("ratings.jsonl` is damaged") && error.contains(words),
            "{words}: {error}"
        );
    }
}

#[test]
fn a_log_without_its_study_is_not_taken_over() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(Study::open(folder.path()), Err(CompareError::NoStudy { .. })));
    let study = study(folder.path());
    drop(Ratings::open(folder.path(), &study).unwrap());
    assert_eq!(Study::open(folder.path()).unwrap(), study);
    fs_err::write(folder.path().join("study.json"), "{}").unwrap();
    assert!(matches!(Study::open(folder.path()), Err(CompareError::Damaged { .. })));
    fs_err::remove_file(folder.path().join("study.json")).unwrap();
    assert!(matches!(
        Study::open(folder.path()),
        Err(CompareError::StudyGone { .. })
    ));
    assert!(matches!(
        Study::open_for(folder.path(), &study.settings),
        Err(CompareError::StudyGone { .. })
    ));
}

#[test]
fn a_study_folder_of_version_0_1_is_read_and_written_as_it_was() {
    let folder = TempDir::new().unwrap();
    let id = |digit: &str| digit.repeat(32);
    let system = json!({ "model": "m", "method": "image+text", "gallery": id("2"), "pictures": 3 });
    let item = |name: &str, kind: Value| json!({ "id": name, "kind": kind, "picture": id("3"), "instruction": "red", "a": [id("4")], "b": [id("5")] });
    let study = json!({
        "format": 1,
        "settings": {
            "queries": id("1"), "a": system, "b": system, "k": 1, "seed": 7, "automatic_checks": 1, "question": "Which?",
        },
        "names": ["one", "two"],
        "items": [
            item("q", json!({ "query": { "intent": "simple visual" } })),
            item("automatic check 1", json!({ "check": { "real": "a" } })),
        ],
    });
    let path = folder.path().join("study.json");
    fs_err::write(&path, study.to_string()).unwrap();
    let read = Study::open(folder.path()).unwrap();
    assert_eq!(read.settings.a.images, 3);
    read.write(folder.path()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&fs_err::read(&path).unwrap()).unwrap(),
        study
    );
    let log = "{\"event\":\"judged\",\"rater\":\"anna\",\"item\":\"q\",\"left\":\"b\",\"choice\":\"tie\"}\n";
    fs_err::write(folder.path().join("ratings.jsonl"), log).unwrap();
    assert_eq!(read_judgments(folder.path(), &read).unwrap()[&rater("anna")].len(), 1);
}
