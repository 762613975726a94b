//! Scores on the dev part, where the rank of each right image is known.
#![allow(clippy::unwrap_used)]

mod toy;

use burn::tensor::Device;
use magiclens_collection::RowTriplet;
use magiclens_train::dev::{Dev, DevScores};
use magiclens_train::head::Head;
use toy::Toy;

const TEXTS: [&str; 4] = ["", "a", "b", "c"];

/// The images by falling similarity to a query, without the query's own; one embedding at a time.
fn ranking(head: &Head, toy: &Toy, query: usize, text: usize) -> Vec<usize> {
    let device = Device::flex();
    let embed = |image: usize, text: usize| {
        let images = toy.images.tensor([image].into_iter(), &device);
        head.embed(images, toy.texts.tensor([text].into_iter(), &device))
    };
    let asked = embed(query, text);
    let score = |image: usize| (asked.clone() * embed(image, 0)).sum().into_scalar::<f32>();
    let mut scores: Vec<(f32, usize)> = (0..toy::IMAGES)
        .filter(|image| *image != query)
        .map(|image| (score(image), image))
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    scores.into_iter().map(|(_, image)| image).collect()
}

#[test]
fn scores_by_hand() {
    let (head, toy) = (Head::of(&toy::model()), Toy::new());
    let mut triplets = Vec::new();
    // The query and its text, and the ranks from 1 at which the right images stand.
    for (relation, query, text, ranks) in [
        // As a target, an image is its own nearest: it must not stand in the way.
        ("first", 0, 0, vec![1]),
        ("first", 1, 3, vec![1]),
        ("mixed", 2, 1, vec![1]),
        ("mixed", 3, 2, vec![2, 4]),
        ("mixed", 4, 3, vec![10]),
        ("mixed", 5, 1, vec![11]),
    ] {
        let ranked = ranking(&head, &toy, query, text);
        triplets.push(RowTriplet {
            query,
            instruction: TEXTS[text].to_owned(),
            targets: ranks.iter().map(|rank| ranked[rank - 1]).collect(),
            relation: relation.to_owned(),
        });
    }
    assert_eq!(Dev::texts(&triplets), TEXTS);
    let dev = Dev::new(triplets, toy.images, toy.texts);
    let found = dev.scores(&head);
    assert_eq!(found.keys().collect::<Vec<_>>(), [&"first", &"mixed"]);
    let check = |relation, recall_at_1, recall_at_10, map_at_10: f64| {
        let DevScores {
            recall_at_1: first,
            recall_at_10: ten,
            map_at_10: map,
        } = found[relation];
        assert_eq!((first, ten), (recall_at_1, recall_at_10), "{relation}");
        assert!((map - map_at_10).abs() < 1e-12, "{relation}: {map}");
    };
    check("first", 1.0, 1.0, 1.0);
    check("mixed", 0.25, 0.75, (1.0 + (0.5 + 2.0 / 4.0) / 2.0 + 0.1 + 0.0) / 4.0);
}

#[test]
fn a_part_without_triplets_has_no_scores() {
    let (head, toy) = (Head::of(&toy::model()), Toy::new());
    assert_eq!(Dev::texts(&[]), [""]);
    assert!(Dev::new(Vec::new(), toy.images, toy.texts).scores(&head).is_empty());
}
