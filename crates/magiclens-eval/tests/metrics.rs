//! Every metric against numbers recorded from the official evaluators (`fixtures/metrics`).

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use magiclens_eval::Id;
use magiclens_metrics::{
    Judged, Matrix, average_precision_at_k, hit_at_k, mean, precision_at_k, rank, score_all, set_recall_at_k,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The cases of a golden file; panics if it is missing.
fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/metrics")
        .join(name);
    let text = fs_err::read_to_string(&path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let cases: Vec<T> = serde_json::from_value(file["cases"].take()).unwrap();
    assert!(!cases.is_empty(), "{name} holds no case");
    cases
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64, about: &str) {
    match expected.as_str() {
        Some("nan") => assert!(found.is_nan(), "{about}: {found} instead of nan"),
        _ => {
            let expected = expected.as_f64().unwrap();
            assert!(
                (found - expected).abs() < tolerance,
                "{about}: {found} instead of {expected}"
            );
        }
    }
}

fn matrix(rows: &[Vec<f32>]) -> Matrix {
    let mut matrix = Matrix::new(rows[0].len());
    rows.iter().for_each(|row| matrix.push(row));
    matrix
}

/// Whole rankings of dot products, each query's `exclude` left out.
fn rankings(queries: &[Vec<f32>], gallery: &[Vec<f32>], exclude: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let none = Vec::new();
    score_all(&matrix(queries), &matrix(gallery), |at, scores| {
        let ranked = rank(scores, None, exclude.get(at).unwrap_or(&none));
        ranked.into_iter().map(|row| row as usize).collect()
    })
}

fn unit(rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let norm = |row: &Vec<f32>| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    rows.iter()
        .map(|row| row.iter().map(|v| v / norm(row)).collect())
        .collect()
}

#[test]
fn circo_as_its_server() {
    #[derive(Deserialize)]
    struct Query {
        query_id: u64,
        target_img_id: Id,
        gt_img_ids: Vec<Id>,
        semantic_aspects: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Case {
        name: String,
        ranks: Vec<usize>,
        queries: Vec<Query>,
        predictions: BTreeMap<String, Vec<Id>>,
        expected: Value,
    }
    let mut scored = 0;
    for case in cases::<Case>("circo.json") {
        let unique = |ids: &Vec<Id>| ids.iter().collect::<HashSet<_>>().len() == ids.len();
        if case.expected.get("error").is_some() {
            assert!(!case.predictions.values().all(unique), "{}", case.name);
            continue;
        }
        scored += 1;
        let lists = || {
            case.predictions.iter().map(|(query, ranked)| {
                let number: u64 = query.parse().unwrap();
                (
                    case.queries.iter().find(|query| query.query_id == number).unwrap(),
                    ranked,
                )
            })
        };
        let precision = |query: &Query, ranked: &[Id], k| {
            average_precision_at_k(&Judged::of(ranked, &query.gt_img_ids.iter().cloned().collect()), k)
        };
        for k in &case.ranks {
            let about = format!("{} at {k}", case.name);
            let map = mean(lists().map(|(query, ranked)| precision(query, ranked, *k)));
            close(map, &case.expected["map_at"][k.to_string()], 1e-12, &about);
            let recall = mean(lists().map(|(query, ranked)| {
                hit_at_k(&Judged::of(ranked, &HashSet::from([query.target_img_id.clone()])), *k)
            }));
            close(recall, &case.expected["recall_at"][k.to_string()], 1e-12, &about);
        }
        for (aspect, expected) in case.expected["semantic_map_at10"].as_object().unwrap() {
            let of_aspect = lists().filter(|(query, _)| query.semantic_aspects.contains(aspect));
            let map = mean(of_aspect.map(|(query, ranked)| precision(query, ranked, 10)));
            close(map, expected, 1e-12, &format!("{} {aspect}", case.name));
        }
    }
    assert!(scored >= 3, "{scored} cases were scored");
}

#[test]
fn recall_as_the_magiclens_code() {
    #[derive(Deserialize)]
    struct Query {
        target: Value,
        retrieved: Vec<Id>,
    }
    #[derive(Deserialize)]
    struct Case {
        name: String,
        k_range: Vec<usize>,
        queries: Vec<Query>,
        expected: Value,
    }
    let (mut scored, mut refused) = (0, 0);
    for case in cases::<Case>("magiclens_recall.json") {
        let targets = |query: &Query| -> Result<HashSet<Id>, serde_json::Error> {
            match &query.target {
                Value::Array(ids) => ids.iter().cloned().map(serde_json::from_value).collect(),
                one => serde_json::from_value(one.clone()).map(|id| HashSet::from([id])),
            }
        };
        if case.expected.get("error").is_some() {
            let refusable = |query: &Query| targets(query).is_err() || query.retrieved.is_empty();
            assert!(case.queries.iter().any(refusable), "{}", case.name);
            refused += 1;
            continue;
        }
        scored += 1;
        for k in &case.k_range {
            let hits = case
                .queries
                .iter()
                .map(|query| hit_at_k(&Judged::of(&query.retrieved, &targets(query).unwrap()), *k));
            close(
                100.0 * mean(hits),
                &case.expected[k.to_string()],
                1e-9,
                &format!("{} at {k}", case.name),
            );
        }
    }
    assert_eq!((scored, refused), (6, 2));
}

#[test]
fn ties_as_the_magiclens_code() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        query: Vec<Vec<f32>>,
        index: Vec<Vec<f32>>,
        expected_top: Vec<Vec<u32>>,
        expected_scores: Vec<Vec<f32>>,
    }
    for case in cases::<Case>("ranking.json") {
        let found = score_all(&matrix(&case.query), &matrix(&case.index), |at, scores| {
            let ranked = rank(scores, Some(case.expected_top[at].len()), &[]);
            let of_rank: Vec<f32> = ranked.iter().map(|row| scores[*row as usize]).collect();
            (ranked, of_rank)
        });
        for (at, (ranked, scores)) in found.iter().enumerate() {
            assert_eq!(ranked, &case.expected_top[at], "{} query {at}", case.name);
            assert_eq!(scores, &case.expected_scores[at], "{} query {at}", case.name);
        }
    }
}

#[test]
fn genecis_as_its_code() {
    #[derive(Deserialize)]
    struct Subset {
        name: String,
        query_embeddings: Vec<Vec<f32>>,
        gallery_embeddings: Vec<Vec<Vec<f32>>>,
        target_rank: Vec<usize>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Subset>("genecis_subset.json") {
        let lists: Vec<Vec<usize>> = case
            .query_embeddings
            .iter()
            .zip(&case.gallery_embeddings)
            .map(|(query, gallery)| rankings(std::slice::from_ref(query), &unit(gallery), &[]).remove(0))
            .collect();
        check_recalls(&case.name, &case.expected, |k| {
            let hits = lists.iter().zip(&case.target_rank);
            mean(hits.map(|(list, target)| hit_at_k(&Judged::of(list, &HashSet::from([*target])), k)))
        });
    }

    #[derive(Deserialize)]
    struct Global {
        name: String,
        query_embeddings: Vec<Vec<f32>>,
        gallery_embeddings: Vec<Vec<f32>>,
        reference_rank: Vec<usize>,
        target_rank: Vec<Vec<usize>>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Global>("genecis_global.json") {
        let exclude: Vec<Vec<usize>> = case.reference_rank.iter().map(|row| vec![*row]).collect();
        let lists = rankings(&unit(&case.query_embeddings), &unit(&case.gallery_embeddings), &exclude);
        check_recalls(&case.name, &case.expected, |k| {
            let hits = lists.iter().zip(&case.target_rank);
            mean(hits.map(|(list, targets)| hit_at_k(&Judged::of(list, &targets.iter().copied().collect()), k)))
        });
    }
}

/// Keys of `expected` end in "@k".
fn check_recalls(name: &str, expected: &BTreeMap<String, Value>, found: impl Fn(usize) -> f64) {
    assert!(!expected.is_empty());
    for (key, expected) in expected {
        let k = key.rsplit_once('@').unwrap().1.parse().unwrap();
        close(found(k), expected, 1e-5, &format!("{name} {key}"));
    }
}

#[test]
fn fashioniq_and_cirr_as_pic2word() {
    #[derive(Deserialize)]
    struct Fashion {
        name: String,
        query_embeddings: Vec<Vec<f32>>,
        target_embeddings: Vec<Vec<f32>>,
        target_names: Vec<String>,
        answer_names: Vec<String>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Fashion>("pic2word_fashioniq.json") {
        let lists = rankings(&case.query_embeddings, &case.target_embeddings, &[]);
        check_names(
            &case.name,
            &lists,
            &case.target_names,
            &case.answer_names,
            &case.expected,
        );
    }

    #[derive(Deserialize)]
    struct Cirr {
        name: String,
        query_embeddings: Vec<Vec<f32>>,
        index_embeddings: Vec<Vec<f32>>,
        reference_names: Vec<String>,
        index_names: Vec<String>,
        target_names: Vec<String>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Cirr>("pic2word_cirr.json") {
        let exclude = rows_of(&case.reference_names, &case.index_names);
        let lists = rankings(&case.query_embeddings, &case.index_embeddings, &exclude);
        check_names(
            &case.name,
            &lists,
            &case.index_names,
            &case.target_names,
            &case.expected,
        );
    }
}

#[test]
fn the_cirr_server_file_as_pic2word() {
    #[derive(Deserialize)]
    struct Case {
        query_embeddings: Vec<Vec<f32>>,
        index_embeddings: Vec<Vec<f32>>,
        reference_names: Vec<String>,
        index_names: Vec<String>,
        pair_ids: Vec<u64>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Case>("pic2word_cirr_test.json") {
        let exclude = rows_of(&case.reference_names, &case.index_names);
        let lists = rankings(&case.query_embeddings, &case.index_embeddings, &exclude);
        for (pair, list) in case.pair_ids.iter().zip(&lists) {
            let names = list[..50].iter().map(|row| case.index_names[*row].replace(".png", ""));
            let expected: Vec<String> = serde_json::from_value(case.expected[&pair.to_string()].clone()).unwrap();
            assert_eq!(names.collect::<Vec<_>>(), expected, "pair {pair}");
        }
    }
}

fn rows_of(wanted: &[String], names: &[String]) -> Vec<Vec<usize>> {
    wanted
        .iter()
        .map(|name| vec![names.iter().position(|other| other == name).unwrap()])
        .collect()
}

fn check_names(
    name: &str,
    lists: &[Vec<usize>],
    names: &[String],
    answers: &[String],
    expected: &BTreeMap<String, Value>,
) {
    check_recalls(name, expected, |k| {
        let hits = lists.iter().zip(answers).map(|(list, answer)| {
            let ranked: Vec<&String> = list.iter().map(|row| &names[*row]).collect();
            hit_at_k(&Judged::of(&ranked, &HashSet::from([answer])), k)
        });
        100.0 * mean(hits)
    });
}

#[test]
fn domain_transfer_as_pic2word() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        query_embeddings: Vec<Vec<f32>>,
        target_embeddings: Vec<Vec<f32>>,
        query_labels: Vec<u32>,
        target_labels: Vec<u32>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Case>("pic2word_imagenet.json") {
        let lists = rankings(&case.query_embeddings, &case.target_embeddings, &[]);
        let judged: Vec<Judged> = lists
            .iter()
            .zip(&case.query_labels)
            .map(|(list, label)| {
                let relevant = case.target_labels.iter().filter(|other| *other == label).count();
                Judged::by(list.iter().map(|row| case.target_labels[*row] == *label), relevant)
            })
            .collect();
        for (key, expected) in &case.expected {
            let (metric, k) = key.split_once('@').unwrap();
            let k = k.parse().unwrap();
            let value = |judged: &Judged| {
                if metric == "R" {
                    set_recall_at_k(judged, k)
                } else {
                    precision_at_k(judged, k)
                }
            };
            close(
                mean(judged.iter().map(value)),
                expected,
                1e-5,
                &format!("{} {key}", case.name),
            );
        }
    }
}

#[test]
fn captions_as_pic2word() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        ref_embeddings: Vec<Vec<f32>>,
        image_embeddings: Vec<Vec<f32>>,
        expected: BTreeMap<String, Value>,
    }
    for case in cases::<Case>("pic2word_coco.json") {
        for (direction, queries, gallery) in [
            ("image_to_ref", &case.image_embeddings, &case.ref_embeddings),
            ("ref_to_image", &case.ref_embeddings, &case.image_embeddings),
        ] {
            let judged: Vec<Judged> = rankings(queries, gallery, &[])
                .iter()
                .enumerate()
                .map(|(own, list)| Judged::of(list, &HashSet::from([own])))
                .collect();
            let prefix = format!("{direction}_R@");
            for (key, expected) in case.expected.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                let k = key[prefix.len()..].parse().unwrap();
                let found = mean(judged.iter().map(|judged| hit_at_k(judged, k)));
                close(found, expected, 1e-5, &format!("{} {key}", case.name));
            }
            let mean_rank = mean(judged.iter().map(|judged| judged.ranks()[0] as f64));
            close(
                mean_rank,
                &case.expected[&format!("{direction}_mean_rank")],
                1e-4,
                &case.name,
            );
        }
    }
}
