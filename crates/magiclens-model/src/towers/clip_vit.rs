//! CLIP's image tower: a vision transformer over square patches, read at its class token.
//! Source: scenic `projects/baselines/clip/layers.py`, `VisionTransformer`.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use magiclens_cpu::{ImageNetwork, MissingTensor, Precision, Reading, Tensors, Vit, VitSizes};
use serde::{Deserialize, Serialize};

use super::clip_block::{CLIP_NORM_EPS, ClipActivation, ClipBlock, ClipBlockConfig, clip_norm};
use super::patches::cut_patches;
use super::tower::{ImageTower, ImageTowerConfig, Tower, check_blocks, check_size, divides};

/// Sizes of a [`ClipVit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipVitConfig {
    /// Width of the tokens.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of each block; OpenAI's have 64 dimensions each.
    pub heads: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Side of the square input in pixels.
    pub image_px: usize,
    /// Inner width of the feed-forward layers; 4 * `width` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed_forward: Option<usize>,
    /// Of the feed-forward layers.
    #[serde(default, skip_serializing_if = "ClipActivation::is_default")]
    pub activation: ClipActivation,
}

impl ClipVitConfig {
    /// Inner width of the feed-forward layers.
    pub fn feed_forward(&self) -> usize {
        self.feed_forward.unwrap_or(4 * self.width)
    }

    /// Tokens of an image: its patches and the class token.
    pub fn tokens(&self) -> usize {
        (self.image_px / self.patch_px).pow(2) + 1
    }
}

impl ImageTowerConfig for ClipVitConfig {
    type Tower = ClipVit;

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn check(&self) -> Result<(), String> {
        check_blocks(
            self.width,
            self.layers,
            self.heads,
            self.feed_forward.unwrap_or(self.width),
        )?;
        check_size("image_px", self.image_px)?;
        match divides(self.patch_px, self.image_px) {
            true => Ok(()),
            false => Err(format!(
                "`patch_px` {} does not divide `image_px` {}",
                self.patch_px, self.image_px
            )),
        }
    }

    fn init(&self, dim: usize, device: &Device) -> ClipVit {
        self.init_read_out(self.width, dim, device)
    }

    fn network(
        &self,
        dim: usize,
        precision: Precision,
        tower: &Tensors<'_>,
    ) -> Result<Box<dyn ImageNetwork>, MissingTensor> {
        let sizes = self.sizes(dim, Reading::Class);
        Ok(Box::new(Vit::new(precision, tower, sizes)?))
    }
}

impl ClipVitConfig {
    fn block(&self) -> ClipBlockConfig {
        ClipBlockConfig {
            width: self.width,
            heads: self.heads,
            feed_forward: self.feed_forward(),
            activation: self.activation,
        }
    }

    /// The sizes for the CPU.
    pub(super) fn sizes(&self, dim: usize, reading: Reading) -> VitSizes {
        VitSizes {
            block: self.block().sizes(CLIP_NORM_EPS, false),
            layers: self.layers,
            patch_px: self.patch_px,
            image_px: self.image_px,
            dim,
            reading,
        }
    }

    /// The tower with random weights; `read` is the width of the vector that the last layer norm and the projection get.
    pub(super) fn init_read_out(&self, read: usize, dim: usize, device: &Device) -> ClipVit {
        let block = self.block();
        let std = (self.width as f64).sqrt().recip();
        let random = |shape: [usize; 2]| Tensor::random(shape, Distribution::Normal(0.0, std), device);
        ClipVit {
            patch_embedding: LinearConfig::new(3 * self.patch_px * self.patch_px, self.width)
                .with_bias(false)
                .init(device),
            class_embedding: Param::from_tensor(random([1, self.width]).reshape([self.width])),
            position_embedding: Param::from_tensor(random([self.tokens(), self.width])),
            pre_norm: clip_norm(self.width, device),
            blocks: (0..self.layers).map(|_| block.init(device)).collect(),
            post_norm: clip_norm(read, device),
            projection: LinearConfig::new(read, dim).with_bias(false).init(device),
            patch_px: self.patch_px,
        }
    }
}

/// CLIP's vision transformer with its projection into the shared space.
#[derive(Module, Debug)]
pub struct ClipVit {
    /// `[patch_px * patch_px * 3, width]`: rows in the order y, x, color.
    patch_embedding: Linear,
    class_embedding: Param<Tensor<1>>,
    position_embedding: Param<Tensor<2>>,
    pre_norm: LayerNorm,
    blocks: Vec<ClipBlock>,
    post_norm: LayerNorm,
    projection: Linear,
    patch_px: usize,
}

/// Values inside of a [`ClipVit`], for parity tests.
#[derive(Debug)]
pub struct ClipVitTrace {
    /// `[batch, tokens, width]` after the first layer norm.
    pub pre_norm: Tensor<3>,
    /// `[batch, tokens, width]` after each block.
    pub blocks: Vec<Tensor<3>>,
    /// `[batch, dim]`, not normalized.
    pub embedding: Tensor<2>,
}

impl Tower for ClipVit {}

impl ImageTower for ClipVit {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let tokens = self.tokens(images); // [batch, tokens, width]
        self.read_out(tokens.narrow(1, 0, 1).squeeze_dim(1))
    }
}

impl ClipVit {
    /// `[batch, 3, image_px, image_px]` -> `[batch, tokens, width]` behind the last block.
    pub(super) fn tokens(&self, images: Tensor<4>) -> Tensor<3> {
        let tokens = self.embed(images);
        self.blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(tokens, None))
    }

    /// [`ImageTower::forward`], keeping the output of every part.
    pub fn trace(&self, images: Tensor<4>) -> ClipVitTrace {
        let pre_norm = self.embed(images);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut tokens = pre_norm.clone();
        for block in &self.blocks {
            tokens = block.forward(tokens, None);
            blocks.push(tokens.clone());
        }
        ClipVitTrace {
            pre_norm,
            blocks,
            embedding: self.read_out(tokens.narrow(1, 0, 1).squeeze_dim(1)),
        }
    }

    /// `[batch, 3, image_px, image_px]` -> `[batch, tokens, width]`, class token first.
    fn embed(&self, images: Tensor<4>) -> Tensor<3> {
        let patches = self.patch_embedding.forward(cut_patches(images, self.patch_px)); // [batch, patches, width]
        let [batch, _, width] = patches.dims();
        let class = self
            .class_embedding
            .val()
            .reshape([1, 1, width])
            .expand([batch, 1, width]);
        let tokens = Tensor::cat(vec![class, patches], 1); // [batch, tokens, width]
        self.pre_norm
            .forward(tokens + self.position_embedding.val().unsqueeze())
    }

    /// `[batch, width]`, of the class token or of what was pooled -> `[batch, dim]`.
    pub(super) fn read_out(&self, read: Tensor<2>) -> Tensor<2> {
        self.projection.forward(self.post_norm.forward(read))
    }
}
