//! Chosen images and texts on their way through the trained towers and back.

use burn::optim::GradientsParams;
use magiclens_model::towers::{TextTower, VisionTower};

use crate::TrainError;
use crate::feature_slopes::FeatureSlopes;
use crate::feature_table::FeatureTable;
use crate::inputs::TowerInputs;
use crate::learner::{Learner, Towers};
use crate::tower_pieces::{ImagePieces, TextPieces, features, gradients};

/// Rows of the inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) images: Vec<usize>,
    pub(crate) texts: Vec<usize>,
    pub(crate) captions: Vec<usize>,
}

impl Chosen {
    /// All of them.
    pub(crate) fn all(inputs: &TowerInputs) -> Self {
        let images = inputs.images.as_ref().map_or(0, |files| files.len());
        let texts = inputs.texts.as_ref();
        let (texts, captions) = texts.map_or((0, 0), |ids| (ids.texts.len(), ids.captions.len()));
        Self {
            images: (0..images).collect(),
            texts: (0..texts).collect(),
            captions: (0..captions).collect(),
        }
    }
}

/// Sizes of the pieces that go through a tower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PieceSettings {
    /// Images or texts of a piece.
    pub(crate) rows: usize,
    /// Pieces side by side, at most; never more than threads.
    pub(crate) side_by_side: usize,
}

/// Features of trained towers; none of frozen ones.
#[derive(Debug, Default)]
pub(crate) struct Features {
    pub(crate) images: Option<FeatureTable>,
    pub(crate) texts: Option<FeatureTable>,
    pub(crate) captions: Option<FeatureTable>,
}

/// The features of all inputs of trained towers.
///
/// # Errors
/// An image that cannot be read.
pub(crate) fn all_features(
    learner: &Learner,
    inputs: &TowerInputs,
    settings: PieceSettings,
) -> Result<Features, TrainError> {
    TowerPass::new(&learner.replicas(), inputs, Chosen::all(inputs), settings).features()
}

/// The trained towers without tapes, once on each device, and what goes through them.
pub(crate) struct TowerPass<'a> {
    image: Option<(Vec<&'a VisionTower>, ImagePieces<'a>)>,
    text: Option<(Vec<&'a TextTower>, TextPieces<'a>)>,
    /// Texts before the captions.
    texts: usize,
    at_once: usize,
}

impl<'a> TowerPass<'a> {
    /// `replicas` are those of [`Learner::replicas`].
    pub(crate) fn new(
        replicas: &'a [Towers],
        inputs: &'a TowerInputs,
        chosen: Chosen,
        settings: PieceSettings,
    ) -> Self {
        let texts = chosen.texts.len();
        let image: Option<Vec<_>> = replicas.iter().map(|towers| towers.image_tower.as_ref()).collect();
        let text: Option<Vec<_>> = replicas.iter().map(|towers| towers.text_tower.as_ref()).collect();
        let (image, text) = (image.zip(inputs.images.as_ref()), text.zip(inputs.texts.as_ref()));
        let at_once = settings.side_by_side.min(rayon::current_num_threads());
        Self {
            image: image.map(|(towers, files)| (towers, ImagePieces::new(files, chosen.images, settings.rows))),
            text: text.map(|(towers, ids)| {
                let captions = chosen.captions.iter().map(|row| ids.captions[*row].as_slice());
                let texts = chosen.texts.iter().map(|row| ids.texts[*row].as_slice());
                (towers, TextPieces::new(texts.chain(captions).collect(), settings.rows))
            }),
            texts,
            // Each device has work.
            at_once: at_once.max(replicas.len()),
        }
    }

    /// The features of all that was chosen.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub(crate) fn features(&self) -> Result<Features, TrainError> {
        let mut found = Features::default();
        if let Some((towers, pieces)) = &self.image {
            found.images = Some(features(towers, pieces, self.at_once)?);
        }
        if let Some((towers, pieces)) = &self.text {
            let mut texts = features(towers, pieces, self.at_once)?;
            let values = texts.values.split_off(self.texts * texts.width);
            let width = texts.width;
            found.captions = Some(FeatureTable { width, values });
            found.texts = Some(texts);
        }
        Ok(found)
    }

    /// The gradients of image tower and text tower from the slopes at [`TowerPass::features`]; none of frozen towers.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub(crate) fn gradients(&self, slopes: &FeatureSlopes) -> Result<[Option<GradientsParams>; 2], TrainError> {
        let image = self.image.as_ref();
        let image = image.map(|(towers, pieces)| gradients(towers, pieces, &slopes.images, self.at_once));
        let text = self.text.as_ref().map(|(towers, pieces)| {
            let slopes = [&slopes.texts[..], &slopes.captions].concat();
            gradients(towers, pieces, &slopes, self.at_once)
        });
        Ok([image.transpose()?, text.transpose()?])
    }
}
