//! The contract of a tower's forward pass.

use std::fmt::Debug;

use crate::bert::Bert;
use crate::block::Token;
use crate::lite::Lite;
use crate::text::TextTransformer;
use crate::vit::Vit;

/// The forward pass of an image tower.
pub trait ImageNetwork: Debug + Send + Sync {
    /// `images`: `[batch, 3, image_px, image_px]`, preprocessed -> `[batch, dim]`. `threads` share each layer.
    fn forward(&self, images: &[f32], threads: usize) -> Vec<f32>;

    /// The same images -> `[batch, features]`, before the projection; `None` where a tower has no such seam, for no image too.
    fn features(&self, _images: &[f32], _threads: usize) -> Option<Vec<f32>> {
        None
    }

    /// `[batch, features]` -> `[batch, dim]`; `None` where a tower has no such seam.
    fn project(&self, _features: &[f32]) -> Option<Vec<f32>> {
        None
    }
}

/// The forward pass of a text tower.
pub trait TextNetwork: Debug + Send + Sync {
    /// Texts -> `[texts, dim]`. Ids and places must exist; a text has a token at least. `threads` share each layer.
    fn forward(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32>;

    /// The same texts -> `[texts, features]`, before the projection; `None` where a tower has no such seam, for no text too.
    fn features(&self, _texts: &[Vec<Token>], _threads: usize) -> Option<Vec<f32>> {
        None
    }
}

impl ImageNetwork for Vit {
    fn forward(&self, images: &[f32], threads: usize) -> Vec<f32> {
        Self::forward(self, images, threads)
    }
}

impl ImageNetwork for Lite {
    fn forward(&self, images: &[f32], threads: usize) -> Vec<f32> {
        Self::forward(self, images, threads)
    }

    fn features(&self, images: &[f32], threads: usize) -> Option<Vec<f32>> {
        Some(Self::features(self, images, threads))
    }

    fn project(&self, features: &[f32]) -> Option<Vec<f32>> {
        Some(Self::project(self, features))
    }
}

impl TextNetwork for TextTransformer {
    fn forward(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32> {
        Self::forward(self, texts, threads)
    }
}

impl TextNetwork for Bert {
    fn forward(&self, texts: &[Vec<Token>], threads: usize) -> Vec<f32> {
        Self::forward(self, texts, threads)
    }

    fn features(&self, texts: &[Vec<Token>], threads: usize) -> Option<Vec<f32>> {
        Some(Self::features(self, texts, threads))
    }
}
