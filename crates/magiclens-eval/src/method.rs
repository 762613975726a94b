//! Ways to make one vector of a query. MagicLens is one way; its baselines use the same weights, or any other CLIP-shaped
//! ones.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use magiclens_data::Digest;
use magiclens_model::inversion::TextualInversion;

use crate::EvalError;
use crate::benchmark::Query;

/// A way to make a vector of a query, with the vectors that it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Image and instruction, fused, against targets (images fused with the empty text).
    MagicLens,
    /// The image with the empty instruction, against targets.
    EmptyInstruction,
    /// The image's tower against image towers.
    Image,
    /// The instruction's tower against image towers.
    Text,
    /// The weighted sum of both unit vectors against image towers.
    Sum {
        /// The image's part, in 0..=1; the text's is the rest.
        image_weight: f32,
    },
    /// The product of the image's similarity and the text's, [`magiclens_model::basic`], against image towers.
    Basic,
    /// The image as a word in a text, against image towers.
    Inversion(Inversion),
}

/// A textual inversion with the name of its file.
#[derive(Clone, Debug)]
pub struct Inversion {
    /// The name of its file.
    name: String,
    network: Arc<TextualInversion>,
    /// Digest of its file: vectors made with it are kept under this name.
    digest: Digest,
}

impl PartialEq for Inversion {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Inversion {
    /// Loads what `magiclens import inversion` wrote.
    ///
    /// # Errors
    /// A missing or broken file.
    pub fn load(path: &Path) -> Result<Self, EvalError> {
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            network: Arc::new(TextualInversion::load(path)?),
            digest: Digest::of_file(path)?,
        })
    }

    /// Parts of cache keys of the vectors made with it.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn network(&self) -> &TextualInversion {
        &self.network
    }

    /// The prompt of a query: the benchmark's own, else the authors' template around the caption.
    pub(crate) fn prompt(&self, query: &Query) -> String {
        match &query.prompt {
            Some(prompt) => prompt.replace('*', &self.network.kind().placeholder().to_string()),
            None => self.network.prompt(&query.caption),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MagicLens => f.write_str("magiclens"),
            Self::EmptyInstruction => f.write_str("empty"),
            Self::Image => f.write_str("image"),
            Self::Text => f.write_str("text"),
            Self::Sum { image_weight } => write!(f, "sum:{image_weight}"),
            Self::Basic => f.write_str("basic"),
            Self::Inversion(inversion) => write!(f, "inversion by {}", inversion.name),
        }
    }
}

/// A text that names no [`Method`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a method\nhint: it is `magiclens`, `empty`, `image`, `text`, `basic`, `sum` or `sum:WEIGHT` with the image's weight from 0 to 1"
)]
pub struct ParseMethodError(String);

impl FromStr for Method {
    type Err = ParseMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMethodError(text.to_owned());
        match text {
            "magiclens" => Ok(Self::MagicLens),
            "empty" => Ok(Self::EmptyInstruction),
            "image" => Ok(Self::Image),
            "text" => Ok(Self::Text),
            "basic" => Ok(Self::Basic),
            "sum" => Ok(Self::Sum { image_weight: 0.5 }),
            _ => {
                let weight = text.strip_prefix("sum:").ok_or_else(error)?;
                let image_weight: f32 = weight.parse().map_err(|_| error())?;
                let in_range = (0.0..=1.0).contains(&image_weight);
                in_range.then_some(Self::Sum { image_weight }).ok_or_else(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_they_are_written() {
        for text in ["magiclens", "empty", "image", "text", "basic", "sum:0.25"] {
            assert_eq!(text.parse::<Method>().unwrap().to_string(), text);
        }
        assert_eq!("sum".parse(), Ok(Method::Sum { image_weight: 0.5 }));
        for refused in ["", "sum:", "sum:2", "sum:-0.1", "sum:nan", "Image"] {
            let error = refused.parse::<Method>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{refused}`")), "{error}");
        }
    }
}
