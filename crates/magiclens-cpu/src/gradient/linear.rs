//! A linear layer, `x W + b`.

use super::product::{Columns, ColumnsMut, Finish, OuterScratch, Right, add_outer, multiply};
use super::slots::{Slot, Slots};
use super::vector::add_rows;
use crate::simd::Simd;
use crate::tensors::{MissingTensor, Tensors};

/// A linear layer with its weights packed for both directions, and its places among the sums.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    forward: Right,
    backward: Right,
    bias: Vec<f32>,
    weight_sums: Slot,
    bias_sums: Slot,
}

impl Linear {
    /// `weights`: `[inputs, outputs]`, `bias`: `[outputs]`.
    pub(super) fn new(weights: &[f32], bias: Vec<f32>, slots: &mut Slots) -> Self {
        let (inputs, outputs) = (weights.len() / bias.len(), bias.len());
        let matrix = Columns::all(weights, outputs);
        Self {
            inputs,
            outputs,
            forward: Right::of(matrix),
            backward: Right::of_transposed(matrix),
            weight_sums: slots.take(inputs * outputs),
            bias_sums: slots.take(outputs),
            bias,
        }
    }

    /// The layer whose tensors are `weight` and `bias`.
    pub(super) fn named(
        tensors: &Tensors<'_>,
        [inputs, outputs]: [usize; 2],
        slots: &mut Slots,
    ) -> Result<Self, MissingTensor> {
        let weights = tensors.get_sized("weight", inputs * outputs)?;
        Ok(Self::new(weights, tensors.get_sized("bias", outputs)?.to_vec(), slots))
    }

    /// Rows through the layer, `[rows, outputs]`.
    pub(super) fn forward(&self, simd: Simd, rows: &[f32], out: &mut Vec<f32>) {
        let bias = Some(&self.bias[..]);
        self.fill(simd, rows, out, Finish { bias, ..Finish::STORE });
    }

    /// [`Linear::forward`] with negative numbers set to zero.
    pub(super) fn forward_relu(&self, simd: Simd, rows: &[f32], out: &mut Vec<f32>) {
        let (bias, relu) = (Some(&self.bias[..]), true);
        self.fill(
            simd,
            rows,
            out,
            Finish {
                bias,
                relu,
                ..Finish::STORE
            },
        );
    }

    fn fill(&self, simd: Simd, rows: &[f32], out: &mut Vec<f32>, finish: Finish<'_>) {
        out.resize(rows.len() / self.inputs * self.outputs, 0.0);
        self.forward_into(simd, rows, &mut ColumnsMut::all(out, self.outputs), finish);
    }

    /// Adds rows through the layer to `out`.
    pub(super) fn add_forward(&self, simd: Simd, rows: &[f32], out: &mut [f32]) {
        let bias = Some(&self.bias[..]);
        self.forward_into(
            simd,
            rows,
            &mut ColumnsMut::all(out, self.outputs),
            Finish { bias, ..Finish::ADD },
        );
    }

    /// Rows through the layer into some columns.
    pub(super) fn forward_columns(&self, simd: Simd, rows: &[f32], out: &mut ColumnsMut<'_>) {
        let bias = Some(&self.bias[..]);
        self.forward_into(simd, rows, out, Finish { bias, ..Finish::STORE });
    }

    fn forward_into(&self, simd: Simd, rows: &[f32], out: &mut ColumnsMut<'_>, finish: Finish<'_>) {
        multiply(simd, Columns::all(rows, self.inputs), &self.forward, out, finish);
    }

    /// Adds what rows and the slopes of their outputs say about weights and bias.
    pub(super) fn add_sums(
        &self,
        simd: Simd,
        scratch: &mut OuterScratch,
        rows: &[f32],
        slopes: Columns<'_>,
        sums: &mut [f32],
    ) {
        let rows = Columns::all(rows, self.inputs);
        add_outer(simd, scratch, rows, slopes, self.weight_sums.of_mut(sums));
        add_rows(
            simd,
            slopes.values,
            slopes.width,
            slopes.first,
            self.bias_sums.of_mut(sums),
        );
    }

    /// Slopes of the inputs from those of the outputs, `[rows, inputs]`.
    pub(super) fn backward(&self, simd: Simd, slopes: Columns<'_>, out: &mut Vec<f32>) {
        out.resize(slopes.rows() * self.inputs, 0.0);
        multiply(
            simd,
            slopes,
            &self.backward,
            &mut ColumnsMut::all(out, self.inputs),
            Finish::STORE,
        );
    }

    /// Adds slopes of the inputs to `out`.
    pub(super) fn add_backward(&self, simd: Simd, slopes: Columns<'_>, out: &mut [f32]) {
        multiply(
            simd,
            slopes,
            &self.backward,
            &mut ColumnsMut::all(out, self.inputs),
            Finish::ADD,
        );
    }

    /// What was added up for the weights, `[inputs, outputs]`, and for the bias.
    pub(super) fn sums<'a>(&self, sums: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        (self.weight_sums.of(sums), self.bias_sums.of(sums))
    }
}
