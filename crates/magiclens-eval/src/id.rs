//! The names of images and texts in ranking files: numbers or words, which are never equal.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The name of a gallery item, as its benchmark writes it. `1` and `"1"` differ, as in the official evaluators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, which is a whole number or a text")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id::Number(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                let refuse = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
                i64::try_from(number).map(Id::Number).map_err(refuse)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
                // Some programs write whole numbers as 20.0.
                let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
                let whole = is_whole.then_some(Id::Number(number as i64));
                whole.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id::text(text))
            }
        }

        deserializer.deserialize_any(NumberOrText)
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
        assert_eq!(parse("20.0").unwrap(), Id::Number(20));
        for refused in ["1.5", "1e30", "18446744073709551615", "null", "true", "[1]"] {
            let error = parse(refused).unwrap_err().to_string();
            assert!(error.contains("an id, which is a whole number or a text"), "{error}");
        }
        assert_eq!(
            serde_json::to_string(&[Id::Number(7), Id::text("a")]).unwrap(),
            "[7,\"a\"]"
        );
    }
}
