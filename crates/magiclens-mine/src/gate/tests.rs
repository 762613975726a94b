//! Right and wrong examples for each gate.

use super::*;
use crate::page::tests::{self, described};

fn caption(caption: &str) -> Metadata {
    Metadata {
        caption: caption.to_owned(),
        ..Metadata::default()
    }
}

fn pair(query: &str, target: &str) -> ImagePair {
    tests::pair(caption(query), caption(target))
}

fn instruction(text: &str) -> Instruction {
    Instruction {
        text: text.to_owned(),
        ..Instruction::default()
    }
}

#[track_caller]
fn check(query: &str, target: &str, text: &str, expected: Result<(), DropReason>) {
    assert_eq!(
        Gate::default().check(&pair(query, target), &instruction(text), &[]),
        expected,
        "{text}"
    );
}

#[track_caller]
fn check_form(text: &str, expected: Result<(), DropReason>) {
    check("An old mill", "A mill in a storm", text, expected);
}

#[test]
fn refuses_what_is_too_short_or_too_long() {
    check_form("", Err(TOO_SHORT));
    check_form("storm", Err(TOO_SHORT));
    check_form("in storm", Ok(()));
    check_form(&"the same in a storm ".repeat(8), Ok(()));
    check_form(&"the same in a storm ".repeat(9), Err(TOO_LONG));
    check_form(&"x".repeat(10_000_000), Err(TOO_LONG));
}

#[test]
fn refuses_what_is_not_words() {
    for text in [
        "this one from https://a.example/x",
        "the same as IMG_2.jpg",
        "<b>the same</b> in a storm",
        "{\"instruction\": \"same\"}",
        "--- *** ///",
        "the same the same\nagain",
        "12 34 56",
        "same same same same",
        "this: 🌪️🌪️🌪️🌪️🌪️🌪️🌪️🌪️🌪️🌪️🌪️🌪️",
        "[the same in a storm]",
        "this `mill`",
    ] {
        assert!(
            Gate::default()
                .check(&pair("An old mill", "A mill in a storm"), &instruction(text), &[])
                .is_err(),
            "{text}"
        );
    }
    check_form("the same as IMG_2.jpg", Err(NOT_WORDS));
    check_form("12 34 56", Err(NOT_WORDS));
    check_form("the mill's other side, in stormy weather!", Ok(()));
    check_form("die gleiche Mühle, aber im Sturm statt this", Ok(()));
}

#[test]
fn refuses_names_of_images() {
    for text in [
        "the mill of image 1 in a storm",
        "like the first image but stormy",
        "make the query image stormy",
        "the target picture is stormier",
        "picture A to picture B",
        "from photo #1 to this",
        "between these images, more wind",
        "Image two, but in a storm",
        "same as the second picture",
    ] {
        check_form(text, Err(NAMES_IMAGES));
    }
    check_form("this picture, but in a storm", Ok(()));
    check_form("the image before the storm", Ok(()));
    check_form("another photo of this mill, taken later", Ok(()));
}

#[test]
fn refuses_talk_about_the_task() {
    for text in [
        "Sure, here is one: the same in a storm",
        "Instruction: the same in a storm",
        "I'm sorry, but I can't help with this",
        "the caption says it storms",
        "same mill, other metadata",
        "As an AI I see the same mill",
    ] {
        check_form(text, Err(TALKS_ABOUT_TASK));
    }
    check_form("the same mill, please", Ok(()));
}

#[test]
fn refuses_blocked_words() {
    check_form("the same fucking mill", Err(BLOCKED_WORD));
    check_form("the same mill in Scunthorpe", Ok(()));
}

#[test]
fn refuses_other_languages_if_asked() {
    let gate = Gate::new(GateConfig {
        languages: vec!["eng".to_owned()],
        ..GateConfig::default()
    });
    let check = |text: &str| gate.check(&pair("An old mill", "A mill in a storm"), &instruction(text), &[]);
    let german = "zeige mir bitte die gleiche Mühle noch einmal, aber bei schlechtem Wetter und von der anderen Seite";
    assert_eq!(check(german), Err(WRONG_LANGUAGE));
    assert_eq!(
        check("show me the same mill once again, but in bad weather and from the other side"),
        Ok(())
    );
}

#[test]
fn refuses_leaks() {
    let target = "A red vintage car parked beside the old harbour wall";
    check(
        "A car",
        target,
        "the same red vintage car parked beside the old harbour wall",
        Err(LEAKS_CAPTION),
    );
    // Content: red, vintage, car, parked, old, harbour, wall; six of seven.
    check(
        "A car",
        target,
        "this, but a red vintage car beside the old harbour wall",
        Err(LEAKS_CAPTION),
    );
    check("A car", target, "this, but by the harbour", Ok(()));
    check(
        "The mirror dialog",
        "The tiling dialog",
        "the tiling dialog instead of this",
        Ok(()),
    );
}

#[test]
fn refuses_what_needs_no_query() {
    check("A red bus", "A dog on a beach", "a dog on a beach", Err(NEEDS_NO_QUERY));
    check(
        "A red bus",
        "A dog",
        "a brown dog running along sandy shores",
        Err(NEEDS_NO_QUERY),
    );
    check("A red bus", "Red buses at night", "at night", Ok(()));
    check(
        "A red bus",
        "Red buses at night",
        "a red bus at night",
        Err(NEEDS_NO_QUERY),
    );
    check("A red bus", "Red buses at night", "the same bus at night", Ok(()));
    check("A red bus", "A dog", "show me a dog instead", Ok(()));
    check("A red bus", "A blue bus", "the blue one", Ok(()));
    check("A bus", "One blue bus", "one blue bus", Err(NEEDS_NO_QUERY));
    check(
        "A red bus",
        "A long bus",
        "zoom out until trees and houses appear",
        Ok(()),
    );
}

#[test]
fn refuses_contradictions() {
    // What only the query has.
    check("A red bus", "A blue bus", "the same bus, but red", Err(CONTRADICTS));
    check("A red bus", "A blue bus", "the same bus in blue instead of red", Ok(()));
    check("A red bus", "A blue bus", "this bus, not red but blue", Ok(()));
    check("A red bus", "A blue bus", "change the color from red to blue", Ok(()));
    check(
        "Blur with radius 10",
        "Blur with radius 20",
        "the same with radius 10",
        Err(CONTRADICTS),
    );
    check(
        "Blur with radius 10",
        "Blur with radius 20",
        "the same with radius 20, not 10",
        Ok(()),
    );
    check("Three dogs", "A dog", "the same with three dogs", Err(CONTRADICTS));
    // What nobody has.
    check(
        "Blur with radius 10",
        "Blur with radius 20",
        "the same with radius 30",
        Err(CONTRADICTS),
    );
    check(
        "The “Whirl” filter",
        "The “Bloom” filter",
        "like this, but “Newsprint”",
        Err(CONTRADICTS),
    );
    check(
        "The “Whirl” filter",
        "The “Bloom” filter",
        "like this, but “Bloom”",
        Ok(()),
    );
    // The wrong way round.
    check(
        "A map of Spain",
        "A map of France",
        "the same, but Spain instead of France",
        Err(CONTRADICTS),
    );
    check(
        "A map of Spain",
        "A map of France",
        "the same, but France instead of Spain",
        Ok(()),
    );
    // Denied, but there.
    check(
        "A map",
        "A map with a legend",
        "the same without the legend",
        Err(CONTRADICTS),
    );
    check(
        "A map with a legend",
        "A map without a legend",
        "the same without the legend",
        Ok(()),
    );
    check("A map with a legend", "A map", "the same without the legend", Ok(()));
    // A model sees more than words tell.
    check("A bus", "Another bus", "the same, but green", Ok(()));
    check("", "", "the same with 3 wheels", Ok(()));
}

#[test]
fn refuses_near_copies() {
    let gate = Gate::default();
    let pair = pair("An old mill", "A mill in a storm");
    let earlier = [instruction("The same mill, in a storm!")];
    let check = |text: &str| gate.check(&pair, &instruction(text), &earlier);
    assert_eq!(check("the same mill in a storm"), Err(NEAR_COPY));
    // Six words in common of seven.
    assert_eq!(check("the same old mill in a storm"), Err(NEAR_COPY));
    assert_eq!(check("this one when the weather was rough"), Ok(()));
}

#[test]
fn refuses_repeats_on_a_page() {
    let gate = Gate::default();
    let mut page = PageInstructions::default();
    let mut check = |query: u8, target: u8, text: &str| {
        let pair = ImagePair {
            query: described(query, Metadata::default()),
            target: described(target, Metadata::default()),
            ..pair("", "")
        };
        gate.check_page(&pair, &instruction(text), &mut page)
    };
    assert_eq!(check(1, 2, "the next step"), Ok(()));
    assert_eq!(check(1, 2, "The next step!"), Ok(()));
    assert_eq!(check(1, 3, "the next step"), Err(AMBIGUOUS));
    assert_eq!(check(2, 3, "the next step"), Ok(()));
    assert_eq!(check(3, 4, "the next step"), Ok(()));
    assert_eq!(check(4, 5, "the next step"), Ok(()));
    assert_eq!(check(5, 6, "the next step"), Err(REPEATED));
    assert_eq!(check(5, 6, "what follows"), Ok(()));
}

#[test]
fn survives_odd_input() {
    for text in [
        "\"",
        "“”“",
        "instead of",
        "no",
        "without",
        "from to",
        "\u{0}\u{0}",
        "ﬀ ﬀ",
        "this is",
        "not not not",
    ] {
        let _ = Gate::default().check(&pair(text, text), &instruction(text), &[instruction(text)]);
    }
}
