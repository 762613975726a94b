//! JSON files of a model's folder, and what is refused of them.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ClipError, ImportError};

pub(super) const CONFIG: &str = "config.json";

pub(super) fn unknown(
    file: &'static str,
    field: &'static str,
    found: &impl std::fmt::Debug,
    expected: &impl std::fmt::Display,
) -> ClipError {
    ClipError::Unknown {
        file,
        field,
        found: format!("{found:?}"),
        expected: expected.to_string(),
    }
}

/// A configuration, with `defaults`, as JSON, for what the file leaves out.
pub(super) fn read_over<T: DeserializeOwned>(
    folder: &Path,
    file: &'static str,
    defaults: &str,
) -> Result<T, ImportError> {
    let mut values: Value = serde_json::from_str(defaults).expect("the defaults are JSON");
    merge(&mut values, read_json(folder, file)?);
    serde_json::from_value(values).map_err(|error| bad_json(folder, file, &error))
}

/// Puts values over others, field by field.
fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                merge(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

pub(super) fn bad_json(folder: &Path, file: &'static str, error: &serde_json::Error) -> ImportError {
    let reason = error.to_string();
    ImportError::at(folder)(ClipError::BadJson { file, reason })
}

pub(super) fn read_json<T: DeserializeOwned>(folder: &Path, file: &'static str) -> Result<T, ImportError> {
    let text = fs_err::read_to_string(folder.join(file))?;
    serde_json::from_str(&text).map_err(|error| bad_json(folder, file, &error))
}
