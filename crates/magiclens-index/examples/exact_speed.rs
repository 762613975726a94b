//! Measures the exact search: `cargo run -p magiclens-index --example exact_speed -- [VECTORS] [DIM]`.
//!
//! Fills an index in a temporary folder with random unit vectors, and prints the time to fill it, the first search of a
//! fresh process (which brings the vectors into memory), and the searches after it.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::time::{Duration, Instant};

use magiclens_data::{Embedding, ImageId};
use magiclens_index::{FileStamp, Index, ModelStamp, NewImage, Payload, Query, Selection, Space};

const SEARCHES: usize = 50;

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<usize>().unwrap());
    let (vectors, dim) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(384));
    let temp = tempfile::tempdir()?;
    let mut random = Random(1);
    let mut out = std::io::stdout().lock();

    let started = Instant::now();
    let mut writer = Index::create_or_open(
        temp.path(),
        &ModelStamp {
            name: String::new(),
            model_id: "random".to_owned(),
            dim,
        },
    )
    .unwrap();
    for first in (0..vectors).step_by(1000) {
        let batch: Vec<_> = (first..vectors.min(first + 1000))
            .map(|n| image(n, dim, &mut random))
            .collect();
        writer.add(&batch).unwrap();
    }
    writeln!(
        out,
        "{vectors} images of 2 x {dim} numbers added in {:.1?}",
        started.elapsed()
    )?;

    let started = Instant::now();
    let index = Index::open(temp.path()).unwrap();
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..=SEARCHES {
        let vector = random.embedding(dim);
        let started = Instant::now();
        let query = Query {
            vector: &vector,
            space: Space::Target,
            selection: Selection::first(20),
        };
        assert_eq!(index.search(&query).unwrap().len(), 20.min(vectors));
        if 0 < n {
            times.push(started.elapsed());
        }
    }
    let all = started.elapsed();
    times.sort();
    let first = all - times.iter().sum();
    writeln!(
        out,
        "first search {first:.1?}, then median {:.2?}, slowest {:.2?}",
        times[SEARCHES / 2],
        times[SEARCHES - 1]
    )
}

fn image(n: usize, dim: usize, random: &mut Random) -> NewImage {
    let id = ImageId::of_bytes(&n.to_le_bytes());
    NewImage {
        id,
        files: vec![FileStamp {
            path: format!("/pictures/{n}.png").into(),
            size: 1,
            mtime_ns: 1,
        }],
        width: 1,
        height: 1,
        payload: Payload {
            caption: Some(format!("picture number {n}")),
            ..Payload::default()
        },
        thumbnail: Vec::new(),
        target: random.embedding(dim),
        image: random.embedding(dim),
    }
}

/// Xorshift: fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn embedding(&mut self, dim: usize) -> Embedding {
        let values = (0..dim).map(|_| {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        });
        Embedding::normalize(values.collect()).unwrap()
    }
}
