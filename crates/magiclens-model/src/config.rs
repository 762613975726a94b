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

    fn problem(&self) -> Result<(), String> {
        check_size("dim", self.dim)?;
        self.vision.check().map_err(|problem| format!("vision {problem}"))?;
        self.text.check().map_err(|problem| format!("text {problem}"))?;
        self.fusion
            .check(self.dim)
            .map_err(|problem| format!("fusion {problem}"))?;
        self.preprocess.check().map_err(|error| error.to_string())?;
        if let Some(fixed) = self.vision.fixed_dim().filter(|&fixed| fixed != self.dim) {
            return Err(format!(
                "the image tower gives {fixed} numbers, but `dim` is {}",
                self.dim
            ));
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
