//! The name of an image: a hash of its bytes, so that renames and duplicates cost nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, parse_hex, write_hex};

/// Content id: first 16 bytes of the blake3 hash of a file's bytes, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId([u8; 16]);

/// A text that is not an [`ImageId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an image id, which has 32 hex digits")]
pub struct ParseImageIdError(String);

impl ImageId {
    /// The id of a file with these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&Digest::of(bytes).to_bytes()[..16]);
        Self(id)
    }

    /// The 16 bytes of the id.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id with these 16 bytes, as [`ImageId::to_bytes`] gave them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

impl FromStr for ImageId {
    type Err = ParseImageIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text)
            .map(Self)
            .ok_or_else(|| ParseImageIdError(text.to_owned()))
    }
}

impl Serialize for ImageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The blake3 hash of no bytes begins with af1349b9f5f9a1a6a0404dea36dcc949.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc949";

    #[test]
    fn an_id_is_the_start_of_the_hash() {
        assert_eq!(ImageId::of_bytes(b"").to_string(), EMPTY);
        assert_ne!(ImageId::of_bytes(b"a"), ImageId::of_bytes(b"b"));
    }

    #[test]
    fn text_and_bytes_come_back() {
        for seed in 0_u8..50 {
            let id = ImageId::of_bytes(&[seed]);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(ImageId::from_bytes(id.to_bytes()), id);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<ImageId>(&json).unwrap(), id);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "af13",
            &EMPTY[..31],
            "+f1349b9f5f9a1a6a0404dea36dcc949",
            &format!("{EMPTY}0"),
            "zz1349b9f5f9a1a6a0404dea36dcc949",
        ] {
            let error = text.parse::<ImageId>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
