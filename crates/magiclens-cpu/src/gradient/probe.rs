//! The pooler's learned query, and the keys that it makes one column a head of: parts that no row of a batch goes through.

use super::named::NamedGradients;
use crate::tensors::{MissingTensor, Tensors};

/// The query behind its linear layer, with the learned scale of each dimension of a head.
#[derive(Debug)]
pub(super) struct Probe {
    width: usize,
    inner: usize,
    heads: usize,
    /// `[inner]`, not scaled.
    query: Vec<f64>,
    /// `[inner / heads]`
    scales: Vec<f64>,
}

/// The reference multiplies by 1 / softplus(0), written as 1.442695041, and by the usual scale.
fn factor(head_dim: usize) -> f64 {
    std::f64::consts::LOG2_E / (head_dim as f64).sqrt()
}

impl Probe {
    pub(super) fn new(tensors: &Tensors<'_>, [width, inner]: [usize; 2], heads: usize) -> Result<Self, MissingTensor> {
        let (attention, head_dim) = (tensors.within("attention"), inner / heads);
        let layer = attention.within("query");
        let weights = layer.get_sized("weight", width * inner)?;
        let mut query: Vec<f64> = layer
            .get_sized("bias", inner)?
            .iter()
            .map(|bias| f64::from(*bias))
            .collect();
        for (value, row) in tensors
            .get_sized("query", width)?
            .iter()
            .zip(weights.chunks_exact(inner))
        {
            let both = query.iter_mut().zip(row);
            both.for_each(|(sum, weight)| *sum += f64::from(*value) * f64::from(*weight));
        }
        let scales = attention.get_sized("per_dim_scale", head_dim)?.iter();
        Ok(Self {
            width,
            inner,
            heads,
            query,
            scales: scales
                .map(|scale| f64::from(*scale).exp().ln_1p() * factor(head_dim))
                .collect(),
        })
    }

    /// The query as it meets the keys, `[inner]`.
    fn scaled(&self) -> Vec<f64> {
        self.query
            .iter()
            .zip(self.scales.iter().cycle())
            .map(|(query, scale)| query * scale)
            .collect()
    }

    /// The map of tokens to logits: `[width, heads]`, and its bias, `[heads]`.
    pub(super) fn keys(&self, attention: &Tensors<'_>) -> Result<(Vec<f32>, Vec<f32>), MissingTensor> {
        let (query, keys) = (self.scaled(), attention.within("key"));
        let logits = |row: &[f32]| {
            let heads = row.chunks(self.scales.len()).zip(query.chunks(self.scales.len()));
            let sum = |(row, query): (&[f32], &[f64])| {
                row.iter()
                    .zip(query)
                    .map(|(weight, query)| f64::from(*weight) * query)
                    .sum::<f64>() as f32
            };
            heads.map(sum).collect::<Vec<f32>>()
        };
        let weights = keys
            .get_sized("weight", self.width * self.inner)?
            .chunks_exact(self.inner);
        Ok((
            weights.flat_map(logits).collect(),
            logits(keys.get_sized("bias", self.inner)?),
        ))
    }

    /// Gradients of query, keys and scales from those of the map.
    pub(super) fn gradients(
        &self,
        tensors: &Tensors<'_>,
        [weight_sums, bias_sums]: [&[f32]; 2],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        let keys = tensors.within("attention.key");
        let (query, head_dim) = (self.scaled(), self.scales.len());
        let spread = |sums: &[f32]| -> Vec<f32> {
            let of = |(at, query): (usize, &f64)| (f64::from(sums[at / head_dim]) * query) as f32;
            query.iter().enumerate().map(of).collect()
        };
        let mut slopes = vec![0.0_f64; self.inner];
        let mut add = |row: &[f32], sums: &[f32]| {
            for (at, (slope, weight)) in slopes.iter_mut().zip(row).enumerate() {
                *slope += f64::from(*weight) * f64::from(sums[at / head_dim]);
            }
        };
        let weights = keys
            .get_sized("weight", self.width * self.inner)?
            .chunks_exact(self.inner);
        weights
            .zip(weight_sums.chunks_exact(self.heads))
            .for_each(|(row, sums)| add(row, sums));
        add(keys.get_sized("bias", self.inner)?, bias_sums);
        let mut of_keys = out.within("attention.key");
        of_keys.put(
            "weight",
            weight_sums.chunks_exact(self.heads).flat_map(&spread).collect(),
        );
        of_keys.put("bias", spread(bias_sums));
        self.query_gradients(tensors, &slopes, out)
    }

    /// Gradients of the query, its linear layer and the scales, from the slopes of the scaled query.
    fn query_gradients(
        &self,
        tensors: &Tensors<'_>,
        slopes: &[f64],
        out: &mut NamedGradients<'_>,
    ) -> Result<(), MissingTensor> {
        let head_dim = self.scales.len();
        let scales = tensors.within("attention").get_sized("per_dim_scale", head_dim)?;
        let of_scale = |(at, scale): (usize, &f32)| {
            let both = slopes.iter().zip(&self.query).skip(at).step_by(head_dim);
            let sum: f64 = both.map(|(slope, query)| slope * query).sum();
            (sum * factor(head_dim) / (1.0 + f64::from(-*scale).exp())) as f32
        };
        let of_scales = scales.iter().enumerate().map(of_scale).collect();
        let slopes = slopes.iter().zip(self.scales.iter().cycle());
        let slopes: Vec<f32> = slopes.map(|(slope, scale)| (slope * scale) as f32).collect();
        let query = tensors.get_sized("query", self.width)?;
        let weights = tensors
            .within("attention.query")
            .get_sized("weight", self.width * self.inner)?;
        let of_query = |row: &[f32]| {
            row.iter()
                .zip(&slopes)
                .map(|(weight, slope)| weight * slope)
                .sum::<f32>()
        };
        out.put("query", weights.chunks_exact(self.inner).map(of_query).collect());
        let mut attention = out.within("attention");
        attention.put("per_dim_scale", of_scales);
        let mut layer = attention.within("query");
        layer.put(
            "weight",
            query
                .iter()
                .flat_map(|value| slopes.iter().map(move |slope| value * slope))
                .collect(),
        );
        layer.put("bias", slopes.clone());
        Ok(())
    }
}
