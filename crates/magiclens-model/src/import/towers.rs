//! The pretrained trunks of `small`: EfficientNet-Lite0 from its `.pth` and all-MiniLM-L6-v2 from its safetensors.
//! Both are read as data; nothing in them is executed. Strict on names and shapes in both directions.

use std::collections::BTreeMap;
use std::path::Path;

use super::Array;
use super::torch::Within;
use crate::ModelError;
use crate::checkpoint::{NamedWeights, Weights, read_weights};
use crate::towers::{EfficientNetLiteConfig, MiniLmConfig};

/// Epsilon of every batch norm of EfficientNet-Lite.
const BATCH_NORM_EPS: f64 = 1e-3;

/// EfficientNet-Lite0's trunk with its batch norms folded into the convolutions; names as in
/// [`crate::towers::EfficientNetLite`]. The classifier `_fc` is left out.
///
/// # Errors
/// A file that is no torch checkpoint of this network.
pub fn read_efficientnet_lite0(path: &Path) -> Result<NamedWeights, ModelError> {
    let mut source = Source {
        arrays: super::torch::read_torch(path, Within::Root)?,
        model: "efficientnet-lite0",
    };
    let blocks = EfficientNetLiteConfig {
        image_px: 224,
        taps: Vec::new(),
    }
    .block_count();
    let mut tensors = NamedWeights::new();
    source.fold("_conv_stem", "_bn0", "stem", &mut tensors)?;
    for block in 0..blocks {
        let (from, to) = (format!("_blocks.{block}"), format!("blocks.{block}"));
        // The first block does not widen its input.
        if block > 0 {
            source.fold(
                &format!("{from}._expand_conv"),
                &format!("{from}._bn0"),
                &format!("{to}.expand"),
                &mut tensors,
            )?;
        }
        source.fold(
            &format!("{from}._depthwise_conv"),
            &format!("{from}._bn1"),
            &format!("{to}.depthwise"),
            &mut tensors,
        )?;
        source.fold(
            &format!("{from}._project_conv"),
            &format!("{from}._bn2"),
            &format!("{to}.project"),
            &mut tensors,
        )?;
    }
    source.fold("_conv_head", "_bn1", "head", &mut tensors)?;
    source.finish(&["_fc.weight", "_fc.bias"])?;
    Ok(tensors)
}

/// MiniLM-L6's encoder; names as in [`crate::towers::MiniLm`]. BERT's own pooler is left out: sentences are averaged.
///
/// # Errors
/// A file that is no safetensors file of this network.
pub fn read_minilm_l6(path: &Path) -> Result<NamedWeights, ModelError> {
    let mut tensors = NamedWeights::new();
    let mut source = read_bert(path)?;
    let mut take = |from: &str, to: String, transpose: bool| -> Result<(), ModelError> {
        let weights = source.remove(from).ok_or_else(|| missing(from, "minilm-l6"))?;
        tensors.insert(to, if transpose { transposed(weights) } else { weights });
        Ok(())
    };
    for (from, to) in [
        ("word_embeddings", "token_embedding"),
        ("position_embeddings", "position_embedding"),
        ("token_type_embeddings", "segment_embedding"),
    ] {
        take(&format!("embeddings.{from}.weight"), format!("{to}.weight"), false)?;
    }
    take("embeddings.LayerNorm.weight", "embedding_norm.gamma".into(), false)?;
    take("embeddings.LayerNorm.bias", "embedding_norm.beta".into(), false)?;
    for layer in 0..MiniLmConfig::L6.layers {
        let (from, to) = (format!("encoder.layer.{layer}"), format!("blocks.{layer}"));
        for (from_part, to_part) in [
            ("attention.self.query", "attention.query"),
            ("attention.self.key", "attention.key"),
            ("attention.self.value", "attention.value"),
            ("attention.output.dense", "attention.output"),
            ("intermediate.dense", "feed_forward_in"),
            ("output.dense", "feed_forward_out"),
        ] {
            take(
                &format!("{from}.{from_part}.weight"),
                format!("{to}.{to_part}.weight"),
                true,
            )?;
            take(
                &format!("{from}.{from_part}.bias"),
                format!("{to}.{to_part}.bias"),
                false,
            )?;
        }
        for (from_part, to_part) in [
            ("attention.output.LayerNorm", "attention_norm"),
            ("output.LayerNorm", "feed_forward_norm"),
        ] {
            take(
                &format!("{from}.{from_part}.weight"),
                format!("{to}.{to_part}.gamma"),
                false,
            )?;
            take(
                &format!("{from}.{from_part}.bias"),
                format!("{to}.{to_part}.beta"),
                false,
            )?;
        }
    }
    match source.keys().find(|name| !name.starts_with("pooler.")) {
        Some(name) => Err(extra(name, source.len(), "minilm-l6")),
        None => Ok(tensors),
    }
}

/// All floats of the file; `embeddings.position_ids` is a constant counter and no weight.
fn read_bert(path: &Path) -> Result<NamedWeights, ModelError> {
    read_weights(path, &["embeddings.position_ids"])
}

struct Source {
    arrays: BTreeMap<String, Array>,
    model: &'static str,
}

impl Source {
    fn take(&mut self, name: &str) -> Result<Weights, ModelError> {
        let array = self.arrays.remove(name).ok_or_else(|| missing(name, self.model))?;
        let values = array.to_f32();
        Ok(Weights {
            shape: array.shape().to_vec(),
            values,
        })
    }

    /// A convolution and the batch norm behind it as one convolution with a bias.
    fn fold(&mut self, conv: &str, norm: &str, ours: &str, tensors: &mut NamedWeights) -> Result<(), ModelError> {
        let mut kernel = self.take(&format!("{conv}.weight"))?;
        let out = kernel.shape.first().copied().unwrap_or(0);
        let part = |source: &mut Self, name: &str| -> Result<Vec<f32>, ModelError> {
            let name = format!("{norm}.{name}");
            let weights = source.take(&name)?;
            if weights.shape == [out] {
                return Ok(weights.values);
            }
            Err(ModelError::WrongShape {
                name,
                found: weights.shape,
                expected: vec![out],
                model: source.model.into(),
            })
        };
        let (gamma, beta) = (part(self, "weight")?, part(self, "bias")?);
        let (mean, variance) = (part(self, "running_mean")?, part(self, "running_var")?);
        self.arrays.remove(&format!("{norm}.num_batches_tracked"));
        let each = kernel.values.len() / out.max(1);
        let mut bias = Vec::with_capacity(out);
        for channel in 0..out {
            let factor = f64::from(gamma[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPS).sqrt();
            for value in &mut kernel.values[channel * each..(channel + 1) * each] {
                *value = (f64::from(*value) * factor) as f32;
            }
            bias.push((f64::from(beta[channel]) - f64::from(mean[channel]) * factor) as f32);
        }
        tensors.insert(format!("{ours}.weight"), kernel);
        tensors.insert(
            format!("{ours}.bias"),
            Weights {
                shape: vec![out],
                values: bias,
            },
        );
        Ok(())
    }

    fn finish(self, left_out: &[&str]) -> Result<(), ModelError> {
        match self.arrays.keys().find(|name| !left_out.contains(&name.as_str())) {
            Some(name) => Err(extra(name, self.arrays.len(), self.model)),
            None => Ok(()),
        }
    }
}

/// torch's linear layers hold `[out, in]`, ours `[in, out]`.
fn transposed(weights: Weights) -> Weights {
    let &[rows, columns] = weights.shape.as_slice() else {
        return weights;
    };
    let values = (0..rows * columns)
        .map(|at| weights.values[(at % rows) * columns + at / rows])
        .collect();
    Weights {
        shape: vec![columns, rows],
        values,
    }
}

fn missing(name: &str, model: &str) -> ModelError {
    ModelError::MissingTensor {
        name: name.into(),
        missing: 1,
        model: model.into(),
    }
}

fn extra(name: &str, extra: usize, model: &str) -> ModelError {
    ModelError::ExtraTensor {
        name: name.into(),
        extra,
        model: model.into(),
    }
}
