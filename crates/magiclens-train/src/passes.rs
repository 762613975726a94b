//! A head as passes over some pairs of an image and a text, forward and back, with its weights packed for one step.

use std::collections::BTreeMap;

use magiclens_cpu::Tensors;
use magiclens_cpu::gradient::{
    FusionGradient, FusionScratch, FusionTape, NamedGradients, ProjectionGradient, ProjectionScratch, ProjectionTape,
    Slots, Units,
};
use magiclens_model::checkpoint::NamedWeights;

use crate::head::Head;
use crate::trained::TrainedTowers;

/// Parts of a head, by which its tensors are named.
const VISION: &str = "vision";
const TEXT: &str = "text";
const FUSION: &str = "fusion";
/// A head names its own tensors.
const COMPLETE: &str = "a head has all tensors of its own sizes";

/// A head whose weights are packed.
#[derive(Debug)]
pub(crate) struct Passes {
    /// Numbers of an embedding.
    pub(crate) dim: usize,
    vision: Option<ProjectionGradient>,
    text: Option<ProjectionGradient>,
    /// None is the sum of both tokens.
    fusion: Option<FusionGradient>,
    slots: Slots,
    /// Towers at whose features there are slopes.
    trained: TrainedTowers,
}

/// Features of some pairs: an image each, and texts that pairs share. A text may be about a second image, too.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// `[pairs + second images, image features]`
    pub(crate) images: Vec<f32>,
    /// `[texts, text features]`
    pub(crate) texts: Vec<f32>,
    /// For each pair the row of its text.
    pub(crate) text_of: Vec<usize>,
    /// For each second image its pair.
    pub(crate) seconds: Vec<usize>,
}

/// What the way back of some pairs needs.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    images: ProjectionTape,
    texts: ProjectionTape,
    /// Places of each pair's tokens: those of images come first, then second images, texts, and texts beside second images.
    pairs: Vec<[u32; 2]>,
    tokens: usize,
    /// `[second images, dim]`, their tokens.
    seconds: Vec<f32>,
    /// For each second image the row of its text.
    texts_of_seconds: Vec<usize>,
    fusion: FusionTape,
    units: Units,
}

impl Tape {
    /// `[pairs, dim]`, of unit length.
    pub(crate) fn embeddings(&self) -> &[f32] {
        &self.units.rows
    }
}

/// Memory of passes, kept between them.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    fusion: FusionScratch,
    projection: ProjectionScratch,
}

/// Outputs of one tower for the loss between images and captions.
#[derive(Debug)]
pub(crate) struct Projected {
    tape: ProjectionTape,
    /// Of unit length.
    pub(crate) units: Units,
}

/// The tower of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Vision,
    Text,
}

impl Passes {
    /// Packs the weights of a head on image features of this width. Of trained towers the ways back give slopes at features.
    pub(crate) fn new(head: &Head, weights: &NamedWeights, image_features: usize, trained: TrainedTowers) -> Self {
        let find = |name: &str| weights.get(name).map(|found| found.values.as_slice());
        let mut slots = Slots::default();
        let tensors = Tensors::new(&find);
        let mut projection = |part: &str| {
            let shape = &weights.get(&format!("{part}.linear.weight"))?.shape;
            let size = [shape[0], shape[1]];
            Some(ProjectionGradient::new(&tensors.within(part), size, &mut slots).expect(COMPLETE))
        };
        let (vision, text) = (projection(VISION), projection(TEXT));
        let fusion = head
            .fusion_sizes()
            .map(|sizes| FusionGradient::new(&tensors.within(FUSION), &sizes, &mut slots).expect(COMPLETE));
        Self {
            dim: vision.as_ref().map_or(image_features, ProjectionGradient::dim),
            vision,
            text,
            fusion,
            slots,
            trained,
        }
    }

    /// Numbers that the ways back add up.
    pub(crate) fn sums(&self) -> usize {
        self.slots.count()
    }

    /// Embeds pairs, which stand in the tape after.
    pub(crate) fn embed(&self, features: &Features, tape: &mut Tape, scratch: &mut Scratch) {
        let mut tokens = project(self.vision.as_ref(), &features.images, &mut tape.images);
        let images = tokens.len() / self.dim;
        let texts = project(self.text.as_ref(), &features.texts, &mut tape.texts);
        let beside = (images + texts.len() / self.dim) as u32;
        tape.pairs = (0..)
            .zip(&features.text_of)
            .map(|(image, text)| [image, (images + text) as u32])
            .collect();
        for (at, pair) in features.seconds.iter().enumerate() {
            tape.pairs[*pair][1] = beside + at as u32;
        }
        tape.texts_of_seconds = features.seconds.iter().map(|pair| features.text_of[*pair]).collect();
        tape.seconds = tokens[features.text_of.len() * self.dim..].to_vec();
        let said_beside = self.texts_beside(&texts, tape);
        tokens.extend(texts.into_iter().chain(said_beside));
        tape.tokens = tokens.len();
        let fused = match &self.fusion {
            Some(fusion) => fusion.forward(&tokens, &tape.pairs, &mut tape.fusion, &mut scratch.fusion),
            None => sums(&tokens, &tape.pairs, self.dim),
        };
        tape.units = Units::of(fused, self.dim);
    }

    /// The way back from slopes of the embeddings, which are used up. Gives the slopes of the features of images, `[pairs, width]`,
    /// and of texts, `[texts, width]`; none of a tower that is not trained.
    pub(crate) fn back(
        &self,
        tape: &Tape,
        scratch: &mut Scratch,
        slopes: &mut [f32],
        sums: &mut [f32],
    ) -> [Vec<f32>; 2] {
        tape.units.backward(slopes);
        if let Some(fusion) = &self.fusion {
            fusion.backward(&tape.pairs, &tape.fusion, &mut scratch.fusion, slopes, sums);
        }
        if self.vision.is_none() && self.text.is_none() && tape.seconds.is_empty() && !self.trained.any() {
            return Default::default();
        }
        let mut of_tokens = match &self.fusion {
            Some(fusion) => fusion
                .token_slopes(&tape.pairs, &tape.fusion, &mut scratch.fusion)
                .to_vec(),
            None => sum_slopes(slopes, &tape.pairs, self.dim, tape.tokens),
        };
        self.carry_seconds_back(tape, scratch, &mut of_tokens, sums);
        let images = tape.pairs.len() * self.dim + tape.seconds.len();
        let (images, texts) = of_tokens[..tape.tokens - tape.seconds.len()].split_at(images);
        let sides = [(Side::Vision, &tape.images, images), (Side::Text, &tape.texts, texts)];
        sides.map(|(side, tape, slopes)| self.side_back(side, tape, &mut scratch.projection, slopes, sums))
    }

    /// The way back from slopes of a tower's outputs: through its projection, where it has one. Gives the slopes of its features, or
    /// none if it is not trained.
    fn side_back(
        &self,
        side: Side,
        tape: &ProjectionTape,
        scratch: &mut ProjectionScratch,
        slopes: &[f32],
        sums: &mut [f32],
    ) -> Vec<f32> {
        let projection = self.projection(side);
        if let Some(projection) = projection {
            projection.backward(tape, scratch, slopes, sums);
        }
        match (self.is_trained(side), projection) {
            (false, _) => Vec::new(),
            (true, Some(projection)) => projection.feature_slopes(tape, slopes),
            (true, None) => slopes.to_vec(),
        }
    }

    /// The text token of each second image: that of its text, and what the fusion makes of the image's own.
    fn texts_beside(&self, texts: &[f32], tape: &Tape) -> Vec<f32> {
        let row = |text: &usize| &texts[text * self.dim..][..self.dim];
        let mut rows: Vec<f32> = tape.texts_of_seconds.iter().flat_map(row).copied().collect();
        if let Some(fusion) = &self.fusion {
            fusion.add_seconds(&tape.seconds, &mut rows);
        }
        rows
    }

    /// From the slopes of texts beside second images, which are the last ones, to those of the texts and the images.
    fn carry_seconds_back(&self, tape: &Tape, scratch: &mut Scratch, of_tokens: &mut [f32], sums: &mut [f32]) {
        let (of_others, of_beside) = of_tokens.split_at_mut(tape.tokens - tape.seconds.len());
        let (of_images, of_texts) = of_others.split_at_mut(tape.pairs.len() * self.dim + tape.seconds.len());
        for (text, slopes) in tape.texts_of_seconds.iter().zip(of_beside.chunks_exact(self.dim)) {
            let text = &mut of_texts[text * self.dim..][..self.dim];
            text.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
        if let Some(fusion) = &self.fusion {
            let of_seconds = &mut of_images[tape.pairs.len() * self.dim..];
            fusion.carry_seconds_back(&tape.seconds, of_beside, &mut scratch.fusion, of_seconds, sums);
        }
    }

    /// Tower outputs of features.
    pub(crate) fn project(&self, side: Side, features: &[f32]) -> Projected {
        let mut tape = ProjectionTape::default();
        let rows = project(self.projection(side), features, &mut tape);
        let units = Units::of(rows, self.dim);
        Projected { tape, units }
    }

    /// The way back from slopes of [`Passes::project`], which are used up. Gives the slopes of the features, or none if the tower is
    /// not trained.
    pub(crate) fn project_back(
        &self,
        side: Side,
        projected: &Projected,
        scratch: &mut Scratch,
        slopes: &mut [f32],
        sums: &mut [f32],
    ) -> Vec<f32> {
        projected.units.backward(slopes);
        self.side_back(side, &projected.tape, &mut scratch.projection, slopes, sums)
    }

    fn is_trained(&self, side: Side) -> bool {
        match side {
            Side::Vision => self.trained.image(),
            Side::Text => self.trained.text(),
        }
    }

    fn projection(&self, side: Side) -> Option<&ProjectionGradient> {
        match side {
            Side::Vision => self.vision.as_ref(),
            Side::Text => self.text.as_ref(),
        }
    }

    /// The gradients of all tensors but the temperature, by name.
    pub(crate) fn gradients(&self, weights: &NamedWeights, sums: &[f32]) -> BTreeMap<String, Vec<f32>> {
        let find = |name: &str| weights.get(name).map(|found| found.values.as_slice());
        let mut all = BTreeMap::new();
        let tensors = Tensors::new(&find);
        for (part, projection) in [(VISION, &self.vision), (TEXT, &self.text)] {
            if let Some(projection) = projection {
                let mut out = NamedGradients::new(&mut all, part);
                projection
                    .gradients(&tensors.within(part), sums, &mut out)
                    .expect(COMPLETE);
            }
        }
        if let Some(fusion) = &self.fusion {
            let mut out = NamedGradients::new(&mut all, FUSION);
            fusion
                .gradients(&tensors.within(FUSION), sums, &mut out)
                .expect(COMPLETE);
        }
        all
    }
}

fn project(projection: Option<&ProjectionGradient>, features: &[f32], tape: &mut ProjectionTape) -> Vec<f32> {
    match projection {
        Some(projection) => projection.forward(features, tape),
        None => features.to_vec(),
    }
}

/// The sum of both tokens of each pair.
fn sums(tokens: &[f32], pairs: &[[u32; 2]], dim: usize) -> Vec<f32> {
    let sum = |pair: &[u32; 2]| {
        let [image, text] = pair.map(|place| &tokens[place as usize * dim..][..dim]);
        image.iter().zip(text).map(|(image, text)| image + text)
    };
    pairs.iter().flat_map(sum).collect()
}

/// Slopes of tokens from those of their sums.
fn sum_slopes(slopes: &[f32], pairs: &[[u32; 2]], dim: usize, tokens: usize) -> Vec<f32> {
    let mut out = vec![0.0; tokens];
    for (pair, slopes) in pairs.iter().zip(slopes.chunks_exact(dim)) {
        for place in pair {
            let token = &mut out[*place as usize * dim..][..dim];
            token.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
    }
    out
}
