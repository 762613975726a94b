//! The pretrained trunks of `small`: EfficientNet-Lite0 with its classifier from its `.pth`, all-MiniLM-L6-v2 from its safetensors, and
//! the words for the classes. All are read as data; nothing in them is executed. Strict on names and shapes in both directions.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};

use super::arrays::read_arrays;
use super::class_words::read_class_words;
use super::places::{Change, Table, take};
use super::torch::{Within, read_torch};
use crate::ModelError;
use crate::array::{NamedArrays, NamedWeights, Weights};
use crate::checkpoint::{StoredFloat, fill, tensors_of, write_checkpoint, write_tower};
use crate::config::ModelConfig;
use crate::fusion::unit;
use crate::model::turn;
use crate::rows::{map_ids, to_rows};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::wordpiece::MiniLmTokenizer;
use crate::towers::{EfficientNetLiteConfig, MiniLmConfig, VisionConfig};

/// Epsilon of every batch norm of EfficientNet-Lite.
const BATCH_NORM_EPS: f64 = 1e-3;
const LITE0: &str = "efficientnet-lite0";
const MINILM: &str = "minilm-l6";
/// Numbers that go into the classifier.
const HEAD_WIDTH: usize = 1280;
/// Sentences that go through MiniLM together.
const SENTENCES: usize = 64;

/// The published files of the pretrained parts of `small`.
#[derive(Clone, Copy, Debug)]
pub struct SmallFiles<'a> {
    /// `efficientnet-lite0-*.pth`
    pub lite0: &'a Path,
    /// `model.safetensors` of all-MiniLM-L6-v2
    pub minilm: &'a Path,
    /// `tokenizer.json` of all-MiniLM-L6-v2
    pub tokenizer: &'a Path,
    /// Folder with the words for ImageNet's classes, `timm/data/_info` of PyPI's timm
    pub words: &'a Path,
}

/// Writes both trunks and the tokenizer to a folder, with a checkpoint of a random fusion beside them, where training starts.
/// Returns the path of the checkpoint.
///
/// # Errors
/// A file that cannot be read or written, or is of another network.
pub fn write_small_start(files: SmallFiles<'_>, folder: &Path, seed: u64) -> Result<PathBuf, ModelError> {
    let config = ModelConfig::small();
    let minilm = read_minilm_l6(files.minilm)?;
    let classes = class_vectors(&files, &minilm)?;
    let trunks = [
        (LITE0, "vision", read_efficientnet_lite0(files.lite0, &config, classes)?),
        (MINILM, "text", minilm),
    ];
    fs_err::create_dir_all(folder)?;
    fs_err::copy(files.tokenizer, folder.join("tokenizer.json"))?;
    let mut towers = Vec::new();
    for (name, tower, trunk) in trunks {
        let trunk = trunk
            .into_iter()
            .map(|(name, weights)| (format!("{tower}.trunk.{name}"), weights));
        let path = folder.join(name).with_extension("safetensors");
        towers.push(write_tower(&path, &trunk.collect(), StoredFloat::F16)?);
    }
    let mut tensors = tensors_of(&config.init_seeded(seed));
    tensors.retain(|name, _| !name.contains(".trunk."));
    let start = folder.join("small-start.safetensors");
    write_checkpoint(&start, &config, &tensors, StoredFloat::F32, &towers)?;
    Ok(start)
}

/// The vector of each class, `[classes, 384]`: the mean direction of its sentences through MiniLM.
fn class_vectors(files: &SmallFiles<'_>, minilm: &NamedWeights) -> Result<Weights, ModelError> {
    let classes = read_class_words(files.words)?;
    let bytes = fs_err::read(files.tokenizer)?;
    let tokenizer = MiniLmTokenizer::from_bytes(&bytes).map_err(|source| ModelError::BadTokenizer {
        path: files.tokenizer.into(),
        source,
    })?;
    let sentences: Vec<&str> = classes.iter().flatten().map(String::as_str).collect();
    let ids = tokenizer.encode_batch(&sentences)?;
    let network = fill(MiniLmConfig::L6.init_trunk(&Device::flex()), minilm.clone(), MINILM)?;
    let mut rows = map_ids(&ids, SENTENCES, |ids, _| unit(network.forward(ids))).into_iter();
    let means = classes.iter().flat_map(|sentences| {
        let mut mean = vec![0.0; MiniLmConfig::L6.width];
        for row in rows.by_ref().take(sentences.len()) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        mean
    });
    let means = from_values(means.collect(), MiniLmConfig::L6.width);
    Ok(Weights {
        shape: vec![classes.len(), MiniLmConfig::L6.width],
        values: to_rows(unit(means)).concat(),
    })
}

/// `[rows, width]`
fn from_values(values: Vec<f32>, width: usize) -> Tensor<2> {
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
}

/// EfficientNet-Lite0's trunk with its batch norms folded into the convolutions; names as in
/// [`crate::towers::EfficientNetLite`]. The classifier `_fc` becomes the reading as a sentence.
///
/// # Errors
/// A file that is no torch checkpoint of this network.
fn read_efficientnet_lite0(path: &Path, config: &ModelConfig, classes: Weights) -> Result<NamedWeights, ModelError> {
    let mut arrays = read_torch(path, Within::Root)?;
    arrays.retain(|name, _| !name.ends_with(".num_batches_tracked"));
    let mut tensors = NamedWeights::new();
    let mut fold = |conv: &str, norm: &str, ours: &str| fold(&mut arrays, conv, norm, ours, &mut tensors);
    fold("_conv_stem", "_bn0", "stem")?;
    for block in 0..EfficientNetLiteConfig::block_count() {
        let (from, to) = (format!("_blocks.{block}"), format!("blocks.{block}"));
        let mut part = |conv, norm, ours| {
            let (conv, norm) = (format!("{from}.{conv}"), format!("{from}.{norm}"));
            fold(&conv, &norm, &format!("{to}.{ours}"))
        };
        // The first block does not widen its input.
        if block > 0 {
            part("_expand_conv", "_bn0", "expand")?;
        }
        part("_depthwise_conv", "_bn1", "depthwise")?;
        part("_project_conv", "_bn2", "project")?;
    }
    fold("_conv_head", "_bn1", "head")?;
    let mut classifier = Table::new('.');
    classifier.torch_linear("_fc", [HEAD_WIDTH, classes.shape[0]], "sentence.classifier");
    tensors.extend(classifier.convert(arrays, LITE0)?);
    let VisionConfig::EfficientNetLite(vision) = &config.vision else {
        unreachable!("the image tower of `small` is an EfficientNet-Lite");
    };
    let trunk = {
        let _turn = turn();
        vision.init_trunk(&Device::flex())
    };
    tensors.insert("sentence.classes".into(), classes);
    Ok(tensors_of(&fill(trunk, tensors, LITE0)?))
}

/// A convolution and the batch norm behind it as one convolution with a bias.
fn fold(
    arrays: &mut NamedArrays,
    conv: &str,
    norm: &str,
    ours: &str,
    tensors: &mut NamedWeights,
) -> Result<(), ModelError> {
    let name = format!("{conv}.weight");
    let kernel = arrays
        .remove(&name)
        .ok_or_else(|| ModelError::missing(&name, 1, LITE0))?;
    let (shape, mut values) = (kernel.shape().to_vec(), kernel.to_f32(&name)?);
    let out = shape.first().copied().unwrap_or(0);
    let mut part = |part: &str| {
        let name = format!("{norm}.{part}");
        take(arrays, &name, &[out], LITE0)?.to_f32(&name)
    };
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let each = values.len() / out.max(1);
    let mut bias = Vec::with_capacity(out);
    for channel in 0..out {
        let factor = f64::from(gamma[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPS).sqrt();
        for value in &mut values[channel * each..(channel + 1) * each] {
            *value = (f64::from(*value) * factor) as f32;
        }
        bias.push((f64::from(beta[channel]) - f64::from(mean[channel]) * factor) as f32);
    }
    tensors.insert(format!("{ours}.weight"), Weights { shape, values });
    let (shape, values) = (vec![out], bias);
    tensors.insert(format!("{ours}.bias"), Weights { shape, values });
    Ok(())
}

/// MiniLM-L6's encoder; names as in [`crate::towers::MiniLm`]. BERT's own pooler is skipped: sentences are averaged; and so is
/// its constant counter of positions.
///
/// # Errors
/// A file that is no safetensors file of this network.
fn read_minilm_l6(path: &Path) -> Result<NamedWeights, ModelError> {
    let mut arrays = read_arrays(path, Within::Root)?;
    arrays.retain(|name, _| !name.starts_with("pooler.") && name != "embeddings.position_ids");
    let config = MiniLmConfig::L6;
    let (width, inner) = (config.width, config.feed_forward);
    let mut table = Table::new('.');
    table.within("embeddings", "", |table| {
        for (theirs, rows, ours) in [
            ("word_embeddings.weight", config.vocabulary, "token_embedding.weight"),
            (
                "position_embeddings.weight",
                config.max_positions,
                "position_embedding.weight",
            ),
            ("token_type_embeddings.weight", 2, "segment_embedding.weight"),
        ] {
            table.add(theirs, &[rows, width], ours, Change::Same);
        }
        table.torch_norm("LayerNorm", width, "embedding_norm");
    });
    table.each(config.layers, "encoder.layer.", "blocks.", |table| {
        for (theirs, sizes, ours) in [
            ("attention.self.query", [width, width], "attention.query"),
            ("attention.self.key", [width, width], "attention.key"),
            ("attention.self.value", [width, width], "attention.value"),
            ("attention.output.dense", [width, width], "attention.output"),
            ("intermediate.dense", [width, inner], "feed_forward_in"),
            ("output.dense", [inner, width], "feed_forward_out"),
        ] {
            table.torch_linear(theirs, sizes, ours);
        }
        table.torch_norm("attention.output.LayerNorm", width, "attention_norm");
        table.torch_norm("output.LayerNorm", width, "feed_forward_norm");
    });
    table.convert(arrays, MINILM)
}
