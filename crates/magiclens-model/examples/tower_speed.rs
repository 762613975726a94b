//! Speed of the towers on this CPU, on random weights.
//!
//! - `cargo run -p magiclens-model --example tower_speed`: images and texts a second of each size at each precision on all cores,
//!   beside burn's forward pass.
//! - `.. -- write DIR`: ViT-B/16 and ViT-L/14 of random weights as folders of transformers.
//! - `.. -- measure FOLDER PRECISION BATCH`: one line for `scripts/bench/cpu`: images a second, texts a second, milliseconds of one
//!   query, seconds to load, peak memory in MiB.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use fs_err::read_to_string;
use image::{Rgb, RgbImage};
use magiclens_cpu::Simd;
use magiclens_model::checkpoint::{Checkpoint, StoredFloat, tensors_of};
use magiclens_model::export::export_towers;
use magiclens_model::fusion::FusionConfig;
use magiclens_model::preprocess::PreprocessConfig;
use magiclens_model::rows::to_rows;
use magiclens_model::towers::{ClipVitConfig, VisionConfig};
use magiclens_model::{Embedder, ModelConfig, ModelError, Precision};
use rayon::prelude::*;

/// Images of a round; the best of [`ROUNDS`] counts.
const IMAGES: u32 = 16;
const TEXTS: usize = 64;
const ROUNDS: usize = 3;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(),
        ["write", folder] => write(folder.as_ref()),
        ["measure", folder, precision, batch] => {
            let embedder = Embedder::load_with(folder.as_ref(), precision.parse()?)?;
            let load = load_s()?;
            let [images, texts, query] = measure(&embedder, batch.parse()?)?;
            println!("{images:.3} {texts:.3} {query:.3} {load:.2} {:.0}", peak_mib()?);
            Ok(())
        }
        _ => Err("the head of the file says what it takes".into()),
    }
}

/// Writes models of random weights.
fn write(folder: &Path) -> Result<(), Failure> {
    for (name, config) in [("b16", clip(ModelConfig::base())), ("l14", clip(ModelConfig::large()))] {
        export_towers(&random(name, config), folder, &folder.join(name), StoredFloat::F32)?;
    }
    Ok(())
}

fn random(name: &str, config: ModelConfig) -> Checkpoint {
    Checkpoint {
        tensors: tensors_of(&config.init_seeded(1)),
        config,
        towers: Vec::new(),
        digest: name.to_owned(),
    }
}

fn table() -> Result<(), Failure> {
    let patch_32 = |config: ModelConfig| {
        let VisionConfig::ClipVit(vision) = config.vision.clone() else {
            unreachable!("base has a CLIP tower")
        };
        let vision = VisionConfig::ClipVit(ClipVitConfig { patch_px: 32, ..vision });
        clip(ModelConfig { vision, ..config })
    };
    println!("{} threads, {}", rayon::current_num_threads(), Simd::get());
    println!("                            images a second    texts a second   one query, ms");
    for (name, config) in [
        ("small", ModelConfig::small()),
        ("ViT-B/32", patch_32(ModelConfig::base())),
        ("ViT-B/16", clip(ModelConfig::base())),
        ("ViT-L/14", clip(ModelConfig::large())),
    ] {
        let checkpoint = random(name, config);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights").as_ref();
        for precision in Precision::ALL {
            let embedder = Embedder::with_precision(checkpoint.clone(), folder, Device::flex(), precision)?;
            if precision == Precision::F32 {
                println!("{name:<10} burn  {:>21.2}", burn_speed(&embedder)?);
            }
            let [images, texts, query] = measure(&embedder, IMAGES)?;
            println!(
                "{name:<10} {:<5} {images:>21.2} {texts:>17.1} {query:>15.1}",
                precision.to_string()
            );
        }
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

/// The shortest time of some rounds, in seconds.
fn best(mut round: impl FnMut() -> Result<(), ModelError>) -> Result<f64, ModelError> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        round()?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Images and texts a second in batches, and milliseconds of one query.
fn measure(embedder: &Embedder, batch: u32) -> Result<[f64; 3], ModelError> {
    let image = |n: u32| RgbImage::from_fn(224, 224, |x, y| Rgb([(x + n) as u8, y as u8, (x * y) as u8]));
    let images: Vec<RgbImage> = (0..batch).map(image).collect();
    let texts: Vec<String> = (0..TEXTS)
        .map(|n| format!("the same building at night, number {n}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    embedder.encode_images(&images)?;
    let seconds = [
        best(|| embedder.encode_images(&images).map(drop))?,
        best(|| embedder.encode_texts(&texts).map(drop))?,
        best(|| {
            let encoded = embedder.encode_images(&images[..1])?;
            embedder
                .embed_query(&encoded[0], "the same building at night")
                .map(drop)
        })?,
    ];
    Ok([
        f64::from(batch) / seconds[0],
        TEXTS as f64 / seconds[1],
        1e3 * seconds[2],
    ])
}

/// Images a second of the modules that the model is defined by.
fn burn_speed(embedder: &Embedder) -> Result<f64, ModelError> {
    let tower = &embedder.model()?.vision;
    let side = embedder.config().vision.image_px();
    let pixels = vec![0.5_f32; 2 * 3 * side * side];
    let pieces: Vec<usize> = (0..IMAGES as usize / 2).collect();
    let begun = Instant::now();
    pieces.par_iter().for_each(|_| {
        let data = TensorData::new(pixels.clone(), [2, 3, side, side]);
        to_rows(tower.forward(Tensor::from_data(data, &Device::flex())));
    });
    Ok(f64::from(IMAGES) / begun.elapsed().as_secs_f64())
}

/// Seconds since the process started; the kernel counts both times in hundredths.
fn load_s() -> Result<f64, Failure> {
    let now: f64 = field(&read_to_string("/proc/uptime")?, 0)?.parse()?;
    let stat = read_to_string("/proc/self/stat")?;
    // The name of the program is in parentheses and may hold spaces; the start is the 20th field behind it.
    let (_, behind_name) = stat.rsplit_once(')').ok_or("/proc/self/stat has no name")?;
    let started: f64 = field(behind_name, 19)?.parse()?;
    Ok(now - started / 100.0)
}

/// The most memory the process has had so far.
fn peak_mib() -> Result<f64, Failure> {
    let status = read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = field(peak.ok_or("/proc/self/status has no VmHWM")?, 0)?.parse()?;
    Ok(kib / 1024.0)
}

fn field(text: &str, at: usize) -> Result<&str, Failure> {
    text.split_whitespace()
        .nth(at)
        .ok_or_else(|| "a line of /proc is too short".into())
}
