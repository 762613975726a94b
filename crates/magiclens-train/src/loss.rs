//! The losses: pure functions of embeddings.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Bool, Int, Tensor};

/// The value of a masked logit: far below any cosine times any temperature.
const MASKED: f32 = -1e4;

/// The contrastive loss of MagicLens (paper section 3.2, equation 1): each query against all targets and all query
/// images of the batch, one cross entropy.
///
/// `queries`: `[batch, dim]`, `candidates`: `[columns, dim]`, all of unit length, where row `i`'s own target is
/// candidate `i` and the query images (each with the empty text) follow the targets; `temperature`: `[1]`, the factor on
/// the cosines; `also_right`: `[batch, columns]`, true where a candidate is another right answer of that row and so no
/// negative -> `[1]`.
pub fn contrastive(
    queries: Tensor<2>,
    candidates: Tensor<2>,
    temperature: Tensor<1>,
    also_right: Tensor<2, Bool>,
) -> Tensor<1> {
    let device = queries.device();
    let [batch, _dim] = queries.dims();
    let logits = queries.matmul(candidates.transpose()) * temperature.unsqueeze(); // [batch, columns]
    let logits = logits.mask_fill(also_right, MASKED);
    let labels: Tensor<1, Int> = Tensor::arange(0..batch as i64, &device); // the own target stands on the diagonal
    CrossEntropyLossConfig::new().init(&device).forward(logits, labels)
}

/// CLIP's symmetric loss between images and their captions.
///
/// `images`, `captions`: `[batch, dim]`, of unit length, row by row; `temperature`: `[1]`; `also_right`:
/// `[batch, batch]`, true where another row says the same -> `[1]`.
pub fn captions(
    images: Tensor<2>,
    captions: Tensor<2>,
    temperature: Tensor<1>,
    also_right: Tensor<2, Bool>,
) -> Tensor<1> {
    let forth = contrastive(
        images.clone(),
        captions.clone(),
        temperature.clone(),
        also_right.clone(),
    );
    let back = contrastive(captions, images, temperature, also_right.transpose());
    (forth + back) / 2.0
}
