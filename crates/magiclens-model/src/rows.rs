//! Rows of numbers to tensors and back, and long lists of inputs in pieces.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// `[batch, dim]` as one vector a row.
pub fn to_rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, width] = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().expect("the tensor is f32");
    values.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect()
}

/// Rows of one length as `[rows, length]`.
pub(crate) fn from_rows(rows: &[Vec<f32>], device: &Device) -> Tensor<2> {
    let width = rows.first().map_or(0, Vec::len);
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), width]), device)
}

/// Runs pieces of `batch` rows of ids through `network` side by side. A piece is of rows of one length, so that nothing is
/// padded; the results are in the order of the rows. `network` also gets the numbers of its rows.
pub(crate) fn map_ids(
    ids: &[Vec<u32>],
    batch: usize,
    network: impl Fn(&[&[u32]], &[usize]) -> Tensor<2> + Sync,
) -> Vec<Vec<f32>> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|row| ids[*row].len());
    let groups: Vec<&[usize]> = order
        .chunk_by(|a, b| ids[*a].len() == ids[*b].len())
        .flat_map(|group| group.chunks(batch))
        .collect();
    let encode = |group: &&[usize]| {
        let rows: Vec<&[u32]> = group.iter().map(|row| ids[*row].as_slice()).collect();
        to_rows(network(&rows, group))
    };
    let done: Vec<Vec<Vec<f32>>> = groups.par_iter().map(encode).collect();
    let mut rows = vec![Vec::new(); ids.len()];
    for (row, values) in order.iter().zip(done.into_iter().flatten()) {
        rows[*row] = values;
    }
    rows
}
