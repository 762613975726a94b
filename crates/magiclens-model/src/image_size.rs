//! A model for images of another size: the positions of the patches are interpolated.
//! Source: open_clip `model.py`, `resize_pos_embed` (bicubic, antialiased, the class token's kept).

use magiclens_data::DigestBuilder;

use crate::ModelError;
use crate::array::Weights;
use crate::checkpoint::Checkpoint;
use crate::preprocess::{PillowFilter, PreprocessConfig, shares};
use crate::towers::{ClipVitConfig, VisionConfig};

impl Checkpoint {
    /// The model for squares of `image_px` pixels a side, as a checkpoint without tower files.
    ///
    /// # Errors
    /// An image tower without a grid of patches; a side that its patches do not divide; misshapen positions.
    pub fn with_image_px(mut self, image_px: usize) -> Result<Self, ModelError> {
        let model = self.config.name.clone();
        let Some((vit, positions)) = vit(&mut self.config.vision) else {
            return Err(ModelError::FixedImageSize { model });
        };
        if vit.image_px == image_px {
            return Ok(self);
        }
        let (old, width) = (vit.clone(), vit.width);
        vit.image_px = image_px;
        set_size(&mut self.config.preprocess, image_px);
        self.config.check()?;
        let weights = self.tensors.get_mut(positions);
        let weights = weights.ok_or_else(|| ModelError::missing(positions, 1, &model))?;
        let expected = vec![old.tokens(), width];
        if weights.shape != expected {
            return Err(ModelError::WrongShape {
                name: positions.into(),
                found: weights.shape.clone(),
                expected,
                model,
            });
        }
        let sides = [old.image_px / old.patch_px, image_px / old.patch_px];
        *weights = interpolated(weights, sides, width);
        let mut digest = DigestBuilder::new();
        digest.update(format!("{} at {image_px} px", self.digest));
        Ok(Self::new(self.config, self.tensors, &digest.finish()))
    }
}

/// The sizes of a vision transformer, and the name of its positions.
fn vit(vision: &mut VisionConfig) -> Option<(&mut ClipVitConfig, &'static str)> {
    match vision {
        VisionConfig::ClipVit(vit) => Some((vit, "vision.position_embedding")),
        VisionConfig::CocaVit(coca) => Some((&mut coca.vit, "vision.vit.position_embedding")),
        _ => None,
    }
}

fn set_size(preprocess: &mut PreprocessConfig, image_px: usize) {
    let (PreprocessConfig::Official { size_px }
    | PreprocessConfig::Clip { size_px }
    | PreprocessConfig::OpenClip { size_px, .. }
    | PreprocessConfig::Squash { size_px, .. }
    | PreprocessConfig::PillowSquash { size_px, .. }
    | PreprocessConfig::Letterbox { size_px, .. }) = preprocess;
    *size_px = u32::try_from(image_px).unwrap_or(u32::MAX);
}

/// `[1 + from * from, width]` -> `[1 + to * to, width]`: a row for the class token, then a square.
fn interpolated(positions: &Weights, [from, to]: [usize; 2], width: usize) -> Weights {
    let (class, grid) = positions.values.split_at(width);
    // Along each row, then along each column; numbers that stay together are a position, then a whole row.
    let rows: Vec<f32> = grid
        .chunks(from * width)
        .flat_map(|row| mixed(row, [from, to], width))
        .collect();
    let square = mixed(&rows, [from, to], to * width);
    Weights {
        shape: vec![1 + to * to, width],
        values: [class, &square].concat(),
    }
}

/// `[from, together]` -> `[to, together]`.
fn mixed(values: &[f32], [from, to]: [usize; 2], together: usize) -> Vec<f32> {
    let output = |at: usize| {
        let (start, shares) = shares(PillowFilter::Bicubic, from, to, at);
        let number = move |place: usize| {
            let inputs = values[start * together + place..].iter().step_by(together);
            let sum: f64 = inputs
                .zip(&shares)
                .map(|(value, share)| f64::from(*value) * share)
                .sum();
            sum as f32
        };
        (0..together).map(number)
    };
    (0..to).flat_map(output).collect()
}
