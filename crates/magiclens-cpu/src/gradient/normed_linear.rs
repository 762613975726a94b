//! A layer norm and the linear layers behind it as one linear layer on rows of mean 0 and deviation 1: the norm's scale and
//! shift are multiplied into the weights at each step. Their gradients follow from the sums of the weights alone, so that inputs
//! that nothing is trained of need no slopes.

use super::linear::Linear;
use super::named::NamedGradients;
use super::slots::Slots;
use crate::tensors::{MissingTensor, Tensors};

/// A layer norm, and linear layers side by side.
#[derive(Debug)]
pub(super) struct NormedLinear {
    pub(super) linear: Linear,
    pub(super) epsilon: f32,
    norm: &'static str,
    parts: &'static [&'static str],
}

impl NormedLinear {
    /// The norm of one name, and layers of the same size of others, whose outputs stand side by side.
    pub(super) fn named(
        tensors: &Tensors<'_>,
        norm: &'static str,
        parts: &'static [&'static str],
        [inputs, outputs]: [usize; 2],
        epsilon: f64,
        slots: &mut Slots,
    ) -> Result<Self, MissingTensor> {
        let (norm_tensors, total) = (tensors.within(norm), parts.len() * outputs);
        let gamma = norm_tensors.get_sized("gamma", inputs)?;
        let beta = norm_tensors.get_sized("beta", inputs)?;
        let (mut folded, mut bias) = (vec![0.0; inputs * total], Vec::with_capacity(total));
        for (part, name) in parts.iter().enumerate() {
            let part_tensors = tensors.within(name);
            let weights = part_tensors.get_sized("weight", inputs * outputs)?;
            let mut sums: Vec<f64> = part_tensors
                .get_sized("bias", outputs)?
                .iter()
                .map(|b| f64::from(*b))
                .collect();
            for (at, row) in weights.chunks_exact(outputs).enumerate() {
                let folded = &mut folded[at * total + part * outputs..][..outputs];
                folded
                    .iter_mut()
                    .zip(row)
                    .for_each(|(folded, weight)| *folded = gamma[at] * weight);
                let shift = f64::from(beta[at]);
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, weight)| *sum += shift * f64::from(*weight));
            }
            bias.extend(sums.into_iter().map(|sum| sum as f32));
        }
        Ok(Self {
            linear: Linear::new(&folded, bias, slots),
            epsilon: epsilon as f32,
            norm,
            parts,
        })
    }

    /// The gradients of norm and weights.
    pub(super) fn gradients(
        &self,
        tensors: &Tensors<'_>,
        sums: &[f32],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        let (inputs, total) = (self.linear.inputs, self.linear.outputs);
        let outputs = total / self.parts.len();
        let (weight_sums, bias_sums) = self.linear.sums(sums);
        let norm = tensors.within(self.norm);
        let (gamma, beta) = (norm.get_sized("gamma", inputs)?, norm.get_sized("beta", inputs)?);
        let (mut of_gamma, mut of_beta) = (vec![0.0; inputs], vec![0.0; inputs]);
        for (part, name) in self.parts.iter().enumerate() {
            let weights = tensors.within(name).get_sized("weight", inputs * outputs)?;
            let bias_sums = &bias_sums[part * outputs..][..outputs];
            let mut of_weights = Vec::with_capacity(inputs * outputs);
            for (at, row) in weights.chunks_exact(outputs).enumerate() {
                let sums = &weight_sums[at * total + part * outputs..][..outputs];
                let both = sums.iter().zip(bias_sums);
                of_weights.extend(both.map(|(sum, bias)| gamma[at] * sum + beta[at] * bias));
                of_gamma[at] += row.iter().zip(sums).map(|(weight, sum)| weight * sum).sum::<f32>();
                of_beta[at] += row.iter().zip(bias_sums).map(|(weight, sum)| weight * sum).sum::<f32>();
            }
            let mut out = out.within(name);
            out.put("weight", of_weights);
            out.put("bias", bias_sums.to_vec());
        }
        let mut out = out.within(self.norm);
        out.put("gamma", of_gamma);
        out.put("beta", of_beta);
        Ok(())
    }
}
