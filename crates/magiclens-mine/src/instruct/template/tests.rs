//! Instructions for hand-made pairs.

use std::collections::BTreeSet;

use super::*;
use crate::gate::Gate;
use crate::page::{Metadata, Origin, tests};

fn pair(query: &str, target: &str) -> ImagePair {
    let [query, target] = [query, target].map(|caption| Metadata {
        caption: caption.to_owned(),
        heading: "Old mills".to_owned(),
        ..Metadata::default()
    });
    tests::pair(query, target)
}

/// The way back.
fn turned(pair: ImagePair) -> ImagePair {
    ImagePair {
        query: pair.target,
        target: pair.query,
        ..pair
    }
}

/// All wordings.
fn all(pair: &ImagePair) -> Vec<Instruction> {
    instruct(
        pair,
        &TemplateConfig {
            wordings: usize::MAX,
            ..TemplateConfig::default()
        },
        7,
    )
}

/// The pair has the relation, and `wording` is among what is said, whatever its first letter.
#[track_caller]
fn check_pair(pair: &ImagePair, relation: &str, wording: &str) {
    let said = all(pair);
    let found: BTreeSet<&str> = said.iter().map(|one| one.relation.as_str()).collect();
    assert!(
        found.iter().eq(&[relation]),
        "{found:?} for {:?}",
        pair.target.metadata.caption
    );
    let texts: Vec<String> = said.iter().map(|one| one.text.to_lowercase()).collect();
    assert!(texts.contains(&wording.to_lowercase()), "{texts:#?}");
}

#[track_caller]
fn check(query: &str, target: &str, relation: &str, wording: &str) {
    check_pair(&pair(query, target), relation, wording);
}

#[test]
fn finds_numbers_with_what_they_count() {
    check(
        "Backups: Step 2",
        "Backups: Step 5",
        "variant",
        "Step 5 instead of Step 2",
    );
    check(
        "Formula 1 of the index",
        "Formula 2 of the index",
        "variant",
        "the same, but Formula 2 instead of Formula 1",
    );
    check(
        "Blur with radius 10",
        "Blur with radius 20",
        "variant",
        "radius 20 instead of radius 10",
    );
    check(
        "Elevation map, 500m resolution",
        "Elevation map, 250m resolution",
        "variant",
        "the 250m one instead of the 500m one",
    );
    check(
        "The harbour in 1890",
        "The harbour in 1930",
        "circumstance",
        "the same, but in 1930",
    );
    check(
        "A pixel with 8 neighbors",
        "A pixel with 4 orthogonal neighbors",
        "circumstance",
        "the same, but with 4 orthogonal neighbors",
    );
}

#[test]
fn finds_the_one_difference() {
    check(
        "Red cotton shirt",
        "Blue cotton shirt",
        "variant",
        "the blue one instead of the red one",
    );
    check(
        "Tower bridge at night",
        "Tower bridge in the fog",
        "circumstance",
        "the same, but in the fog",
    );
    check(
        "Example using distance",
        "Example using time",
        "circumstance",
        "the same using time, not using distance",
    );
    check(
        "The Symmetry Mirror dialog",
        "The Symmetry Tiling dialog",
        "variant",
        "the same dialog, but Tiling instead of Mirror",
    );
    check(
        "Filter “Bloom” in use",
        "Filter “Lens Flare” in use",
        "variant",
        "“Lens Flare” instead of “Bloom”",
    );
    check(
        "Tower bridge",
        "Tower bridge at night",
        "circumstance",
        "like this, but at night",
    );
    check(
        "The red car of a friend",
        "A blue car of a friend",
        "variant",
        "a blue car instead of the red car",
    );
}

#[test]
fn finds_other_kinds_of_images_of_the_same() {
    check(
        "Filter “Bloom” applied",
        "“Bloom” filter options",
        "aspect",
        "the options for this",
    );
    check(
        "Painting with the Eraser",
        "Tool Options for the Eraser",
        "aspect",
        "its tool options",
    );
    check(
        "St Mary's from the river",
        "Floor plan of St Mary's",
        "aspect",
        "the matching floor plan",
    );
}

#[test]
fn falls_back_to_what_is_common() {
    check(
        "Two ducks",
        "A windmill near Delft",
        "section",
        "from the same section, but showing a windmill near Delft",
    );
    check(
        "Two ducks",
        "A windmill near Delft",
        "section",
        "another picture on Old mills: a windmill near Delft",
    );
    let mut page = pair("Two ducks", "A windmill");
    page.target.metadata.heading = "Wind".to_owned();
    check_pair(&page, "page", "same page as this, now a windmill");
    let mut neighbor = pair("Two ducks", "A windmill");
    neighbor.origin = Origin::Neighbor("image".to_owned());
    neighbor.scores = BTreeMap::from([("image".to_owned(), 0.87), ("look".to_owned(), 0.99)]);
    assert_eq!(
        instruct(&neighbor, &TemplateConfig::default(), 1),
        [],
        "one encoder says that they are not alike"
    );
    neighbor.scores.insert("image".to_owned(), 0.9);
    check_pair(&neighbor, "similar", "something similar to this, but a windmill");
    check(
        "Old windmill",
        "Old windmill",
        "another",
        "another picture of old windmill",
    );
}

#[test]
fn says_nothing_rather_than_something_untrue_or_broken() {
    for (query, target) in [
        ("", ""),
        ("Two ducks", ""),
        ("", "Click the button to go on"),
        ("Two ducks", "This is what you see when it is done"),
        ("Content editing interface", "This is the web interface"),
        ("Two old ducks", "Two ducks"),
        ("Two ducks", "12 / 45"),
        ("Two ducks", "Original image"),
        ("Two ducks", "Selection inverted"),
        ("Original image", "Filter “Whirl and Pinch” applied"),
    ] {
        assert_eq!(all(&pair(query, target)), [], "{query} / {target}");
    }
    let strict = TemplateConfig {
        loose_relations: false,
        ..TemplateConfig::default()
    };
    assert_eq!(instruct(&pair("Two ducks", "A windmill"), &strict, 7), []);
    let mut elsewhere = pair("Two ducks", "A windmill");
    elsewhere.target.page_url = "https://b.example/".to_owned();
    assert_eq!(all(&elsewhere), [], "nothing is common");
}

#[test]
fn does_not_tell_long_captions() {
    let target = "Street network with legend and background colour of Wake County in North Carolina";
    check("Two ducks", target, "section", "same topic as this, now street network");
}

#[test]
fn same_seed_same_words_other_seed_other_words() {
    let config = TemplateConfig::default();
    let pair = pair("Two ducks", "A windmill near Delft");
    let said = instruct(&pair, &config, 7);
    assert_eq!(said, instruct(&pair, &config, 7));
    assert_eq!(said.len(), 3);
    assert_eq!(said.iter().map(|one| &one.text).collect::<BTreeSet<_>>().len(), 3);
    assert!((8..20).any(|seed| instruct(&pair, &config, seed) != said));
    assert_eq!(said[0].generator, "template:section/1");
}

#[test]
fn wordings_pass_the_gates() {
    let gate = Gate::default();
    for (query, target) in [
        ("Backups: Step 2", "Backups: Step 5"),
        ("Blur with radius 10", "Blur with radius 20"),
        ("The harbour in 1890", "The harbour in 1930"),
        ("Red cotton shirt", "Blue cotton shirt"),
        ("Tower bridge at night", "Tower bridge in the fog"),
        ("The Symmetry Mirror dialog", "The Symmetry Tiling dialog"),
        ("Filter “Bloom” applied", "“Bloom” filter options"),
        ("Two ducks", "A windmill near Delft"),
    ] {
        let pair = pair(query, target);
        assert!(3 <= all(&pair).len(), "{query} / {target}");
        for pair in [turned(pair.clone()), pair] {
            for one in all(&pair) {
                assert_eq!(gate.check(&pair, &one, &[]), Ok(()), "{}", one.text);
            }
        }
    }
}

#[test]
fn says_the_same_only_if_one_thing_differs() {
    let mut pair = pair("Mask 2 is the upper layer", "Mask 1 is the upper layer");
    check_pair(&pair, "variant", "the same, but Mask 1 instead of Mask 2");
    pair.query.metadata.alt = "Example for mode “Multiply”".to_owned();
    pair.target.metadata.alt = "Example for mode “Addition”".to_owned();
    assert!(all(&pair).iter().all(|one| one.relation == "section"));
}

#[test]
fn every_relation_has_wordings_that_can_be_filled() {
    let slots = [
        "target",
        "query",
        "target_one",
        "query_one",
        "same",
        "what",
        "kind",
        "subject",
        "topic",
    ];
    let relation = Relation {
        name: "any",
        slots: slots.map(|slot| (slot, "x".to_owned())).into(),
    };
    for (name, known) in WORDINGS.iter() {
        assert!(0 < known.version && 5 <= known.wordings.len(), "{name}");
        for wording in &known.wordings {
            assert!(fill(wording, &relation).is_some(), "{wording}");
        }
    }
    let source = [
        include_str!("aspect.rs"),
        include_str!("difference.rs"),
        include_str!("loose.rs"),
    ]
    .concat();
    for name in WORDINGS.keys() {
        assert!(source.contains(&format!("\"{name}\"")), "no relation `{name}`");
    }
}
