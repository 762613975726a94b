//! Textual inversion: the networks and the prompts around their words give torch's numbers; what does not fit is refused.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::PathBuf;

use common::{Golden, assert_close, fixture, imported_clip, json, max_difference, row};
use magiclens_model::checkpoint::{Checkpoint, NamedWeights};
use magiclens_model::import::RawClip;
use magiclens_model::import::inversion::read_inversion;
use magiclens_model::inversion::{InversionConfig, write_inversion};
use magiclens_model::tokenizer::clip::ClipTokenizer;
use magiclens_model::{Embedder, InversionKind, ModelError, TextualInversion};

/// Two float32 programs that sum in different orders; words of up to 5, texts behind two blocks; measured: 2e-6.
const TOLERANCE: f32 = 2e-5;

const KINDS: [InversionKind; 3] = [InversionKind::Pic2Word, InversionKind::Searle, InversionKind::LinCir];

fn published(kind: InversionKind) -> PathBuf {
    fixture("inversion").join(format!("{}.pt", kind.name()))
}

/// Imports, writes, and loads what was written.
fn inversion(kind: InversionKind, l2_normalize: bool) -> TextualInversion {
    let (config, tensors) = read_inversion(&published(kind), kind, l2_normalize).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inversion.safetensors");
    write_inversion(&path, &config, &tensors).unwrap();
    TextualInversion::load(&path).unwrap()
}

fn clip() -> Embedder {
    imported_clip(&fixture("clip/hf"), &RawClip::default())
}

fn images() -> Vec<Vec<f32>> {
    let recorded = Golden::read("inversion/golden.safetensors").tensor("images");
    (0..recorded.shape[0]).map(|at| row(&recorded, at).to_vec()).collect()
}

fn captions() -> Vec<String> {
    serde_json::from_value(json("inversion/cases.json")["captions"].clone()).unwrap()
}

#[test]
fn words_are_torchs() {
    let golden = Golden::read("inversion/golden.safetensors");
    for kind in KINDS {
        let words = inversion(kind, false).words(&images()).concat();
        let expected = golden.tensor(&format!("words_{}", kind.name()));
        assert_close(kind.name(), &words, &expected.values, TOLERANCE);
    }
    let words = inversion(InversionKind::LinCir, true).words(&images()).concat();
    let expected = golden.tensor("words_lincir_normalized");
    assert_close("normalized", &words, &expected.values, TOLERANCE);
}

#[test]
fn prompts_are_the_authors() {
    for (kind, expected) in [
        (InversionKind::Pic2Word, "a photo of * , is red"),
        (InversionKind::Searle, "a photo of $ that is red"),
        (InversionKind::LinCir, "a photo of $ that is red"),
    ] {
        let inversion = inversion(kind, false);
        assert_eq!(
            (inversion.kind(), inversion.prompt("is red").as_str()),
            (kind, expected)
        );
        assert_eq!(inversion.template(), kind.default_template());
        let recorded: Vec<String> =
            serde_json::from_value(json("inversion/cases.json")["prompts"][kind.name()].clone()).unwrap();
        let found: Vec<String> = captions().iter().map(|caption| inversion.prompt(caption)).collect();
        assert_eq!(found, recorded);
    }
    // An instruction is never looked into.
    assert_eq!(
        inversion(InversionKind::Searle, false).prompt("{caption}"),
        "a photo of $ that {caption}"
    );
}

#[test]
fn texts_with_words_are_torchs() {
    let (golden, clip) = (Golden::read("inversion/golden.safetensors"), clip());
    for kind in KINDS {
        let inversion = inversion(kind, false);
        let prompts: Vec<String> = captions().iter().map(|caption| inversion.prompt(caption)).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let found = clip.encode_texts_with_pseudo(&inversion, &images(), &prompts).unwrap();
        let expected = golden.tensor(&format!("texts_{}", kind.name()));
        assert_close(kind.name(), &found.concat(), &expected.values, TOLERANCE);
        // One at a time gives the same, and the image matters.
        let alone = clip
            .encode_texts_with_pseudo(&inversion, &images()[..1], &prompts[..1])
            .unwrap();
        assert_close("alone", &alone[0], &found[0], TOLERANCE);
        let other = clip
            .encode_texts_with_pseudo(&inversion, &images()[1..2], &prompts[..1])
            .unwrap();
        assert!(max_difference(&other[0], &found[0]) > 100.0 * TOLERANCE);
    }
    let none = clip
        .encode_texts_with_pseudo(&inversion(InversionKind::Searle, false), &[], &[])
        .unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_second_placeholder_is_a_word_only_for_lincir() {
    // The networks of SEARLE and LinCIR are one; here with the same numbers, so that only the places differ.
    let (config, tensors) = read_inversion(&published(InversionKind::Searle), InversionKind::Searle, false).unwrap();
    let lincir = InversionConfig {
        kind: InversionKind::LinCir,
        ..config.clone()
    };
    let (searle, lincir) = (
        TextualInversion::new(config, tensors.clone()).unwrap(),
        TextualInversion::new(lincir, tensors).unwrap(),
    );
    let (clip, image) = (clip(), images()[..1].to_vec());
    let encode = |inversion, prompt| {
        clip.encode_texts_with_pseudo(inversion, &image, &[prompt])
            .unwrap()
            .concat()
    };
    let one = "a photo of $ that is red";
    assert_eq!(encode(&searle, one), encode(&lincir, one));
    let two = "a photo of $ that costs $ 5";
    assert!(max_difference(&encode(&searle, two), &encode(&lincir, two)) > 100.0 * TOLERANCE);
}

#[test]
fn placeholders_have_the_ids_that_the_authors_look_for() {
    let tokenizer = ClipTokenizer::new();
    for kind in KINDS {
        let id = match kind.placeholder() {
            '*' => 265,
            _ => 259,
        };
        assert_eq!(tokenizer.encode(&kind.placeholder().to_string())[1], id, "{kind:?}");
    }
}

#[test]
fn prompts_without_a_place_are_refused() {
    let (clip, searle) = (clip(), inversion(InversionKind::Searle, false));
    let refusal = |prompt: &str| {
        let prompts = ["a photo of $", prompt];
        let error = clip
            .encode_texts_with_pseudo(&searle, &images()[..2], &prompts)
            .unwrap_err();
        assert!(matches!(error, ModelError::NoPlaceholder { row: 1, .. }), "{error}");
        error.to_string()
    };
    for prompt in ["", "a photo of * that is red", "a photo of $$ that is red"] {
        let error = refusal(prompt);
        assert!(error.contains("has no `$` of its own"), "{error}");
    }
    let long = format!("{} a photo of $", "very ".repeat(80));
    let error = refusal(&long);
    assert!(error.contains("is cut off before its `$`"), "{error}");
    // The last place in front of the end marker is the 75th word.
    let just = format!("{}$", "very ".repeat(74));
    clip.encode_texts_with_pseudo(&searle, &images()[..1], &[&just])
        .unwrap();
    assert!(refusal(&format!("{}$", "very ".repeat(75))).contains("is cut off"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let searle = inversion(InversionKind::Searle, false);
    let clip = clip();
    let error = clip
        .encode_texts_with_pseudo(&searle, &images()[..2], &["$"])
        .unwrap_err();
    assert!(
        matches!(error, ModelError::RowMismatch { images: 2, texts: 1 }),
        "{error}"
    );
    let error = clip
        .encode_texts_with_pseudo(&searle, &[vec![0.0; 23]], &["$"])
        .unwrap_err();
    assert!(
        error.to_string().contains("24 numbers per image embedding, but"),
        "{error}"
    );

    let wider = InversionConfig {
        kind: InversionKind::Searle,
        widths: vec![24, 9],
        l2_normalize: false,
        template: "$ {caption}".into(),
    };
    let zeros = |shape: &[usize]| magiclens_model::checkpoint::Weights {
        shape: shape.to_vec(),
        values: vec![0.0; shape.iter().product()],
    };
    let tensors: NamedWeights = [
        ("layers.0.weight".into(), zeros(&[24, 9])),
        ("layers.0.bias".into(), zeros(&[9])),
    ]
    .into();
    let wide = TextualInversion::new(wider.clone(), tensors.clone()).unwrap();
    let error = clip
        .encode_texts_with_pseudo(&wide, &images()[..1], &["$"])
        .unwrap_err();
    assert!(error.to_string().contains("9 numbers per word, but"), "{error}");

    let refusal = |config: InversionConfig| TextualInversion::new(config, tensors.clone()).unwrap_err().to_string();
    let error = refusal(InversionConfig {
        template: "a photo of * , {caption}".into(),
        ..wider.clone()
    });
    assert!(error.contains("`template` needs `$` and `{caption}`"), "{error}");
    let error = refusal(InversionConfig {
        widths: vec![24],
        ..wider.clone()
    });
    assert!(error.contains("`widths` [24]"), "{error}");
    let error = refusal(InversionConfig {
        widths: vec![24, 9, 9],
        ..wider
    });
    assert!(error.contains("tensor `layers.1.weight` is missing"), "{error}");

    let small = Embedder::load(&fixture("../weights/small.safetensors")).unwrap();
    let error = small
        .encode_texts_with_pseudo(&searle, &images()[..1], &["$"])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs CLIP's text tower, which `small` has not"),
        "{error}"
    );
}

#[test]
fn the_wrong_kind_or_file_is_refused() {
    let refusal = |file: PathBuf, kind| read_inversion(&file, kind, false).unwrap_err().to_string();
    let error = refusal(published(InversionKind::Pic2Word), InversionKind::Searle);
    assert!(error.contains("'Phi' not found"), "{error}");
    let error = refusal(published(InversionKind::LinCir), InversionKind::Pic2Word);
    assert!(error.contains("'state_dict_img2text' not found"), "{error}");
    let error = refusal(fixture("import/new.pth"), InversionKind::LinCir);
    assert!(
        error.contains("'Phi' not found. Available top-level keys: [\"a\"]"),
        "{error}"
    );

    let model = fixture("../weights/small.safetensors");
    let error = TextualInversion::load(&model).unwrap_err();
    assert!(matches!(error, ModelError::NoInversion { .. }), "{error}");
    let error = TextualInversion::load(&published(InversionKind::Searle)).unwrap_err();
    assert!(matches!(error, ModelError::NotSafetensors { .. }), "{error}");
    // And the other way round.
    let (config, tensors) = read_inversion(&published(InversionKind::Searle), InversionKind::Searle, false).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("searle.safetensors");
    write_inversion(&path, &config, &tensors).unwrap();
    let error = Checkpoint::read(&path).unwrap_err();
    assert!(matches!(error, ModelError::NoConfig { .. }), "{error}");
}
