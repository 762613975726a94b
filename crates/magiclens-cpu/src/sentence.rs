//! An image as a sentence would be: what a classifier finds in it, in the space of a sentence encoder.
//!
//! This is ConSE (Norouzi et al. 2013, arXiv 1312.5650): the mean of the classes' own vectors, weighted by how probable they are.

use crate::block::linear;
use crate::linear::{Epilogue, Linear};
use crate::packed::Numbers;
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::tensors::{MissingTensor, Tensors};

/// Sizes of a reading as a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentenceSizes {
    /// Classes of the classifier.
    pub classes: usize,
    /// Classes that count, the most probable ones.
    pub best: usize,
    /// Logits are divided by it before the softmax.
    pub softness: f32,
    /// Width of a sentence.
    pub width: usize,
}

/// A classifier and the vectors of its classes.
#[derive(Debug)]
pub(crate) struct Sentence {
    sizes: SentenceSizes,
    classifier: Linear,
    /// `[classes, width]`, of unit length.
    classes: Numbers<f32>,
}

impl Sentence {
    /// `head` numbers go into the classifier.
    pub(crate) fn new(tensors: &Tensors<'_>, head: usize, sizes: SentenceSizes) -> Result<Self, MissingTensor> {
        Ok(Self {
            sizes,
            // A row for each image only: nothing is gained by rounding.
            classifier: linear(Precision::F32, tensors, "classifier", [head, sizes.classes])?,
            classes: tensors.tensor("classes", sizes.classes * sizes.width)?,
        })
    }

    /// Features of the head of one image -> `[width]`: the shorter, the less the probable classes have in common.
    pub(crate) fn read(&self, head: &[f32]) -> Vec<f32> {
        let width = self.sizes.width;
        let (mut rows, mut logits) = (Rows::default(), Vec::new());
        self.classifier
            .fill(Run::on(1), &mut rows, head, &mut logits, Epilogue::STORE);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // Equal logits by their place, so that the sum has one order.
        order.sort_unstable_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        order.truncate(self.sizes.best);
        let highest = order.first().map_or(0.0, |best| logits[*best]);
        let weight = |class: &usize| ((logits[*class] - highest) / self.sizes.softness).exp();
        let sum: f32 = order.iter().map(weight).sum();
        let mut mean = vec![0.0; width];
        for class in order {
            let weight = weight(&class) / sum;
            let vector = &self.classes[class * width..(class + 1) * width];
            mean.iter_mut()
                .zip(vector)
                .for_each(|(sum, value)| *sum += weight * value);
        }
        mean
    }
}

/// The same direction with length 1; zeros stay zeros.
pub(crate) fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector
        .iter_mut()
        .for_each(|value| *value /= length.max(f32::MIN_POSITIVE));
    vector
}
