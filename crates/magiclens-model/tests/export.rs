//! What is exported is what transformers wrote: names, shapes and numbers of the fixture that it made.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::fixture;
use magiclens_model::checkpoint::{StoredFloat, read_weights};
use magiclens_model::export::{NotExported, export_towers};
use magiclens_model::import::open::open_model;
use magiclens_model::{ModelConfig, ModelError};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

/// Exports a model that transformers wrote; every number and every size that it stated comes back.
#[track_caller]
fn check_round_trip(original: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = open_model(original).unwrap();
    for precision in [StoredFloat::F32, StoredFloat::F16] {
        let left = export_towers(&checkpoint, original, folder.path(), precision).unwrap();
        let expected = NotExported {
            tokenizer: !original.join("tokenizer.json").exists(),
            ..NotExported::default()
        };
        assert_eq!(left, expected);
        // The fixtures hold numbers that are exact in 16 bits.
        let (found, expected) = (folder.path(), original);
        let tensors = |folder: &Path| read_weights(&folder.join("model.safetensors"), &[]).unwrap();
        assert!(tensors(found) == tensors(expected), "{precision:?}");
        let again = open_model(found).unwrap();
        assert_eq!(again.config, checkpoint.config);
        assert!(again.tensors == checkpoint.tensors);
        assert_eq!(
            again.digest, checkpoint.digest,
            "the same model, whatever file it came in"
        );
    }
    for file in ["config.json", "preprocessor_config.json"] {
        if original.join(file).exists() {
            check_stated(&json(&folder.path().join(file)), &json(&original.join(file)), file);
        }
    }
    folder
}

/// Every value that is found in both is the same.
#[track_caller]
fn check_stated(found: &Value, stated: &Value, place: &str) {
    match (found, stated) {
        (Value::Object(found), Value::Object(stated)) => {
            for (field, value) in found {
                // Of a whole model, transformers leaves this at its default in the towers; their own classes read it.
                let is_default = field == "projection_dim" && place != "config.json";
                if let Some(stated) = stated.get(field).filter(|_| !is_default && field != "dtype") {
                    check_stated(value, stated, &format!("{place}.{field}"));
                }
            }
        }
        (Value::Number(found), Value::Number(stated)) => {
            assert!(
                (found.as_f64().unwrap() - stated.as_f64().unwrap()).abs() < 1e-7,
                "{place}"
            );
        }
        _ => assert_eq!(found, stated, "{place}"),
    }
}

#[test]
fn a_clip_of_transformers_comes_back_exactly() {
    let folder = check_round_trip(&fixture("clip/hf"));
    let modules = json(&folder.path().join("modules.json"));
    assert_eq!(modules[0]["type"], "sentence_transformers.models.CLIPModel");
}

#[test]
fn siglips_of_transformers_come_back_exactly() {
    for name in ["siglip/siglip", "siglip/siglip2"] {
        let folder = check_round_trip(&fixture(name));
        assert!(folder.path().join("preprocessor_config.json").exists());
    }
}

#[test]
fn other_towers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = open_model(&fixture("clip/hf")).unwrap();
    checkpoint.config = ModelConfig::small();
    let refused = export_towers(&checkpoint, folder.path(), folder.path(), StoredFloat::F32);
    assert!(matches!(refused, Err(ModelError::NotExportable { .. })));
}
