//! The dual encoder: shared weights for queries (image + instruction) and targets (image + "").

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::ModelConfig;
use crate::fusion::Fusion;
use crate::parameters::tensors_of;
use crate::towers::{TextTower, VisionTower};

/// The start of the learned temperature: CLIP's `ln(1 / 0.07)`.
const LOGIT_SCALE_START: f32 = 2.659_26;

/// Towers, fusion and the learned temperature of the loss.
#[derive(Module, Debug)]
pub struct MagicLens {
    /// Image -> `[dim]`.
    pub vision: VisionTower,
    /// Text -> `[dim]`.
    pub text: TextTower,
    /// Both -> a unit vector.
    pub fusion: Fusion,
    /// `[1]`: the logarithm of the factor on the cosines in the contrastive loss.
    pub logit_scale: Param<Tensor<1>>,
    /// `[1]`: the addend to the scaled cosines in a sigmoid loss, of models that were trained with one. Embeddings do not use it.
    pub logit_bias: Option<Param<Tensor<1>>>,
}

impl ModelConfig {
    /// Builds the model with random weights.
    pub fn init(&self, device: &Device) -> MagicLens {
        MagicLens {
            vision: self.vision.init(self.dim, device),
            text: self.text.init(self.dim, device),
            fusion: self.fusion.init(self.dim, device),
            logit_scale: Param::from_tensor(Tensor::from_floats([LOGIT_SCALE_START], device)),
            logit_bias: self
                .text
                .has_logit_bias()
                .then(|| Param::from_tensor(Tensor::zeros([1], device))),
        }
    }

    /// Builds the model on the CPU with random weights that follow from `seed` alone.
    pub fn init_seeded(&self, seed: u64) -> MagicLens {
        seeded(seed, |device| self.init(device))
    }

    /// Builds the fusion alone, like [`ModelConfig::init_seeded`].
    pub fn init_fusion_seeded(&self, seed: u64) -> Fusion {
        seeded(seed, |device| self.fusion.init(self.dim, device))
    }
}

fn seeded<M: Module>(seed: u64, init: impl FnOnce(&Device) -> M) -> M {
    // The backend has one random generator, and parameters are drawn when they are first looked at.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _turn = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex();
    device.seed(seed);
    let module = init(&device);
    tensors_of(&module);
    module
}
