//! Images and texts a second of each size of model, on random weights and all cores, beside `small`:
//! `cargo run -p magiclens-model --example tower_speed`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use burn::tensor::Device;
use image::{Rgb, RgbImage};
use magiclens_model::checkpoint::{Checkpoint, tensors_of};
use magiclens_model::fusion::FusionConfig;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::towers::{ClipVitConfig, VisionConfig};
use magiclens_model::{Embedder, ModelConfig};

/// Images of a run: two pieces for each of two cores.
const IMAGES: u32 = 32;
const TEXTS: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let patch_32 = |config: ModelConfig| {
        let VisionConfig::ClipVit(vision) = config.vision.clone() else {
            unreachable!("base has a CLIP tower")
        };
        let vision = VisionConfig::ClipVit(ClipVitConfig { patch_px: 32, ..vision });
        clip(ModelConfig { vision, ..config })
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights");
    println!("model          images a second   texts a second");
    for (name, config) in [
        ("small", ModelConfig::small()),
        ("ViT-B/32, sum", patch_32(ModelConfig::base())),
        ("ViT-B/16, sum", clip(ModelConfig::base())),
        ("ViT-L/14, sum", clip(ModelConfig::large())),
    ] {
        let checkpoint = Checkpoint {
            tensors: tensors_of(&config.init_seeded(1)),
            config,
            towers: Vec::new(),
            digest: name.to_owned(),
        };
        let embedder = Embedder::new(checkpoint, folder.as_ref(), Device::flex())?;
        let (images, texts) = measure(&embedder)?;
        println!("{name:<14} {images:>15.2} {texts:>16.1}");
    }
    Ok(())
}

fn clip(config: ModelConfig) -> ModelConfig {
    ModelConfig {
        fusion: FusionConfig::Sum,
        preprocess: PreprocessConfig::Clip { size_px: 224 },
        ..config
    }
}

/// Images and texts a second, after a first round that warms up.
fn measure(embedder: &Embedder) -> Result<(f64, f64), magiclens_model::ModelError> {
    let image = |n: u32| RgbImage::from_fn(640, 480, |x, y| Rgb([(x + n) as u8, y as u8, (x * y) as u8]));
    let images: Vec<RgbImage> = (0..IMAGES).map(image).collect();
    let texts: Vec<String> = (0..TEXTS)
        .map(|n| format!("the same building at night, number {n}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    embedder.encode_images(&images[..4])?;
    let begun = Instant::now();
    embedder.encode_images(&images)?;
    let images = f64::from(IMAGES) / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    embedder.encode_texts(&texts)?;
    Ok((images, TEXTS as f64 / begun.elapsed().as_secs_f64()))
}
