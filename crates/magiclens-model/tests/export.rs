//! What is exported is what transformers wrote: names, shapes and numbers of the fixture that it made.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::fixture;
use magiclens_model::checkpoint::{Precision, read_weights};
use magiclens_model::export::{NotExported, export_clip};
use magiclens_model::import::open::open_model;
use magiclens_model::{ModelConfig, ModelError};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

#[test]
fn a_clip_of_transformers_comes_back_exactly() {
    let (folder, original) = (tempfile::tempdir().unwrap(), fixture("clip/hf"));
    let checkpoint = open_model(&original).unwrap();
    for precision in [Precision::F32, Precision::F16] {
        let left = export_clip(&checkpoint, &original, folder.path(), precision).unwrap();
        let expected = NotExported {
            tokenizer: true,
            ..NotExported::default()
        };
        assert_eq!(left, expected);
        // The fixture holds numbers that are exact in 16 bits.
        let (found, expected) = (folder.path(), original.as_path());
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
    // Every size that transformers stated.
    let (found, expected) = (
        json(&folder.path().join("config.json")),
        json(&original.join("config.json")),
    );
    assert_eq!(found["projection_dim"], expected["projection_dim"]);
    for tower in ["vision_config", "text_config"] {
        for (field, value) in found[tower].as_object().unwrap() {
            // The towers' own classes read it; transformers leaves it at its default in a whole model.
            if field == "projection_dim" {
                continue;
            }
            let stated = &expected[tower][field];
            assert!(
                stated.is_null() || stated == value,
                "{tower}.{field}: {value} for {stated}"
            );
        }
    }
}

#[test]
fn other_towers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = open_model(&fixture("clip/hf")).unwrap();
    checkpoint.config = ModelConfig::small();
    let refused = export_clip(&checkpoint, folder.path(), folder.path(), Precision::F32);
    assert!(matches!(refused, Err(ModelError::NotClip { .. })));
}
