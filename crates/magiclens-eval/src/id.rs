//! The names of pictures and texts in ranking files: numbers or words, which are never equal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a gallery item, as its benchmark writes it. `1` and `"1"` differ, as in the official evaluators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number, as COCO has it.
    Number(i64),
    /// A word, such as a file name.
    Text(String),
}

impl Id {
    /// A word.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_differ_and_fractions_are_refused() {
        let parse = |text| serde_json::from_str::<Id>(text);
        assert_eq!(parse("7").unwrap(), Id::Number(7));
        assert_eq!(parse("\"7\"").unwrap(), Id::text("7"));
        assert_ne!(parse("7").unwrap(), parse("\"7\"").unwrap());
        for refused in ["1.5", "null", "true", "[1]"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
        assert_eq!(
            serde_json::to_string(&[Id::Number(7), Id::text("a")]).unwrap(),
            "[7,\"a\"]"
        );
    }
}
