//! The sizes of a model as data, as JSON in our checkpoints.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fusion::FusionConfig;
use crate::preprocess::PreprocessConfig;
use crate::towers::tower::check_size;
use crate::towers::{TextConfig, VisionConfig};

/// Everything that decides a model's shape and its input: two towers, a fusion, the preprocessing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of the preset, or of the file that it came from.
    pub name: String,
    /// Width of the tower outputs, the fusion and the embedding.
    pub dim: usize,
    /// The way from an image to numbers.
    pub preprocess: PreprocessConfig,
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// The fusion.
    pub fusion: FusionConfig,
}

impl ModelConfig {
    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// [`ModelError::Contradiction`] names the fields.
    pub fn check(&self) -> Result<(), ModelError> {
        self.problem().map_err(|reason| ModelError::Contradiction {
            name: self.name.clone(),
            reason,
        })
    }

    /// Width of a row that a tower gives: `dim`, or twice that where a vector in the space of sentences stands before it.
    pub fn row_width(&self) -> usize {
        match self.vision.shares_sentences() {
            true => 2 * self.dim,
            false => self.dim,
        }
    }

    fn problem(&self) -> Result<(), String> {
        check_size("dim", self.dim)?;
        self.vision.check().map_err(|problem| format!("vision {problem}"))?;
        self.text.check().map_err(|problem| format!("text {problem}"))?;
        self.fusion
            .check(self.dim)
            .map_err(|problem| format!("fusion {problem}"))?;
        self.preprocess.check().map_err(|error| error.to_string())?;
        let towers = [("image", self.vision.fixed_dim()), ("text", self.text.fixed_dim())];
        for (tower, fixed) in towers {
            if let Some(fixed) = fixed.filter(|&fixed| fixed != self.dim) {
                let dim = self.dim;
                return Err(format!("the {tower} tower gives {fixed} numbers, but `dim` is {dim}"));
            }
        }
        if self.vision.shares_sentences() != self.text.shares_sentences() {
            return Err("one tower has `sentence`, the other has not".into());
        }
        let (given, needed) = (self.preprocess.size_px() as usize, self.vision.image_px());
        match given == needed {
            true => Ok(()),
            false => Err(format!(
                "preprocessing makes {given} px, but the image tower needs {needed} px"
            )),
        }
    }
}
