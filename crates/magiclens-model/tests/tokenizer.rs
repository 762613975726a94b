//! Token ids against those of the official tokenizers.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use magiclens_model::tokenizer::Tokenizer;
use magiclens_model::tokenizer::clip::{CONTEXT_LENGTH, ClipTokenizer, clean};
use magiclens_model::tokenizer::wordpiece::{MAX_TOKENS, MiniLmTokenizer};
use serde::Deserialize;

const START: u32 = 49406;
const END: u32 = 49407;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    category: String,
    text: String,
    cleaned: String,
    /// Zeros at the end may be left out.
    ids: Vec<u32>,
}

fn fixture(name: &str) -> Vec<u8> {
    fs_err::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)).unwrap()
}

fn check_clip(name: &str, cases: usize) {
    let golden: Golden = serde_json::from_slice(&fixture(name)).unwrap();
    assert_eq!(golden.cases.len(), cases);
    let tokenizer = ClipTokenizer::new();
    for Case {
        category,
        text,
        cleaned,
        mut ids,
    } in golden.cases
    {
        ids.resize(CONTEXT_LENGTH, 0);
        assert_eq!(clean(&text), cleaned, "{category}: {text:?}");
        assert_eq!(tokenizer.encode(&text).to_vec(), ids, "{category}: {text:?}");
    }
}

#[test]
fn clip_ids_equal_the_official_ones() {
    check_clip("tokenizer.json", 209);
}

/// Entities, mojibake of ten encodings, escapes, marks: recorded from ftfy 6.3.1 and the published algorithm.
#[test]
fn clip_ids_of_odd_texts_equal_the_official_ones() {
    check_clip("tokenizer_odd.json", 1500);
}

#[test]
fn clip_takes_any_text() {
    let tokenizer = ClipTokenizer::new();
    for text in [
        "é".repeat(100_000),
        "Ã©".repeat(20_000),
        "&".repeat(50_000),
        "\u{0}\u{FFFF}\n".repeat(9_999),
        "a".repeat(300_000),
    ] {
        let ids = tokenizer.encode(&text);
        assert_eq!(ids[0], START);
        assert!(ids.contains(&END));
    }
    // A carriage return parts lines only after they were repaired.
    assert_eq!(clean("cafÃ©\rcafé"), "café café");
}

#[test]
fn minilm_marks_splits_and_cuts() {
    let tokenizer = MiniLmTokenizer::from_bytes(&fixture("wordpiece.json")).unwrap();
    let check = |text: &str, expected: &[u32]| {
        assert_eq!(tokenizer.encode_batch(&[text]).unwrap(), [expected], "{text:?}");
    };
    // 2 and 3 are the markers, 1 is an unknown word.
    check("", &[2, 3]);
    check("a red dog", &[2, 5, 6, 7, 3]);
    check("  A RED\tdógs! ", &[2, 5, 6, 7, 9, 10, 3]);
    check("redder", &[2, 6, 8, 3]);
    check("quux dog", &[2, 1, 7, 3]);
    check("dog.dog", &[2, 7, 11, 7, 3]);
    let long = tokenizer.encode_batch(&[&"dog ".repeat(1000), "dog"]).unwrap();
    assert_eq!(long[0].len(), MAX_TOKENS);
    assert_eq!((long[0][0], long[0][MAX_TOKENS - 1]), (2, 3));
    assert_eq!(long[1], [2, 7, 3]);
}

#[test]
fn minilm_refuses_what_is_no_tokenizer() {
    for bytes in [&b""[..], b"{}", b"PK\x03\x04", b"[1, 2]"] {
        assert!(MiniLmTokenizer::from_bytes(bytes).is_err());
    }
}
