//! Time and memory of ranking a large gallery: `cargo run -p magiclens-eval --example gallery -- ROWS DIM QUERIES
//! [DEPTH]`, e.g. `123403 768 800 50` for CIRCO. Without a depth whole rankings are made, as for mAP over all.

#![expect(clippy::print_stdout, reason = "the figures are this program's answer")]

use std::time::Instant;

use magiclens_eval::peak_memory_bytes;
use magiclens_metrics::{Matrix, Random, rank, score_all};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let [rows, dim, queries, depth @ ..] = numbers.as_slice() else {
        return Err("ROWS, DIM and QUERIES are needed".into());
    };
    let gallery = random(*rows, *dim, 1);
    let asked = random(*queries, *dim, 2);
    let start = Instant::now();
    let ranked = score_all(&asked, &gallery, |_, scores| {
        rank(scores, depth.first().copied(), &[]).len()
    });
    let seconds = start.elapsed().as_secs_f64();
    let megabytes = peak_memory_bytes().map_or("unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    println!(
        "{} queries, {rows} x {dim}: {seconds:.1} s, {:.0} queries/s, peak memory {megabytes}",
        ranked.len(),
        ranked.len() as f64 / seconds
    );
    Ok(())
}

fn random(rows: usize, dim: usize, seed: u64) -> Matrix {
    let mut random = Random::seed_from_u64(seed);
    let mut matrix = Matrix::with_capacity(dim, rows);
    let mut row = vec![0.0_f32; dim];
    for _ in 0..rows {
        row.fill_with(|| random.between(-1.0, 1.0));
        matrix.push(&row);
    }
    matrix
}
