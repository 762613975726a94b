//! Compares a model with the numbers that the official implementation recorded.
#![allow(clippy::unwrap_used, dead_code)]

use burn::tensor::{Device, Tensor, TensorData};
use magiclens_model::fusion::{Fusion, unit};
use magiclens_model::model::MagicLens;
use magiclens_model::preprocess::{FloatImage, model_preprocess};
use magiclens_model::towers::{TextTower, VisionTower};

use super::common::{Golden, assert_close, max_difference};

/// Limits for absolute differences, from the golden README.
pub(crate) struct Limits {
    pub(crate) result: f32,
    pub(crate) other: f32,
}

/// Numbers of a tensor, row-major.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Images through the model's own preprocessing: `[images, 3, size, size]`.
pub(crate) fn pixels(golden: &Golden, size: usize, device: &Device) -> Tensor<4> {
    let images = golden.images("image_u8_");
    let values: Vec<f32> = images
        .iter()
        .flat_map(|image| model_preprocess(&FloatImage::from_rgb(image), size as u32))
        .collect();
    Tensor::from_data(TensorData::new(values, [images.len(), 3, size, size]), device)
}

/// Towers, every fusion layer and its probabilities, pooler and result, for all pairs of images and texts.
pub(crate) fn check_model(model: &MagicLens, golden: &Golden, size: usize, limits: &Limits) {
    let device = Device::flex();
    let ids = golden.ids();
    let (VisionTower::ClipVit(vision), TextTower::ClipText(text), Fusion::Attention(fusion)) =
        (&model.vision, &model.text, &model.fusion)
    else {
        panic!("not an official model")
    };
    let pixels = pixels(golden, size, &device);
    let [images, ..] = pixels.dims();
    let seen = vision.trace(pixels);
    let rows: Vec<&[u32]> = ids.iter().map(|row| row.as_slice()).collect();
    let read = text.trace(&rows);
    let close = |name: &str, found: Vec<f32>, limit| assert_close(name, &found, &golden.tensor(name).values, limit);
    close("clip_image_embed", numbers(seen.embedding.clone()), limits.other);
    close("clip_text_embed", numbers(read.embedding.clone()), limits.other);

    // Recorded for the large sizes only: the class token and the first patch, and the pooled position of each block.
    if golden.names().iter().any(|name| name == "visual_block_cls") {
        close(
            "visual_ln_pre_cls_and_patch0",
            numbers(seen.pre_norm.narrow(1, 0, 2)),
            limits.other,
        );
        let classes = seen.blocks.into_iter().map(|block| block.narrow(1, 0, 1)).collect();
        close("visual_block_cls", numbers(Tensor::cat(classes, 1)), limits.other);
        let mut ends = Vec::new();
        for (row, ids) in ids.iter().enumerate() {
            let end = ids.iter().position(|id| id == ids.iter().max().unwrap()).unwrap();
            for block in &read.blocks {
                ends.extend(numbers(block.clone().narrow(0, row, 1).narrow(1, end, 1)));
            }
        }
        close("text_block_eot", ends, limits.other);
    }

    // Every image with every text: [images * texts, dim].
    let [_, dim] = seen.embedding.dims();
    let texts = ids.len();
    let image_rows = seen
        .embedding
        .reshape([images, 1, dim])
        .expand([images, texts, dim])
        .reshape([images * texts, dim]);
    let text_rows = read
        .embedding
        .reshape([1, texts, dim])
        .expand([images, texts, dim])
        .reshape([images * texts, dim]);
    let trace = fusion.trace(image_rows.clone(), text_rows.clone());
    for (layer, attended) in trace.layers.into_iter().enumerate() {
        close(&format!("fusion_layer_{layer}"), numbers(attended.tokens), limits.other);
        close(
            &format!("fusion_probs_{layer}"),
            numbers(attended.probabilities),
            limits.other,
        );
    }
    close("pool_attn_out", numbers(trace.pooled.tokens), limits.other);
    close("pool_probs", numbers(trace.pooled.probabilities), limits.other);
    close("multimodal_embed", numbers(trace.embedding.clone()), limits.other);
    close("multimodal_embed_norm", numbers(unit(trace.embedding)), limits.result);

    // The same through the public way, one pair at a time: a batch changes nothing.
    let whole = numbers(model.fusion.forward(image_rows.clone(), text_rows.clone()));
    for row in 0..texts {
        let single = model.fusion.forward(
            image_rows.clone().narrow(0, row, 1),
            text_rows.clone().narrow(0, row, 1),
        );
        let worst = max_difference(&numbers(single), &whole[row * dim..(row + 1) * dim]);
        assert!(worst <= limits.result, "pair {row} alone: {worst:e}");
    }
}
