//! The encoders of a run: images and their words to vectors whose similarity is one dot product.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use half::f16;
use image::RgbImage;
use magiclens_data::Embedding;
use magiclens_model::Embedder;
use serde::{Deserialize, Serialize};

/// One encoder of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// The name in scores and origins, e.g. "image".
    pub name: String,
    /// The model: a file or folder, or a name of the hub; without one, the program's default model.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// The output that is used.
    pub output: Output,
}

/// The output of a checkpoint that becomes the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The image tower's output.
    Image,
    /// The pretrained features below it (`small` only): looks, not meaning.
    ImageTrunk,
    /// The text tower's output for the image's words.
    Text,
    /// The pretrained features below it (`small` only): a sentence embedding.
    TextTrunk,
}

/// The encoders that a configuration has unless it says otherwise: those of `small`.
pub fn default_encoders() -> Vec<EncoderConfig> {
    let encoder = |name: &str, output| EncoderConfig {
        name: name.into(),
        checkpoint: None,
        output,
    };
    vec![
        encoder("image", Output::Image),
        encoder("look", Output::ImageTrunk),
        encoder("text", Output::TextTrunk),
    ]
}

/// The name of an encoder's scores: the encoder and the space of its vectors, so that different scores have different names.
pub fn score_name(encoders: &[EncoderConfig], name: &str) -> String {
    let encoder = encoders.iter().find(|encoder| encoder.name == name);
    let space = encoder.map_or("", |encoder| match encoder.output {
        Output::Image => "image",
        Output::ImageTrunk => "image_trunk",
        Output::Text => "text",
        Output::TextTrunk => "text_trunk",
    });
    format!("{name}:{space}")
}

/// Loaded encoders. Each vector is a unit vector; an image without words has a text vector of zeros, which is like nothing.
#[derive(Debug)]
pub struct Encoders {
    encoders: Vec<EncoderConfig>,
    models: BTreeMap<PathBuf, Embedder>,
    default: PathBuf,
}

/// Images that are embedded at once: enough for every core, and always the same number, since sums depend on it.
const BATCH: usize = 64;

impl Encoders {
    /// Loads every checkpoint once. `locate` leads from the name of a checkpoint to its files.
    ///
    /// # Errors
    /// A checkpoint that cannot be read, two encoders of one name, or none.
    pub fn load(
        encoders: &[EncoderConfig],
        default: &Path,
        locate: impl Fn(&Path) -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<Self> {
        let mut models = BTreeMap::new();
        for (at, encoder) in encoders.iter().enumerate() {
            ensure!(
                encoders[..at].iter().all(|other| other.name != encoder.name),
                "two encoders are named `{}`\nhint: scores are told apart by these names",
                encoder.name
            );
            let path = encoder.checkpoint.clone().unwrap_or_else(|| default.to_owned());
            if let Entry::Vacant(place) = models.entry(path) {
                let named = encoder
                    .checkpoint
                    .as_deref()
                    .map_or_else(|| Ok(default.to_owned()), &locate);
                let model = named.and_then(|path| Ok(Embedder::load(&path)?));
                let model = model.with_context(|| format!("encoder `{}`", encoder.name))?;
                place.insert(model);
            }
        }
        ensure!(
            !encoders.is_empty(),
            "there is no encoder\nhint: give `[[encoder]]` a name and an output"
        );
        Ok(Self {
            encoders: encoders.to_vec(),
            models,
            default: default.to_owned(),
        })
    }

    /// Name and digest of each encoder's weights, for the provenance.
    pub fn models(&self) -> Vec<String> {
        let named = |encoder: &EncoderConfig| {
            let model = &self.models[encoder.checkpoint.as_ref().unwrap_or(&self.default)];
            let digest: String = model.model_id().chars().take(16).collect();
            format!("encoder:{}={}@{digest}", encoder.name, model.config().name)
        };
        self.encoders.iter().map(named).collect()
    }

    /// The vectors of images and of the words about them: for each image one vector an encoder, in their order.
    ///
    /// # Errors
    /// A model without the output asked for, or a text that its tokenizer refuses.
    pub fn encode(&self, images: &[&RgbImage], texts: &[String]) -> anyhow::Result<Vec<Vec<Vec<f16>>>> {
        assert_eq!(images.len(), texts.len(), "each image has its words");
        let mut encoded = Vec::with_capacity(images.len());
        for (images, texts) in images.chunks(BATCH).zip(texts.chunks(BATCH)) {
            let by_encoder = self.encode_batch(images, texts)?;
            let of_image = |at: usize| by_encoder.iter().map(|rows| rows[at].clone()).collect::<Vec<_>>();
            encoded.extend((0..images.len()).map(of_image));
        }
        Ok(encoded)
    }

    fn encode_batch(&self, images: &[&RgbImage], texts: &[String]) -> anyhow::Result<Vec<Vec<Vec<f16>>>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        // Two encoders of one model share the trunk, which is nearly all of the work.
        let mut trunks: BTreeMap<&Path, Vec<Vec<f32>>> = BTreeMap::new();
        let mut by_encoder = Vec::new();
        for encoder in &self.encoders {
            let path = encoder.checkpoint.as_ref().unwrap_or(&self.default);
            let model = &self.models[path];
            let is_image = matches!(encoder.output, Output::Image | Output::ImageTrunk);
            if is_image
                && !trunks.contains_key(path.as_path())
                && let Some(features) = model.image_features(images)
            {
                trunks.insert(path, features);
            }
            let trunk = trunks.get(path.as_path());
            let no_trunk = || no_trunk(encoder, path);
            let shared = |row: Vec<f32>| model.shared(&row).to_vec();
            let rows = match encoder.output {
                Output::Image => match trunk {
                    Some(features) => model.project_image_features(features).ok_or_else(no_trunk)?,
                    None => model.encode_images(images)?,
                }
                .into_iter()
                .map(shared)
                .collect(),
                Output::ImageTrunk => trunk.cloned().ok_or_else(no_trunk)?,
                Output::Text => model.encode_texts(&texts)?.into_iter().map(shared).collect(),
                Output::TextTrunk => model.text_features(&texts)?.ok_or_else(no_trunk)?,
            };
            let wordless = |at: usize| !is_image && texts[at].trim().is_empty();
            let unit = |(at, row): (usize, Vec<f32>)| unit_vector(row, wordless(at));
            by_encoder.push(rows.into_iter().enumerate().map(unit).collect());
        }
        Ok(by_encoder)
    }
}

fn no_trunk(encoder: &EncoderConfig, path: &Path) -> anyhow::Error {
    anyhow!(
        "encoder `{}`: `{}` has no features below its tower's output\nhint: set `output` to \"image\" or \"text\"",
        encoder.name,
        path.display()
    )
}

/// The unit vector, in half precision; zeros for what has no direction.
fn unit_vector(row: Vec<f32>, nothing: bool) -> Vec<f16> {
    let width = row.len();
    match Embedding::normalize(row) {
        Ok(unit) if !nothing => unit.as_slice().iter().map(|&value| f16::from_f32(value)).collect(),
        _ => vec![f16::ZERO; width],
    }
}

/// Cosine of two unit vectors.
pub fn similarity(a: &[f32], b: &[f32]) -> f32 {
    magiclens_data::dot(a, b)
}

/// Vectors as bytes, one after another.
pub fn pack(vectors: &[Vec<f16>]) -> Vec<u8> {
    vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

/// Vectors of these widths from bytes, and what is left of the bytes.
///
/// # Errors
/// Too few bytes.
pub fn unpack<'a>(mut bytes: &'a [u8], widths: &[usize]) -> anyhow::Result<(Vec<Vec<f32>>, &'a [u8])> {
    let mut vectors = Vec::with_capacity(widths.len());
    for width in widths {
        let Some((vector, rest)) = bytes.split_at_checked(width * 2) else {
            bail!("a row has too few numbers\nhint: the run was begun by another version; begin a new one");
        };
        let value = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f32();
        vectors.push(vector.chunks_exact(2).map(value).collect());
        bytes = rest;
    }
    Ok((vectors, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_from_bytes() {
        let half = |values: &[f32]| values.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>();
        let bytes = pack(&[half(&[0.5, -1.0]), half(&[0.25])]);
        let (vectors, rest) = unpack(&bytes, &[2, 1]).unwrap();
        assert_eq!(vectors, [vec![0.5, -1.0], vec![0.25]]);
        assert!(rest.is_empty());
        assert!(unpack(&bytes, &[2, 2]).is_err());
    }

    #[test]
    fn nothing_has_no_direction() {
        assert_eq!(
            unit_vector(vec![3.0, 4.0], false),
            [f16::from_f32(0.6), f16::from_f32(0.8)]
        );
        assert_eq!(unit_vector(vec![3.0, 4.0], true), [f16::ZERO; 2]);
        assert_eq!(unit_vector(vec![0.0, 0.0], false), [f16::ZERO; 2]);
    }
}
