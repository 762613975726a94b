//! Slopes of the loss at features of trained towers: added up behind the sums of a head, row by row of the tables that the features
//! stand in, so that what is true of those sums is true of them.

use std::ops::Range;

use crate::feature_table::FeatureTable;
use crate::trained::TrainedTowers;

/// Slopes at features, a row for each row of a table; empty for a tower that is not trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureSlopes {
    /// `[images, image features]`
    pub images: Vec<f32>,
    /// `[texts, text features]`
    pub texts: Vec<f32>,
    /// `[captions, text features]`
    pub captions: Vec<f32>,
}

/// Places of such slopes in an array of sums.
#[derive(Debug)]
pub(crate) struct FeaturePlaces {
    pub(crate) images: Place,
    pub(crate) texts: Place,
    pub(crate) captions: Place,
}

/// The place of the slopes of one table.
#[derive(Debug)]
pub(crate) struct Place {
    range: Range<usize>,
    width: usize,
}

impl FeaturePlaces {
    /// Places behind `first` numbers for the tables of images, texts and captions, of those that trained towers gave.
    pub(crate) fn new(first: usize, [images, texts, captions]: [&FeatureTable; 3], trained: TrainedTowers) -> Self {
        let images = Place::new(first, images, trained.image());
        let texts = Place::new(images.range.end, texts, trained.text());
        let captions = Place::new(texts.range.end, captions, trained.text());
        Self {
            images,
            texts,
            captions,
        }
    }

    /// Numbers of an array with all places.
    pub(crate) fn end(&self) -> usize {
        self.captions.range.end
    }

    /// The slopes that were added up.
    pub(crate) fn slopes(&self, sums: &[f32]) -> FeatureSlopes {
        let of = |place: &Place| sums[place.range.clone()].to_vec();
        FeatureSlopes {
            images: of(&self.images),
            texts: of(&self.texts),
            captions: of(&self.captions),
        }
    }
}

impl Place {
    fn new(first: usize, table: &FeatureTable, is_trained: bool) -> Self {
        let count = if is_trained { table.values.len() } else { 0 };
        Self {
            range: first..first + count,
            width: table.width.max(1),
        }
    }

    /// Adds slopes, `[rows, width]`, to those of the rows of the table; there are none of a tower that is not trained.
    pub(crate) fn add(&self, rows: impl IntoIterator<Item = usize>, slopes: &[f32], sums: &mut [f32]) {
        let place = &mut sums[self.range.clone()];
        for (row, slopes) in rows.into_iter().zip(slopes.chunks_exact(self.width)) {
            let sums = &mut place[row * self.width..][..self.width];
            sums.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
    }
}
