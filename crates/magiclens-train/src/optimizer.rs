//! The optimizer of a run.

use burn::grad_clipping::GradientClipping;
use burn::optim::{AdafactorConfig, ModuleOptimizer};

use crate::TrainConfig;
use crate::adamw::AdamW;
use crate::config::Optimizer;

/// An optimizer without moments yet; gradients are cut tensor by tensor.
pub(crate) fn optimizer(config: &TrainConfig) -> ModuleOptimizer {
    match config.optimizer {
        Optimizer::AdamW => AdamW {
            weight_decay: config.weight_decay,
            max_gradient_norm: config.max_gradient_norm,
        }
        .into(),
        Optimizer::Adafactor => {
            let clipping = GradientClipping::Norm(config.max_gradient_norm);
            adafactor(config).init().with_grad_clipping(clipping)
        }
    }
}

/// Algorithm 4 of Shazeer & Stern (2018), but for the step size: that comes from the schedule alone, and is multiplied by
/// the root mean square of the tensor, at least a thousandth.
fn adafactor(config: &TrainConfig) -> AdafactorConfig {
    AdafactorConfig::new()
        .with_epsilon_1(1e-30)
        .with_epsilon_2(1e-3)
        .with_clip_threshold(1.0)
        .with_decay_rate(-0.8)
        .with_relative_step(false)
        .with_scale_parameter(true)
        .with_weight_decay(config.weight_decay)
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::{Bytes, Device, Tensor};

    use super::*;
    use crate::toy;

    #[derive(Module, Debug)]
    struct Matrix {
        weights: Param<Tensor<2>>,
    }

    const RATE: f64 = 0.1;

    fn matrix() -> Matrix {
        let device = Device::flex().autodiff();
        let weights = Tensor::from_floats([[1.0, -1.0], [1.0, 1.0]], &device);
        Matrix {
            weights: Param::from_tensor(weights),
        }
    }

    /// `scale` times 1 2 / 3 4.
    fn gradients(matrix: &Matrix, scale: f32) -> GradientsParams {
        let device = Device::flex().autodiff();
        let slopes = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device) * scale;
        GradientsParams::from_grads((matrix.weights.val() * slopes).sum().backward(), matrix)
    }

    fn values(matrix: &Matrix) -> Vec<f32> {
        matrix.weights.val().into_data().try_to_vec().unwrap()
    }

    #[track_caller]
    fn check(matrix: &Matrix, expected: [f32; 4]) {
        let found = values(matrix);
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{found:?}, not {expected:?}");
    }

    fn config() -> TrainConfig {
        TrainConfig {
            optimizer: Optimizer::Adafactor,
            weight_decay: 0.0,
            max_gradient_norm: 1e9,
            ..toy::config()
        }
    }

    /// First step: the squares' means are 2.5 and 12.5 by row, 5 and 10 by column, 7.5 in all; so the update is
    /// `1 / sqrt(2.5 * 5 / 7.5)` = 0.7746 and so on. Its root mean square, 0.98, is below the threshold, and that of the
    /// matrix is 1. Second step, with gradients ten times as large: the old moments weigh 1 - 2^-0.8 = 0.4257, the
    /// update's root mean square is 1.288 and is cut to 1, and that of the matrix is 0.9616.
    #[test]
    fn adafactor_by_hand_and_from_its_saved_state() {
        let mut optimizer_at_work = optimizer(&config());
        let start = matrix();
        let slopes = gradients(&start, 1.0);
        let first = optimizer_at_work.step(RATE, start, slopes);
        check(&first, [0.922_540_3, -1.109_544_5, 0.896_077, 0.902_020_4]);

        let saved: Vec<u8> = optimizer_at_work.into_bytes().unwrap().to_vec();
        let second = optimizer_at_work.step(RATE, first.clone(), gradients(&first, 10.0));
        check(&second, [0.846_518_5, -1.217_055_6, 0.794_083, 0.805_859_6]);

        let mut resumed = optimizer(&config()).from_bytes(Bytes::from_bytes_vec(saved)).unwrap();
        let again = resumed.step(RATE, first.clone(), gradients(&first, 10.0));
        assert_eq!(values(&again), values(&second));
        // Without its state it would go elsewhere.
        let forgetful = optimizer(&config()).step(RATE, first.clone(), gradients(&first, 10.0));
        assert_ne!(values(&forgetful), values(&second));
    }

    #[test]
    fn weight_decay_pulls_towards_zero() {
        for name in [Optimizer::AdamW, Optimizer::Adafactor] {
            let of = |weight_decay| TrainConfig {
                optimizer: name,
                weight_decay,
                ..config()
            };
            let stepped = |config: &TrainConfig| {
                let start = matrix();
                let slopes = gradients(&start, 1.0);
                values(&optimizer(config).step(RATE, start, slopes))
            };
            let (plain, pulled) = (stepped(&of(0.0)), stepped(&of(0.5)));
            let start = values(&matrix());
            for ((plain, pulled), start) in plain.iter().zip(&pulled).zip(start) {
                // The rate times the decay, of the weight before the step.
                assert!(
                    (plain - pulled - 0.05 * start).abs() < 1e-6,
                    "{name:?}: {plain} {pulled}"
                );
            }
        }
    }
}
