//! AdamW (Loshchilov & Hutter 2019) as burn computes it, in one loop over each tensor instead of one for each operation: those of
//! a head would take as long as a fifth of a step.

use burn::optim::{self, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// The rule; moments are burn's.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    pub(crate) weight_decay: f32,
    /// Gradients are cut to this norm for each tensor.
    pub(crate) max_gradient_norm: f32,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let device = weights.device();
        let state = state.map(|state| state.momentum).unwrap_or_else(|| {
            let zeros = Tensor::zeros(weights.dims(), &device);
            AdaptiveMomentumState::new(0, zeros.clone(), zeros)
        });
        let time = state.time + 1;
        let change = Change {
            rate: rate as f32,
            keep: (1.0 - rate * f64::from(self.weight_decay)) as f32,
            corrections: BETAS.map(|beta| 1.0 - beta.powi(time as i32)),
        };
        let mut data = [weights, state.moment_1, state.moment_2].map(Tensor::into_data);
        let gradient = gradient.into_data();
        let gradient = gradient.as_slice().expect(F32);
        let cut = (self.max_gradient_norm / norm(gradient)).min(1.0);
        let [weights, first, second] = data.each_mut().map(numbers);
        change.apply(weights, gradient, cut, [first, second]);
        let [weights, first, second] = data.map(|data| Tensor::from_data(data, &device));
        let momentum = AdaptiveMomentumState::new(time, first, second);
        (weights, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        <optim::AdamW as Optimizer>::to_device(state, device)
    }
}

const F32: &str = "weights and gradients are f32";

fn numbers(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect(F32)
}

/// Numbers that a thread looks at in one go.
const CHUNK: usize = 1 << 14;

fn norm(gradient: &[f32]) -> f32 {
    let square = |slope: &f32| f64::from(*slope) * f64::from(*slope);
    let chunks = gradient.par_chunks(CHUNK);
    // Collected, so that the order of the sum does not follow the threads.
    let sums: Vec<f64> = chunks.map(|chunk| chunk.iter().map(square).sum()).collect();
    sums.iter().sum::<f64>().sqrt() as f32
}

/// A step's change of weights.
struct Change {
    rate: f32,
    /// Share of a weight that decay leaves.
    keep: f32,
    /// Of the moments, which begin at zero.
    corrections: [f32; 2],
}

impl Change {
    /// The gradient counts `cut` times.
    fn apply(&self, weights: &mut [f32], gradient: &[f32], cut: f32, [first, second]: [&mut [f32]; 2]) {
        let weights = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        weights.zip(moments).for_each(|((weights, gradient), (first, second))| {
            let all = weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second));
            all.for_each(|((weight, slope), (first, second))| {
                let slope = slope * cut;
                *first = *first * BETAS[0] + slope * (1.0 - BETAS[0]);
                *second = *second * BETAS[1] + slope * slope * (1.0 - BETAS[1]);
                let deviation = (*second / self.corrections[1]).sqrt() + EPSILON;
                *weight = *weight * self.keep - *first / self.corrections[0] / deviation * self.rate;
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::grad_clipping::GradientClippingConfig;
    use burn::module::{Module, Param};
    use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
    use burn::tensor::Bytes;

    use super::*;

    #[derive(Module, Debug)]
    struct Row {
        weights: Param<Tensor<1>>,
    }

    /// Five steps of an optimizer that is saved and read back after the third.
    fn steps(new: impl Fn() -> ModuleOptimizer) -> Vec<f32> {
        let device = Device::flex().autodiff();
        let weights = Tensor::from_floats([1.0, -2.0, 0.5, 0.0, 3.0], &device);
        let mut row = Row {
            weights: Param::from_tensor(weights),
        };
        let mut optimizer = new();
        for step in 0..5 {
            let slopes = Tensor::from_floats([0.1, -1e-4, 20.0, 0.3, 0.0], &device) * (1.0 - 0.4 * step as f32);
            let loss = (row.weights.val() * slopes).sum();
            let gradient = GradientsParams::from_grads(loss.backward(), &row);
            row = optimizer.step(0.01, row, gradient);
            if step == 2 {
                let saved = Bytes::from_bytes_vec(optimizer.into_bytes().unwrap().to_vec());
                optimizer = new().from_bytes(saved).unwrap();
            }
        }
        row.weights.val().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn weights_are_those_of_burns_adamw() {
        for (weight_decay, max_gradient_norm) in [(0.0, 1e9), (0.1, 1e9), (0.1, 5.0)] {
            let config = AdamWConfig::new().with_weight_decay(weight_decay).with_epsilon(EPSILON);
            let config = config.with_grad_clipping(Some(GradientClippingConfig::Norm(max_gradient_norm)));
            let ours = || AdamW {
                weight_decay,
                max_gradient_norm,
            };
            let (ours, burns) = (steps(|| ours().into()), steps(|| config.init()));
            let close = ours
                .iter()
                .zip(&burns)
                .all(|(a, b)| (a - b).abs() <= 2e-7 * b.abs().max(1e-3));
            assert!(close, "{ours:?}, burn has {burns:?}");
            assert_ne!(ours[0], 1.0);
        }
    }
}
