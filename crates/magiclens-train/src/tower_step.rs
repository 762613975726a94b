//! One step of a learner. The different images and texts of the batch go through the trained towers without a tape, the head gives
//! loss and slopes at their features, and the towers take those back piece by piece (gradient caching, Gao et al. 2021). The gradient
//! is that of the plain batch; features of a frozen tower come from its table.

use burn::optim::GradientsParams;

use crate::TrainError;
use crate::batch_rows::BatchRows;
use crate::batches::Batch;
use crate::gradients::{CaptionRow, Frozen, StepLosses, StepMemory, StepSettings, gradients};
use crate::inputs::TowerInputs;
use crate::learner::Learner;
use crate::tower_pass::{Chosen, PieceSettings, TowerPass};
use crate::trained::TrainedTowers;

/// Gradients and losses of one step of a learner.
#[derive(Debug)]
pub struct LearnerGradients {
    /// Of the head.
    pub head: GradientsParams,
    /// Of the image tower and of the text tower, where they are trained.
    pub towers: [Option<GradientsParams>; 2],
    /// The losses.
    pub losses: StepLosses,
}

/// The loss of a batch and its gradient by head and trained towers: those that the learner has and that have inputs.
///
/// # Errors
/// An image that cannot be read.
pub fn learner_gradients(
    learner: &Learner,
    (frozen, inputs): (Frozen<'_>, &TowerInputs),
    batch: &Batch,
    captions: &[CaptionRow],
    settings: StepSettings,
    memory: &mut StepMemory,
) -> Result<LearnerGradients, TrainError> {
    let towers = &learner.towers;
    let settings = StepSettings {
        trained: TrainedTowers::of(
            towers.image_tower.is_some() && inputs.images.is_some(),
            towers.text_tower.is_some() && inputs.texts.is_some(),
        ),
        ..settings
    };
    let has_captions = settings.caption_weight > 0.0 && captions.len() > 1;
    let rows = BatchRows::new(batch, if has_captions { captions } else { &[] }, settings.trained);
    let chosen = Chosen {
        images: rows.images,
        texts: rows.texts,
        captions: rows.captions,
    };
    let piece = PieceSettings {
        rows: settings.tower_rows,
        side_by_side: settings.pieces,
    };
    let replicas = learner.replicas();
    let pass = TowerPass::new(&replicas, inputs, chosen, piece);
    let features = pass.features()?;
    let tables = Frozen {
        images: features.images.as_ref().unwrap_or(frozen.images),
        texts: features.texts.as_ref().unwrap_or(frozen.texts),
        captions: features.captions.as_ref().unwrap_or(frozen.captions),
    };
    let found = gradients(&learner.head, &tables, &rows.batch, &rows.captioned, settings, memory);
    Ok(LearnerGradients {
        head: found.gradients,
        towers: pass.gradients(&found.slopes)?,
        losses: found.losses,
    })
}
