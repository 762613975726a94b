//! Textual inversion: an image becomes one word of CLIP's text tower, which an instruction is then written around.
//!
//! Sources: Pic2Word, google-research/composed_image_retrieval `model/model.py` (`IM2TEXT`, `encode_text_img_retrieval`),
//! `src/eval_utils.py`, `src/data.py`; SEARLE, miccunifi/SEARLE `src/phi.py`, `src/encode_with_pseudo_tokens.py`,
//! `src/utils.py`, `src/validate.py`; LinCIR, navervision/lincir `models.py`, `encode_with_pseudo_tokens.py`, `utils.py`.
//! All three feed the image tower's output as it is, not normalized, and read the text at its end marker.

use std::path::Path;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::array::NamedWeights;
use crate::checkpoint::fill;
use crate::embedder::Embedder;
use crate::rows::{from_rows, map_ids, to_rows};
use crate::tensors_file::{StoredFloat, TensorsFile, write_tensors};
use crate::towers::tower::PseudoWord;

/// The one metadata key: an [`InversionConfig`] as JSON.
const HEADER_KEY: &str = "magiclens-inversion";
/// The place of the instruction in a template.
const CAPTION: &str = "{caption}";

/// The authors of an inversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InversionKind {
    /// Saito et al., CVPR 2023: linear maps with ReLU; the first `*` of the prompt.
    Pic2Word,
    /// Baldrati et al., ICCV 2023: linear maps with GELU; the first `$` of the prompt.
    Searle,
    /// Gu et al., CVPR 2024: SEARLE's network trained on texts alone; every `$` of the prompt.
    LinCir,
}

impl InversionKind {
    /// In lower case, as in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pic2Word => "pic2word",
            Self::Searle => "searle",
            Self::LinCir => "lincir",
        }
    }

    /// The placeholder of the image in a prompt. It must stand alone: `$5` has one, `$$` has none.
    pub fn placeholder(self) -> char {
        match self {
            Self::Pic2Word => '*',
            Self::Searle | Self::LinCir => '$',
        }
    }

    /// The authors' prompt for CIRR; `{caption}` is the instruction.
    pub fn default_template(self) -> &'static str {
        match self {
            Self::Pic2Word => "a photo of * , {caption}",
            Self::Searle | Self::LinCir => "a photo of $ that {caption}",
        }
    }

    /// The id of the placeholder as a word of its own.
    fn token(self) -> u32 {
        match self {
            Self::Pic2Word => 265,
            Self::Searle | Self::LinCir => 259,
        }
    }

    /// Positions of the word in a text. SEARLE's and Pic2Word's code replaces one placeholder, LinCIR's all of them.
    fn positions(self, ids: &[u32]) -> Vec<usize> {
        let hits = (0..ids.len()).filter(|&position| ids[position] == self.token());
        match self {
            Self::Pic2Word | Self::Searle => hits.take(1).collect(),
            Self::LinCir => hits.collect(),
        }
    }
}

/// Everything of an inversion but its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InversionConfig {
    /// Its authors.
    pub kind: InversionKind,
    /// Widths from the image embedding over the hidden layers to the word.
    pub widths: Vec<usize>,
    /// True if the image embedding is brought to length 1 first. No published one does; LinCIR's training can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub l2_normalize: bool,
    /// The prompt, with the placeholder and `{caption}`.
    pub template: String,
}

impl InversionConfig {
    fn check(&self) -> Result<(), String> {
        let placeholder = self.kind.placeholder();
        if self.widths.len() < 2 || self.widths.contains(&0) {
            return Err(format!("`widths` {:?} are no layers", self.widths));
        }
        if !self.template.contains(placeholder) || !self.template.contains(CAPTION) {
            return Err(format!("`template` needs `{placeholder}` and `{CAPTION}`"));
        }
        Ok(())
    }

    fn init(&self, device: &Device) -> Network {
        let layers = self.widths.windows(2);
        Network {
            layers: layers
                .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
                .collect(),
            kind: self.kind,
            l2_normalize: self.l2_normalize,
        }
    }
}

/// Linear maps with an activation between them. Dropout is for training only.
#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
    #[module(skip)]
    kind: InversionKind,
    l2_normalize: bool,
}

impl Network {
    /// `images`: `[batch, image width]` -> `[batch, word width]`.
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let start = if self.l2_normalize { normalize(images) } else { images };
        let mut layers = self.layers.iter();
        let first = layers.next().map(|layer| layer.forward(start.clone())).unwrap_or(start);
        layers.fold(first, |x, layer| {
            layer.forward(match self.kind {
                InversionKind::Pic2Word => relu(x),
                InversionKind::Searle | InversionKind::LinCir => gelu(x),
            })
        })
    }
}

/// `[batch, width]` -> the same directions with length 1; torch's `F.normalize`.
fn normalize(rows: Tensor<2>) -> Tensor<2> {
    let norms = rows.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12); // [batch, 1]
    rows / norms
}

/// An image's tower output to a word of CLIP's text tower. Prompts with it are encoded by
/// [`crate::Embedder::encode_texts_with_pseudo`].
#[derive(Debug)]
pub struct TextualInversion {
    config: InversionConfig,
    network: Network,
}

impl TextualInversion {
    /// Loads a file that `magiclens import inversion` wrote.
    ///
    /// # Errors
    /// A file that is missing, cut off or of another kind; a tensor that is missing, extra or misshapen.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let file = TensorsFile::open(path)?;
        let header = file
            .metadata(HEADER_KEY)
            .ok_or_else(|| ModelError::NoInversion { path: path.into() })?;
        let bad = |reason| ModelError::BadConfig {
            path: path.into(),
            reason,
        };
        let config: InversionConfig = serde_json::from_str(header).map_err(|error| bad(error.to_string()))?;
        config.check().map_err(bad)?;
        Self::new(config, file.read_weights(&[])?.0)
    }

    /// An inversion of these numbers: `layers.0.weight` `[image width, ..]`, `layers.0.bias`, and so on.
    ///
    /// # Errors
    /// Widths or a template that contradict themselves; a tensor that is missing, extra or misshapen.
    pub fn new(config: InversionConfig, tensors: NamedWeights) -> Result<Self, ModelError> {
        let name = config.kind.name();
        config.check().map_err(|reason| ModelError::Contradiction {
            name: name.into(),
            reason,
        })?;
        let network = fill(config.init(&Device::flex()), tensors, name)?;
        Ok(Self { config, network })
    }

    /// Its authors.
    pub fn kind(&self) -> InversionKind {
        self.config.kind
    }

    /// The prompt, with the placeholder and `{caption}` for the instruction.
    pub fn template(&self) -> &str {
        &self.config.template
    }

    /// The prompt for an instruction, such as "a photo of $ that is red".
    pub fn prompt(&self, caption: &str) -> String {
        self.config.template.replacen(CAPTION, caption, 1)
    }

    /// Width of the image embeddings that it takes.
    pub fn image_width(&self) -> usize {
        self.config.widths.first().copied().unwrap_or(0)
    }

    /// Width of the words that it makes.
    pub fn word_width(&self) -> usize {
        self.config.widths.last().copied().unwrap_or(0)
    }

    /// Image tower outputs, `[image width]` each and not normalized, to words, `[word width]` each.
    ///
    /// # Panics
    /// If a row has not [`Self::image_width`] numbers.
    pub fn words(&self, images: &[Vec<f32>]) -> Vec<Vec<f32>> {
        if images.is_empty() {
            return Vec::new();
        }
        to_rows(self.network.forward(from_rows(images, &Device::flex())))
    }
}

/// Writes an inversion, aside and renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write_inversion(path: &Path, config: &InversionConfig, tensors: &NamedWeights) -> Result<(), ModelError> {
    let header = serde_json::to_string(config).expect("plain structs of strings and numbers always serialize");
    write_tensors(path, tensors, StoredFloat::F32, Some((HEADER_KEY, header)))
}

impl Embedder {
    /// The text tower's outputs for prompts in which a placeholder (`*` or `$`, see [`TextualInversion::prompt`]) stands
    /// for an image, `[dim]` each, not normalized. `images` are outputs of [`Embedder::encode_images`], one a prompt.
    ///
    /// # Errors
    /// A text tower that is not CLIP's; an inversion for other widths; lists of different lengths; a prompt whose
    /// placeholder is missing or cut off.
    pub fn encode_texts_with_pseudo(
        &self,
        inversion: &TextualInversion,
        images: &[Vec<f32>],
        prompts: &[&str],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.check_inversion(inversion, images)?;
        if images.len() != prompts.len() {
            return Err(ModelError::RowMismatch {
                images: images.len(),
                texts: prompts.len(),
            });
        }
        let vectors = inversion.words(images);
        let ids = self.tokenizer().encode_batch(prompts)?;
        let mut words = Vec::with_capacity(prompts.len());
        for (row, (prompt, vector)) in prompts.iter().zip(&vectors).enumerate() {
            let positions = inversion.kind().positions(&ids[row]);
            if positions.is_empty() {
                return Err(no_placeholder(inversion, row, prompt, &ids[row]));
            }
            words.push(PseudoWord { vector, positions });
        }
        let tower = &self.model()?.text;
        Ok(map_ids(&ids, tower.batch(), |ids, rows| {
            let words: Vec<PseudoWord<'_>> = rows.iter().map(|row| words[*row].clone()).collect();
            tower.forward_with_words(ids, &words)
        }))
    }

    /// Refuses an inversion that was made for another model.
    fn check_inversion(&self, inversion: &TextualInversion, images: &[Vec<f32>]) -> Result<(), ModelError> {
        let model = || self.config().name.clone();
        let width = self.model()?.text.word_width();
        let width = width.ok_or_else(|| ModelError::NotClipText { model: model() })?;
        let images = images.iter().map(Vec::len).chain([self.dim()]);
        let image_widths = images.map(|found| ("image embedding", inversion.image_width(), found));
        let mut widths = image_widths.chain([("word", inversion.word_width(), width)]);
        match widths.find(|(_, expected, found)| expected != found) {
            None => Ok(()),
            Some((what, expected, found)) => Err(ModelError::InversionWidth {
                kind: inversion.kind().name(),
                what,
                inversion: expected,
                found,
                model: model(),
            }),
        }
    }
}

/// The error for a placeholder that was cut off with the end of a long prompt, or never there.
fn no_placeholder(inversion: &TextualInversion, row: usize, prompt: &str, ids: &[u32]) -> ModelError {
    let placeholder = inversion.kind().placeholder();
    // The last position is taken by the end marker of a text that was cut off, or fits exactly.
    let full = ids.last().is_some_and(|&id| id != 0);
    let reason = if full && prompt.contains(placeholder) {
        format!("the prompt is cut off before its `{placeholder}`")
    } else {
        format!("the prompt has no `{placeholder}` of its own, which stands for the image")
    };
    ModelError::NoPlaceholder {
        row,
        reason,
        prompt: prompt.into(),
    }
}
