//! The dual encoder: shared weights for queries (image + instruction) and targets (image + "").

use std::sync::{Mutex, MutexGuard, PoisonError};

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
        let _turn = turn();
        self.draw(device)
    }

    fn draw(&self, device: &Device) -> MagicLens {
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
        seeded(seed, |device| self.draw(device))
    }

    /// Builds the fusion alone, like [`ModelConfig::init_seeded`].
    pub fn init_fusion_seeded(&self, seed: u64) -> Fusion {
        seeded(seed, |device| self.fusion.init(self.dim, device))
    }
}

/// The backend has one random generator: whoever draws while another one draws by a seed changes what that one gets.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seeded<M: Module>(seed: u64, init: impl FnOnce(&Device) -> M) -> M {
    let _turn = turn();
    let device = Device::flex();
    device.seed(seed);
    let module = init(&device);
    // Most parameters are drawn when they are first looked at.
    tensors_of(&module);
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_from_the_seed_while_others_draw() {
        let config = ModelConfig::small();
        let seeded = || tensors_of(&config.init_fusion_seeded(1));
        let expected = seeded();
        std::thread::scope(|scope| {
            let others = scope.spawn(|| (0..20).for_each(|_| drop(config.init(&Device::flex()))));
            while !others.is_finished() {
                assert!(seeded() == expected);
            }
        });
    }
}
