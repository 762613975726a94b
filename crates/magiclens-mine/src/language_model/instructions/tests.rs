//! Requests about pairs, and the handling of right and wrong answers.

use std::collections::BTreeSet;

use super::super::prompt::{NO_WORDS, SAME_WORDS};
use super::super::scripted::Scripted;
use super::*;
use crate::page::tests;

fn pair(query: &str, target: &str) -> ImagePair {
    let [query, target] = [query, target].map(|alt| Metadata {
        alt: alt.to_owned(),
        page_title: "Castles".to_owned(),
        ..Metadata::default()
    });
    tests::pair(query, target)
}

fn say(text: &str) -> Result<Vec<Instruction>, DropReason> {
    let text = text.to_owned();
    let model = Scripted::new(move |_| Ok(text.clone()));
    let pairs = [pair("castle by day", "castle by night")];
    write_instructions(&model, &pairs, &WriterConfig::default())
        .unwrap()
        .remove(0)
}

fn texts(text: &str) -> Result<Vec<String>, DropReason> {
    say(text).map(|instructions| instructions.into_iter().map(|instruction| instruction.text).collect())
}

#[test]
fn a_good_answer_becomes_instructions() {
    let instructions = say(
        r#"{"reasoning":"Same castle,\nother hour.","instructions":["the same castle at night","How does it look after dark?"],"relation":"Change"}"#,
    )
    .unwrap();
    let expected = |text: &str| Instruction {
        text: text.to_owned(),
        relation: "change".to_owned(),
        generator: "model:scripted".to_owned(),
        prompt: "instruct/1".to_owned(),
        reasoning: "Same castle, other hour.".to_owned(),
    };
    assert_eq!(
        instructions,
        [
            expected("the same castle at night"),
            expected("How does it look after dark?")
        ]
    );
}

#[test]
fn plain_mistakes_are_mended() {
    for (answer, expected) in [
        // Too many, repeated, wrapped, numbered.
        (
            r#"{"instructions":["at night","by moon","after dark","in fog"]}"#,
            &["at night", "by moon", "after dark"][..],
        ),
        (
            r#"{"instructions":["at night","At  night!","by moon"]}"#,
            &["at night", "by moon"],
        ),
        (
            r#"{"instructions":["1. \"at night\"","- by moon"]}"#,
            &["at night", "by moon"],
        ),
        // Some of no use.
        (
            r#"{"instructions":["", null, 7, "at night", "see www.x.org", "like the second image"]}"#,
            &["at night"],
        ),
        // Other shapes that mean the same.
        (r#"{"instruction":"at night"}"#, &["at night"]),
        (
            r#"{"instructions":[{"text":"at night"},{"instruction":"by moon"}]}"#,
            &["at night", "by moon"],
        ),
        ("Sure!\n```json\n{\"instructions\":[\"at night\"]}\n```", &["at night"]),
        (
            "Same castle, other hour. So the instruction can be: \"at night\"\n",
            &["at night"],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(texts(answer), Ok(expected), "{answer}");
    }
}

#[test]
fn useless_answers_say_why() {
    let long = format!(r#"{{"instructions":["{}"]}}"#, "at night ".repeat(50));
    for (answer, reason) in [
        ("", reply::EMPTY),
        ("at night", reply::NO_JSON),
        ("<html><body>502 Bad Gateway</body></html>", reply::NO_JSON),
        (r#"{"instructions":["at nig"#, reply::NO_JSON),
        (r#"{"reasoning":"x"}"#, reply::FIELD_MISSING),
        (r#"{"instructions":null}"#, reply::FIELD_MISSING),
        (r#"{"instructions":[]}"#, reply::FIELD_MISSING),
        (r#"{"instructions":7}"#, reply::WRONG_TYPE),
        (r#"{"instructions":[7,["at night"]]}"#, reply::WRONG_TYPE),
        (r#"{"instructions":["", " "]}"#, reply::NO_WORDS),
        (r#"{"instructions":["make it like image 2"]}"#, NAMES_IMAGES),
        (r#"{"pair":"000000","instructions":["at night"]}"#, reply::OTHER_PAIR),
        (
            r#"{"instructions":["dasselbe Schloss bei Nacht","Wie sieht es aus, wenn es dunkel ist?"]}"#,
            reply::OTHER_LANGUAGE,
        ),
        (r#"{"instructions":["夜の同じ城"]}"#, reply::OTHER_LANGUAGE),
        (&long, reply::TOO_LONG),
    ] {
        assert_eq!(texts(answer), Err(reason), "{answer:.60}");
    }
}

#[test]
fn images_are_known_by_their_names() {
    let check = |text: &str| checked(&Value::from(text), &WriterConfig::default());
    for text in [
        "make image 1 like image 2",
        "what Picture #2 shows",
        "the first image, but at night",
        "like the target image",
        "the query picture in winter",
        "what do both images show",
        "turn image one into it",
        "more like picture B",
    ] {
        assert_eq!(check(text), Err(NAMES_IMAGES), "{text}");
    }
    for text in [
        "a picture of the same castle at night",
        "the first floor of this house",
        "show an image a child would draw",
        "the source of this river",
        "a photo from the other side",
    ] {
        assert_eq!(check(text), Ok(text.to_owned()));
    }
}

#[test]
fn the_answer_may_bear_the_pairs_own_mark() {
    let model = Scripted::new(|prompt| {
        let question = prompt.messages.last().unwrap().text();
        let tag = question.strip_prefix("Pair ").unwrap()[..6].to_owned();
        Ok(format!(r#"{{"pair":"{tag}","instructions":["at night"]}}"#))
    });
    let pairs = [pair("castle by day", "castle by night"), pair("lake", "sea")];
    let answers = write_instructions(&model, &pairs, &WriterConfig::default()).unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn reasoning_is_taken_from_where_it_stands() {
    let reasoning = |text: &str| say(text).unwrap().remove(0).reasoning;
    assert_eq!(
        reasoning(r#"{"reasoning":"in it","instructions":["at night"]}"#),
        "in it"
    );
    assert_eq!(reasoning("Before it.\n{\"instructions\":[\"at night\"]}"), "Before it.");
    assert_eq!(
        reasoning("Same castle. So the instruction can be: at night"),
        "Same castle."
    );
    assert_eq!(reasoning(r#"{"instructions":["at night"]}"#), "");
    assert_eq!(
        reasoning(&format!(
            r#"{{"reasoning":"{}","instructions":["at night"]}}"#,
            "a".repeat(5000)
        ))
        .len(),
        1_000
    );
}

#[test]
fn pairs_without_words_are_not_asked_and_keep_their_place() {
    let model = Scripted::new(|_| Ok(r#"{"instructions":["at night"]}"#.to_owned()));
    let pairs = [pair("castle", ""), pair("castle", "tower"), pair("castle", "castle")];
    let answers = write_instructions(&model, &pairs, &WriterConfig::default()).unwrap();
    assert_eq!(answers[0], Err(NO_WORDS));
    assert_eq!(answers[1].as_ref().unwrap()[0].text, "at night");
    assert_eq!(answers[2], Err(SAME_WORDS));
    assert_eq!(model.asked().len(), 1);
}

fn prompt_of(pair: &ImagePair, config: &WriterConfig) -> Prompt {
    let model = Scripted::new(|_| Ok(r#"{"instructions":["at night"]}"#.to_owned()));
    write_instructions(&model, std::slice::from_ref(pair), config).unwrap();
    model.asked().remove(0)
}

#[test]
fn a_prompt_is_the_task_five_examples_and_the_pair() {
    let config = WriterConfig::default();
    let prompt = prompt_of(&pair("castle by day", "castle by night"), &config);
    assert_eq!(prompt.version, "instruct/1");
    assert_eq!(prompt.messages.len(), 1 + 2 * 5 + 1);
    let question = prompt.messages.last().unwrap().text();
    let (mark, rest) = question.split_once(". ").unwrap();
    assert!(mark.starts_with("Pair ") && mark.len() == 11, "{mark}");
    assert_eq!(
        rest,
        "Both images are from a website titled [Castles].\nQuery image: [alt text: castle by day]\n\
         Target image: [alt text: castle by night]\nWrite 3 wordings."
    );
    assert_eq!(prompt, prompt_of(&pair("castle by day", "castle by night"), &config));

    let apart = ImagePair {
        origin: Origin::Neighbor("clip".to_owned()),
        ..pair("castle", "tower")
    };
    let question = prompt_of(&apart, &config).messages.last().unwrap().text();
    assert!(
        question.contains("The images are from different websites"),
        "{question}"
    );
}

#[test]
fn impossible_settings_are_named() {
    let wrong = |toml: &str| {
        toml::from_str::<WriterConfig>(toml)
            .unwrap()
            .check()
            .unwrap_err()
            .to_string()
    };
    assert!(wrong("wordings = 0").starts_with("`wordings` is 0\nhint: "));
    assert!(wrong("language = 'English'").starts_with("`language` is `English`, which is no language"));
    assert!(toml::from_str::<WriterConfig>("words = 3").is_err());
    let model = Scripted::new(|_| Ok(String::new()));
    let config = WriterConfig {
        max_asks: 0,
        ..WriterConfig::default()
    };
    assert!(write_instructions(&model, &[pair("a", "b")], &config).is_err());
}

#[test]
fn demonstrations_are_drawn_by_pair_and_seed() {
    let first = |seed, draws| {
        let config = WriterConfig {
            seed,
            draws,
            ..WriterConfig::default()
        };
        let starts = (0..40).map(|n| prompt_of(&pair(&format!("castle {n}"), "tower"), &config).messages[1].text());
        starts.collect::<BTreeSet<_>>()
    };
    assert!(8 < first(0, 64).len(), "pairs get different demonstrations");
    assert_eq!(first(0, 1).len(), 1, "one draw is the same for all");
    assert_ne!(
        (0..8).map(|seed| first(seed, 1)).collect::<BTreeSet<_>>().len(),
        1,
        "seeds draw others"
    );
}

#[test]
fn demonstrations_keep_our_own_rules() {
    let config = WriterConfig::default();
    assert!(12 <= POOL.len());
    let mut relations = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for demonstration in POOL.iter() {
        let words = pair_words(
            &demonstration.query,
            &demonstration.target,
            demonstration.share_a_page,
            300,
        )
        .unwrap();
        assert!(seen.insert(words.tag.clone()), "no two are the same");
        let completion = Completion {
            text: demonstration.answer(&words.tag, config.wordings),
            ..Completion::default()
        };
        let read = read(&completion, &words.tag, "m", &config).unwrap();
        assert_eq!(read.len(), 3, "{}", words.text);
        assert_eq!(read[0].reasoning, demonstration.reasoning);
        assert!(
            demonstration.reasoning.split(' ').count() <= 80,
            "{}",
            demonstration.reasoning
        );
        assert!(
            RELATIONS.contains(&demonstration.relation.as_str()),
            "{}",
            demonstration.relation
        );
        relations.insert(&demonstration.relation);
        for text in &demonstration.instructions {
            assert!(checked(&Value::from(text.as_str()), &config).is_ok(), "{text}");
            assert!((3..=20).contains(&text.split(' ').count()), "{text}");
            let leaks = [
                &demonstration.target.model_caption,
                &demonstration.target.caption,
                &demonstration.target.alt,
            ];
            assert!(
                leaks
                    .iter()
                    .all(|caption| caption.is_empty() || !bare(text).contains(&bare(caption))),
                "{text}"
            );
        }
    }
    assert!(6 <= relations.len(), "{relations:?}");
    assert!(RELATIONS.iter().all(|relation| SYSTEM.contains(relation)));
}

#[test]
fn the_version_names_the_text() {
    let prompt = prompt_of(&pair("castle by day", "castle by night"), &WriterConfig::default());
    let question = prompt.messages.last().unwrap().text();
    let hash = Digest::of(format!("{SYSTEM}\0{DEMONSTRATIONS}\0{question}")).to_string();
    assert_eq!(
        (VERSION, &hash[..16]),
        ("instruct/1", "98ad7fb552af4eb9"),
        "another text needs another version"
    );
}
