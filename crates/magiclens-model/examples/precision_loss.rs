//! Cosines to f32 of all pixels, mean and least, of the vectors that a precision, or decoding large JPEG files at a part of their size,
//! gives on real images: those of the image tower, and of targets.
//!
//! `cargo run -p magiclens-model --example precision_loss -- MODEL FOLDER`, with a folder of images.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use magiclens_data::decode::{Limits, read_rgb};
use magiclens_model::{Embedder, Precision};

/// The shorter side that an index keeps for models of up to 256 px.
const ENOUGH_PX: u32 = 512;
/// Images of one round.
const TOGETHER: usize = 64;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, folder] = &args[..] else {
        return Err("the head of the file says what it takes".into());
    };
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let expected = vectors(model, Precision::F32, &files, &Limits::default())?;
    println!("{} images          image tower               target", expected[0].len());
    println!("precision       mean        least       mean        least");
    let whole = Limits::default();
    let parts = Limits {
        enough_px: Some(ENOUGH_PX),
        ..whole
    };
    for (name, precision, limits) in [
        ("bf16", Precision::Bf16, &whole),
        ("int8", Precision::Int8, &whole),
        ("f32, parts", Precision::F32, &parts),
    ] {
        let found = vectors(model, precision, &files, limits)?;
        let [image, target] = [0, 1].map(|side| {
            let cosines: Vec<f64> = found[side].iter().zip(&expected[side]).map(cosine).collect();
            let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
            format!("{mean:.6}    {:.6}", cosines.into_iter().fold(1.0, f64::min))
        });
        println!("{name:<11} {image}    {target}");
    }
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => find(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// The image tower's outputs, and the embeddings as targets; files that are no images are skipped.
fn vectors(
    model: &Path,
    precision: Precision,
    files: &[PathBuf],
    limits: &Limits,
) -> Result<[Vec<Vec<f32>>; 2], Failure> {
    let embedder = Embedder::load_with(model, precision)?;
    let [mut images, mut targets] = [Vec::new(), Vec::new()];
    for files in files.chunks(TOGETHER) {
        let pixels: Vec<_> = files.iter().filter_map(|file| read_rgb(file, limits).ok()).collect();
        let encoded = embedder.encode_images(&pixels)?;
        let embedded = embedder.embed_targets(&encoded)?;
        targets.extend(embedded.iter().map(|vector| vector.as_slice().to_vec()));
        images.extend(encoded);
    }
    match images.is_empty() {
        true => Err("no image in the folder".into()),
        false => Ok([images, targets]),
    }
}

fn cosine((a, b): (&Vec<f32>, &Vec<f32>)) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
