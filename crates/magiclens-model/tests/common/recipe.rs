//! The official sizes with weights from the golden README's formula.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;

use burn::tensor::Device;
use magiclens_model::OfficialConfig;
use magiclens_model::import::official::convert;
use magiclens_model::import::{Array, Dtype};

use super::common::{Golden, formula, json};
use super::official::{Limits, check_model};

/// Measured float32 against float64 of the reference: 4e-7 on the result of `base`; block outputs 2.4e-5.
const LIMITS: Limits = Limits {
    result: 5e-6,
    other: 1e-4,
};

/// All official tensors of a size.
fn arrays(name: &str) -> BTreeMap<String, Array> {
    let recorded = json(&format!("{name}/params.json"));
    let rows = recorded["rows"].as_array().unwrap();
    let tensor = |row: &serde_json::Value| {
        let shape: Vec<usize> = row["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap() as usize)
            .collect();
        let number = |key: &str| row[key].as_f64().unwrap();
        let values = formula(
            row["index"].as_u64().unwrap(),
            shape.iter().product(),
            number("offset"),
            number("width"),
        );
        let data: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (
            row["path"].as_str().unwrap().to_string(),
            Array::new(shape, Dtype::F32, data.into()).unwrap(),
        )
    };
    rows.iter().map(tensor).collect()
}

/// The formula is the recorded one: first and last values and sums of a few tensors.
pub(crate) fn check_formula(name: &str) {
    let recorded = json(&format!("{name}/recipe_selfcheck.json"));
    let rows = json(&format!("{name}/params.json"));
    let checks = recorded.as_array().unwrap();
    assert_eq!(checks.len(), 7);
    for check in checks {
        let path = check["path"].as_str().unwrap();
        let row = rows["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["path"] == path)
            .unwrap();
        let count: u64 = row["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .product();
        let number = |key: &str| row[key].as_f64().unwrap();
        let values = formula(
            row["index"].as_u64().unwrap(),
            count as usize,
            number("offset"),
            number("width"),
        );
        for (found, expected) in values.iter().zip(check["first8"].as_array().unwrap()) {
            assert_eq!(*found, expected.as_f64().unwrap() as f32, "{path}");
        }
        assert_eq!(
            *values.last().unwrap(),
            check["last"].as_f64().unwrap() as f32,
            "{path}"
        );
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        let expected = check["sum_f64"].as_f64().unwrap();
        assert!(
            (sum - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{path}: {sum} instead of {expected}"
        );
    }
}

/// Strict import of every tensor, then all recorded numbers.
pub(crate) fn check_size(name: &str, config: &OfficialConfig) {
    let recorded: OfficialConfig = serde_json::from_value(json(&format!("{name}/config.json"))).unwrap();
    assert_eq!(&recorded, config, "the preset is not the official one");
    let tensors = convert(arrays(name), config).unwrap();
    let model = magiclens_model::checkpoint::fill(config.to_model().init(&Device::flex()), tensors, name).unwrap();
    check_model(&model, &Golden::read(&format!("{name}/io.safetensors")), 224, &LIMITS);
}
