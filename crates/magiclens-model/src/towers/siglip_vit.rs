//! SigLIP's image tower: a vision transformer over square patches, pooled by the attention of a learned probe.
//! Source: transformers `models/siglip/modeling_siglip.py`; big_vision `models/vit.py`, `MAPHead`.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::{ImageNetwork, MissingTensor, Precision, Reading, Tensors, Vit, VitSizes};
use serde::{Deserialize, Serialize};

use super::clip_block::{ClipActivation, ClipBlock, ClipBlockConfig};
use super::patches::cut_patches;
use super::tower::{ImageTower, ImageTowerConfig, Tower, check_blocks, check_size};
use crate::attention::{Attention, AttentionConfig};

/// The epsilon of every layer norm of SigLIP.
pub(crate) const SIGLIP_NORM_EPS: f64 = 1e-6;

/// Sizes of a [`SiglipVit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiglipVitConfig {
    /// Width of the tokens and of the output.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each block and of the pooling.
    pub heads: usize,
    /// Inner width of the feed-forward layers.
    pub feed_forward: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Side of the square input in pixels; a rest that fills no patch is not looked at.
    pub image_px: usize,
}

impl SiglipVitConfig {
    /// Tokens of an image: its patches.
    pub fn tokens(&self) -> usize {
        (self.image_px / self.patch_px).pow(2)
    }

    fn norm(&self, device: &Device) -> LayerNorm {
        LayerNormConfig::new(self.width)
            .with_epsilon(SIGLIP_NORM_EPS)
            .init(device)
    }

    fn block(&self) -> ClipBlockConfig {
        ClipBlockConfig {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward,
            activation: ClipActivation::GeluTanh,
        }
    }

    fn init_blocks(&self, device: &Device) -> Vec<ClipBlock> {
        let block = self.block();
        (0..self.layers)
            .map(|_| block.init_with(SIGLIP_NORM_EPS, device))
            .collect()
    }

    fn init_pooling(&self, device: &Device) -> ProbePooling {
        let (width, inner) = (self.width, self.feed_forward);
        ProbePooling {
            probe: Param::from_tensor(self.random(1, device)),
            attention: AttentionConfig::plain(width, self.heads).init(device),
            norm: self.norm(device),
            feed_forward_in: LinearConfig::new(width, inner).init(device),
            feed_forward_out: LinearConfig::new(inner, width).init(device),
        }
    }

    /// `[rows, width]`
    fn random(&self, rows: usize, device: &Device) -> Tensor<2> {
        let std = (self.width as f64).sqrt().recip();
        Tensor::random([rows, self.width], Distribution::Normal(0.0, std), device)
    }
}

impl ImageTowerConfig for SiglipVitConfig {
    type Tower = SiglipVit;

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn fixed_dim(&self) -> Option<usize> {
        Some(self.width)
    }

    fn check(&self) -> Result<(), String> {
        check_blocks(self.width, self.layers, self.heads, self.feed_forward)?;
        check_size("image_px", self.image_px)?;
        check_size("patch_px", self.patch_px)?;
        match self.patch_px <= self.image_px {
            true => Ok(()),
            false => Err(format!(
                "`patch_px` {} is more than `image_px` {}",
                self.patch_px, self.image_px
            )),
        }
    }

    fn init(&self, _dim: usize, device: &Device) -> SiglipVit {
        SiglipVit {
            patch_embedding: LinearConfig::new(3 * self.patch_px * self.patch_px, self.width).init(device),
            position_embedding: Param::from_tensor(self.random(self.tokens(), device)),
            blocks: self.init_blocks(device),
            post_norm: self.norm(device),
            pooling: self.init_pooling(device),
            patch_px: self.patch_px,
        }
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn ImageNetwork>, MissingTensor> {
        let sizes = VitSizes {
            block: self.block().sizes(SIGLIP_NORM_EPS, false),
            layers: self.layers,
            patch_px: self.patch_px,
            image_px: self.image_px,
            dim,
            reading: Reading::Probe,
        };
        Ok(Box::new(Vit::new(precision, tower, sizes)?))
    }
}

/// SigLIP's vision transformer.
#[derive(Module, Debug)]
pub struct SiglipVit {
    /// `[patch_px * patch_px * 3, width]`: rows in the order y, x, color.
    patch_embedding: Linear,
    position_embedding: Param<Tensor<2>>,
    blocks: Vec<ClipBlock>,
    post_norm: LayerNorm,
    pooling: ProbePooling,
    patch_px: usize,
}

impl Tower for SiglipVit {}

impl ImageTower for SiglipVit {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let patches = self.patch_embedding.forward(cut_patches(images, self.patch_px)); // [batch, tokens, width]
        let tokens = patches + self.position_embedding.val().unsqueeze();
        let tokens = self
            .blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(tokens, None));
        self.pooling.forward(self.post_norm.forward(tokens))
    }
}

/// A learned probe attends over all tokens; a feed-forward layer behind a layer norm is added to the result.
#[derive(Module, Debug)]
pub struct ProbePooling {
    probe: Param<Tensor<2>>, // [1, width]
    attention: Attention,
    norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

impl ProbePooling {
    /// `tokens`: `[batch, seq, width]` -> `[batch, width]`.
    fn forward(&self, tokens: Tensor<3>) -> Tensor<2> {
        let [batch, _seq, width] = tokens.dims();
        let probe = self.probe.val().unsqueeze::<3>().expand([batch, 1, width]);
        let pooled = self.attention.forward(probe, tokens, None); // [batch, 1, width]
        let hidden = self.feed_forward_in.forward(self.norm.forward(pooled.clone())); // [batch, 1, feed_forward]
        let hidden = ClipActivation::GeluTanh.forward(hidden);
        (pooled + self.feed_forward_out.forward(hidden)).squeeze_dim(1)
    }
}
