//! BASIC against rankings of the authors' code (billpsomas/icir, `calculate_rankings`) on random features, without LAION's means.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use magiclens_model::basic::{Basic, BasicError, BasicSettings, Contrast, Corpora};
use serde::Deserialize;

/// The order of scores that are nearer to each other is round-off: the reference computes in f32.
const TOLERANCE: f32 = 1e-6;

type Rows = Vec<Vec<f32>>;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    settings: Settings,
    query_images: Rows,
    query_texts: Rows,
    database: Rows,
    corpus_objects: Rows,
    corpus_styles: Rows,
    synthetic_images: Rows,
    synthetic_texts: Rows,
    expected_ranking: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Settings {
    method: String,
    standardize_features: bool,
    project_features: bool,
    aa: f64,
    num_principal_components_for_projection: usize,
    do_query_expansion: bool,
    normalize_similarities: bool,
    harris_lambda: f32,
}

impl Settings {
    fn ours(&self) -> BasicSettings {
        BasicSettings {
            center: self.standardize_features,
            projection: self.project_features.then_some(Contrast {
                styles: self.aa,
                components: self.num_principal_components_for_projection,
            }),
            neighbors: if self.do_query_expansion { 25 } else { 0 },
            normalize: self.normalize_similarities,
            penalty: self.harris_lambda,
        }
    }
}

impl Case {
    fn basic(&self, settings: BasicSettings) -> Basic {
        let corpora = Corpora {
            objects: &self.corpus_objects,
            styles: &self.corpus_styles,
            unrelated: &self.synthetic_texts,
        };
        Basic::of_corpora(corpora, settings).unwrap()
    }

    /// The scores of every query, with the minima from the case's generated images.
    fn scores(&self, settings: BasicSettings) -> Rows {
        let basic = self.basic(settings);
        let gallery = units(&self.database);
        let statistics = basic.statistics_of(mean(&gallery), &units(&self.synthetic_images));
        let queries = self.query_images.iter().zip(&self.query_texts);
        let scores = queries.map(|(image, text)| {
            let query = basic.query(image, text, &gallery, &statistics).unwrap();
            gallery.iter().map(|row| query.score(row)).collect()
        });
        scores.collect()
    }

    /// The sum of both similarities: no method of this crate, but the file has it.
    fn sums(&self) -> Rows {
        let (images, texts) = (units(&self.query_images), units(&self.query_texts));
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let gallery = units(&self.database);
        let queries = images.iter().zip(&texts);
        let sums = queries.map(|(image, text)| gallery.iter().map(|row| dot(image, row) + dot(text, row)).collect());
        sums.collect()
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/basic/cases.json");
    let golden: Golden = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    golden.cases
}

fn units(rows: &Rows) -> Rows {
    let unit = |row: &Vec<f32>| {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter().map(|value| value / length).collect()
    };
    rows.iter().map(unit).collect()
}

fn mean(rows: &Rows) -> Vec<f32> {
    let column = |at: usize| rows.iter().map(|row| row[at]).sum::<f32>() / rows.len() as f32;
    (0..rows[0].len()).map(column).collect()
}

/// No item stands behind one with a score that is smaller by more than the tolerance.
fn check_ranking(name: &str, scores: &[f32], expected: &[usize]) {
    let mut everything = expected.to_vec();
    everything.sort_unstable();
    assert!(everything.into_iter().eq(0..scores.len()), "{name}");
    let mut smallest = f32::INFINITY;
    for (place, item) in expected.iter().enumerate() {
        let score = scores[*item];
        assert!(
            score.is_finite() && score <= smallest + TOLERANCE,
            "{name}: place {place}, item {item}"
        );
        smallest = smallest.min(score);
    }
}

#[test]
fn rankings_are_those_of_the_reference() {
    let cases = cases();
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let scores = match case.settings.method.as_str() {
            "basic" => case.scores(case.settings.ours()),
            "product" => case.scores(BasicSettings::PRODUCT),
            "sum" => case.sums(),
            other => panic!("{other}"),
        };
        assert_eq!(scores.len(), case.expected_ranking.len());
        for (scores, expected) in scores.iter().zip(&case.expected_ranking) {
            check_ranking(&case.name, scores, expected);
        }
    }
}

#[test]
fn every_setting_changes_the_rankings() {
    let case = &cases()[0];
    let settings = case.settings.ours();
    let ranking = |settings| -> Vec<Vec<usize>> {
        let order = |scores: &Vec<f32>| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            order
        };
        case.scores(settings).iter().map(order).collect()
    };
    let expected = ranking(settings);
    for (part, other) in [
        (
            "center",
            BasicSettings {
                center: false,
                ..settings
            },
        ),
        (
            "projection",
            BasicSettings {
                projection: None,
                ..settings
            },
        ),
        (
            "neighbors",
            BasicSettings {
                neighbors: 0,
                ..settings
            },
        ),
        (
            "normalize",
            BasicSettings {
                normalize: false,
                ..settings
            },
        ),
        (
            "penalty",
            BasicSettings {
                penalty: 0.0,
                ..settings
            },
        ),
    ] {
        assert_ne!(ranking(other), expected, "{part}");
    }
}

#[test]
fn lengths_of_rows_change_nothing() {
    let case = &cases()[0];
    let basic = case.basic(BasicSettings::default());
    let scaled = |rows: &Rows, factor: f32| -> Rows {
        let scale = |row: &Vec<f32>| row.iter().map(|value| factor * value).collect();
        rows.iter().map(scale).collect()
    };
    let plain = basic
        .scores(&case.query_images, &case.query_texts, &case.database)
        .unwrap();
    let other = basic
        .scores(
            &scaled(&case.query_images, 3.0),
            &scaled(&case.query_texts, 0.5),
            &scaled(&case.database, 20.0),
        )
        .unwrap();
    for (a, b) in plain.concat().iter().zip(other.concat()) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn galleries_of_any_size_have_finite_scores() {
    let case = &cases()[0];
    let basic = case.basic(BasicSettings::default());
    for size in [0, 1, 2, 24, 26] {
        let scores = basic
            .scores(&case.query_images, &case.query_texts, &case.database[..size])
            .unwrap();
        assert!(scores.iter().all(|scores| scores.len() == size));
        assert!(scores.concat().iter().all(|score| score.is_finite()), "{size}");
    }
}

#[test]
fn rows_that_cannot_be_used_are_named() {
    let rows = |width: usize, count: usize| vec![vec![0.5; width]; count];
    let of = |objects: Rows, styles: Rows| {
        let corpora = Corpora {
            objects: &objects,
            styles: &styles,
            unrelated: &rows(4, 2),
        };
        Basic::of_corpora(corpora, BasicSettings::default())
    };
    let too_few = of(rows(4, 1), rows(4, 2)).unwrap_err();
    assert_eq!(
        too_few,
        BasicError::TooFew {
            what: "object names",
            found: 1
        }
    );
    let width = of(rows(4, 2), rows(3, 2)).unwrap_err();
    assert_eq!(
        width,
        BasicError::Width {
            what: "styles",
            found: 3,
            expected: 4
        }
    );
    for value in [0.0, f32::NAN, f32::INFINITY] {
        let mut objects = rows(4, 3);
        objects[2] = vec![value; 4];
        let error = of(objects, rows(4, 2)).unwrap_err();
        assert_eq!(
            error,
            BasicError::NoDirection {
                what: "object names",
                row: 2
            }
        );
    }
    // Object names that are all alike leave no direction, but scores all the same.
    let basic = of(rows(4, 3), rows(4, 2)).unwrap();
    let scores = basic.scores(&rows(4, 1), &rows(4, 1), &rows(4, 3)).unwrap();
    assert!(scores.concat().iter().all(|score| score.is_finite()));
    assert!(basic.scores(&rows(3, 1), &rows(4, 1), &rows(4, 3)).is_err());
}
