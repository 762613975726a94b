//! Inputs of a trained tower in pieces that go through it, and back, in bounded memory: no tape of more than one piece a thread is
//! kept. Devices take turns: each has the tower once. What pieces give is taken in their order, so that threads decide nothing.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use magiclens_model::towers::{TextTower, VisionTower};
use rayon::prelude::*;

use crate::TrainError;
use crate::feature_table::FeatureTable;
use crate::inputs::ImageFiles;

/// The inputs of a tower in pieces.
pub(crate) trait Pieces: Sync {
    /// The tower that they go through.
    type Tower: Module + Sync;

    /// Number of rows, those of no piece included: they have features of zeros.
    fn rows(&self) -> usize;

    /// The rows of each piece.
    fn pieces(&self) -> &[Vec<usize>];

    /// The features of a piece, `[rows, width]`: what the trunk gives, or the tower where it has none.
    ///
    /// # Errors
    /// An input that cannot be read.
    fn features(&self, tower: &Self::Tower, piece: &[usize], device: &Device) -> Result<Tensor<2>, TrainError>;
}

/// Some images. They are decoded by the thread that their piece runs on, each time that they are looked at.
pub(crate) struct ImagePieces<'a> {
    files: &'a ImageFiles,
    /// Rows of the files.
    chosen: Vec<usize>,
    pieces: Vec<Vec<usize>>,
}

impl<'a> ImagePieces<'a> {
    /// The images of some rows, so many a piece.
    pub(crate) fn new(files: &'a ImageFiles, chosen: Vec<usize>, piece_rows: usize) -> Self {
        let rows: Vec<usize> = (0..chosen.len()).collect();
        let pieces = rows.chunks(piece_rows).map(<[usize]>::to_vec).collect();
        Self { files, chosen, pieces }
    }
}

impl Pieces for ImagePieces<'_> {
    type Tower = VisionTower;

    fn rows(&self) -> usize {
        self.chosen.len()
    }

    fn pieces(&self) -> &[Vec<usize>] {
        &self.pieces
    }

    fn features(&self, tower: &VisionTower, piece: &[usize], device: &Device) -> Result<Tensor<2>, TrainError> {
        let mut pixels = Vec::new();
        for row in piece {
            pixels.extend(self.files.pixels(self.chosen[*row])?);
        }
        let side = self.files.size_px();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [piece.len(), 3, side, side]), device);
        Ok(tower.features(images.clone()).unwrap_or_else(|| tower.forward(images)))
    }
}

/// Some texts. A piece is of texts of one length, so that nothing is padded.
pub(crate) struct TextPieces<'a> {
    ids: Vec<&'a [u32]>,
    pieces: Vec<Vec<usize>>,
}

impl<'a> TextPieces<'a> {
    /// Texts, so many a piece at most; those without ids are in none.
    pub(crate) fn new(ids: Vec<&'a [u32]>, piece_rows: usize) -> Self {
        let mut order: Vec<usize> = (0..ids.len()).filter(|row| !ids[*row].is_empty()).collect();
        order.sort_by_key(|row| ids[*row].len());
        let of_one_length = order.chunk_by(|a, b| ids[*a].len() == ids[*b].len());
        let pieces = of_one_length.flat_map(|rows| rows.chunks(piece_rows).map(<[usize]>::to_vec));
        Self {
            pieces: pieces.collect(),
            ids,
        }
    }
}

impl Pieces for TextPieces<'_> {
    type Tower = TextTower;

    fn rows(&self) -> usize {
        self.ids.len()
    }

    fn pieces(&self) -> &[Vec<usize>] {
        &self.pieces
    }

    fn features(&self, tower: &TextTower, piece: &[usize], _device: &Device) -> Result<Tensor<2>, TrainError> {
        let ids: Vec<&[u32]> = piece.iter().map(|row| self.ids[*row]).collect();
        Ok(tower.features(&ids).unwrap_or_else(|| tower.forward(&ids)))
    }
}

/// The features of all rows, without a tape; `at_once` pieces side by side.
///
/// # Errors
/// An input that cannot be read.
pub(crate) fn features<P: Pieces>(
    towers: &[&P::Tower],
    pieces: &P,
    at_once: usize,
) -> Result<FeatureTable, TrainError> {
    let work = |at: usize, piece: &[usize]| {
        let tower = towers[at % towers.len()];
        let features = pieces.features(tower, piece, &device_of(tower))?;
        Ok(features.into_data().try_to_vec::<f32>().expect("features are f32"))
    };
    let mut table = FeatureTable::default();
    in_order(pieces, at_once, work, |piece, features: Vec<f32>| {
        table.width = features.len() / piece.len();
        table.values.resize(pieces.rows() * table.width, 0.0);
        for (row, features) in piece.iter().zip(features.chunks_exact(table.width)) {
            table.values[row * table.width..][..table.width].copy_from_slice(features);
        }
    })?;
    Ok(table)
}

/// The gradient of a tower from the slopes at the features of all rows, `[rows, width]`: each piece goes through it once more, with a
/// tape. Parameters that no feature depends on get none.
///
/// # Errors
/// An input that cannot be read.
pub(crate) fn gradients<P: Pieces>(
    towers: &[&P::Tower],
    pieces: &P,
    slopes: &[f32],
    at_once: usize,
) -> Result<GradientsParams, TrainError> {
    let first = device_of(towers[0]);
    let work = |at: usize, piece: &[usize]| {
        // Leaves of its own, so that the tapes of pieces side by side have nothing in common.
        let taped = towers[at % towers.len()].clone().train();
        let device = device_of(&taped).autodiff();
        let features = pieces.features(&taped, piece, &device)?;
        let [rows, width] = features.dims();
        let slopes = piece.iter().flat_map(|row| &slopes[row * width..][..width]);
        let slopes = TensorData::new(slopes.copied().collect::<Vec<f32>>(), [rows, width]);
        let along = features * Tensor::from_data(slopes, &device);
        let gradients = GradientsParams::from_grads(along.sum().backward(), &taped);
        Ok(gradients.to_device(&first, &taped))
    };
    let mut sums = GradientsAccumulator::new();
    in_order(pieces, at_once, work, |_, gradients| {
        sums.accumulate(towers[0], gradients)
    })?;
    Ok(sums.grads())
}

fn device_of<M: Module>(tower: &M) -> Device {
    let mut devices = tower.devices().into_iter();
    devices.next().expect("a tower has parameters")
}

/// Does `work` for pieces, `at_once` side by side, which are numbered, and hands on what it gives in the order of the pieces.
fn in_order<P: Pieces, T: Send>(
    pieces: &P,
    at_once: usize,
    work: impl Fn(usize, &[usize]) -> Result<T, TrainError> + Sync,
    mut done: impl FnMut(&[usize], T),
) -> Result<(), TrainError> {
    for group in pieces.pieces().chunks(at_once.max(1)) {
        let results = group.par_iter().enumerate().map(|(at, piece)| work(at, piece));
        let results: Vec<Result<T, TrainError>> = results.collect();
        for (piece, result) in group.iter().zip(results) {
            done(piece, result?);
        }
    }
    Ok(())
}
