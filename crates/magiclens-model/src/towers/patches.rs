//! Images to square patches, as rows of numbers.

use burn::tensor::Tensor;

/// `images`: `[batch, 3, height, width]` -> `[batch, patches, patch_px * patch_px * 3]`, patches row by row, the numbers of
/// each in the order y, x, color. Pixels to the right and below that fill no patch are cut off.
pub(super) fn cut_patches(images: Tensor<4>, patch_px: usize) -> Tensor<3> {
    let [batch, _, height, width] = images.dims();
    let (rows, columns) = (height / patch_px, width / patch_px);
    images
        .narrow(2, 0, rows * patch_px)
        .narrow(3, 0, columns * patch_px)
        .reshape([batch, 3, rows, patch_px, columns, patch_px])
        .permute([0, 2, 4, 3, 5, 1]) // [batch, rows, columns, y, x, color]
        .reshape([batch, rows * columns, 3 * patch_px * patch_px])
}
