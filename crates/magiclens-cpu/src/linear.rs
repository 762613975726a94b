//! A linear layer: a product, and what follows it while the sums are at hand.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::{COLUMNS, ROWS, Tile};
use crate::math::Activation;
use crate::out::Out;
use crate::packed::Numbers;
use crate::panels::{Panels, TilePlace};
use crate::precision::Precision;
use crate::rows::Rows;
use crate::run::Run;
use crate::simd::{Simd, vectorized};
use crate::tensors::{MissingTensor, Tensors};

/// `x W + b`, with `W` packed.
#[derive(Debug)]
pub(crate) struct Linear {
    inputs: usize,
    panels: Panels,
    bias: Numbers<f32>,
}

/// The way of the sums into the output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue {
    /// True if they are added to what is there: a residual.
    pub(crate) adds: bool,
    pub(crate) activation: Activation,
}

impl Epilogue {
    pub(crate) const STORE: Self = Self {
        adds: false,
        activation: Activation::Identity,
    };
    pub(crate) const ADD: Self = Self {
        adds: true,
        activation: Activation::Identity,
    };

    pub(crate) fn of(activation: Activation) -> Self {
        Self {
            adds: false,
            activation,
        }
    }
}

/// Rows that go through a layer.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: &'a Rows,
}

impl Linear {
    /// Packs the weights that `weights` gives, `[inputs, outputs]`, and a bias, `[outputs]`; an empty one is none.
    pub(crate) fn new<'a>(
        precision: Precision,
        tensors: &Tensors<'_>,
        [inputs, outputs]: [usize; 2],
        weights: impl FnOnce() -> Result<Cow<'a, [f32]>, MissingTensor>,
        bias: impl FnOnce() -> Result<Vec<f32>, MissingTensor>,
    ) -> Result<Self, MissingTensor> {
        let with_zeros = || {
            let bias = bias()?;
            Ok(if bias.is_empty() { vec![0.0; outputs] } else { bias })
        };
        Ok(Self {
            inputs,
            panels: Panels::new(precision, tensors, [inputs, outputs], weights)?,
            bias: tensors.array("bias", outputs, with_zeros)?,
        })
    }

    pub(crate) fn precision(&self) -> Precision {
        self.panels.precision()
    }

    pub(crate) fn outputs(&self) -> usize {
        self.panels.columns()
    }

    /// Rounds rows, which lie one after another, to the precision of the weights.
    pub(crate) fn load(&self, run: Run, rows: &mut Rows, values: &[f32]) {
        rows.load(run, self.precision(), values, self.inputs, self.inputs);
    }

    /// All rows of `values` through the layer, into the rows of `out`. `rows` is memory.
    pub(crate) fn pass(&self, run: Run, rows: &mut Rows, values: &[f32], out: &mut [f32], epilogue: Epilogue) {
        self.load(run, rows, values);
        self.apply(run, Input { values, rows }, out, epilogue);
    }

    /// [`Linear::pass`] into `out`, which gets as many rows.
    pub(crate) fn fill(&self, run: Run, rows: &mut Rows, values: &[f32], out: &mut Vec<f32>, epilogue: Epilogue) {
        out.resize(values.len() / self.inputs * self.outputs(), 0.0);
        self.pass(run, rows, values, out, epilogue);
    }

    /// Loaded rows through the layer, into the rows of `out`, which lie one after another. Threads share the columns, so that each
    /// reads its own weights, and rows where columns are few.
    pub(crate) fn apply(&self, run: Run, input: Input<'_>, out: &mut [f32], epilogue: Epilogue) {
        let out = Out::new(out, self.outputs());
        let all = ProductPart {
            rows: 0..out.rows(),
            columns: 0..self.outputs(),
        };
        match run.threads {
            0 | 1 => self.apply_share(run.simd, input, &all, out, epilogue),
            threads => all
                .split(threads * SHARES)
                .into_par_iter()
                .for_each(|share| self.apply_share(run.simd, input, &share, out, epilogue)),
        }
    }

    /// [`Linear::apply`] for some rows and columns, which nobody else writes at the same time.
    fn apply_share(&self, simd: Simd, input: Input<'_>, share: &ProductPart, out: Out<'_>, epilogue: Epilogue) {
        let first = share.rows.start;
        let rows = input.rows.words(input.values, first);
        let row_scales = input.rows.scales.get(first..).unwrap_or_default();
        let (count, columns) = (share.rows.len(), share.columns.clone());
        self.panels.multiply(simd, rows, count, columns, |place, tile| {
            let at = place.column..place.column + place.columns;
            let finish = Finish {
                place: TilePlace {
                    row: first + place.row,
                    ..place
                },
                epilogue,
                bias: &self.bias[at.clone()],
                row_scales: row_scales.get(place.row..).unwrap_or_default(),
                column_scales: self.panels.scales.get(at).unwrap_or_default(),
            };
            finish_tile(simd, &finish, tile, out);
        });
    }
}

/// Shares for each thread, so that one that is held up leaves work to the others.
const SHARES: usize = 2;

/// A part of a product.
struct ProductPart {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl ProductPart {
    /// Cuts into about `count` shares of whole tiles: between columns first.
    fn split(&self, count: usize) -> Vec<Self> {
        let columns = cut(self.columns.len(), COLUMNS, count);
        let rows = cut(self.rows.len(), ROWS, count.div_ceil(columns.len().max(1)));
        let pairs = columns
            .iter()
            .flat_map(|columns| rows.iter().map(move |rows| (columns, rows)));
        let share = |(columns, rows): (&Range<usize>, &Range<usize>)| Self {
            rows: rows.clone(),
            columns: columns.clone(),
        };
        pairs.map(share).collect()
    }
}

/// Cuts `0..length` into at most `count` ranges of whole tiles.
fn cut(length: usize, tile: usize, count: usize) -> Vec<Range<usize>> {
    let size = length.div_ceil(tile).div_ceil(count.max(1)).max(1) * tile;
    (0..length)
        .step_by(size)
        .map(|from| from..length.min(from + size))
        .collect()
}

/// All that finishing a tile needs.
struct Finish<'a> {
    place: TilePlace,
    epilogue: Epilogue,
    /// `[columns]` of the tile.
    bias: &'a [f32],
    /// `[rows]`, of bytes.
    row_scales: &'a [f32],
    /// `[columns]`, of bytes.
    column_scales: &'a [f32],
}

vectorized! {
    /// Scales sums of bytes, adds the bias and what is there, and applies the activation. Columns that a tile lacks are computed
    /// too, so that all loops have one length, and not written.
    fn finish_tile(finish: &Finish<'_>, tile: &Tile, out: Out<'_>) {
        let TilePlace { row: first, rows, column, columns, is_first, is_last } = finish.place;
        let (bias, column_scales) = (padded(finish.bias), padded(finish.column_scales));
        for row in 0..rows {
            let mut sums = padded(tile.row(row));
            if let Some(scale) = finish.row_scales.get(row) {
                let both = sums.iter_mut().zip(&column_scales);
                both.for_each(|(sum, column_scale)| *sum *= scale * column_scale);
            }
            if is_first {
                sums.iter_mut().zip(&bias).for_each(|(sum, bias)| *sum += bias);
            }
            // SAFETY: the tile lies in the share of one thread, and shares do not overlap.
            let out = unsafe { out.part(first + row, column, columns) };
            if finish.epilogue.adds || !is_first {
                sums.iter_mut().zip(&padded(out)).for_each(|(sum, there)| *sum += there);
            }
            if is_last {
                finish.epilogue.activation.apply::<FMA>(&mut sums);
            }
            match out.first_chunk_mut() {
                Some(out) => *out = sums,
                None => out.copy_from_slice(&sums[..columns]),
            }
        }
    }
}

/// At most a tile's columns, with zeros behind them.
#[inline(always)]
fn padded(values: &[f32]) -> [f32; COLUMNS] {
    match values.first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut padded = [0.0; COLUMNS];
            padded[..values.len()].copy_from_slice(values);
            padded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Width;
    use crate::testing::noise;

    fn linear(precision: Precision, weights: &[f32], bias: &[f32]) -> Linear {
        let sizes = [weights.len() / bias.len(), bias.len()];
        let weights = || Ok(Cow::Borrowed(weights));
        Linear::new(
            precision,
            &Tensors::new(&|_| None),
            sizes,
            weights,
            || Ok(bias.to_vec()),
        )
        .unwrap()
    }

    /// The layer by definition, in f64.
    fn expected(rows: &[f32], weights: &[f32], bias: &[f32], there: &[f32]) -> Vec<f64> {
        let outputs = bias.len();
        let inputs = weights.len() / outputs;
        let of = |(row, column): (usize, usize)| {
            let products =
                (0..inputs).map(|at| f64::from(rows[row * inputs + at]) * f64::from(weights[at * outputs + column]));
            products.sum::<f64>() + f64::from(bias[column]) + f64::from(there[row * outputs + column])
        };
        let rows = rows.len() / inputs;
        (0..rows * outputs).map(|at| of((at / outputs, at % outputs))).collect()
    }

    #[test]
    fn a_layer_is_its_definition_at_every_precision_and_size() {
        // Widths beside panels, depths beside words and beyond a block, rows beside tiles.
        for (rows, inputs, outputs) in [(1, 5, 1), (9, 48, 48), (13, 97, 50), (8, 2500, 49), (3, 4099, 7)] {
            let (x, weights) = (noise(rows * inputs, 1), noise(inputs * outputs, 2));
            let (bias, there) = (noise(outputs, 3), noise(rows * outputs, 4));
            let expected = expected(&x, &weights, &bias, &there);
            for (precision, tolerance) in [
                (Precision::F32, 2e-6),
                (Precision::Bf16, 6e-3),
                (Precision::Int8, 1.2e-2),
            ] {
                let layer = linear(precision, &weights, &bias);
                for width in [Width::Portable, Width::Avx2, Width::Avx512] {
                    let simd = Simd::detect(width);
                    for threads in [1, 3] {
                        let mut loaded = Rows::default();
                        let mut out = there.clone();
                        layer.pass(Run { simd, threads }, &mut loaded, &x, &mut out, Epilogue::ADD);
                        let tolerance = tolerance * (inputs as f64).sqrt().max(1.0);
                        for (found, expected) in out.iter().zip(&expected) {
                            let error = (f64::from(*found) - expected).abs();
                            assert!(
                                error < tolerance,
                                "{precision} {simd} {rows} {inputs} {outputs}: {error}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_activation_comes_after_the_whole_depth() {
        let (x, weights) = (noise(2 * 3000, 5), noise(3000 * 3, 6));
        let layer = linear(Precision::F32, &weights, &[0.0; 3]);
        let mut rows = Rows::default();
        let run = Run::on(1);
        let (mut plain, mut cut) = ([7.0; 6], [7.0; 6]);
        layer.pass(run, &mut rows, &x, &mut plain, Epilogue::STORE);
        layer.pass(run, &mut rows, &x, &mut cut, Epilogue::of(Activation::Relu));
        assert!(plain.iter().any(|value| *value < 0.0));
        assert_eq!(cut, plain.map(|value| value.max(0.0)));
    }
}
